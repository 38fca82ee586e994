"""Windows as rows of a table in time: stretches of a video that its windows cover without a gap.

A stretch becomes an episode. Of windows only numbers are kept, so that one of hours fits in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sofdata.shards.sample import DecodedSample

FLOW_NAMES = ("dx_px", "dy_px", "mean_px", "p99_px", "max_px")
"""Statistics of the flow of a step: mean vector; mean, 99th percentile and maximum of its length.
Of several steps: means of the first three, and the largest of the others."""


@dataclass(frozen=True, slots=True, eq=False)
class WindowRow:
    """What is kept of a window.

    pts_s: float64 [L+1]. steps: statistics of each step's flow, float32 [L,5] by `FLOW_NAMES`.
    skill: tokens int64 [n] or codes float32 [n*D]; None without skills.
    actions: float32 [N,A] and action_times_s [N]; None in a dataset without.
    first: the JPEG of its first frame.
    """

    key: str
    source: str
    number: int
    text: str
    pts_s: NDArray[np.float64]
    steps: NDArray[np.float32]
    motion: dict[str, float]
    skill: NDArray[np.int64] | NDArray[np.float32] | None
    actions: NDArray[np.float32] | None
    action_times_s: NDArray[np.float64]
    first: bytes

    @property
    def start_s(self) -> float:
        return float(self.pts_s[0])

    @property
    def end_s(self) -> float:
        return float(self.pts_s[-1])


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Consecutive windows of a video, each of which begins before or where the one before ends."""

    source: str
    windows: tuple[WindowRow, ...]

    @property
    def times_s(self) -> NDArray[np.float64]:
        """Times of all its frames, in order."""
        return np.unique(np.concatenate([window.pts_s for window in self.windows]))

    def steps(self, times_s: NDArray[np.float64]) -> NDArray[np.float32]:
        """Statistics of the flow from each frame to the next, float32 [T-1,5]."""
        found = np.zeros((len(times_s) - 1, len(FLOW_NAMES)), np.float32)
        for window in self.windows:
            found[np.searchsorted(times_s, window.pts_s[:-1])] = window.steps
        return found

    def window_at(self, times_s: NDArray[np.float64]) -> NDArray[np.int64]:
        """Which window each frame belongs to: the latest that begins there or before, int64 [T]."""
        starts = np.array([window.start_s for window in self.windows])
        return np.searchsorted(starts, times_s, side="right") - 1

    def actions(self) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """All actions taken in it, each once: when, s [M], and which, float32 [M,A]."""
        given = [window for window in self.windows if window.actions is not None]
        times_s = np.concatenate([window.action_times_s for window in given])
        values = np.concatenate([window.actions for window in given])
        unique, first = np.unique(times_s, return_index=True)
        return unique, values[first]


def window_row(
    sample: DecodedSample, first: bytes, skill: NDArray[np.int64] | NDArray[np.float32] | None
) -> WindowRow:
    """What is kept of a sample. first: its first frame as it is stored."""
    record = sample.record
    times = record.actions.times_s if record.actions else []
    return WindowRow(
        key=record.key,
        source=record.source,
        number=record.window,
        text=record.text,
        pts_s=np.array(record.pts_s, np.float64),
        steps=flow_statistics(sample.flow),
        motion=record.motion,
        skill=skill,
        actions=sample.actions,
        action_times_s=np.array(times, np.float64),
        first=first,
    )


def stretches(windows: Iterable[WindowRow]) -> Iterator[Stretch]:
    """Windows, those of a video in order, by stretch."""
    held: list[WindowRow] = []
    for window in windows:
        if held and not _goes_on(held[-1], window):
            yield Stretch(held[0].source, tuple(held))
            held = []
        held.append(window)
    if held:
        yield Stretch(held[0].source, tuple(held))


def _goes_on(before: WindowRow, window: WindowRow) -> bool:
    return window.source == before.source and before.start_s < window.start_s <= before.end_s


def flow_statistics(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """Statistics of each step of [L,h,w,2], float32 [L,5] by `FLOW_NAMES`."""
    vectors = flow.reshape(len(flow), -1, 2)
    length = np.hypot(vectors[..., 0], vectors[..., 1])
    columns = [*vectors.mean(1).T, length.mean(1), np.quantile(length, 0.99, 1), length.max(1)]
    return np.stack(columns, 1).astype(np.float32)


def joined(steps: NDArray[np.float32]) -> NDArray[np.float32]:
    """The statistics of several steps together, float32 [5]; zeros of none."""
    if not len(steps):
        return np.zeros(len(FLOW_NAMES), np.float32)
    return np.concatenate([steps[:, :3].mean(0), steps[:, 3:].max(0)])
