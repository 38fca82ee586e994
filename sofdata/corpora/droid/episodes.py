"""The episodes of a copy of DROID: the files of each, and what its metadata says.

An episode is the folder of a `trajectory.h5`, a `metadata_*.json` or a folder `recordings`,
whatever lies above it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from sofdata.corpora.base import Ignored, count_ignored, is_hidden, suffix
from sofdata.corpora.content import VIDEO_SUFFIXES, is_other_folder
from sofdata.corpora.readers import jsonfile
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.storage.walk import Item

TRAJECTORY = "trajectory.h5"
METADATA = re.compile(r"metadata_.*\.json")
LANGUAGE = re.compile(r"(aggregated-annotations|droid_language_annotations).*\.json")
SVO = "SVO of a camera whose video is here"
AGAIN = "other file of a camera that is here"
FUSED = "video of two cameras side by side"
OTHER_VIDEO = "video of no episode"
_RECORDINGS = "recordings"
_STEREO = "-stereo"
_STAMPS = "_timestamps.json"
_SVO_SUFFIXES = (".svo", ".svo2")
_FUSED = "fused"
_THREADS = 16


@dataclass(slots=True)
class Camera:
    """The files of a camera of an episode, of each kind those to use first.

    left: one view; stereo: two of them side by side.
    """

    left: list[Item] = field(default_factory=list)
    stereo: list[Item] = field(default_factory=list)
    svo: list[Item] = field(default_factory=list)
    stamps: Item | None = None


@dataclass(slots=True)
class Episode:
    """The files of an episode. cameras: by serial number."""

    folder: str
    trajectory: Item | None = None
    metadata: Item | None = None
    cameras: dict[str, Camera] = field(default_factory=dict)

    @property
    def is_recorded(self) -> bool:
        """Whether there is a recording of any camera."""
        return any(each.left or each.stereo or each.svo for each in self.cameras.values())

    def camera(self, serial: str) -> Camera:
        """Of this serial number, begun if it is new."""
        return self.cameras.setdefault(serial, Camera())


@dataclass(slots=True)
class Files:
    """What lies in a source. language: files of instructions."""

    episodes: dict[str, Episode] = field(default_factory=dict)
    language: list[Item] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    ignored: Ignored = field(default_factory=Ignored)
    stray: list[str] = field(default_factory=list)

    def episode(self, folder: str) -> Episode:
        """Of this folder, begun if it is new."""
        return self.episodes.setdefault(folder, Episode(folder))


@dataclass(frozen=True, slots=True)
class Metadata:
    """What metadata_UUID.json says. problem, detail: as of an `Entry`, where it cannot be used.

    roles: "wrist", "ext1" or "ext2" by serial number. success: None where it is not said.
    """

    uuid: str = ""
    task: str = ""
    success: bool | None = None
    labels: tuple[tuple[str, str], ...] = ()
    roles: tuple[tuple[str, str], ...] = ()
    problem: str = ""
    detail: str = ""


def find_files(tree: Tree) -> Files:
    """Everything below a source."""
    files = Files()
    for item in tree.walk():
        if is_hidden(item.rel) or is_other_folder(item) or not _take(files, item):
            count_ignored(files.ignored, item)
    for episode in files.episodes.values():
        for camera in episode.cameras.values():
            for videos in (camera.left, camera.stereo, camera.svo):
                videos.sort(key=_rank)
    return files


def _rank(item: Item) -> tuple[bool, bool, str]:
    """Readable files first, of these MP4."""
    return bool(item.problem) or not item.size_bytes, suffix(item.rel) != ".mp4", item.rel


def _take(files: Files, item: Item) -> bool:
    """Note a file; whether it is one that the corpus knows."""
    *folders, name = item.rel.split("/")
    if _RECORDINGS in folders:
        at = len(folders) - 1 - folders[::-1].index(_RECORDINGS)
        episode = files.episode("/".join(folders[:at]))
        return _take_recording(files, episode, item, folders[at + 1 :])
    if item.problem and suffix(name) not in VIDEO_SUFFIXES:
        return False
    if name == TRAJECTORY:
        files.episode("/".join(folders)).trajectory = item
        files.tables.append(item.rel)
    elif METADATA.fullmatch(name):
        return _take_metadata(files, "/".join(folders), item)
    elif LANGUAGE.fullmatch(name):
        files.language.append(item)
        files.tables.append(item.rel)
    elif suffix(name) in VIDEO_SUFFIXES:
        files.ignored[OTHER_VIDEO] += 1
        files.stray.append(item.rel)
    else:
        return False
    return True


def _take_metadata(files: Files, folder: str, item: Item) -> bool:
    episode = files.episode(folder)
    if episode.metadata is not None:
        return False  # a second one: which is meant is not known, so the first in order is
    episode.metadata = item
    files.tables.append(item.rel)
    return True


def _take_recording(files: Files, episode: Episode, item: Item, below: list[str]) -> bool:
    """Note a file below `recordings`. below: the folders between."""
    name = item.rel.rpartition("/")[2]
    stem, end = name.rpartition(".")[0], suffix(name)
    if below == ["SVO"] and end in _SVO_SUFFIXES:
        episode.camera(stem).svo.append(item)
    elif below == ["MP4"] and name.endswith(_STAMPS) and not item.problem:
        episode.camera(name.removesuffix(_STAMPS)).stamps = item
        files.tables.append(item.rel)
    elif end not in VIDEO_SUFFIXES:
        return False
    elif stem == _FUSED:
        files.ignored[FUSED] += 1
    elif below == ["MP4"] and stem.endswith(_STEREO):
        episode.camera(stem.removesuffix(_STEREO)).stereo.append(item)
    elif below == ["MP4"]:
        episode.camera(stem).left.append(item)
    else:
        files.ignored[OTHER_VIDEO] += 1
        files.stray.append(item.rel)
    return True


# Metadata


def read_metadata(tree: Tree, episodes: Iterable[Episode]) -> Iterator[Metadata]:
    """What is said of each episode, in order; one that cannot be read costs its episode."""
    with ThreadPoolExecutor(_THREADS) as threads:
        yield from threads.map(lambda episode: _metadata(tree, episode), episodes)


def _metadata(tree: Tree, episode: Episode) -> Metadata:
    item = episode.metadata
    if item is None:
        detail = "no metadata_*.json lies in its folder, as it does with every whole episode"
        return Metadata(problem="no_metadata", detail=detail)
    try:
        return _parsed(tree, item.rel, jsonfile.read_json(tree, item.rel, dict))
    except ConfigError as error:
        return Metadata(problem="bad_metadata", detail=str(error))


def _parsed(tree: Tree, rel: str, record: dict[str, Any]) -> Metadata:
    uuid = record.get("uuid")
    if not isinstance(uuid, str) or not uuid:
        raise jsonfile.wrong(tree, rel, f"it needs a 'uuid', found {uuid!r:.60}")
    success = record.get("success")
    if not isinstance(success, bool | None):
        raise jsonfile.wrong(tree, rel, f"'success' should be true or false, found {success!r:.60}")
    kept = {key: _said(record.get(key)) for key in ("lab", "building", "scene_id", "robot_serial")}
    serials = {_said(record.get(f"{role}_cam_serial")): role for role in ("wrist", "ext1", "ext2")}
    return Metadata(
        uuid=jsonfile.clean(uuid),
        task=_said(record.get("current_task")),
        success=success,
        labels=tuple((key, value) for key, value in kept.items() if value),
        roles=tuple((serial, role) for serial, role in serials.items() if serial),
    )


def _said(value: Any) -> str:
    """A text or a whole number as text, "" for all else."""
    plain = isinstance(value, str | int) and not isinstance(value, bool)
    return " ".join(jsonfile.clean(str(value)).split()) if plain else ""


def read_language(tree: Tree, files: Files, wanted: set[str]) -> dict[str, list[str]]:
    """The instructions of the wanted episodes by uuid.

    Raises `ConfigError` for a malformed file.
    """
    found: dict[str, list[str]] = {}
    for item in sorted(files.language, key=lambda item: item.rel):
        for uuid, record in jsonfile.items(tree, item.rel):
            if uuid not in wanted or uuid in found:
                continue
            if not isinstance(record, dict):
                raise jsonfile.wrong(tree, item.rel, f"{uuid} should be an object")
            said = [_said(record.get(f"language_instruction{number}")) for number in (1, 2, 3)]
            if any(said):
                found[uuid] = list(dict.fromkeys(text for text in said if text))
    return found


def read_stamps(tree: Tree, item: Item) -> list[int]:
    """When each frame of a video was received, in ms; [] for what are no times of a film in ms."""
    from sofdata.video.sequences.droid import LATEST_MS, SLOWEST_MS

    try:
        listed = jsonfile.read_json(tree, item.rel, list)
    except ConfigError:
        return []
    if not all(isinstance(each, int) and not isinstance(each, bool) for each in listed):
        return []
    steady = all(0 < other - one <= SLOWEST_MS for one, other in pairwise(listed))
    return listed if steady and all(abs(each) <= LATEST_MS for each in listed) else []
