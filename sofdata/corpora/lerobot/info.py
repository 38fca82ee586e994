"""`meta/info.json` of a LeRobot dataset: version, cameras, features, where files lie."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sofdata.corpora.lerobot.cameras import CAMERAS, find_cameras
from sofdata.corpora.readers import jsonfile
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.system.nearest import did_you_mean

INFO = "meta/info.json"
V2, V3 = ("v2.0", "v2.1"), ("v3.0",)
DEFAULT_CHUNK = 1000  # episodes a folder, where v2 does not say
OTHER = "another camera's"  # kind of what is left out where one camera is chosen
_FIELD = re.compile(r"\{(\w+)(?::0(\d)d)?\}")
_LIKE_V3 = re.compile(r"v3\.\d{1,3}(\.\d{1,3})?")
_FIELDS = {V2: {"episode_chunk", "episode_index"}, V3: {"chunk_index", "file_index"}}
_OPTIONAL = {"episode_chunk"}  # the number of an episode says all


@dataclass(frozen=True, slots=True)
class Info:
    """What info.json says, checked.

    version: one of those that are read, such as "v2.1". fps: frames and rows of data a second.
    cameras: the features that are videos or pictures. pictures: those that are pictures.
    left_out: those that show something else than light, with their kind (see `find_cameras`), and
    those that were not chosen.
    chunk: episodes a folder, in v2.
    data_path, video_path: templates of the files' places, the second "" where there is no video;
    see `fill`.
    features: all features by name. notes: what of them is left out.
    """

    version: str
    fps: float
    chunk: int
    cameras: tuple[str, ...]
    pictures: frozenset[str]
    left_out: Mapping[str, str]
    data_path: str
    video_path: str
    features: Mapping[str, Any]
    notes: tuple[str, ...]

    @property
    def half_frame_s(self) -> float:
        return 0.5 / self.fps

    @property
    def has_a_file_an_episode(self) -> bool:
        """Whether each episode has files of its own, as in v2, or a part of one, as in v3.0."""
        return self.version in V2


def read_info(tree: Tree) -> Info:
    """Read and check info.json. Raises `ConfigError` that says what was found."""
    values: dict[str, Any] = jsonfile.read_json(tree, INFO, dict)
    version, read_as = _version(tree, values.get("codebase_version"))
    features = values.get("features")
    if not isinstance(features, dict):
        raise jsonfile.wrong(tree, INFO, "it lacks 'features'")
    fps = values.get("fps")
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps < 10_000:
        raise jsonfile.wrong(tree, INFO, f"'fps' should be frames a second, found {fps!r}")
    cameras = find_cameras(features)
    if not cameras.used:
        raise jsonfile.wrong(tree, INFO, f"no feature is a camera, only {_kinds(features)}")
    chunk = values.get("chunks_size", DEFAULT_CHUNK)
    if isinstance(chunk, bool) or not isinstance(chunk, int) or chunk < 1:
        raise jsonfile.wrong(tree, INFO, f"'chunks_size' should be a number, found {chunk!r:.40}")
    fields = _FIELDS[V2 if version in V2 else V3]
    films = cameras.used != tuple(sorted(cameras.pictures))
    return Info(
        version=version,
        fps=float(fps),
        chunk=chunk,
        cameras=cameras.used,
        pictures=cameras.pictures,
        left_out=cameras.left_out,
        data_path=_template(tree, values, "data_path", fields),
        video_path=_template(tree, values, "video_path", {*fields, "video_key"}) if films else "",
        features=features,
        notes=(*read_as, *cameras.notes),
    )


def of_camera(tree: Tree, info: Info, camera: str | None) -> Info:
    """The same with one of its cameras alone; None: with all of them.

    Raises `ConfigError` that lists the cameras where there is none of that name.
    """
    if camera is None:
        return info
    if camera not in info.cameras:
        raise ConfigError(
            f"sequences.camera is '{camera}', and {tree.name} has no camera of that name to read"
            f"{did_you_mean(camera, info.cameras) or '.'} There are {', '.join(info.cameras)}"
        )
    others = dict.fromkeys((name for name in info.cameras if name != camera), OTHER)
    note = f"of {len(info.cameras)} cameras {camera} alone is read: sequences.camera"
    return replace(
        info,
        cameras=(camera,),
        pictures=info.pictures & {camera},
        left_out={**info.left_out, **others},
        notes=(*info.notes, note) if others else info.notes,
    )


def _version(tree: Tree, value: Any) -> tuple[str, tuple[str, ...]]:
    """The version as which the format is read, and notes on that.

    Within a major version lerobot itself reads what is newer (`check_version_compatibility`).
    Raises `ConfigError` for one that is not read.
    """
    found = f"v{value.removeprefix('v')}" if isinstance(value, str) else ""
    if found in (*V2, *V3):
        return found, ()
    if _LIKE_V3.fullmatch(found):
        return V3[0], (f"{INFO} says {found}, which is read as {V3[0]}",)
    hint = ""
    if found.startswith("v1"):
        hint = ". LeRobot's own converters bring older datasets to v2.0 and on"
    known = ", ".join((*V2, *V3))
    raise jsonfile.wrong(
        tree, INFO, f"codebase_version is {value!r:.40}, and only {known} are read{hint}"
    )


def _kinds(features: Mapping[str, Any]) -> str:
    """What there is instead of cameras."""
    left_out = find_cameras(features).left_out.values()
    dtypes = {str(_get(each, "dtype")) for each in features.values()} - set(CAMERAS)
    return ", ".join(sorted({*dtypes, *(f"camera of {kind}" for kind in left_out)})) or "nothing"


def fill(template: str, **values: Any) -> str:
    """Put values into a template such as `data/chunk-{chunk_index:03d}/...`."""

    def one(field: re.Match[str]) -> str:
        return str(values[field[1]]).zfill(int(field[2] or 0))

    return _FIELD.sub(one, template)


def _template(tree: Tree, values: dict[str, Any], key: str, fields: set[str]) -> str:
    """A template of which nothing is trusted: known fields only, and no way out of the tree."""
    template = values.get(key)
    if not isinstance(template, str):
        raise jsonfile.wrong(tree, INFO, f"'{key}' should be a path, found {template!r}")
    rest = _FIELD.sub("", template)
    found = {match[1] for match in _FIELD.finditer(template)}
    outside = template.startswith("/") or ".." in template or "://" in template
    if outside or not fields - _OPTIONAL <= found <= fields or "{" in rest or "}" in rest:
        wanted = ", ".join(f"{{{field}}}" for field in sorted(fields))
        raise jsonfile.wrong(
            tree,
            INFO,
            f"'{key}' is '{template}', where a relative path with {wanted} was expected, as it is "
            f"of codebase_version {values.get('codebase_version')}",
        )
    return template


def _get(feature: Any, key: str) -> Any:
    return feature.get(key) if isinstance(feature, dict) else None
