"""Times of pictures and of actions: from an array of timestamps, or from a rate.

Stores do not say the unit of their timestamps. A robot's cameras give 2 to 500 pictures a second;
under one unit alone of s, ms, us and ns can that be, since these lie a thousand apart. Timestamps
of no such pace, such as numbers of rows, are not used.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sofdata.video.probe import Unusable
from sofdata.video.sequences import paces
from sofdata.video.sequences.base import at_rate
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.zarrs.files import Files
from sofdata.video.sequences.zarrs.metadata import Array
from sofdata.video.sequences.zarrs.reading import FAILURES, ArrayReader

UNITS_S = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
FASTEST_S, SLOWEST_S = 1 / 500, 1 / 2  # from one picture to the next
MOST_ROWS = 1 << 24
COARSE = "coarse"  # in place of a unit


def is_clock(array: Array) -> bool:
    """Whether an array may be one of timestamps: a number a row."""
    single = len(array.shape) == 1 or (len(array.shape) == 2 and array.shape[1] == 1)
    return single and array.dtype.kind in "iuf" and array.shape[0] <= MOST_ROWS


def unit_of(stamps: NDArray[np.generic], bounds: list[tuple[int, int]]) -> str:
    """The unit under which timestamps have the pace of pictures, "" for none.

    `COARSE` for floats that cannot tell their own steps, in whatever unit.

    bounds: the rows of each recording, from one to the next of which any time may pass.
    """
    usual = paces.usual_s([stamps[start:end].astype(np.float64) for start, end in bounds])
    if not usual:
        return ""
    if paces.finest_s(stamps, 1.0) > paces.COARSEST * usual:
        return COARSE
    fit = [unit for unit, s in UNITS_S.items() if FASTEST_S <= usual * s <= SLOWEST_S]
    return fit[0] if len(fit) == 1 else ""


def seconds(stamps: NDArray[np.generic], unit: str) -> NDArray[np.float64]:
    """Timestamps as s from the first that is one, float64 [n], to the microsecond."""
    flat = stamps.reshape(-1)
    if flat.dtype.kind in "iu":
        since = flat.astype(np.int64) - flat[:1].astype(np.int64)
        return np.round(since.astype(np.float64) * UNITS_S[unit], 6)
    values = flat.astype(np.float64)
    finite = values[np.isfinite(values)]
    return np.round((values - (finite[0] if len(finite) else 0.0)) * UNITS_S[unit], 6)


def stamps(files: Files, array: Array, start: int, end: int) -> NDArray[np.generic]:
    """Rows of timestamps. Raises `Unusable` where one cannot be read."""
    reader = ArrayReader(files, array)
    if not reader.present(start, end).all():
        raise Unusable("no_times", f"'{array.path}' lacks chunks: some timestamps are missing")
    try:
        found: NDArray[np.generic] = reader.rows(start, end).reshape(-1)
    except FAILURES as error:
        raise Unusable("no_times", f"'{array.path}' cannot be read: {error}") from None
    return found


def times_of(
    files: Files, place: SequencePlace, clock: Array | None, start: int, end: int
) -> NDArray[np.float64]:
    """Times of rows in s, float64 [end - start], by what a place says of them.

    clock: the array that its option `times` names. Raises `Unusable` for none that can be read.
    """
    if clock is None:
        return at_rate(end - start, place.number("fps"))
    unit = place.get("unit", "s")
    if unit not in UNITS_S or not is_clock(clock) or clock.shape[0] < end:
        raise Unusable("no_times", f"'{clock.path}' holds no times in {unit} of these rows")
    return seconds(stamps(files, clock, start, end), unit)
