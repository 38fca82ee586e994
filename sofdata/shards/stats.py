"""Statistics of flow over a whole dataset, merged exactly from those of its units."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.shards.schema import FlowStatistics

GROWTH = 1.01
SMALLEST_PX = 1e-3  # bin 0 holds everything up to here


class FlowSums:
    """Sums over the flow vectors that are stored, before the codec, fed window by window."""

    def __init__(self) -> None:
        self.vectors = 0
        self.sums = np.zeros(2)
        self.squares = np.zeros(2)
        self.histogram: Counter[int] = Counter()

    def add(self, flow: NDArray[np.float32]) -> None:
        """Count the vectors of one window, flow [L,h,w,2] in px a step."""
        vectors = flow.reshape(-1, 2).astype(np.float64)
        squares = vectors**2
        self.vectors += len(vectors)
        self.sums += vectors.sum(axis=0)
        self.squares += squares.sum(axis=0)
        magnitude = np.sqrt(squares.sum(axis=1))
        bins = np.log(np.maximum(magnitude, SMALLEST_PX) / SMALLEST_PX) / np.log(GROWTH)
        for index, count in enumerate(np.bincount(np.ceil(bins).astype(np.int64))):
            if count:
                self.histogram[index] += int(count)

    def merge(self, other: FlowSums) -> None:
        """Add the sums of another."""
        self.vectors += other.vectors
        self.sums += other.sums
        self.squares += other.squares
        self.histogram.update(other.histogram)

    def record(self) -> FlowStatistics:
        """The sums as the ledger stores them."""
        return FlowStatistics(
            vectors=self.vectors,
            sum_px=(float(self.sums[0]), float(self.sums[1])),
            sum_squares_px2=(float(self.squares[0]), float(self.squares[1])),
            histogram=dict(sorted(self.histogram.items())),
        )


class Merged:
    """The statistics of several units together."""

    def __init__(self) -> None:
        self._vectors = 0
        self._sums = np.zeros(2)
        self._squares = np.zeros(2)
        self._histogram: Counter[int] = Counter()

    def add(self, part: FlowStatistics) -> None:
        """Add a unit. The order matters to the last digits, so it is that of the plan."""
        self._vectors += part.vectors
        self._sums += part.sum_px
        self._squares += part.sum_squares_px2
        self._histogram.update(part.histogram)

    def summary(self) -> dict[str, Any]:
        """Mean and std of (dx, dy) and the 99th percentile of the magnitude, px a step as stored.

        The percentile is the upper edge of its bin, at most 1 % above the true value.
        """
        if not self._vectors:
            return {"vectors": 0, "mean_px": [0.0, 0.0], "std_px": [0.0, 0.0], "p99_px": 0.0}
        mean = self._sums / self._vectors
        std = np.sqrt(np.maximum(self._squares / self._vectors - mean**2, 0.0))
        return {
            "vectors": self._vectors,
            "mean_px": [round(float(value), 6) for value in mean],
            "std_px": [round(float(value), 6) for value in std],
            "p99_px": round(self._p99_px(), 4),
        }

    def _p99_px(self) -> float:
        seen = 0
        for index, count in sorted(self._histogram.items()):
            seen += count
            if seen >= 0.99 * self._vectors:
                return SMALLEST_PX * GROWTH**index if index else 0.0
        return 0.0
