"""Statistics of all episodes together, from those of each, which is all that is kept of them.

Count, minimum, maximum, mean and standard deviation are those of all rows; quantiles are means of
the episodes', weighted by their rows, as huggingface/lerobot has them (`aggregate_stats`,
src/lerobot/datasets/compute_stats.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.corpora.lerobot.statistics import QUANTILES, Statistics

Sums = dict[str, list[float]]


class Merged:
    """Grows by the statistics of one episode, or of another of its kind, after the other."""

    def __init__(self, state: Mapping[str, Sums] | None = None) -> None:
        self._sums: dict[str, Sums] = {name: dict(each) for name, each in (state or {}).items()}

    @property
    def state(self) -> dict[str, Sums]:
        """Plain values of which it can be made again."""
        return self._sums

    def add(self, episode: Mapping[str, Statistics]) -> None:
        """Count the rows of an episode, by feature."""
        self.merge(Merged({name: _sums(each) for name, each in episode.items()}))

    def merge(self, other: Merged) -> None:
        """Count what another has counted."""
        for name, theirs in other._sums.items():
            self._sums[name] = _together(self._sums[name], theirs) if name in self._sums else theirs

    def statistics(self) -> dict[str, Statistics]:
        """Of all rows so far, by feature."""
        return {name: _statistics(each) for name, each in self._sums.items()}


def _sums(found: Statistics) -> Sums:
    """Mean and quantiles times the count, and the sum of squared deviations."""
    count = found["count"][0]
    scaled = {name: (_array(found[name]) * count).tolist() for name in ("mean", *QUANTILES)}
    deviations = (_array(found["std"]) ** 2 * count).tolist()
    return {**scaled, "squares": deviations, "count": [count]} | {
        name: list(found[name]) for name in ("min", "max")
    }


def _together(ours: Sums, theirs: Sums) -> Sums:
    """The sums of both; deviations as Chan, Golub and LeVeque 1979 add them."""
    a, b = ours["count"][0], theirs["count"][0]
    apart = _array(theirs["mean"]) / b - _array(ours["mean"]) / a
    squares = _array(ours["squares"]) + _array(theirs["squares"]) + apart**2 * a * b / (a + b)
    summed = {
        name: (_array(ours[name]) + _array(theirs[name])).tolist() for name in ("mean", *QUANTILES)
    }
    return {
        **summed,
        "squares": squares.tolist(),
        "count": [a + b],
        "min": np.minimum(ours["min"], theirs["min"]).tolist(),
        "max": np.maximum(ours["max"], theirs["max"]).tolist(),
    }


def _statistics(sums: Sums) -> Statistics:
    count = sums["count"][0]
    found: dict[str, list[Any]] = {name: sums[name] for name in ("min", "max")}
    found["std"] = np.sqrt(_array(sums["squares"]) / count).tolist()
    found |= {name: (_array(sums[name]) / count).tolist() for name in ("mean", *QUANTILES)}
    return {**found, "count": [int(count)]}


def _array(values: Any) -> NDArray[np.float64]:
    return np.asarray(values, np.float64)
