"""How much video an ingest has worked through, and how long the rest will take.

Counted in seconds of video, since videos are of any length: those of spans are known from the plan,
those of a file that is open from its container, and those of files that nobody has opened yet from
their bytes, by what the files so far had in a second.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sofdata.ingest.events import Event, UnitDone, UnitKept, UnitRetried, VideoDone, VideoProgress
from sofdata.ingest.work import GUESSED_BYTES_PER_S, Work


@dataclass(slots=True)
class Ended:
    """What videos that have ended were counted by in the plan, and what they were.

    span_s, whole_bytes: as in `Work`. whole_s, measured_bytes: seconds and bytes of those whole
    files that were worked through now. worked_s: seconds of all that was worked through now.
    """

    span_s: float = 0.0
    whole_bytes: int = 0
    whole_s: float = 0.0
    measured_bytes: int = 0
    worked_s: float = 0.0

    def add(self, other: Ended, sign: int = 1) -> None:
        """Add other videos, or take them back with sign -1."""
        self.span_s += sign * other.span_s
        self.whole_bytes += sign * other.whole_bytes
        self.whole_s += sign * other.whole_s
        self.measured_bytes += sign * other.measured_bytes
        self.worked_s += sign * other.worked_s


@dataclass(slots=True)
class Open:
    """Videos under way of which something was heard, all together.

    known_s, known_bytes: seconds and bytes of those whole files that state their length.
    """

    videos: int = 0
    done_s: float = 0.0
    total_s: float = 0.0
    known_s: float = 0.0
    known_bytes: int = 0

    def add(self, heard: VideoProgress, sign: int = 1) -> None:
        """Add a video, or take it away with sign -1."""
        total_s = max(heard.total_s, heard.done_s)
        self.videos += sign
        self.done_s += sign * heard.done_s
        self.total_s += sign * total_s
        if heard.size_bytes and heard.total_s:
            self.known_s += sign * total_s
            self.known_bytes += sign * heard.size_bytes


@dataclass(slots=True)
class Pace:
    """Seconds of video done and left of a run. work: all that it has to do."""

    work: Work
    open: Open = field(default_factory=Open)
    _ended: Ended = field(default_factory=Ended)
    _heard: dict[str, dict[str, VideoProgress]] = field(default_factory=dict)  # by unit and video
    _of_unit: dict[str, Ended] = field(default_factory=dict)  # of those that are not committed

    def add(self, event: Event) -> None:
        """Count one event; a unit that is retried takes back what its failed try had counted."""
        if isinstance(event, VideoProgress):
            self._forget(event.unit, event.video)
            self._heard.setdefault(event.unit, {})[event.video] = event
            self.open.add(event)
        elif isinstance(event, VideoDone):
            self._forget(event.unit, event.video)
            ended = _ended(event)
            self._of_unit.setdefault(event.unit, Ended()).add(ended)
            self._ended.add(ended)
        elif isinstance(event, UnitRetried):
            for video in list(self._heard.get(event.unit, ())):
                self._forget(event.unit, video)
            self._ended.add(self._of_unit.pop(event.unit, Ended()), sign=-1)
        elif isinstance(event, UnitDone | UnitKept):
            self._of_unit.pop(event.unit, None)
            self._heard.pop(event.unit, None)

    @property
    def done_s(self) -> float:
        """Seconds of video worked through, those of open videos included."""
        return self._ended.worked_s + self.open.done_s

    @property
    def left_s(self) -> float:
        """About how many seconds of video are left."""
        ended, under_way = self._ended, self.open
        whole_s, of_bytes = (
            ended.whole_s + under_way.known_s,
            ended.measured_bytes + under_way.known_bytes,
        )
        bytes_per_s = of_bytes / whole_s if whole_s > 0 and of_bytes > 0 else GUESSED_BYTES_PER_S
        closed = self.work.whole_bytes - ended.whole_bytes - under_way.known_bytes
        spans_s = self.work.span_s - ended.span_s
        return max(0.0, spans_s + closed / bytes_per_s + under_way.known_s - under_way.done_s)

    def time_left_s(self, elapsed_s: float) -> float | None:
        """How long the rest will take, by the pace so far; None as long as there is none."""
        return self.left_s * elapsed_s / self.done_s if self.done_s > 0 else None

    def _forget(self, unit: str, video: str) -> None:
        heard = self._heard.get(unit, {}).pop(video, None)
        if heard:
            self.open.add(heard, sign=-1)


def _ended(event: VideoDone) -> Ended:
    if event.taken_over or not event.seconds:  # it says nothing of what the others take
        return Ended(event.span_s, event.size_bytes)
    whole_s = event.seconds if event.size_bytes else 0.0
    return Ended(event.span_s, event.size_bytes, whole_s, event.size_bytes, event.seconds)
