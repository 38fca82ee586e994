"""Statistics of flow over a whole dataset, merged exactly from those of its units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
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


def summarise(parts: Iterable[FlowStatistics]) -> dict[str, Any]:
    """Mean and std of (dx, dy) and the 99th percentile of the magnitude, px a step as stored.

    The percentile is the upper edge of its bin, at most 1 % above the true value.
    """
    vectors, histogram = 0, Counter[int]()
    sums, squares = np.zeros(2), np.zeros(2)
    for part in parts:
        vectors += part.vectors
        sums += part.sum_px
        squares += part.sum_squares_px2
        histogram.update(part.histogram)
    if not vectors:
        return {"vectors": 0, "mean_px": [0.0, 0.0], "std_px": [0.0, 0.0], "p99_px": 0.0}
    mean = sums / vectors
    std = np.sqrt(np.maximum(squares / vectors - mean**2, 0.0))
    seen, p99 = 0, 0.0
    for index, count in sorted(histogram.items()):
        seen += count
        if seen >= 0.99 * vectors:
            p99 = SMALLEST_PX * GROWTH**index if index else 0.0
            break
    return {
        "vectors": vectors,
        "mean_px": [round(float(value), 6) for value in mean],
        "std_px": [round(float(value), 6) for value in std],
        "p99_px": round(p99, 4),
    }
