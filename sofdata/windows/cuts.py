"""Where a stretch is cut into windows, decided while its steps come.

A cutter is told of each step once and gives pieces, the windows to be, as steps of its stretch.
What it decides depends on the steps alone, not on how many come at a time, and it holds no more
than `reach` of them, however long the stretch is.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from sofdata.windows.change import APART, REACH, Motion, change, motion_of
from sofdata.windows.config import WindowConfig
from sofdata.windows.steps import Step


@dataclass(frozen=True, slots=True)
class Piece:
    """Steps `begin` to `end` of a stretch.

    cut: why it begins there, "motion", "length" or, within another piece, "stride"; "" where for
        the same reason as the stretch.
    """

    begin: int
    end: int
    cut: str = ""


class Cutter(Protocol):
    """Cuts one stretch.

    reach: so many of the latest steps may lie in a piece that is still to come.
    """

    reach: int

    def push(self, step: Step) -> Iterator[Piece]:
        """Take the next step, and give the pieces that it decides."""

    def end(self) -> Iterator[Piece]:
        """Give what is left: there is no other step."""


def make_cutter(config: WindowConfig) -> Cutter:
    """What cuts a stretch as configured."""
    return FixedCuts(config) if config.cut == "fixed" else VaryingCuts(config)


class FixedCuts:
    """Pieces of `length` steps at multiples of `stride`.

    Where the last does not reach the end, one more that does; with `tail` "mask", one at each
    further multiple of `stride`, short.
    """

    def __init__(self, config: WindowConfig) -> None:
        self.reach = config.length
        self._config = config
        self._taken = self._covered = 0

    def push(self, step: Step) -> Iterator[Piece]:
        """See `Cutter`."""
        self._taken += 1
        begin = self._taken - self._config.length
        if begin >= 0 and begin % self._config.stride == 0:
            self._covered = self._taken
            yield Piece(begin, self._taken)

    def end(self) -> Iterator[Piece]:
        """See `Cutter`."""
        if self._config.tail == "mask":
            for begin in self._tails():
                yield Piece(begin, self._taken)
        elif self._covered < self._taken:
            yield Piece(max(0, self._taken - self._config.length), self._taken)

    def _tails(self) -> range:
        """The multiples of `stride` at which fewer steps are left than fill a window."""
        length, stride = self._config.length, self._config.stride
        first = max(0, (self._taken - length) // stride * stride + stride)
        return range(first, self._taken, stride)


class VaryingCuts:
    """Pieces that follow on each other, of `shortest` to `length` steps; fewer only where the whole
    stretch has fewer.

    With `cut` "motion" a piece ends at the first frame with a score of at least `change` than which
    none near it has a higher one, or, where there is none, at the highest score that it can reach,
    the last one of equals. With "text", in which the stretch is a segment, pieces are as long as
    they may be, and the last ones equal. With `tail` "mask" each is followed by the rests of it
    that begin at multiples of `stride` in it and have `shortest` steps: what is left of a skill,
    seen from the midst of it.
    """

    def __init__(self, config: WindowConfig) -> None:
        self.reach = config.length + max(config.shortest, REACH + APART)
        self._config = config
        self._by_motion = config.cut == "motion"
        self._taken = self._begin = 0
        self._cut = ""  # why the next piece begins
        self._motions: deque[Motion] = deque(maxlen=self.reach + REACH)

    def push(self, step: Step) -> Iterator[Piece]:
        """See `Cutter`."""
        self._taken += 1
        if self._by_motion:
            self._motions.append(motion_of(step))
        if self._left == self.reach:
            yield from self._next()

    def end(self) -> Iterator[Piece]:
        """See `Cutter`."""
        while self._left:
            yield from self._next()

    @property
    def _left(self) -> int:
        return self._taken - self._begin

    def _next(self) -> Iterator[Piece]:
        """The next piece; what comes after it is long enough for another, or nothing."""
        most = min(self._config.length, self._left - self._config.shortest)
        places = range(self._begin + self._config.shortest, self._begin + most + 1)
        steps, why = (self._by_change if self._by_motion else self._evenly)(places)
        piece = Piece(self._begin, self._begin + steps, self._cut)
        self._begin, self._cut = piece.end, why
        yield piece
        if self._config.tail == "mask":
            end = piece.end - self._config.shortest + 1
            for begin in range(piece.begin + self._config.stride, end, self._config.stride):
                yield Piece(begin, piece.end, "stride")

    def _by_change(self, places: range) -> tuple[int, str]:
        """How many steps the next piece has, and why the one after it begins."""
        last = min(self._begin + self._config.length + APART, self._taken - 1)
        scores = {at: self._score(at) for at in range(self._begin + 1, last + 1)}
        for at in places:
            near = (scores.get(at + off, 0.0) for off in range(-APART, APART + 1))
            if scores[at] >= max(self._config.change, *near):
                return at - self._begin, "motion"
        if self._left <= self._config.length:
            return self._left, ""
        return max(places, key=lambda at: (scores[at], at)) - self._begin, "length"

    def _evenly(self, places: range) -> tuple[int, str]:
        if self._left <= self._config.length:
            return self._left, ""
        if self._left == self.reach:  # more may come
            return places[-1] - self._begin, "length"
        pieces = -(-self._left // self._config.length)
        return -(-self._left // pieces), "length"

    def _score(self, at: int) -> float:
        """Of the frame before step `at` of the stretch."""
        first = self._taken - len(self._motions)
        begin, middle, end = (max(0, at - first + off) for off in (-REACH, 0, REACH))
        known = list(itertools.islice(self._motions, begin, end))
        return change(known[: middle - begin], known[middle - begin :])
