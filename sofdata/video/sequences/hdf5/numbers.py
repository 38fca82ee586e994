"""Numbers of HDF5 files by the names of their datasets, as `Rows`, for any corpus that has some.

    with opened(path) as root:
        rows = joined(root, ["action/joint_position", "action/gripper_position"], Clock(fps=15))

Through the decoding process, as a place, whose name is the group in which the arrays lie; the path
of times begins at the root of the file:

    SequencePlace.of("hdf5", "data/demo_0", arrays="actions,obs/robot0_eef_pos", fps=20)
    SequencePlace.of("hdf5", "", arrays="action/joint/position", times="timestamp", unit="ns")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ContractError
from sofdata.video.probe import Unusable
from sofdata.video.sequences.base import Rows, at_rate, damaged
from sofdata.video.sequences.hdf5.files import check_readable, find
from sofdata.video.sequences.place import SequencePlace

MOST_BYTES = 256 << 20  # of all numbers that are read at a time
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


@dataclass(frozen=True, slots=True)
class Clock:
    """When rows were taken: at a constant rate, or at the times in a dataset.

    fps: rows a second. times: the path of a dataset [M] or [M,1], which counts in place of `fps`.
    unit: of what it holds, one of `UNITS`. origin: its value at 0 s; None: the first of it.
    """

    fps: float | None = None
    times: str = ""
    unit: str = "s"
    origin: int | float | None = None

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ContractError(f"expected a unit of {', '.join(UNITS)}, got '{self.unit:.20}'")
        if self.fps is None and not self.times:
            raise ContractError("rows need a rate or times")


def joined(root: Any, names: Sequence[str], clock: Clock) -> Rows:
    """The numbers of several datasets [M,...] side by side, each row of one flat: float32 [M,A].

    root: group in which the names (paths) lie. Memory is that of the rows, `MOST_BYTES` at most.

    Raises `Unusable`: "damaged" for one that is missing or holds no numbers, "other_length" where
    their lengths or that of the times differ, "no_times" for times that do not increase, and
    "too_large".
    """
    found = [numeric(root, name) for name in names]
    lengths = {int(each.shape[0]) for each in found}
    if len(lengths) != 1:
        told = ", ".join(f"{name} {each.shape[0]}" for name, each in zip(names, found, strict=True))
        raise Unusable("other_length", f"rows of different numbers: {told}")
    if sum(each.size for each in found) * 8 > MOST_BYTES:
        raise Unusable("too_large", f"the numbers of {', '.join(names)} take too much memory")
    (count,) = lengths
    parts = [_float32(each).reshape(count, -1) for each in found]
    return Rows(np.concatenate(parts, axis=1), clock_times_s(root, clock, count))


def read_rows(root: Any, place: SequencePlace) -> Rows:
    """The rows that a place names: see the head of this module."""
    fps = place.number("fps") if place.get("fps") else None
    clock = Clock(fps, place.get("times"), place.get("unit", "s"), _number(place.get("origin")))
    within = f"{place.name}/" if place.name else ""
    names = [within + name for name in place.get("arrays").split(",")]
    return joined(root, names, clock)


def numeric(root: Any, name: str) -> Any:
    """A dataset of numbers [M,...]. Raises `Unusable`, "damaged", for anything else."""
    found = find(root, name)
    shape = getattr(found, "shape", None)
    if found is None or shape is None:
        raise damaged(f"there is no dataset '{name:.200}'")
    if found.dtype.kind not in "fiub" or not shape or not prod(shape[1:]):
        raise damaged(f"'{name:.200}' is {found.dtype} {shape}: no rows of numbers")
    check_readable(found)
    return found


def row_size(root: Any, name: str, rows: int) -> int:
    """Numbers in each of so many rows of a dataset; 0 where there is no such dataset.

    Raises `Unusable` for one that is there and cannot be read, as for want of a filter.
    """
    try:
        shape = tuple(map(int, numeric(root, name).shape))
    except Unusable as error:
        if error.reason == "damaged":
            return 0
        raise
    return prod(shape[1:]) if shape[0] == rows else 0


def clock_times_s(root: Any, clock: Clock, count: int) -> NDArray[np.float64]:
    """float64 [count]; increasing."""
    if not clock.times:
        return at_rate(count, clock.fps or 0.0)
    times_s = stored_times_s(numeric(root, clock.times), clock, count)
    if not np.isfinite(times_s).all() or np.any(np.diff(times_s) <= 0):
        raise Unusable("no_times", f"{clock.times}: its times do not increase")
    return times_s


def stored_times_s(dataset: Any, clock: Clock, count: int) -> NDArray[np.float64]:
    """The times of a dataset in s from its origin, as they are: float64 [count]."""
    if dataset.size != count:
        what = f"{dataset.name} has {dataset.size} times for {count} rows"
        raise Unusable("other_length", what)
    if dataset.size * 8 > MOST_BYTES:
        raise Unusable("too_large", f"{dataset.name} has {dataset.size} times")
    stored = dataset[...].reshape(-1)
    origin = stored[:1] if clock.origin is None else np.array([clock.origin]).astype(stored.dtype)
    # From the origin in its own type: nanoseconds of this century do not fit into a float64.
    since = stored - origin if stored.dtype.kind == "f" else _signed(stored, origin)
    times_s: NDArray[np.float64] = since.astype(np.float64) * UNITS[clock.unit]
    return times_s


def _signed(stored: NDArray[Any], origin: NDArray[Any]) -> NDArray[np.int64]:
    """Integers less another; unsigned ones become negative rather than huge."""
    return (stored.astype(np.uint64) - origin.astype(np.uint64)).astype(np.int64)


def _float32(dataset: Any) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what no float32 holds becomes infinite
        numbers: NDArray[np.float32] = dataset[...].astype(np.float32)
    return numbers


def _number(text: str) -> int | float | None:
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        return float(text)
