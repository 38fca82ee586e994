"""Which frames of a video to keep: a step in seconds, measured on presentation times.

The next frame is the one nearest to the last kept frame plus the step. Video of a constant frame
rate so gets steps of constant length (25 frames/s and a step of 0.13 s: every third, 0.12 s), and
video of a variable rate the steps that come closest. Nothing is derived from an index and a rate.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from sofdata.types import Eye

Item = TypeVar("Item")
Stretches = Sequence[tuple[float, float]]
DivideS = tuple[float, float]  # from which length on to divide a video, and how long parts are, s

# At a constant rate the nearest frame is always between 2/3 and 4/3 of a step away (or further,
# where frames are rarer than that). A shorter step only arises at a gap or at the end.
MIN_STEP_SHARE = 0.66
# Containers round times to a millisecond; of two frames that are equally near up to that, always
# take the earlier one, so that rounding does not make steps uneven.
TIE_S = 0.002


@dataclass(frozen=True, slots=True)
class Sampling:
    """What is wanted of a video.

    size: side of the square frames, px.
    step_s: wanted time between frames, s.
    span_s: (start, end) to use, or None for all; s from where the video's clock counts
        (`sofdata.video.clock`), as all times here.
    hidden_s: no frame is given whose time lies in one of these, both ends included.
    eye: "left" to see the left one of two views that stand side by side.
    lasts_s: length in s of the video that `hidden_s` holds for, None where it is not known.
    """

    size: int
    step_s: float
    span_s: tuple[float, float] | None = None
    hidden_s: Stretches = ()
    eye: Eye = ""
    lasts_s: float | None = None


class StepSampler(Generic[Item]):
    """Keeps from a stream of (time, item) those that lie a step apart.

    step_s: wanted time between kept frames, in seconds.
    span_s: only times t with span_s[0] <= t < span_s[1] take part.
    hidden_s: stretches, sorted and apart from each other, whose times, both ends included, take no
        part; sampling begins anew after each.

    after_s: what was kept before, of a stream that is begun once more: only later times take part.

    Only one item is held back at any time. `dropped` counts the items whose time was not a number
    or did not increase; such items are never kept.
    """

    def __init__(
        self,
        step_s: float,
        span_s: tuple[float, float] | None = None,
        hidden_s: Stretches = (),
        after_s: float | None = None,
    ) -> None:
        self.step_s = step_s
        self._hidden_s = hidden_s
        self.start_s, self.end_s = span_s if span_s is not None else (-math.inf, math.inf)
        self.dropped = 0
        self._seen_s = -math.inf
        self._last_s = after_s  # of what was kept last, in whatever stretch
        self._kept_s = after_s
        self._pending: tuple[float, Item] | None = None

    def offer(self, pts_s: float, item: Item) -> list[tuple[float, Item]]:
        """Take the next item of the stream; returns the (time, item) that are now kept."""
        if not pts_s > self._seen_s:
            self.dropped += 1
            return []
        self._seen_s = pts_s
        if self._last_s is not None and pts_s <= self._last_s:
            return []
        if not self.start_s <= pts_s < self.end_s:
            return []
        if self._is_hidden(pts_s):
            last = self.finish()
            self._kept_s = self._pending = None
            return last
        kept = []
        if self._pending is not None and self._pending_is_nearer(pts_s):
            kept.append(self._keep(*self._pending))
        if self._kept_s is None or pts_s >= self._kept_s + self.step_s:
            kept.append(self._keep(pts_s, item))
        else:
            self._pending = (pts_s, item)
        return kept

    def finish(self) -> list[tuple[float, Item]]:
        """End the stream; returns the last item if it lies about a step after the last kept."""
        if self._pending is None or not self._long_enough(self._pending[0]):
            return []
        return [self._keep(*self._pending)]

    def rewind(self) -> None:
        """Forget what came after the item that was kept last: the stream comes once more.

        Items up to that one are passed over, and not counted as dropped.
        """
        self._pending, self._kept_s = None, self._last_s
        self._seen_s = -math.inf
        self.dropped = 0

    def _is_hidden(self, pts_s: float) -> bool:
        place = bisect_right(self._hidden_s, (pts_s, math.inf)) - 1
        return place >= 0 and pts_s <= self._hidden_s[place][1]

    def _keep(self, pts_s: float, item: Item) -> tuple[float, Item]:
        self._kept_s = self._last_s = pts_s
        self._pending = None
        return pts_s, item

    def _long_enough(self, pts_s: float) -> bool:
        return self._kept_s is None or pts_s - self._kept_s >= MIN_STEP_SHARE * self.step_s

    def _pending_is_nearer(self, pts_s: float) -> bool:
        """Whether to keep the held item now that the stream has come to `pts_s`."""
        if self._kept_s is None or self._pending is None:
            return False
        target_s, pending_s = self._kept_s + self.step_s, self._pending[0]
        if pts_s < target_s or not self._long_enough(pending_s):
            return False
        return target_s - pending_s <= pts_s - target_s + TIE_S


def select(
    pts_s: Iterable[float],
    step_s: float,
    span_s: tuple[float, float] | None = None,
    hidden_s: Stretches = (),
) -> NDArray[np.int64]:
    """Indices int64 [T] of the frames that `StepSampler` keeps of these presentation times."""
    sampler: StepSampler[int] = StepSampler(step_s, span_s, hidden_s)
    kept = [item for i, t in enumerate(pts_s) for _, item in sampler.offer(float(t), i)]
    kept += [item for _, item in sampler.finish()]
    return np.array(kept, dtype=np.int64)
