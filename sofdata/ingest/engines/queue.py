"""The units of a run with several workers: which wait, which run, and how often each has failed.

Retry policy for every engine with workers; the engines decide only what a failure was.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sofdata.errors import ContractError, SofdataError, StorageError, TransientError
from sofdata.ingest.units import Unit

UNIT_TRIES = 3
NODE_TRIES = 10
START_TRIES = 3  # for each worker wanted
DESCRIBED = 20  # units that a diagnosis names
PAUSE_S = 0.5  # before the second try; each later one waits so much longer


@dataclass(slots=True)
class Queue:
    """The units of a run that are not done yet. No step takes longer the more of them there are.

    under_way: each unit that runs, and its worker, by what the engine waits for.
    later: the units that wait for the end of a pause, as a heap: when that is on the monotonic
    clock, and a number that settles ties.
    """

    waiting: deque[Unit]
    later: list[tuple[float, int, Unit]] = field(default_factory=list)
    under_way: dict[Any, tuple[Unit, Any]] = field(default_factory=dict)
    tries: Counter[str] = field(default_factory=Counter)
    losses: Counter[str] = field(default_factory=Counter)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def __len__(self) -> int:
        return len(self.waiting) + len(self.later) + len(self.under_way)

    def wake(self) -> None:
        """Let those units wait for a worker again whose pause is over."""
        while self.later and self.later[0][0] <= time.monotonic():
            self.waiting.append(heapq.heappop(self.later)[2])

    def retry(self, unit: Unit, why: str, lost: bool = False) -> None:
        """Queue a unit again whose worker failed.

        lost: whether its node was lost, which is not the unit's fault: it may be run again more
            often, and at once.

        Raises `TransientError` if it has failed too often.
        """
        count, most = (self.losses, NODE_TRIES) if lost else (self.tries, UNIT_TRIES)
        count[unit.id] += 1
        if count[unit.id] >= most:
            videos = ", ".join(video.id for video in unit.videos[:3])
            raise TransientError(f"unit {unit.id} ({videos}, ...) failed {most} times: {why}")
        pause_s = 0.0 if lost else PAUSE_S * self.tries[unit.id]
        heapq.heappush(self.later, (time.monotonic() + pause_s, next(self._numbers), unit))

    def describe(self) -> str:
        """The first units under way in words, for a diagnosis."""
        units = [unit for unit, _ in itertools.islice(self.under_way.values(), DESCRIBED)]
        parts = [f"unit {unit.id} ({unit.videos[0].id}, ...)" for unit in units]
        more = len(self.under_way) - len(units)
        return "; ".join([*parts, f"{more} more"] if more else parts)


def queue_of(units: Iterable[Unit]) -> Queue:
    """A queue in which all units wait, in the order given."""
    return Queue(deque(units))


def raise_if_final(cause: Exception, unit: Unit, error: Exception) -> None:
    """Raise what would fail again in another try, as what the user can do something about.

    cause: what the unit raised in its worker. error: what the engine made of it, which a log keeps.
    """
    if isinstance(cause, TransientError):
        return
    if isinstance(cause, SofdataError):
        raise cause
    if isinstance(cause, OSError):  # not the destination's, which would be a StorageError
        raise StorageError(f"unit {unit.id}: {cause}; does its node have room for temporary files?")
    raise ContractError(f"unit {unit.id} failed: {cause!r}") from error
