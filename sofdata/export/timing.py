"""How far apart rows lie in time: LeRobot has one frame rate, videos have each their own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import InputError
from sofdata.export.features import Form
from sofdata.loading.index import Index
from sofdata.shards.slices import used_values

LOOKED_AT = 1 << 20  # windows, at most
UNEVEN = 0.1  # of the time between two rows


def row_times_s(index: Index, form: Form) -> tuple[float, float]:
    """The median time from a row to the next, s, and the length of the longest window.

    Raises `InputError` where no window has a length.
    """
    found, longest_s = list[NDArray[np.float64]](), 0.0
    for first, batch in index.batches(["source", "start_s", "end_s", "steps"], encoded=True):
        start_s, end_s, steps = (
            batch[name].to_numpy(zero_copy_only=False) for name in ("start_s", "end_s", "steps")
        )
        lengths_s = end_s - start_s
        longest_s = max(longest_s, float(lengths_s.max()))
        found.append(
            _between(batch, start_s, lengths_s) if form == "windows" else lengths_s / steps
        )
        if first + batch.num_rows >= LOOKED_AT:
            break
    apart_s = np.concatenate(found) if found else np.empty(0)
    apart_s = apart_s[np.isfinite(apart_s) & (apart_s > 0)]
    if not len(apart_s):
        raise InputError(f"{index.place} lists no window that lasts: 'sofdata verify' says more")
    return float(np.median(apart_s)), longest_s


def rate_of(distance_s: float) -> int:
    """Frames a second: LeRobot has whole ones, at least 1."""
    return max(1, round(1 / distance_s))


def uneven_rows(times_s: NDArray[np.float64], fps: int) -> int:
    """Rows from which the next lies further, or less far, than the rate says."""
    return int((np.abs(np.diff(times_s) * fps - 1) > UNEVEN).sum())


def _between(
    batch: object, start_s: NDArray[np.float64], lengths_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """From the start of a window to that of the next of its video; else its own length."""
    codes = used_values(batch["source"])[1]  # type: ignore[index]
    apart_s = np.diff(start_s)
    same = (np.diff(codes) == 0) & (apart_s > 0) & (apart_s <= lengths_s[:-1])
    return apart_s[same] if same.any() else lengths_s
