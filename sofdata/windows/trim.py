"""Idle parts of a stretch, which no window holds.

A step is idle when the 99th percentile of its flow's magnitude is below `static_px`. The idle
steps at both ends of a stretch are trimmed, all but `trim_margin` beside what moves, and so is an
idle part within it of `trim_inside` steps or more, which parts the stretch in two. Each is one
`RejectedWindow` "idle". No more than `trim_inside` steps are held back until it is known whether
they are trimmed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from sofdata.types import RejectedWindow
from sofdata.windows.config import WindowConfig
from sofdata.windows.motion import percentile_99
from sofdata.windows.steps import Step
from sofdata.windows.stretch import Outcome, Shown, Stretch

IDLE = "idle"


class TrimmedStretch:
    """A stretch without its idle parts. Arguments are those of `Stretch`."""

    def __init__(
        self, config: WindowConfig, numbers: Iterator[int], cut: str, start: Shown
    ) -> None:
        self._config, self._numbers, self._cut = config, numbers, cut
        self._inner: Stretch | None = None  # what moves; None while nothing has
        self._idle_from = start  # the last frame that no window holds for want of motion
        # Steps that may be trimmed, with the frame before the first; while nothing has moved, only
        # those that a window may hold if the next step does.
        self._held: deque[tuple[Step, Shown]] = deque()
        self._before = start
        self._latest = start

    def add(self, step: Step, shown: Shown) -> Iterator[Outcome]:
        """See `sofdata.windows.stretch.Taker`."""
        self._latest = shown
        self._held.append((step, shown))
        if self._moves(step):
            yield from self._moving()
        elif self._inner is None:
            self._drop_all_but(self._config.trim_margin)
        elif len(self._held) == self._config.trim_inside:
            yield from self._rest(self._inner)
            self._inner, self._cut = None, IDLE
            self._drop_all_but(self._config.trim_margin)

    def end(self) -> Iterator[Outcome]:
        """See `sofdata.windows.stretch.Taker`."""
        if self._inner is not None:
            yield from self._rest(self._inner)
        elif self._latest is self._idle_from:  # a lone frame
            yield from self._begun().end()
        yield from self._idle(self._latest)

    def _moves(self, step: Step) -> bool:
        return percentile_99(step.magnitude) >= self._config.static_px

    def _moving(self) -> Iterator[Outcome]:
        """What is held belongs to what moves."""
        if self._inner is None:
            yield from self._idle(self._before)
            self._inner = self._begun()
        while self._held:
            yield from self._inner.add(*self._pop())
        self._idle_from = self._latest

    def _rest(self, inner: Stretch) -> Iterator[Outcome]:
        """What moved has ended, `trim_margin` steps after the last that did."""
        for _ in range(min(self._config.trim_margin, len(self._held))):
            yield from inner.add(*self._pop())
        self._idle_from = self._before
        yield from inner.end()

    def _begun(self) -> Stretch:
        return Stretch(self._config, self._numbers, self._cut, self._before)

    def _pop(self) -> tuple[Step, Shown]:
        step, self._before = self._held.popleft()
        return step, self._before

    def _drop_all_but(self, number: int) -> None:
        while len(self._held) > number:
            self._pop()

    def _idle(self, until: Shown) -> Iterator[RejectedWindow]:
        """The idle part up to a frame, if there is any."""
        if until.pts_s > self._idle_from.pts_s:
            start_s = self._idle_from.pts_s
            yield RejectedWindow(next(self._numbers), start_s, until.pts_s, IDLE)
