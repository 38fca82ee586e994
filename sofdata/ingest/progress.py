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
    VideoProgress,
)
from sofdata.ingest.pace import Pace
from sofdata.ingest.work import Work
from sofdata.ui.console import say
from sofdata.ui.text import clock

if TYPE_CHECKING:
    from rich.console import Console

OnEvent = Callable[[Event], None]

PLAIN_INTERVAL_S = 5.0  # between two lines where there is no terminal
LONG_S = 60.0  # a video from which on its own progress is worth showing


@dataclass
class VideoCounts:
    """What became of some videos."""

    videos: int = 0
    windows: int = 0
    frames: int = 0
    salvaged: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add_video(self, event: VideoDone) -> None:
        """Add a video."""
        self.videos += 1
        self.windows += event.windows
        self.frames += 0 if event.taken_over else event.frames
        self.salvaged += event.is_salvaged and event.status == "done"
        if event.reason:
            self.reasons[event.reason] += 1

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

    videos: all of the plan; already: those that need no work any more. reasons: of those that were
    rejected when the plan was made, and are among `already`. work: what the others are.
    """

    def __init__(
        self,
        videos: int,
        already: int,
        reasons: Mapping[str, int] | None = None,
        work: Work = Work(),  # noqa: B008 - frozen
    ) -> None:
        self.total = videos
        self.pace = Pace(work)
        self.already = already
        self.started = time.monotonic()
        self._moved = self.started  # when it was last heard how far it has come
        self._counts = VideoCounts(reasons=Counter(reasons or {}))
        self._open: dict[str, VideoCounts] = {}  # of the units that are not committed

    def add(self, event: Event) -> None:
        """Count one event."""
        self.pace.add(event)
        if isinstance(event, VideoDone | VideoProgress):
            self._moved = time.monotonic()
        if isinstance(event, Ready):
            self.started = time.monotonic()
        elif isinstance(event, VideoDone):
            unit = self._open.get(event.unit)
            if unit is None:
                unit = self._open[event.unit] = VideoCounts()
            unit.add_video(event)
            self._counts.add_video(event)
        elif isinstance(event, UnitRetried):
            self._counts.add(self._open.pop(event.unit, VideoCounts()), sign=-1)
        elif isinstance(event, UnitDone):
            if event.kept:  # the old results stay, so these do not count
                self._counts.add(self._open[event.unit], sign=-1)
                self._counts.videos += event.videos
            self._open.pop(event.unit, None)
        elif isinstance(event, UnitKept):
            self._open.pop(event.unit, None)

    def line(self) -> str:
        """'videos 12/40 · windows 60 · not done 2 (static 2) · 812 frames/s · 0:32 left'.

        While long videos are under way also 'video 12:30 of 1:00:00', or of several together. May
        be called by another thread than `add`.
        """
        counts = self._counts
        now = time.monotonic()
        parts = [f"videos {self.done}/{self.total}", f"windows {counts.windows}"]
        seen = Counter(counts.reasons.copy())  # in one step, as the other thread goes on
        if not_done := seen.total():
            reasons = ", ".join(f"{why} {number}" for why, number in seen.most_common())
            parts.append(f"not done {not_done} ({reasons})")
        if counts.salvaged:
            parts.append(f"salvaged {counts.salvaged}")
        under_way = self._long()
        if counts.frames or not under_way:  # frames are counted when their video ends
            parts.append(f"{counts.frames / (now - self.started):.0f} frames/s")
        if under_way:
            parts.append(under_way)
        if self.done < self.total and (left_s := self._left_s(now)) is not None:
            parts.append(f"{clock(left_s)} left")
        return " · ".join(parts)

    def _left_s(self, now: float) -> float | None:
        """How long the rest will take: what was left when last heard, less the time since.

        A long video tells of itself every few seconds; what it has done since is not known to be
        nothing. Only what takes longer than was left goes by the pace until now.
        """
        left_s = self.pace.time_left_s(max(0.0, self._moved - self.started))
        if left_s is None or left_s >= now - self._moved:
            return None if left_s is None else left_s - (now - self._moved)
        return self.pace.time_left_s(now - self.started)

    def _long(self) -> str:
        """How far the videos under way have come, "" where none of them is long."""
        under_way = self.pace.open
        if under_way.total_s < LONG_S * max(1, under_way.videos):
            return ""
        what = "video" if under_way.videos == 1 else f"{under_way.videos} videos"
        return f"{what} {clock(under_way.done_s)} of {clock(under_way.total_s)}"

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
    work: Work = Work(),  # noqa: B008 - frozen
) -> Iterator[OnEvent]:
    """Show the progress of an ingest on `console` until the block ends.

    videos: all of the plan; already: those that need no work any more. quiet: show nothing.
    reasons, work: as of `IngestProgress`.
    """
    progress = IngestProgress(videos, already, reasons, work)
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
    """A bar that asks for the line as often as it is drawn, not as often as there are events."""
    from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task
    from rich.text import Text

    is_ready = False

    class Line(ProgressColumn):
        def render(self, task: Task) -> Text:
            task.completed = progress.done
            return Text(progress.line() if is_ready else "starting workers")

    with Progress(SpinnerColumn(), BarColumn(24), Line(), console=console, transient=True) as bar:
        bar.add_task("", total=progress.total, completed=progress.already)

        def follow(event: Event) -> None:
            nonlocal is_ready
            is_ready = True
            progress.add(event)
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
