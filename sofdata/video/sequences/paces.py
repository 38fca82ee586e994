"""Whether numbers that a source calls times can be those of a film.

What no film can have is the same whatever the format: times that never go on, or most of which lie
behind earlier ones; more than a day from one picture to the next, as where the first was never set
and the second shows the date; and floats that are coarser than the steps between them, such as
seconds since 1970 in 32 bits, of which two that follow each other lie 128 s apart. What is done
about it is up to the format: most make it a reject, in the words that are given here.

A single time that falls back behind the others is not of these: its picture is left out alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_PAUSE_S = 86_400.0  # from one picture to the next: where one is longer, a time was not set
COARSEST = 0.1  # share of the usual step by which two numbers that follow each other may differ
MOST_BEHIND = 0.5  # share of the times that may lie behind an earlier one


def finest_s(stored: NDArray[Any], unit_s: float) -> float:
    """By how much two times of this size can differ in the type in which they are stored, s.

    0 for whole numbers, which are exact, and where none is finite.
    """
    if stored.dtype.kind != "f":
        return 0.0
    finite = stored[np.isfinite(stored)]
    return float(np.spacing(np.abs(finite).max())) * unit_s if len(finite) else 0.0


def usual_s(parts: Sequence[NDArray[np.float64]]) -> float:
    """The median time from a picture to the next that is after all before it, s; 0 for none.

    parts: times of recordings, s, each of which may have a clock of its own; NaN is left out.
    """
    steps_s = np.concatenate([np.zeros(0), *(np.diff(_highest(each)) for each in parts)])
    steps_s = steps_s[steps_s > 0]
    return float(np.median(steps_s)) if len(steps_s) else 0.0


def doubt(parts: Sequence[NDArray[np.float64]], finest_s: float = 0.0) -> str:
    """Why times cannot be those of a film, as the end of a sentence on them; "" if they can.

    parts, finest_s: as above. Times of one picture alone are never in doubt.
    """
    known = [each[np.isfinite(each)] for each in parts]
    highest = [_highest(each) for each in known]
    count = sum(len(each) for each in known)
    if count <= sum(len(each) > 0 for each in known):
        return ""
    behind = sum(int((each < most).sum()) for each, most in zip(known, highest, strict=True))
    if behind > MOST_BEHIND * count:
        return f"lie behind earlier ones, {behind} of {count}"
    usual = usual_s(known)
    if not usual:
        return "do not increase"
    pause_s = max(float(np.diff(each).max(initial=0.0)) for each in highest)
    if pause_s > MOST_PAUSE_S:
        days = pause_s / MOST_PAUSE_S
        told = "as where one was not set, or where the unit is another"
        return f"go on by {days:.1f} days from one to the next, {told}"
    if finest_s > COARSEST * usual:
        return (
            f"are too coarse: floats of their type and size differ by {finest_s:g} s or more, "
            f"where they are {usual:g} s apart"
        )
    return ""


def _highest(times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """The highest of the times so far, without those that are not known."""
    found: NDArray[np.float64] = np.maximum.accumulate(times_s[np.isfinite(times_s)])
    return found
