"""Gradual changes between shots: dissolves, fades and wipes, which take many steps.

In a change from a frame A to a frame B each frame between them is a mixture of the two: of all of
them in the same measure in a dissolve or a fade, of one part A and of another B in a wipe. So spans
of steps are looked at, of 2 steps up to `WindowConfig.gradual_s`. On frames of 24 x 24, cut into 64
cells, each frame of a span is fitted cell by cell as (1 - a) A + a B, with a in [0, 1]. The span is
a change of shot where

- A and B differ as the frames of two shots do (`shots.shot_difference`), or one of them is blank;
- the mixture leaves little of the frames over, a hardly ever goes back, and it is nearly the same
  in all cells, or nearly 0 or 1 in each;
- motion does not explain the frame in the middle better: its blocks, looked for in A and in B up to
  a third of the frame away. That is how pans, zooms and large things that pass are told apart.

Of the span, the steps in which the mixture changes are marked. Frames are looked at once, in their
order, so that the marks do not depend on how a video was split into chunks; no more frames than
`gradual_s` holds are kept. A span never reaches over a hard cut or a gap.

Cost: 0.1 ms a frame where little moves, and some ms where much changes. Not found: changes in which
either shot moves so fast that it hardly resembles itself within the change, and transitions that
move pictures (slides, page turns).
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sofdata.windows.shots import bounds, shot_difference, unexplained

_CELL = 3  # px of the reduced frame
_MOST_LEFT = 0.15  # mean share of the difference of A and B that the mixture may leave over
_MOST_BACK = 0.2  # how far a may go back in all, of 1 forwards
_EVEN, _PARTED = 0.28, 0.5  # variance of a over the cells, of the most there can be
_MOST_WORSE = 2.0  # by which factor motion may explain the middle better than the mixture does
_BLANK = 3.0  # grey levels (standard deviation): a frame with less shows nothing
_SHOWN = 8.0  # a frame with more shows something
_MOST_LEFT_BLANK = 0.05
# Steps before the first, and after the last, that rises by so much of the steepest one belong to
# the shots: what moves within them seems to be a mixture, too. A wipe rises as its cells differ.
_RISES, _RISES_PARTED = 0.5, 0.25
_GROWTH = 1.35  # between one span that is looked at and the next longer one
MOST_STEPS = 256  # of a span, at whatever rate frames come

Picture = NDArray[np.float32]  # [24,24,3]


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """A frame as it is kept. cells: of the picture, [64, 27]. contrast: standard deviation."""

    picture: Picture
    cells: NDArray[np.float32]
    contrast: float
    pts_s: float


class GradualCuts:
    """Marks the steps of one video in which a shot changes gradually to the next one.

    longest_s: of the changes that are looked for, s. threshold: as of `shots.shot_changes`.
    """

    def __init__(self, longest_s: float, threshold: float) -> None:
        self._longest_s = longest_s
        self._threshold = threshold
        self._looks: deque[_Look] = deque(maxlen=MOST_STEPS + 1)  # since the last break
        self._marks: list[bool] = []  # of the steps that were not taken yet
        self._first = True

    def push(
        self, small: NDArray[np.uint8], pts_s: NDArray[np.float64], breaks: Sequence[bool]
    ) -> None:
        """Look at a chunk; its first frame is the last one of the chunk before.

        small: uint8 [T,24,24,3], as `shots.small_frames` gives them, with their times [T] in s.
        breaks: of the T - 1 steps, which are hard cuts, gaps and the like.
        """
        frames = (small if self._first else small[1:]).astype(np.float32)
        times = pts_s if self._first else pts_s[1:]
        breaks = [False, *breaks] if self._first else breaks
        for number, (frame, time_s, is_break) in enumerate(zip(frames, times, breaks, strict=True)):
            if not (self._first and number == 0):
                self._marks.append(False)
            if is_break:
                self._looks.clear()
            self._add(_look(frame, float(time_s)))
        self._first = False

    def settled(self) -> int:
        """How many of the steps not taken yet are settled: no later frame can mark them."""
        if not self._looks:
            return len(self._marks)
        return max(0, len(self._marks) - (len(self._looks) - 1))

    def take(self, number: int) -> list[bool]:
        """The marks of the first `number` steps that were not taken yet."""
        taken, self._marks = self._marks[:number], self._marks[number:]
        return taken

    def _add(self, look: _Look) -> None:
        self._looks.append(look)
        # What is too old for any span that ends here, or later, settles the steps before it.
        while look.pts_s - self._looks[0].pts_s > self._longest_s:
            self._looks.popleft()
        for begin in self._begins():
            # A longer span would take more of what moves in the shots for a part of the mixture;
            # but of a fade a short span shows the end alone.
            span = list(itertools.islice(self._looks, begin, None))
            if self._mark(span) and not _is_blank(span[0], span[-1]):
                break

    def _begins(self) -> list[int]:
        """Where spans begin that end with the last frame and may be changes, by a bound on them.

        The shortest comes first.
        """
        steps, last, begins = 2, len(self._looks) - 1, list[int]()
        while steps <= last:
            begins.append(last - steps)
            steps = max(steps + 1, round(steps * _GROWTH))
        if not begins:
            return []
        looks = [self._looks[begin] for begin in begins]
        end = self._looks[-1]
        most = bounds(np.stack([look.picture for look in looks]), end.picture[None])
        return [
            begin
            for begin, look, bound in zip(begins, looks, most.tolist(), strict=True)
            if bound >= self._threshold or _is_blank(look, end)
        ]

    def _mark(self, span: Sequence[_Look]) -> bool:
        """Mark the steps of a span that ends with the last frame; False where it is no change."""
        mixture = _fit(span)
        if mixture.back > _MOST_BACK:
            return False
        if _is_blank(span[0], span[-1]):
            if mixture.left > _MOST_LEFT_BLANK:
                return False
        elif mixture.left > _MOST_LEFT or not self._is_change(span, mixture):
            return False
        low, high = mixture.moving()
        begin = len(self._marks) - (len(span) - 1)
        self._marks[begin + low : begin + high] = [True] * (high - low)
        return True

    def _is_change(self, span: Sequence[_Look], mixture: _Mixture) -> bool:
        if _EVEN < mixture.parted < _PARTED:
            return False
        first, last = span[0].picture, span[-1].picture
        middle = span[mixture.middle].picture
        apart = float(((last - first) ** 2).sum())
        by_motion = unexplained(middle, (first, last)) / apart
        if mixture.left_in_middle > _MOST_WORSE * by_motion:
            return False
        return shot_difference(first, last, self._threshold) >= self._threshold


@dataclass(frozen=True, slots=True, eq=False)
class _Mixture:
    """How the frames of a span are mixtures of its first and its last one.

    shares: of the last one, in each of the N frames, the first and the last one among them.
    left: what the mixture leaves over, mean of those between. left_in_middle: of frame `middle`.
    parted: variance of the shares over the cells of a frame, of the most there can be: 0 where a
        frame is mixed evenly, 1 where each cell shows either the first frame or the last one.
    back: how far the shares of cells go back, weighted by how much the cells change.
    """

    shares: NDArray[np.float64]
    left: float
    left_in_middle: float
    middle: int
    parted: float
    back: float

    def moving(self) -> tuple[int, int]:
        """The first step in which the mixture changes, and the one behind the last."""
        rises = np.diff(self.shares)
        least = _RISES if self.parted <= _EVEN else _RISES_PARTED
        steep = np.flatnonzero(rises >= least * rises.max())
        return int(steep[0]), int(steep[-1]) + 1


def _fit(span: Sequence[_Look]) -> _Mixture:
    """Fit the frames between the first and the last one, of which there is at least one."""
    cells = np.stack([look.cells for look in span])
    change = cells[-1] - cells[0]
    off = cells[1:-1] - cells[0]
    weights = np.einsum("cv,cv->c", change, change)  # einsum: no BLAS threads beside other workers
    whole = float(weights.sum()) + 1e-6
    shares = np.einsum("tcv,cv->tc", off, change) / (weights + 1e-6)
    np.clip(shares, 0, 1, out=shares)
    off -= shares[:, :, None] * change
    left = np.einsum("tcv,tcv->t", off, off) / whole
    mean = (shares * weights).sum(axis=1) / whole
    all_shares = np.concatenate([np.zeros((1, shares.shape[1])), shares, np.ones_like(shares[:1])])
    back = float(((-np.diff(all_shares, axis=0)).clip(min=0) * weights).sum()) / whole
    variance = (shares**2 * weights).sum(axis=1) / whole - mean**2
    middle = int(np.abs(mean - 0.5).argmin())
    return _Mixture(
        shares=np.concatenate([[0.0], mean, [1.0]]).astype(np.float64),
        left=float(left.mean()),
        left_in_middle=float(left[middle]),
        middle=middle + 1,
        parted=float(variance.sum() / ((mean * (1 - mean)).sum() + 1e-6)),
        back=back,
    )


def _look(picture: Picture, pts_s: float) -> _Look:
    count = len(picture) // _CELL
    cut = picture.reshape(count, _CELL, count, _CELL, 3).transpose(0, 2, 1, 3, 4)
    return _Look(picture, cut.reshape(count * count, -1), float(picture.std()), pts_s)


def _is_blank(first: _Look, last: _Look) -> bool:
    """Whether one of two frames shows nothing, and the other one something."""
    low, high = sorted((first.contrast, last.contrast))
    return low < _BLANK and high > _SHOWN
