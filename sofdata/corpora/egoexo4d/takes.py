"""takes.json of Ego-Exo4D: the takes, their cameras, and which of these show the scene in colour.

The fields are those of the documentation's page "Metadata" (EGO4D/Ego-Exo4D-docs), releases v1
and v2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sofdata.corpora.readers import jsonfile
from sofdata.storage.tree import Tree

TAKES = "takes.json"
SLAM = "video of a SLAM camera"
EYE = "video of an eye tracker"
COLLAGE = "collage of cameras"
_KINDS = {"slam-left": SLAM, "slam-right": SLAM, "et": EYE}
_BY_NAME = ((re.compile(r".*_1201-\d+"), SLAM), (re.compile(r".*_211-\d+"), EYE))
_COLLAGES = frozenset({"best_exo", "collage"})  # under "cameras" of frame_aligned_videos
_PREVIEWS = frozenset({"best_exo", "collage", "ego_preview"})  # names of files
_STREAM = re.compile(r"(.+)_\d+-\d+")
_NO = frozenset({"", "0", "false", "no", "none", "null"})


@dataclass(frozen=True, slots=True)
class Camera:
    """A stream of a take. left_out: "", or why it is no input. is_ego: whether it is worn."""

    id: str
    left_out: str
    is_ego: bool


@dataclass(frozen=True, slots=True)
class Take:
    """What takes.json says of a take.

    folder: in which its videos lie, below any folder. duration_s: None where it is not known.
    cameras: by the name of their file without its suffix.
    """

    uid: str
    name: str
    folder: str
    duration_s: float | None
    text: str
    labels: Mapping[str, str]
    cameras: Mapping[str, Camera]
    is_dropped: bool

    def camera(self, stem: str) -> Camera:
        """The camera of a file, by its name where takes.json does not list it."""
        return self.cameras.get(stem) or _named(stem, worn={})


def read_takes(tree: Tree, rel: str) -> dict[str, Take]:
    """All takes by their folder. Raises `ConfigError` for a malformed file, or two of a name."""
    found: dict[str, Take] = {}
    uids: set[str] = set()
    for at, record in enumerate(jsonfile.read_json(tree, rel, list)):
        take = _take(tree, rel, at, record)
        if take.folder in found or take.uid in uids:
            what = f"record {at}: {take.name} ({take.uid}) is there twice"
            raise jsonfile.wrong(tree, rel, what)
        found[take.folder] = take
        uids.add(take.uid)
    return found


def is_set(value: Any) -> bool:
    """A flag, also one that is written as text or as a number."""
    return str(value).strip().lower() not in _NO


def _take(tree: Tree, rel: str, at: int, record: Any) -> Take:
    uid, name = (_text(tree, rel, at, record, key) for key in ("take_uid", "take_name"))
    record = {key: value for key, value in record.items() if value is not None}
    capture = jsonfile.field(tree, rel, record, "capture", dict, at=at)
    labels = {
        "take": name,
        "take_uid": uid,
        "capture": capture.get("capture_name"),
        "university": record.get("university_name"),
        "physical_setting": record.get("physical_setting_uid"),
        "task": record.get("task_name"),
        "scenario": record.get("parent_task_name"),
    }
    kept = {key: jsonfile.clean(str(each)) for key, each in labels.items() if each is not None}
    root = record.get("root_dir")
    return Take(
        uid=uid,
        name=name,
        folder=root.rstrip("/").rpartition("/")[2] if isinstance(root, str) and root else name,
        duration_s=_duration(tree, rel, at, record.get("duration_sec")),
        text=kept.get("task") or kept.get("scenario", ""),
        labels={key: each for key, each in kept.items() if each},
        cameras=_cameras(tree, rel, at, record, _worn(tree, rel, at, capture)),
        is_dropped=is_set(record.get("is_dropped")),
    )


def _text(tree: Tree, rel: str, at: int, record: Any, key: str) -> str:
    value = record.get(key) if isinstance(record, dict) else None
    if not isinstance(value, str) or not value or "/" in value:
        raise jsonfile.wrong(tree, rel, f"record {at} needs '{key}', found {value!r:.60}")
    return jsonfile.clean(value)


def _duration(tree: Tree, rel: str, at: int, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e7:
        what = f"record {at}: 'duration_sec' should be seconds, found {value!r:.60}"
        raise jsonfile.wrong(tree, rel, what)
    return float(value)


def _worn(tree: Tree, rel: str, at: int, capture: dict[str, Any]) -> dict[str, bool]:
    """Whether each camera of a capture is worn, where it says so."""
    listed = jsonfile.field(tree, rel, capture, "cameras", list, at=at)
    return {
        str(each.get("cam_id")): is_set(each["is_ego"])
        for each in listed
        if isinstance(each, dict) and each.get("is_ego") is not None
    }


def _cameras(
    tree: Tree, rel: str, at: int, record: dict[str, Any], worn: Mapping[str, bool]
) -> dict[str, Camera]:
    found: dict[str, Camera] = {}
    videos = jsonfile.field(tree, rel, record, "frame_aligned_videos", dict, at=at)
    for camera in videos:
        streams = jsonfile.field(tree, rel, videos, camera, dict, at=at)
        for stream, about in streams.items():
            path = about.get("relative_path") if isinstance(about, dict) else None
            if not isinstance(path, str) or not path:
                continue  # the best_exo of a take without one, say
            stem = path.rpartition("/")[2].rpartition(".")[0]
            kind = _KINDS.get(str(about.get("readable_stream_id") or stream), "")
            kind = COLLAGE if camera in _COLLAGES else kind
            found[stem] = _named(stem, worn, camera, kind)
    return found


def _named(stem: str, worn: Mapping[str, bool], camera: str = "", kind: str = "") -> Camera:
    """A camera by the name of its file, with what is known beside it."""
    if stem in _PREVIEWS:
        kind = COLLAGE
    kind = kind or next((each for name, each in _BY_NAME if name.fullmatch(stem)), "")
    if not camera:
        match = _STREAM.fullmatch(stem)
        camera = match[1] if match else stem
    return Camera(camera, kind, worn.get(camera, "aria" in camera.lower()))
