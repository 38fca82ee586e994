"""AgiBot World, Alpha and Beta: two-armed robots at work, seen by up to eight cameras.

AgiBot-World-Contributors, "AgiBot World Colosseo", 2025. Layout and fields are those of the page of
agibot-world/AgiBotWorld-Alpha at Hugging Face:

    task_info/task_N.json                           see `tasks`
    observations/TASK/EPISODE/videos/*_color.mp4    cameras; fisheye ones among them
    observations/TASK/EPISODE/depth/                left out, as videos of depth are
    observations/TASK/RANGE.tar                     the same as it is downloaded; see `files`
    proprio_stats/TASK/EPISODE/proprio_stats.h5     a row a frame: timestamp in ns, action/, state/
    parameters/                                     of cameras; not read

Every camera of every episode is an input. Rows of proprio_stats.h5 and frames belong together by
their number, as the converters to LeRobot take them, so that an action has the time of its frame,
30 a second. Where the timestamps depart from that by more than half a frame, a note tells; rows of
another rate are none of the frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from sofdata.corpora.agibot.files import (
    AGAIN,
    IN_A_TAR,
    NUMBER,
    OBSERVATIONS,
    PROPRIO,
    STATS,
    TASKS,
    Files,
    Key,
    find_files,
)
from sofdata.corpora.agibot.rows import (
    ACTIONS,
    HEADS,
    STATES,
    Rows,
    common_layout,
    read_rows,
    with_actions,
)
from sofdata.corpora.agibot.tasks import FPS, About, read_tasks
from sofdata.corpora.base import Listing, counted, names_in, unread_entry
from sofdata.corpora.entry import Entry
from sofdata.corpora.sequences.arrays import Layout, spec_of
from sofdata.corpora.sequences.tracks import read_track
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.storage.walk import Item
from sofdata.types import ActionRef, ActionSpec, ActionTrack, Annotations

NO_EPISODE = "episodes of task_info without a video"
_ROOTS = ("", "data/", "sample_dataset/")
_RANGE = re.compile(r"\d+-\d+\.tar")


class AgiBotWorld:
    """Every colour camera of every episode; windows carry what is done in them."""

    name = "agibot"
    summary = "AgiBot World: observations/TASK/EPISODE/videos or tars, task_info; --with-actions"
    example = "sofdata ingest AgiBotWorld-Alpha DEST --with-actions"
    action_formats = ("agibot", "hdf5")

    def detect(self, tree: Tree) -> str:
        if tree.is_file():
            return ""
        for root in _ROOTS:
            top = set(names_in(tree, root.rstrip("/")))
            if OBSERVATIONS in top and {TASKS, PROPRIO} & top:
                names = names_in(tree, f"{root}{OBSERVATIONS}")
                task = next((name for name in sorted(names) if NUMBER.fullmatch(name)), "")
                if task and _holds_episodes(names_in(tree, f"{root}{OBSERVATIONS}/{task}")):
                    return f"AgiBot World: {root}{OBSERVATIONS}/{task}"
        return ""

    def listing(self, tree: Tree) -> Listing:
        """Raises `ConfigError` for a malformed file of task_info, or where there is no video."""
        return _list(tree, ())

    def demonstrations(self, tree: Tree, with_state: bool = False) -> Listing:
        return _list(tree, (*ACTIONS, *(STATES if with_state else ())))

    def read_actions(self, tree: Tree, ref: ActionRef, spec: ActionSpec) -> ActionTrack:
        return read_track(tree, ref, spec)


def _holds_episodes(names: Sequence[str]) -> bool:
    return any(NUMBER.fullmatch(name) or _RANGE.fullmatch(name) for name in names)


def _list(tree: Tree, arrays: Sequence[str]) -> Listing:
    files = find_files(tree, with_stats=bool(arrays))
    if not files.videos and not files.broken:
        raise ConfigError(
            f"{tree.name} holds no video of AgiBot World: looked for observations/TASK/EPISODE/"
            "videos/*.mp4 and observations/TASK/RANGE.tar"
        )
    about, others = _about(tree, files)
    rows = read_rows(tree, files, arrays) if arrays else {}
    layout = common_layout(tree, rows, arrays) if arrays else None
    entries = list(_entries(files, about, rows, layout))
    inputs = {item.rel for items in files.videos.values() for item in items[:1]}
    inputs |= {item.rel for item in files.broken}
    _count_again(files, inputs)
    return Listing.of(
        entries,
        files.ignored,
        [*files.notes, *_notes(files, about, rows)],
        actions=spec_of(layout, HEADS, FPS) if layout else None,
        tables=[rel for rel in files.tables if rel not in inputs],
        unused={NO_EPISODE: others},
    )


def _count_again(files: Files, inputs: set[str]) -> None:
    """Count the files of cameras that another file shows, and tars of nothing but such."""
    lone: set[str] = set()
    for items in files.videos.values():
        for item in items[1:]:
            packed = item.where is not None and item.where.part is not None
            files.ignored[f"{AGAIN}, {IN_A_TAR}" if packed else AGAIN] += 1
            lone |= {item.rel} if packed else set()
    files.ignored["tar of what is here already"] += len(lone - inputs)


def _about(tree: Tree, files: Files) -> tuple[dict[Key, About], int]:
    """What is said of the episodes that are here, and how many others there are."""
    wanted: dict[str, set[str]] = {}
    for key, _ in files.videos:
        wanted.setdefault(key.task, set()).add(key.episode)
    found: dict[Key, About] = {}
    others = 0
    for task, item in sorted(files.tasks.items()):
        here = wanted.get(task, set()) | wanted.get("", set())
        said, away = read_tasks(tree, item.rel, here)
        others += away
        for episode, about in said.items():
            known = episode in wanted.get(task, set())
            found[Key(task if known else "", episode)] = about
    return found, others


# Entries


def _entries(
    files: Files,
    about: Mapping[Key, About],
    rows: Mapping[str, Rows | str],
    layout: Layout | None,
) -> Iterator[Entry]:
    for (key, camera), items in sorted(files.videos.items()):
        entry = _entry(key, camera, items[0], about.get(key, About()))
        if layout is not None and not entry.problem:
            found = rows.get(key.episode, f"there is no {STATS} of it")
            entry = with_actions(entry, files.stats.get(key.episode), found, layout)
        yield entry
    yield from map(unread_entry, files.broken)


def _entry(key: Key, camera: str, item: Item, about: About) -> Entry:
    recording = f"{key.task}/{key.episode}".lstrip("/")
    labels = {
        "task": key.task,
        "task_name": about.name,
        "scene": about.scene,
        "skills": ", ".join(about.skills),
        "episode": key.episode,
        "camera": camera,
        "recording": recording,
    }
    return Entry(
        id=f"{recording}/{camera}",
        uri=item.uri,
        size_bytes=item.size_bytes,
        text=about.name,
        labels={name: value for name, value in labels.items() if value},
        problem=item.problem,
        detail=item.detail,
        annotations=Annotations() if item.problem else Annotations(about.texts),
        stamp=item.stamp,
    )


# What its user should know


def _notes(
    files: Files, about: Mapping[Key, About], rows: Mapping[str, Rows | str]
) -> Iterator[str]:
    keys = sorted({key for key, _ in files.videos})
    silent = ["/".join(key).lstrip("/") for key in keys if key not in about]
    if silent:
        yield counted(silent, "episode is not in task_info; its windows have no text")
    if files.stray:
        yield counted(files.stray, "video lies in no observations/TASK/EPISODE/videos; ignored")
    off = [
        f"{episode} ({found.off_s:.2f} s)"
        for episode, found in rows.items()
        if isinstance(found, Rows) and found.off_s > 0.5 / FPS
    ]
    if off:
        what = f"episode has timestamps that depart from {FPS:g} a second; its actions go with "
        yield counted(off, f"{what}the frames of their number")
    beyond = [
        key.episode
        for key in keys
        if isinstance(found := rows.get(key.episode), Rows)
        and about.get(key, About()).last_frame > found.count
    ]
    if beyond:
        yield counted(beyond, "episode has texts of frames beyond its rows")
