"""What the user sees while an ingest runs: a live line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from sofdata.ingest.events import (
    Event,
    NodeJoined,
    NodeLost,
    Ready,
    UnitDone,
    UnitKept,
    UnitRetried,
    VideoDone,
)

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_INTERVAL_S = 5.0


@dataclass
class Sums:
    """What some videos have come to."""

    videos: int = 0
    windows: int = 0
    frames: int = 0
    salvaged: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, other: Sums, sign: int = 1) -> None:
        """Add, or with sign -1 take away, the sums of others."""
        self.videos += sign * other.videos
        self.windows += sign * other.windows
        self.frames += sign * other.frames
        self.salvaged += sign * other.salvaged
        for reason, number in other.reasons.items():
            self.reasons[reason] += sign * number


class Tally:
    """Counts events. A unit that is retried gives back what its failed try had counted."""

    def __init__(self, videos: int, already: int, reasons: Mapping[str, int] | None = None) -> None:
        self.total = videos
        self.already = already
        self.started = time.monotonic()
        self._sums = Sums(reasons=Counter(reasons or {}))
        self._open: dict[str, Sums] = {}  # of the units that are not committed

    def add(self, event: Event) -> None:
        """Count one event."""
        if isinstance(event, Ready):
            self.started = time.monotonic()
        elif isinstance(event, VideoDone):
            video = event.video
            reasons = Counter([video.reason] if video.reason else [])
            salvaged = int(video.status == "done" and bool(video.salvaged))
            frames = 0 if event.taken_over else video.frames
            sums = Sums(1, video.windows, frames, salvaged, reasons)
            self._open.setdefault(event.unit, Sums()).add(sums)
            self._sums.add(sums)
        elif isinstance(event, UnitRetried):
            self._sums.add(self._open.pop(event.unit, Sums()), sign=-1)
        elif isinstance(event, UnitDone):
            if event.kept:  # what its videos came to does not count
                self._sums.add(self._open[event.record.unit], sign=-1)
                self._sums.videos += len(event.record.videos)
            self._open.pop(event.record.unit, None)

    def line(self) -> str:
        """'videos 12/40 · windows 60 · not done 2 (static 2) · 812 frames/s · 0:32 left'."""
        sums = self._sums
        elapsed_s = time.monotonic() - self.started
        parts = [f"videos {self.done}/{self.total}", f"windows {sums.windows}"]
        if not_done := sums.reasons.total():
            told = ", ".join(f"{why} {number}" for why, number in sums.reasons.most_common())
            parts.append(f"not done {not_done} ({told})")
        if sums.salvaged:
            parts.append(f"salvaged {sums.salvaged}")
        parts.append(f"{sums.frames / elapsed_s:.0f} frames/s")
        if sums.videos and self.done < self.total:
            left_s = (self.total - self.done) * elapsed_s / sums.videos
            parts.append(f"{clock(left_s)} left")
        return " · ".join(parts)

    @property
    def done(self) -> int:
        return self.already + self._sums.videos


class Follow(Protocol):
    """Told of each event."""

    def __call__(self, event: Event) -> None: ...


@contextmanager
def following(
    console: Console,
    videos: int,
    already: int,
    quiet: bool,
    reasons: Mapping[str, int] | None = None,
) -> Iterator[Follow]:
    """Show the progress of an ingest on `console` until the block ends.

    videos: all of the plan; already: those that need no work any more. quiet: show nothing.
    reasons: of those that were rejected when the plan was made, and are among `already`.
    """
    tally = Tally(videos, already, reasons)
    if quiet:
        yield tally.add
    elif console.is_terminal:
        with _live(console, tally) as follow:
            yield follow
    else:
        yield _plain(console, tally)
        console.print(tally.line(), highlight=False)


@contextmanager
def _live(console: Console, tally: Tally) -> Iterator[Follow]:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), BarColumn(24), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting workers", total=tally.total, completed=tally.already)

        def follow(event: Event) -> None:
            tally.add(event)
            progress.update(task, completed=tally.done, description=tally.line())
            _tell(console, event)

        yield follow
    console.print(tally.line(), highlight=False)


def _plain(console: Console, tally: Tally) -> Follow:
    told_s = time.monotonic()

    def follow(event: Event) -> None:
        nonlocal told_s
        tally.add(event)
        _tell(console, event)
        if time.monotonic() - told_s > PLAIN_INTERVAL_S:
            told_s = time.monotonic()
            console.print(tally.line(), highlight=False)

    return follow


def _tell(console: Console, event: Event) -> None:
    """Print what a user should see even when all goes on."""
    if isinstance(event, UnitRetried):
        line = f"unit {event.unit} starts again: {event.why}"
    elif isinstance(event, UnitDone) and event.kept:
        line = f"unit {event.record.unit} stays as it was: {'; '.join(event.kept)}"
    elif isinstance(event, UnitKept):
        line = f"unit {event.unit} is not replaced: {'; '.join(event.worse)}"
    elif isinstance(event, NodeJoined):
        line = f"node {event.node} takes part"
    elif isinstance(event, NodeLost):
        line = f"node {event.node} is lost"
    else:
        return
    console.print(line, highlight=False, markup=False)


def clock(seconds: float) -> str:
    """'1:02:03' or '2:03'."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
