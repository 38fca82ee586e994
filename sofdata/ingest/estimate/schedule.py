"""How long units of given lengths take on so many workers, each of which takes the next one."""

from __future__ import annotations

import heapq
from collections.abc import Iterable


def makespan_s(units_s: Iterable[float], workers: int) -> float:
    """When the last unit ends, s, if they are taken in the order given by workers that are free."""
    free_s = [0.0] * workers
    for unit_s in units_s:
        heapq.heapreplace(free_s, free_s[0] + unit_s)
    return max(free_s)
