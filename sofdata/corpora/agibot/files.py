"""The files of AgiBot World, unpacked or in the tars in which it is downloaded.

    observations/TASK/EPISODE/videos/head_color.mp4     or in observations/TASK/RANGE.tar
    proprio_stats/TASK/EPISODE/proprio_stats.h5         or in proprio_stats/RANGE.tar

What lies in a tar is known by the end of its name, EPISODE/videos/head_color.mp4 say: numbers of
episodes are unique. Its headers are read once, and a video is copied from its place in it.
"""

from __future__ import annotations

import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from sofdata.corpora.base import NO_SUFFIX, Ignored, count_ignored, is_hidden, suffix
from sofdata.corpora.content import VIDEO_SUFFIXES, is_other_folder
from sofdata.corpora.readers import jsonfile
from sofdata.storage.archives.tar_headers import TarHeaders
from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location
from sofdata.storage.walk import Item

OBSERVATIONS, PROPRIO, TASKS = "observations", "proprio_stats", "task_info"
STATS = "proprio_stats.h5"
TASK_FILE = re.compile(r"task_(\d+)\.json")
NUMBER = re.compile(r"\d+")
DEPTH = "depth picture"
DEPTH_VIDEO = "depth video"
PARAMETERS = "parameters of cameras"
OTHER_VIDEO = "video of no episode"
EMPTY = "tar without a video"
AGAIN = "other file of a camera that is here"
IN_A_TAR = "in a tar"
_COLOR = "_color"


class Key(NamedTuple):
    """An episode. task: "" where it is not known from its place."""

    task: str
    episode: str


@dataclass(slots=True)
class Files:
    """What lies in a source.

    with_stats: whether what tars of proprio_stats hold is wanted.
    videos: by episode and name of the camera.
    stats: `proprio_stats.h5` by the number of the episode.
    tasks: files of labels by the number of the task.
    broken: tars of which nothing can be read.
    stray: videos of no episode.
    """

    with_stats: bool
    videos: dict[tuple[Key, str], list[Item]] = field(default_factory=dict)
    stats: dict[str, Item] = field(default_factory=dict)
    tasks: dict[str, Item] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)
    ignored: Ignored = field(default_factory=Ignored)
    broken: list[Item] = field(default_factory=list)
    stray: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_files(tree: Tree, with_stats: bool) -> Files:
    """Everything below a source. Reads the headers of all members of tars.

    with_stats: those of proprio_stats, too.
    """
    files = Files(with_stats)
    for item in tree.walk():
        if is_hidden(item.rel) or is_other_folder(item) or not _take(tree, files, item):
            count_ignored(files.ignored, item)
    for videos in files.videos.values():
        videos.sort(key=_rank)
    return files


def _rank(item: Item) -> tuple[bool, bool, str]:
    """Sorts the files of a camera: readable ones, then unpacked ones."""
    packed = item.where is not None and item.where.part is not None
    return bool(item.problem) or not item.size_bytes, packed, item.uri


def _take(tree: Tree, files: Files, item: Item) -> bool:
    """Note a file; whether it is one that the corpus knows."""
    *folders, name = item.rel.split("/")
    tops = {"parameters", OBSERVATIONS, PROPRIO, TASKS}
    at = next((place for place, each in enumerate(folders) if each in tops), None)
    kind, below = (folders[at], folders[at + 1 :]) if at is not None else ("", [])
    if kind == OBSERVATIONS:
        return _take_observation(tree, files, item, below, name)
    if kind == PROPRIO and not item.problem:
        return _take_stats(tree, files, item, below, name)
    if kind == TASKS and (match := TASK_FILE.fullmatch(name)) and not item.problem:
        if match[1] in files.tasks:
            return False
        files.tasks[match[1]] = item
        files.tables.append(item.rel)
        return True
    if kind == "parameters" and not item.problem:
        files.ignored[PARAMETERS] += 1
        return True
    return _take_stray(files, item)


def _take_observation(tree: Tree, files: Files, item: Item, below: list[str], name: str) -> bool:
    if suffix(name) == ".tar" and not item.problem:
        _take_tar(tree, files, item, below[0] if below and NUMBER.fullmatch(below[0]) else "")
        return True
    if "depth" in below:
        files.ignored[DEPTH] += 1
        return True
    if suffix(name) not in VIDEO_SUFFIXES:
        return False
    if len(below) == 3 and below[2] == "videos" and NUMBER.fullmatch(below[1]):
        _take_video(files, Key(below[0], below[1]), name, item)
        return True
    return _take_stray(files, item)


def _take_stats(tree: Tree, files: Files, item: Item, below: list[str], name: str) -> bool:
    if suffix(name) == ".tar":
        for member in _members(tree, item, files) if files.with_stats else ():
            parts = member.rel.split("/")
            if parts[-1] == STATS and len(parts) > 1:
                files.stats.setdefault(parts[-2], replace(member, rel=item.rel))
            else:
                files.ignored[f"{suffix(member.rel) or NO_SUFFIX} {IN_A_TAR}"] += 1
        files.tables.append(item.rel)
        return True
    if name == STATS and below:
        files.stats[below[-1]] = item  # comes before one in a tar
        files.tables.append(item.rel)
        return True
    return False


def _take_stray(files: Files, item: Item) -> bool:
    if suffix(item.rel) not in VIDEO_SUFFIXES or item.problem:
        return False
    files.ignored[OTHER_VIDEO] += 1
    files.stray.append(item.rel)
    return True


def _take_video(files: Files, key: Key, name: str, item: Item) -> bool:
    """Note a video under its camera; whether it shows the scene in colour."""
    camera = name.rpartition(".")[0].removesuffix(_COLOR)
    if "depth" in camera.split("_"):
        packed = item.where is not None and item.where.part is not None
        files.ignored[f"{DEPTH_VIDEO} {IN_A_TAR}" if packed else DEPTH_VIDEO] += 1
        return False
    files.videos.setdefault((key, camera), []).append(item)
    return True


# Tars


def _take_tar(tree: Tree, files: Files, item: Item, task: str) -> None:
    """Note the videos of a tar of observations."""
    used = 0
    for member in _members(tree, item, files):
        *folders, name = member.rel.split("/")
        episode = folders[-2] if len(folders) > 1 and folders[-1] == "videos" else ""
        if suffix(name) in VIDEO_SUFFIXES and NUMBER.fullmatch(episode):
            above = folders[-3] if len(folders) > 2 and NUMBER.fullmatch(folders[-3]) else task
            used += _take_video(files, Key(above, episode), name, replace(member, rel=item.rel))
        else:
            files.ignored[f"{suffix(name) or NO_SUFFIX} {IN_A_TAR}"] += 1
    if not used and not any(each.rel == item.rel for each in files.broken):
        files.ignored[EMPTY] += 1


def _members(tree: Tree, item: Item, files: Files) -> Iterator[Item]:
    """The files of a tar, under their names in it, each with its place; one that is cut off too.

    A tar of which nothing can be read is kept as broken.
    """
    odd: Counter[str] = Counter()
    whole, count = False, 0
    try:
        with tree.open(item.rel) as handle:
            headers = TarHeaders(handle)
            for member in headers:
                count += 1
                if member.isreg() and not member.issparse() and not is_hidden(member.name):
                    yield _member(item, member)
                elif not member.isdir():
                    odd[f"link or hidden file {IN_A_TAR}"] += 1
            whole = headers.whole
    except tarfile.TarError as error:
        if not count:
            detail = f"no tar can be read from it: {error}"
            files.broken.append(replace(item, problem="bad_archive", detail=detail))
            return
    except OSError as error:
        detail = error.strerror or str(error)
        files.broken.append(replace(item, problem="unreadable", detail=detail))
        return
    files.ignored.update(odd)
    if not whole:
        files.notes.append(f"{item.rel} ends without the mark of a tar's end: it may be cut off")


def _member(item: Item, member: tarfile.TarInfo) -> Item:
    name = jsonfile.clean(member.name).removeprefix("./")
    start, end = member.offset_data, member.offset_data + member.size
    problem = detail = ""
    if end > item.size_bytes:
        problem = "truncated"
        detail = f"{name} goes to byte {end}, and {item.rel} ends at {item.size_bytes}"
    elif not member.size:
        problem, detail = "empty_file", f"{name} in {item.rel} has no bytes"
    where = Location(item.rel, part=(start, end))
    return Item(name, member.size, problem, detail, where=where, stamp=item.stamp)
