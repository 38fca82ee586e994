"""When the steps of a record were, as far as a feature of it says so.

Nothing says that the numbers of a feature called `timestamp` are times, or in which unit. They are
believed where most of them increase, by what a film could be: a step may last from 1 ms to 5 s as a
rule, and `paces` has no doubt. TFDS stores floats in 32 bits, in which the seconds since a robot
was started are soon no better than its steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sofdata.video.sequences import paces
from sofdata.video.sequences.rlds.steps import Numbers, Part

FASTEST_S, SLOWEST_S = 1e-3, 5.0  # from one step to the next, as a rule
_LEAST_INCREASING = 0.5  # of the steps, for times to be meant
# Seconds in one, by how the name of a feature of times ends.
UNITS_S = {"_ns": 1e-9, "_us": 1e-6, "_ms": 1e-3, "_s": 1.0, "_sec": 1.0, "_seconds": 1.0}
# Whole numbers without a unit since 1970: what they must exceed to be s, ms, us or ns.
_SINCE_1970 = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3), (1e8, 1.0))


def unit_of(name: str, stated: Numbers) -> float | None:
    """Seconds in one of the times of a feature, None where neither name nor numbers tell."""
    for end, unit_s in UNITS_S.items():
        if name.endswith(end):
            return unit_s
    if stated.dtype != np.int64:
        return 1.0
    least = float(stated.min())
    return next((unit_s for floor, unit_s in _SINCE_1970 if least > floor), None)


def relative_s(stated: Numbers, unit_s: float) -> NDArray[np.float64]:
    """Times from the first of them on, s: as exact as stated, be they ns since 1970."""
    if not len(stated):
        return np.empty(0, np.float64)
    exact = stated if stated.dtype == np.int64 else stated.astype(np.float64)
    found: NDArray[np.float64] = np.round((exact - exact[0]) * unit_s, 9)
    return found


def in_order(times_s: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which times are after all before them, as those of pictures have to be: bool [n]."""
    found = np.ones(len(times_s), bool)
    found[1:] = times_s[1:] > np.maximum.accumulate(times_s)[:-1]
    return found


def usual_s(stated: Numbers, unit_s: float, parts: Sequence[Part]) -> float | None:
    """The usual time from one step to the next, s; None where these are no times of a film.

    parts: the episodes, each of which may have a clock of its own.
    """
    if not np.isfinite(stated).all():
        return None
    each = [relative_s(stated[part.first : part.end], unit_s) for part in parts]
    steps = sum(max(0, len(times_s) - 1) for times_s in each)
    rising = sum(int(in_order(times_s).sum()) - 1 for times_s in each if len(times_s))
    if rising <= _LEAST_INCREASING * steps or paces.doubt(each, paces.finest_s(stated, unit_s)):
        return None
    usual = paces.usual_s(each)
    return usual if FASTEST_S <= usual <= SLOWEST_S else None
