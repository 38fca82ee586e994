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
    names,
    translated,
)
from sofdata.video.sequences.hdf5.numbers import Clock, numeric, stored_times_s
from sofdata.video.sequences.hdf5.pictures import (
    LEAST_SIDE,
    are_stacked,
    layout_of,
    may_be_pictures,
)
from sofdata.video.sequences.hdf5.recordings import Recording, about, camera_of, recording_of
from sofdata.video.sequences.hdf5.singles import members, patterns
from sofdata.video.sequences.kinds import is_later, other_kind
from sofdata.video.sequences.times import reach

MOST_OBJECTS = 1 << 20
DEEPEST = 32  # groups in groups
UNNAMED = "name that is no UTF-8 or has a '*', not gone into"
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
    for told in _sequences(root, found):
        path = told["path"]
        recording = recording_of(root, path)
        if recording not in recordings:
            recordings[recording] = about(root, recording)
        told |= {"recording": recording, "camera": camera_of(path, recording)}
        sequences.append(told | _times(root, told, times))
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
        known = sorted(names(group), key=natural)
        if unnamed := len(group) - len(known):
            found.left[UNNAMED] += unnamed
        for name in known:
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
    if is_later(name):
        found.left[f"{name}, the same pictures a step later"] += 1
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
        sides = sorted((dataset.shape or ())[1:])
        if len(sides) >= 3 and sides[-2] >= LEAST_SIDE:
            if dataset.dtype == np.uint8 and dataset.shape[0] == 0:
                found.problems[path] = Unusable("no_frames", f"{path}: it has no row")
                return
            many = f" of {len(sides) + 1} dimensions" if len(sides) > 3 else ""
            what = f"{dataset.dtype} arrays{many}"
            found.left[f"{what}, which are no pictures in colour"] += 1
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
    if layout is not None and other_kind(path):
        found.left["depth maps, masks and the like"] += 1
        return None
    if layout is not None and are_stacked(dataset, layout):
        found.left["stacks of four grey frames in place of colours"] += 1
        return None
    return layout


def _sequences(root: Any, found: _Found) -> Iterator[dict[str, Any]]:
    """Path, numbers of pictures and of steps, and how they are encoded."""
    for path, encoded in found.rows.items():
        count = int(find(root, path).shape[0])
        yield {"path": path, "count": count, "steps": count, "encoded": encoded}
    together: dict[str, list[str]] = {}
    for path, pattern in patterns(found.singles).items():
        together.setdefault(pattern, []).append(path)
    for pattern, paths in together.items():
        if pattern and len(paths) > 1:
            numbers, encoded = members(root, pattern).numbers, found.singles[paths[0]]
            count, steps = len(numbers), reach(numbers)
            yield {"path": pattern, "count": count, "steps": steps, "encoded": encoded}
        else:
            found.left["single pictures"] += len(paths)


def _times(root: Any, sequence: dict[str, Any], wanted: str) -> dict[str, Any]:
    """What is said of the times of a sequence, or what is wrong with that."""
    path, count = sequence["path"], sequence["count"]
    told = {"fps": None, "times": "", "unit": "s", "lasts_s": 0.0, "problem": "", "detail": ""}
    try:
        with translated(path):
            said = stated(root, path, count, sequence["recording"], wanted)
            lasts_s = _lasts_s(root, said.clock, sequence) if said.clock else 0.0
            found = {"fps": said.fps, "times": said.times, "unit": said.unit, "lasts_s": lasts_s}
            return told | found
    except Unusable as error:
        return told | {"problem": error.reason, "detail": str(error)}


def _lasts_s(root: Any, clock: Clock, sequence: dict[str, Any]) -> float:
    """Seconds from the first picture to the end of the last. Raises `Unusable` for no times."""
    if not clock.times:
        return float(sequence["steps"] / (clock.fps or 1.0))
    times_s = stored_times_s(numeric(root, clock.times), clock, sequence["count"])
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
    for name in sorted(names(group), key=natural):
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
