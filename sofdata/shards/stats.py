"""Statistics of flow over a whole dataset, merged exactly from those of its units."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.shards.schema import FlowStatistics

# A bin holds the squared magnitudes that share exponent and leading mantissa bits as float32, which
# needs no logarithm and is exact on every machine. 64 bins double the square: 0.8 % of magnitude.
MANTISSA_BITS = 6
_SHIFT = 23 - MANTISSA_BITS
_SMALLEST_PX2 = np.float32(1e-6)  # the bin of this square holds all smaller ones


class FlowSums:
    """Sums over the flow vectors as they are read back from shards, fed window by window."""

    def __init__(self) -> None:
        self.vectors = 0
        self.sums = np.zeros(2)
        self.squares = np.zeros(2)
        self._counts = np.zeros(0, np.int64)  # by bin

    def add(self, flow: NDArray[np.float32]) -> None:
        """Count the vectors of one window, flow [L,h,w,2] in px a step."""
        dx, dy = np.ascontiguousarray(np.moveaxis(flow, -1, 0))
        dx2, dy2 = dx * dx, dy * dy
        self.vectors += dx.size
        self.sums += (dx.sum(dtype=np.float64), dy.sum(dtype=np.float64))
        self.squares += (dx2.sum(dtype=np.float64), dy2.sum(dtype=np.float64))
        dx2 += dy2
        self._count(np.bincount(_bins(np.maximum(dx2, _SMALLEST_PX2, out=dx2).ravel())))

    def merge(self, other: FlowSums) -> None:
        """Add the sums of another."""
        self.vectors += other.vectors
        self.sums += other.sums
        self.squares += other.squares
        self._count(other._counts)

    def record(self) -> FlowStatistics:
        """The sums as the ledger stores them."""
        found = np.flatnonzero(self._counts)
        return FlowStatistics(
            vectors=self.vectors,
            sum_px=(float(self.sums[0]), float(self.sums[1])),
            sum_squares_px2=(float(self.squares[0]), float(self.squares[1])),
            histogram=dict(zip(found.tolist(), self._counts[found].tolist(), strict=True)),
        )

    def _count(self, counts: NDArray[np.int64]) -> None:
        """Add to the number of vectors of each bin."""
        if len(counts) > len(self._counts):
            self._counts = np.pad(self._counts, (0, len(counts) - len(self._counts)))
        self._counts[: len(counts)] += counts


def _bins(squares: NDArray[np.float32]) -> NDArray[np.int32]:
    """The bin of each squared magnitude, px2."""
    return squares.view(np.int32) >> _SHIFT


def _upper_edge_px(index: int) -> float:
    """The magnitude below which all of a bin lies."""
    edge = np.array([(index + 1) << _SHIFT], np.int32).view(np.float32)
    return float(np.sqrt(edge[0], dtype=np.float64))


_LOWEST_BIN = int(_bins(np.array([_SMALLEST_PX2]))[0])


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
                return _upper_edge_px(index) if index > _LOWEST_BIN else 0.0
        return 0.0
