"""Statistics of the features of a LeRobot dataset, which lerobot's training normalises by.

The format is that of huggingface/lerobot 0.6 (src/lerobot/datasets/compute_stats.py): of each
feature min, max, mean, std, the quantiles q01, q10, q50, q90, q99, and the count of frames.
Numbers have a value for each dimension. Pictures have one for each channel, of shape [3, 1, 1] and
in 0 to 1; they are counted over some frames of each episode and, where they are large, over every
n-th pixel, as many as lerobot takes. `meta/stats.json` holds those of the dataset, the columns
`stats/FEATURE/NAME` of `meta/episodes/` those of each episode.

lerobot counts in 5,000 bins and averages the quantiles of episodes; here all are exact. A channel
has 256 values, so pictures cost a histogram each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ContractError

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
_LEVELS = np.arange(256, dtype=np.float64)
_LEAST_FRAMES, _MOST_FRAMES = 100, 10_000  # of an episode
_LARGE_PX, _REDUCED_PX = 300, 150
Statistics = dict[str, list[Any]]


def of_numbers(values: NDArray[Any]) -> Statistics:
    """Statistics over the rows of [M] or [M,D], M at least 1; NaN counts as NaN."""
    rows = values.astype(np.float64).reshape(len(values), -1)  # [M, D]
    quantiles = np.quantile(rows, list(QUANTILES.values()), axis=0)
    return {
        "min": rows.min(0).tolist(),
        "max": rows.max(0).tolist(),
        "mean": rows.mean(0).tolist(),
        "std": rows.std(0).tolist(),
        "count": [len(rows)],
        **{name: each.tolist() for name, each in zip(QUANTILES, quantiles, strict=True)},
    }


class Pictures:
    """Statistics of the frames of a camera: a histogram of each channel grows with them."""

    def __init__(self) -> None:
        self._counts = np.zeros((3, 256), np.int64)
        self._frames = 0

    @classmethod
    def restored(cls, state: tuple[list[list[int]], int]) -> Pictures:
        """What `state` has given, also from JSON."""
        found = cls()
        found._counts += np.array(state[0], np.int64)
        found._frames = state[1]
        return found

    @property
    def state(self) -> tuple[list[list[int]], int]:
        """Counts of the levels of each channel, and of frames."""
        return self._counts.tolist(), self._frames

    @classmethod
    def of_episode(cls, frames: NDArray[np.uint8]) -> Pictures:
        """Of some frames of an episode, uint8 [T,H,W,3]."""
        found = cls()
        step = reduction(*frames.shape[1:3])
        for index in sampled(len(frames)):
            found.add(frames[index, ::step, ::step])
        return found

    def merge(self, other: Pictures) -> None:
        """Count what the other has counted, too."""
        self._counts += other._counts
        self._frames += other._frames

    def statistics(self) -> Statistics:
        """Of all frames so far, at least one."""
        if not self._frames:
            raise ContractError("statistics need a frame")
        channels = [_of_levels(counts) for counts in self._counts]
        named = {name: [[[each[name]]] for each in channels] for name in channels[0]}  # [3, 1, 1]
        return {**named, "count": [self._frames]}

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Count a frame, uint8 [H,W,3]; which ones, and reduced by what, is the caller's choice."""
        for channel, counts in enumerate(self._counts):
            counts += np.bincount(frame[..., channel].ravel(), minlength=256)
        self._frames += 1


def sampled(frames: int) -> list[int]:
    """Which frames of an episode are counted: all up to 100, then ever fewer of them, in order."""
    number = max(min(_LEAST_FRAMES, frames), min(int(frames**0.75), _MOST_FRAMES))
    return [int(index) for index in np.round(np.linspace(0, frames - 1, number))]


def reduction(height: int, width: int) -> int:
    """Of large pictures every n-th pixel is counted."""
    return 1 if max(height, width) < _LARGE_PX else max(height, width) // _REDUCED_PX


def _of_levels(counts: NDArray[np.int64]) -> dict[str, float]:
    """Statistics of values 0 to 255, of which it is known how often each comes, in 0 to 1."""
    total, seen = int(counts.sum()), np.flatnonzero(counts)
    mean = float(counts @ _LEVELS) / total
    variance = float(counts @ (_LEVELS - mean) ** 2) / total
    values = {"min": float(seen[0]), "max": float(seen[-1]), "mean": mean, "std": variance**0.5}
    values |= dict(zip(QUANTILES, _quantiles(counts, list(QUANTILES.values())), strict=True))
    return {name: value / 255 for name, value in values.items()}


def _quantiles(counts: NDArray[np.int64], wanted: Sequence[float]) -> list[float]:
    """As `numpy.quantile` has them of the values themselves."""
    places = np.array(wanted) * (counts.sum() - 1)
    lower = np.floor(places)
    below, above = (
        np.searchsorted(np.cumsum(counts), np.minimum(rank, counts.sum() - 1), side="right")
        for rank in (lower, lower + 1)
    )
    found: list[float] = (below + (places - lower) * (above - below)).tolist()
    return found
