"""From what was measured of a sample to a total with its range: ratio estimators.

A total is what is known of every video (say, its seconds) times the ratio that the sample gives
(say, windows a second). The estimator is that of two-phase sampling (Särndal, Swensson and Wretman
1992, chapter 9): something is known of all videos, more of some (their headers), all of a few (they
were run). Its variance is of the residuals, by the formula for sampling with replacement, less what
was chosen for certain; the range is that of Student's t at 95 %, on a logarithmic scale, since
totals are positive and their estimates skewed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sofdata.ingest.estimate.sampling import Numbers

_NORMAL = 1.959964  # quantile of the normal distribution at 97.5 %
_LEAST_SAMPLE = 2
MOST_SPREAD = 50.0  # beyond which a range says nothing, and numbers overflow


@dataclass(frozen=True, slots=True, repr=False)
class Figure:
    """An estimate and its range. low, high: None where a single video gives no range."""

    value: float
    low: float | None
    high: float | None

    def __repr__(self) -> str:
        ends = "" if self.low is None else f", {self.low:.4g} to {self.high:.4g}"
        return f"Figure({self.value:.4g}{ends})"

    def times(self, factor: float) -> Figure:
        """The same in another unit."""
        low, high = (None if each is None else each * factor for each in (self.low, self.high))
        return Figure(self.value * factor, low, high)

    def plus(self, constant: float) -> Figure:
        """With something added that is known."""
        low, high = (None if each is None else each + constant for each in (self.low, self.high))
        return Figure(self.value + constant, low, high)

    @classmethod
    def exact(cls, value: float) -> Self:
        """What is known."""
        return cls(value, value, value)


@dataclass(frozen=True, slots=True, eq=False)
class Phase:
    """A sample. weights [n]: for how many videos of all each stands, 1 / its chance.

    chances [n]: of being chosen from what the phase before has.
    """

    weights: Numbers
    chances: Numbers

    @property
    def drawn(self) -> int:
        """How many were not chosen for certain."""
        return int(np.count_nonzero(self.chances < 1))


@dataclass(frozen=True, slots=True, eq=False)
class Estimated:
    """A total, and what its variance is made of; estimates over the same sample can be added.

    errors: [n]; share of each sampled video in the error of the total. before: variance from the
    phase before. within: variance from videos that were measured in part.
    """

    value: float
    errors: Numbers
    before: float
    within: float

    def __add__(self, other: Estimated) -> Estimated:
        return Estimated(
            self.value + other.value,
            self.errors + other.errors,
            self.before + other.before,
            self.within + other.within,
        )

    def figure(self, phase: Phase, least: float = 0.0) -> Figure:
        """The total with its range. least: what was found in the sample already."""
        variance = _variance(self.errors, phase) + self.before + self.within
        sampled = len(self.errors)
        if variance > 0 and sampled < _LEAST_SAMPLE:
            return Figure(self.value, None, None)
        if not variance > 0 or not self.value > 0:
            return Figure.exact(self.value)
        spread = student(sampled - 1) * math.sqrt(variance) / self.value
        low, high = self.value * math.exp(-spread), self.value * math.exp(min(spread, MOST_SPREAD))
        return Figure(self.value, min(self.value, max(low, least)), high)


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What is known of the videos of a first phase, and for how many of all each stands.

    values: [m]. total, variance: of all videos, from these.
    """

    values: Numbers
    total: float
    variance: float


def known(values: Numbers, sizes: Numbers, size_of_all: float, phase: Phase) -> Known:
    """A total of what is known of the first phase, as ratio to sizes that are known of all."""
    measured = float((phase.weights * sizes).sum())
    if not measured > 0:
        return Known(values, float((phase.weights * values).sum()), 0.0)
    ratio = float((phase.weights * values).sum()) / measured
    scale = size_of_all / measured
    errors = phase.weights * (values - ratio * sizes) * scale
    return Known(values, ratio * size_of_all, _variance(errors, phase))


def estimate(
    found: Numbers, known_of_all: Known, places: NDArray[np.int64], phase: Phase, within: Numbers
) -> Estimated:
    """A total of what the sample was found to take, as ratio to what is known of more videos.

    found: [n]. places: [n]; where the sampled videos stand in the first phase. phase: weights of
    both phases, chances of the second. within: [n]; variance of `found` where a video was measured
    in part, else 0.
    """
    sizes = known_of_all.values[places]
    measured = float((phase.weights * sizes).sum())
    if not measured > 0:
        total = float((phase.weights * found).sum())
        return Estimated(total, phase.weights * found, 0.0, 0.0)
    ratio = float((phase.weights * found).sum()) / measured
    scale = known_of_all.total / measured
    errors = phase.weights * (found - ratio * sizes) * scale
    inner = float((phase.chances * phase.weights**2 * within).sum()) * scale**2
    return Estimated(ratio * known_of_all.total, errors, ratio**2 * known_of_all.variance, inner)


def _variance(errors: Numbers, phase: Phase) -> float:
    """Of a total whose error is the sum of these."""
    drawn = phase.drawn
    if drawn == 0:
        return 0.0
    return drawn / max(drawn - 1, 1) * float(((1 - phase.chances) * errors**2).sum())


def student(degrees: int) -> float:
    """Quantile of Student's t at 97.5 %, within 0.5 % of tables (exact for one and two degrees).

    From the third degree on by the expansion in Abramowitz and Stegun, 26.7.5.
    """
    if degrees <= _LEAST_SAMPLE:
        return (12.7062, 4.30265)[max(degrees, 1) - 1]
    x, n = _NORMAL, degrees
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    powers = [float(n) ** power for power in range(1, len(terms) + 1)]
    return x + sum(term / power for term, power in zip(terms, powers, strict=True))
