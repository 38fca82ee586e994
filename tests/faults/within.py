"""Faults within this process: an ingest that is ended at a step, and files that cannot be read."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sofdata.ingest.engines.decoders import InProcess
from sofdata.system import fault_points as faults

PROMOTION = "finish: tables made"  # the step after which a generation is put in place


class Killed(BaseException):
    """Ends an ingest at a step. No code of ours catches it."""


@dataclass(slots=True)
class Steps:
    """Counts the steps of a run, and ends it at the `nth` time that it reaches `step`.

    late: so many steps after that.
    """

    step: str = ""
    nth: int = 1
    late: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    after: int = 0

    def __call__(self, step: str) -> None:
        self.seen[step] += 1
        if self.step and self.seen[self.step] >= self.nth:
            if self.after >= self.late:
                raise Killed  # again at each later step: a killed process does nothing more
            self.after += 1


@contextmanager
def told(steps: Steps) -> Iterator[None]:
    """Have the steps of this process go to `steps`."""
    before, faults._inject = faults._inject, steps
    try:
        yield
    finally:
        faults._inject = before


@contextmanager
def unreadable(ids: set[str]) -> Iterator[None]:
    """Let the files of some videos fail as a disk does, once they are opened."""
    open_video = InProcess.__call__

    def fail(self: InProcess, path: object, ref: object, decoder: object) -> object:
        if ref.id in ids:  # type: ignore[attr-defined]
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return open_video(self, path, ref, decoder)  # type: ignore[arg-type]

    InProcess.__call__ = fail  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        InProcess.__call__ = open_video  # type: ignore[method-assign]


def other_library(name: str) -> None:
    """Let this process compute with another version of a library, as far as it can tell."""
    from sofdata.ingest import libraries

    used = libraries.used_libraries
    libraries.used_libraries = lambda config: {**used(config), name: "another"}
