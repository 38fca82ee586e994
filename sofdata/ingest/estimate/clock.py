"""CPU time of a process and of those that decode for it."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds: of the clock; of CPU, by this process and by its children, which decode."""

    wall_s: float
    own_s: float
    children_s: float

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all."""
        return self.own_s + self.children_s

    def plus(self, other: Spent) -> Spent:
        """Both together."""
        return Spent(
            self.wall_s + other.wall_s,
            self.own_s + other.own_s,
            self.children_s + other.children_s,
        )

    def times(self, share: float) -> Spent:
        """A share of it."""
        return Spent(self.wall_s * share, self.own_s * share, self.children_s * share)


NO_TIME = Spent(0.0, 0.0, 0.0)


class CpuClock:
    """Reads the clocks. Those of children count in hundredths of a second; their sums are right."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._children: list[psutil.Process] = []

    def read(self) -> Spent:
        """The clocks as they stand; what reading them costs is not in what follows."""
        children_s = self._children_s()
        return Spent(time.perf_counter(), time.process_time(), children_s)

    def since(self, begin: Spent) -> Spent:
        """What was spent since then; what reading the clocks costs is not in it."""
        wall_s, own_s = time.perf_counter(), time.process_time()
        return Spent(
            wall_s - begin.wall_s,
            own_s - begin.own_s,
            max(0.0, self._children_s() - begin.children_s),
        )

    def _children_s(self) -> float:
        """Of all children so far: those that have ended, and those that are alive."""
        ended = os.times()
        alive_s = 0.0
        for child in self._alive():
            with suppress(psutil.Error):
                times = child.cpu_times()
                alive_s += times.user + times.system
        return ended.children_user + ended.children_system + alive_s

    def _alive(self) -> list[psutil.Process]:
        # To look for children is to look at all processes of the machine: only if one is missing.
        if not self._children or not all(child.is_running() for child in self._children):
            with suppress(psutil.Error):
                self._children = self._process.children()
        return self._children
