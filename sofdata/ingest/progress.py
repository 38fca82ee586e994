"""The progress of an ingest: a live line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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
from sofdata.ui.console import say
from sofdata.ui.text import clock

if TYPE_CHECKING:
    from rich.console import Console

OnEvent = Callable[[Event], None]

PLAIN_INTERVAL_S = 5.0  # between two lines where there is no terminal


@dataclass
class VideoCounts:
    """What became of some videos."""

    videos: int = 0
    windows: int = 0
    frames: int = 0
    salvaged: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, other: VideoCounts, sign: int = 1) -> None:
        """Add the counts of other videos, or subtract them with sign -1."""
        self.videos += sign * other.videos
        self.windows += sign * other.windows
        self.frames += sign * other.frames
        self.salvaged += sign * other.salvaged
        for reason, number in other.reasons.items():
            self.reasons[reason] += sign * number


class IngestProgress:
    """What an ingest has done so far, counted from its events.

    When a unit is retried, what its failed try had counted is subtracted.
    """

    def __init__(self, videos: int, already: int, reasons: Mapping[str, int] | None = None) -> None:
        self.total = videos
        self.already = already
        self.started = time.monotonic()
        self._counts = VideoCounts(reasons=Counter(reasons or {}))
        self._open: dict[str, VideoCounts] = {}  # of the units that are not committed

    def add(self, event: Event) -> None:
        """Count one event."""
        if isinstance(event, Ready):
            self.started = time.monotonic()
        elif isinstance(event, VideoDone):
            reasons = Counter([event.reason] if event.reason else [])
            salvaged = int(event.status == "done" and event.is_salvaged)
            frames = 0 if event.taken_over else event.frames
            counts = VideoCounts(1, event.windows, frames, salvaged, reasons)
            self._open.setdefault(event.unit, VideoCounts()).add(counts)
            self._counts.add(counts)
        elif isinstance(event, UnitRetried):
            self._counts.add(self._open.pop(event.unit, VideoCounts()), sign=-1)
        elif isinstance(event, UnitDone):
            if event.kept:  # the old results stay, so these do not count
                self._counts.add(self._open[event.unit], sign=-1)
                self._counts.videos += event.videos
            self._open.pop(event.unit, None)

    def line(self) -> str:
        """'videos 12/40 · windows 60 · not done 2 (static 2) · 812 frames/s · 0:32 left'."""
        counts = self._counts
        elapsed_s = time.monotonic() - self.started
        parts = [f"videos {self.done}/{self.total}", f"windows {counts.windows}"]
        if not_done := counts.reasons.total():
            reasons = ", ".join(f"{why} {number}" for why, number in counts.reasons.most_common())
            parts.append(f"not done {not_done} ({reasons})")
        if counts.salvaged:
            parts.append(f"salvaged {counts.salvaged}")
        parts.append(f"{counts.frames / elapsed_s:.0f} frames/s")
        if counts.videos and self.done < self.total:
            left_s = (self.total - self.done) * elapsed_s / counts.videos
            parts.append(f"{clock(left_s)} left")
        return " · ".join(parts)

    @property
    def done(self) -> int:
        return self.already + self._counts.videos


@contextmanager
def following(
    console: Console,
    videos: int,
    already: int,
    quiet: bool,
    reasons: Mapping[str, int] | None = None,
) -> Iterator[OnEvent]:
    """Show the progress of an ingest on `console` until the block ends.

    videos: all of the plan; already: those that need no work any more. quiet: show nothing.
    reasons: of those that were rejected when the plan was made, and are among `already`.
    """
    progress = IngestProgress(videos, already, reasons)
    if quiet:
        yield progress.add
    elif console.is_terminal:
        with _live(console, progress) as follow:
            yield follow
    else:
        yield _plain(console, progress)
        say(console, progress.line())


@contextmanager
def _live(console: Console, progress: IngestProgress) -> Iterator[OnEvent]:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), BarColumn(24), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting workers", total=progress.total, completed=progress.already)

        def follow(event: Event) -> None:
            progress.add(event)
            bar.update(task, completed=progress.done, description=progress.line())
            _print_event(console, event)

        yield follow
    say(console, progress.line())


def _plain(console: Console, progress: IngestProgress) -> OnEvent:
    printed_s = time.monotonic()

    def follow(event: Event) -> None:
        nonlocal printed_s
        progress.add(event)
        _print_event(console, event)
        if time.monotonic() - printed_s > PLAIN_INTERVAL_S:
            printed_s = time.monotonic()
            say(console, progress.line())

    return follow


def _print_event(console: Console, event: Event) -> None:
    """Print an event that the user should know of; an ordinary one prints nothing."""
    if isinstance(event, UnitRetried):
        line = f"unit {event.unit} is retried: {event.why}"
    elif isinstance(event, UnitDone) and event.kept:
        line = f"unit {event.unit} stays as it was: {'; '.join(event.kept)}"
    elif isinstance(event, UnitKept):
        line = f"unit {event.unit} is not replaced: {'; '.join(event.worse)}"
    elif isinstance(event, NodeJoined):
        line = f"node {event.node} takes part"
    elif isinstance(event, NodeLost):
        line = f"node {event.node} is lost"
    else:
        return
    say(console, line)
