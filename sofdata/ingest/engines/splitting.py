"""Which workers help with which long videos, from the driver's side.

Units come first: a worker helps only while none waits, and after each part its driver decides anew.
So a long video costs nothing extra where there is other work, and at the end, when only long ones
are left, no worker of their nodes is idle.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sofdata.ingest.events import Event, SplitOpened, UnitDone, UnitKept, UnitRetried, VideoDone
from sofdata.ingest.splitting.split import VideoSplit

MOST_LOSSES = 3  # helpers that a video may cost before it is left to the worker that has it


@dataclass(eq=False, slots=True)
class OpenSplit:
    """A long video that is open at a place, which is the id of a node; "" for this machine."""

    video: VideoSplit
    place: str
    helpers: int = 0
    losses: int = 0


@dataclass(slots=True)
class Splits:
    """The long videos that may be helped with, and the workers that do.

    To follow an event takes no longer the more videos are open.

    helping: what each worker helps with and the worker, by what the engine waits for.
    """

    helping: dict[Any, tuple[OpenSplit, Any]] = field(default_factory=dict)
    _open: dict[str, OpenSplit] = field(default_factory=dict)  # by unit: one of each is open
    _wanted: Counter[str] = field(default_factory=Counter)

    def follow(self, event: Event, place: str = "") -> bool:
        """Take note of what a worker at `place` reports; True if it concerns the engine alone."""
        if isinstance(event, SplitOpened):
            self._close(event.split.unit)
            self._open[event.split.unit] = OpenSplit(event.split, place)
            self._wanted[place] += len(event.split.division.parts)
            return True
        if isinstance(event, VideoDone | UnitDone | UnitKept | UnitRetried):
            self._close(event.unit)
        return False

    def wanted(self) -> dict[str, int]:
        """How many helpers could be of use at each place, those that there are included."""
        return {place: number for place, number in self._wanted.items() if number}

    def next_at(self, place: str = "") -> OpenSplit | None:
        """The video that a worker at a place should help with: the one with the fewest helpers."""
        at_hand = [
            split
            for split in self._open.values()
            if split.place == place and split.helpers < len(split.video.division.parts)
        ]
        return min(at_hand, key=lambda split: split.helpers, default=None)

    def begin(self, call: Any, split: OpenSplit, worker: Any) -> None:
        """A worker has been asked to help. call: what the engine waits for."""
        split.helpers += 1
        self.helping[call] = (split, worker)

    def end(self, call: Any, more: bool) -> Any:
        """A worker has helped, or could not. more: whether there may be more to help with.

        Returns the worker.
        """
        split, worker = self.helping.pop(call)
        split.helpers -= 1
        if not more and self._open.get(split.video.unit) is split:
            self._close(split.video.unit)
        return worker

    def lose(self, call: Any) -> Any:
        """A worker has died; its part is done again by another. Returns the worker."""
        split, _ = self.helping[call]
        split.losses += 1
        return self.end(call, more=split.losses < MOST_LOSSES)

    def _close(self, unit: str) -> None:
        split = self._open.pop(unit, None)
        if split:
            self._wanted[split.place] -= len(split.video.division.parts)
