"""What an HDF5 file holds, for its listing: sequences of pictures, and what is said of each.

Groups are gone through by their hard links, in natural order of the names, each object once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from sofdata.video.probe import Unusable
from sofdata.video.sequences.base import damaged
from sofdata.video.sequences.hdf5.clocks import stated
from sofdata.video.sequences.hdf5.fields import MOST_TEXTS, attribute, texts
from sofdata.video.sequences.hdf5.files import (
    check_readable,
    child,
    find,
    identity,
    link_kind,
    translated,
)
from sofdata.video.sequences.hdf5.numbers import Clock, numeric, stored_times_s
from sofdata.video.sequences.hdf5.pictures import LEAST_SIDE, layout_of, may_be_pictures
from sofdata.video.sequences.hdf5.recordings import Recording, about, camera_of, recording_of

MOST_OBJECTS = 1 << 20
DEEPEST = 32  # groups in groups
NEXT_OBS = "next_obs"  # of robomimic: the same pictures, a step later
# Pictures that show no colours, by their names.
_OTHER = re.compile(r"depth|disparity|segment|mask|label|normals|(^|_)seg(_|$)", re.IGNORECASE)
_EPISODE = re.compile(r"(demo|episode|ep|traj|trajectory|rollout)s?[_-]?\d+", re.IGNORECASE)
_NUMBERED = re.compile(r"(\D*)\d{1,18}(\D*)")
LEAST_SINGLES = 8  # pictures: fewer with equal names are cameras rather than moments
_DIGITS = re.compile(r"(\d+)")


@dataclass(slots=True)
class _Found:
    """What has been found in a file.

    rows: paths of datasets with a picture in each row, and how these are encoded. singles: of
    datasets of one picture, and the same. left: what is not taken, by what it is. problems: what
    cannot be read, and why.
    """

    rows: dict[str, str] = field(default_factory=dict)
    singles: dict[str, str] = field(default_factory=dict)
    left: Counter[str] = field(default_factory=Counter)
    problems: dict[str, Unusable] = field(default_factory=dict)


def look_into(root: Any, times: str = "") -> dict[str, Any]:
    """What a file holds, as JSON; `sofdata.corpora.sequences.hdf5_looks` has its fields.

    times: the name of the datasets of times, "" where the file says which they are.
    """
    found = _Found()
    _walk(root, found)
    recordings: dict[str, Recording] = {}
    sequences = []
    for path, count, encoded in _sequences(root, found):
        recording = recording_of(root, path)
        if recording not in recordings:
            recordings[recording] = about(root, recording)
        told = {"path": path, "count": count, "encoded": encoded, "recording": recording}
        told["camera"] = camera_of(path, recording)
        sequences.append(told | _times(root, path, count, recording, times))
    return {
        "sequences": sequences,
        "recordings": {path: each.to_json() for path, each in recordings.items()},
        "problems": {path: [each.reason, str(each)] for path, each in found.problems.items()},
        "filters": _filters(root),
        "left_out": dict(sorted(found.left.items())),
        "convention": _convention(root),
    }


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts demo_2 before demo_10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in _DIGITS.split(name)]


def _walk(root: Any, found: _Found) -> None:
    """Sort all datasets by what they are."""
    seen = {identity(root)}
    waiting = [("", root, 0)]
    while waiting:
        path, group, depth = waiting.pop()
        if depth > DEEPEST:
            raise damaged(f"groups lie in groups, more than {DEEPEST} deep")
        inner = []
        for name in sorted(group, key=natural):
            here = f"{path}/{name}" if path else name
            each = _next(group, name, here, found)
            if each is None or (key := identity(each)) in seen:
                continue
            seen.add(key)
            if len(seen) > MOST_OBJECTS:
                raise Unusable("too_large", f"holds more than {MOST_OBJECTS} groups and datasets")
            if hasattr(each, "keys"):
                inner.append((here, each, depth + 1))
            else:
                _sort(here, each, found)
        waiting += reversed(inner)


def _next(group: Any, name: str, path: str, found: _Found) -> Any:
    """What a link leads to, None where that is not gone into."""
    if name == NEXT_OBS:
        found.left[f"{NEXT_OBS}, the same pictures a step later"] += 1
        return None
    kind = link_kind(group, name)
    if kind == "away":
        found.left["link into another file, not followed"] += 1
    if kind != "hard":  # a soft link is another name of what has a place of its own
        return None
    try:
        with translated(path):
            return child(group, name)
    except Unusable as error:
        found.problems[path] = error
        return None


def _sort(path: str, dataset: Any, found: _Found) -> None:
    if not may_be_pictures(dataset):
        shape = dataset.shape or ()
        if len(shape) == 4 and min(shape[1:3]) >= LEAST_SIDE:
            found.left[f"{dataset.dtype} arrays, which are no pictures in colour"] += 1
        return
    try:
        with translated(path):
            layout = _layout(path, dataset, found)
    except Unusable as error:
        found.problems[path] = error
        return
    if layout is not None:
        (found.singles if layout.single else found.rows)[path] = layout.encoded


def _layout(path: str, dataset: Any, found: _Found) -> Any:
    """How a dataset holds pictures, None where it holds none, or some that are left out."""
    check_readable(dataset)
    layout = layout_of(dataset)
    parents = path.split("/")
    if layout is not None and any(_OTHER.search(part) for part in parents[-2:]):
        found.left["depth maps, masks and the like"] += 1
        return None
    return layout


def _sequences(root: Any, found: _Found) -> Iterator[tuple[str, int, str]]:
    """(path, number of pictures, how they are encoded)."""
    for path, encoded in found.rows.items():
        yield path, int(find(root, path).shape[0]), encoded
    members: dict[str, list[str]] = {}
    for path, pattern in _patterns(found.singles).items():
        members.setdefault(pattern, []).append(path)
    for pattern, paths in members.items():
        if pattern and len(paths) > 1:
            yield pattern, len(paths), found.singles[paths[0]]
        else:
            found.left["single pictures"] += len(paths)


def _patterns(paths: dict[str, str]) -> dict[str, str]:
    """What each single picture is one of: its path with "*" for the number of the moment, or ""."""
    counts = Counter(pattern for path in paths for pattern in _candidates(path))
    chosen = {}
    for path in paths:
        mine = _candidates(path)
        many = (pattern for pattern in mine if counts[pattern] >= LEAST_SINGLES)
        chosen[path] = next(many, max(mine, key=lambda each: counts[each], default=""))
    return chosen


def _candidates(path: str) -> list[str]:
    """Patterns of a path, the deepest first; numbers of episodes are none of moments."""
    parts = path.split("/")
    found = []
    for at in range(len(parts) - 1, -1, -1):
        number = _NUMBERED.fullmatch(parts[at])
        if number and not _EPISODE.fullmatch(parts[at]) and "*" not in path:
            found.append("/".join([*parts[:at], f"{number[1]}*{number[2]}", *parts[at + 1 :]]))
    return found


def _times(root: Any, path: str, count: int, recording: str, wanted: str) -> dict[str, Any]:
    """What is said of the times of a sequence, or what is wrong with that."""
    told = {"fps": None, "times": "", "unit": "s", "lasts_s": 0.0, "problem": "", "detail": ""}
    try:
        with translated(path):
            said = stated(root, path, count, recording, wanted)
            lasts_s = _lasts_s(root, said.clock, count) if said.clock else 0.0
            found = {"fps": said.fps, "times": said.times, "unit": said.unit, "lasts_s": lasts_s}
            return told | found
    except Unusable as error:
        return told | {"problem": error.reason, "detail": str(error)}


def _lasts_s(root: Any, clock: Clock, count: int) -> float:
    """Seconds from the first picture to the end of the last. Raises `Unusable` for no times."""
    if not clock.times:
        return count / (clock.fps or 1.0)
    times_s = stored_times_s(numeric(root, clock.times), clock, count)
    steps = np.diff(times_s)
    steps = steps[steps > 0]
    if not len(steps) or not np.isfinite(times_s).any():
        raise Unusable("no_times", f"{clock.times}: its times do not increase")
    return float(np.nanmax(times_s) + np.median(steps))


def _filters(root: Any) -> dict[str, list[str]]:
    """robomimic's filter keys: names of demonstrations, by the name of each set of them."""
    group = find(root, "mask")
    if not hasattr(group, "keys"):
        return {}
    found = {}
    for name in sorted(group, key=natural):
        each = child(group, name) if link_kind(group, name) == "hard" else None
        shape = getattr(each, "shape", None)
        if each is not None and shape and prod(shape) <= MOST_TEXTS and each.dtype.kind in "SO":
            found[name] = texts(each[()])
    return found


def _convention(root: Any) -> str:
    """robosuite's word on which row of a picture comes first, as LIBERO keeps it."""
    for place in ("data", ""):
        found = find(root, place)
        said = texts(attribute(found, "macros_image_convention")) if found is not None else []
        if said:
            return said[0][:40]
    return ""
