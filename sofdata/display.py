"""What the user sees while an ingest runs: a live line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from sofdata.ingest.events import Event, Ready, UnitDone, UnitRetried, VideoDone

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_INTERVAL_S = 5.0


class Tally:
    """Counts events. A unit that is retried gives back what its failed try had counted."""

    def __init__(self, videos: int, already: int) -> None:
        self.total = videos
        self.already = already
        self._units: dict[str, list[VideoDone]] = {}
        self.committed = 0
        self.started = time.monotonic()

    def add(self, event: Event) -> None:
        """Count one event."""
        if isinstance(event, Ready):
            self.started = time.monotonic()
        elif isinstance(event, VideoDone):
            self._units.setdefault(event.unit, []).append(event)
        elif isinstance(event, UnitRetried):
            self._units.pop(event.unit, None)
        elif isinstance(event, UnitDone):
            self.committed += 1

    def line(self) -> str:
        """'videos 12/40 · windows 60 · rejected 2 (static 2) · 812 frames/s · 0:32 left'."""
        events = [event for unit in self._units.values() for event in unit]
        reasons = Counter(event.video.reason for event in events if event.video.reason)
        windows = sum(event.video.windows for event in events)
        frames = sum(event.video.frames for event in events)
        elapsed_s = time.monotonic() - self.started
        done = self.already + len(events)
        parts = [f"videos {done}/{self.total}", f"windows {windows}"]
        if reasons:
            told = ", ".join(f"{reason} {number}" for reason, number in reasons.most_common())
            parts.append(f"set aside {reasons.total()} ({told})")
        parts.append(f"{frames / elapsed_s:.0f} frames/s")
        if events and done < self.total:
            parts.append(f"{_clock((self.total - done) * elapsed_s / len(events))} left")
        return " · ".join(parts)

    @property
    def done(self) -> int:
        return self.already + sum(len(unit) for unit in self._units.values())


class Follow(Protocol):
    """Told of each event."""

    def __call__(self, event: Event) -> None: ...


@contextmanager
def following(console: Console, videos: int, already: int, quiet: bool) -> Iterator[Follow]:
    """Show the progress of an ingest on `console` until the block ends.

    videos: all of the plan; already: those that an earlier run has finished.
    quiet: show nothing.
    """
    tally = Tally(videos, already)
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
            _tell_retry(console, event)

        yield follow
    console.print(tally.line(), highlight=False)


def _plain(console: Console, tally: Tally) -> Follow:
    told_s = time.monotonic()

    def follow(event: Event) -> None:
        nonlocal told_s
        tally.add(event)
        _tell_retry(console, event)
        if time.monotonic() - told_s > PLAIN_INTERVAL_S:
            told_s = time.monotonic()
            console.print(tally.line(), highlight=False)

    return follow


def _tell_retry(console: Console, event: Event) -> None:
    if isinstance(event, UnitRetried):
        console.print(f"unit {event.unit} starts again: {event.why}", highlight=False, markup=False)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
