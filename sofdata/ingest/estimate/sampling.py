"""Which videos stand for all: chosen by a seed, the large ones more likely, each with its chance.

Systematic sampling with probability proportional to size (Madow 1949) from a list that is sorted by
size, so that every class of size is there in its share. Whatever is so large that it would be
chosen for certain is chosen for certain, and stands for itself alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
EVEN_SHARE = 0.5  # of a chance that does not depend on size: no weight exceeds N / n by more than 2


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """What was chosen: places int64 [n] in the list, sorted, and the chance [n] of each."""

    places: NDArray[np.int64]
    chances: Numbers

    def __len__(self) -> int:
        return len(self.places)


def choose(sizes: Numbers, count: int, rng: np.random.Generator) -> Choice:
    """Choose `count` of the items with these sizes [N]; all of them, for certain, if N is no more.

    Sizes are not negative; each is raised by the mean, so that nothing is without a chance.
    """
    if count >= len(sizes):
        return Choice(np.arange(len(sizes)), np.ones(len(sizes)))
    chances = _chances(_evened(sizes), count)
    order = np.lexsort((rng.random(len(sizes)), sizes))
    ends = np.cumsum(chances[order])
    # Of each unit of length one point is drawn, at the same place in each. The last end is `count`
    # but for rounding.
    points = np.arange(count) + rng.random()
    found = np.searchsorted(ends, np.minimum(points, ends[-1] * (1 - 1e-12)), side="right")
    places = np.sort(order[np.unique(found)])
    return Choice(places, chances[places])


def _evened(sizes: Numbers) -> Numbers:
    mean = sizes.mean()
    return sizes + mean * EVEN_SHARE / (1 - EVEN_SHARE) if mean > 0 else np.ones(len(sizes))


def _chances(sizes: Numbers, count: int) -> Numbers:
    """Chances proportional to size that sum up to `count`, none above 1."""
    certain = np.zeros(len(sizes), np.bool_)
    while True:
        left = count - np.count_nonzero(certain)
        chances = np.where(certain, 1.0, left * sizes / sizes[~certain].sum())
        if not (more := (chances > 1) & ~certain).any():
            return chances
        certain |= more
