"""The worker processes of this machine, from the driver's side: started, spoken to, ended.

Each decodes in a child that is killed when a video makes it hang or takes too much memory. Workers
end with the driver, however it ends.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import IO, TYPE_CHECKING

from sofdata.errors import TransientError
from sofdata.ingest.engines.queue import START_TRIES
from sofdata.system import interrupts
from sofdata.system.cores import cores
from sofdata.video.words import last_line

if TYPE_CHECKING:  # a command starts workers before it imports what it plans with
    from sofdata.ingest.engines.worker import Message
    from sofdata.ingest.job import UnitJob

PROGRAM = "from sofdata.ingest.engines.worker import main; main()"
STDERR_TAIL_BYTES = 2000
POLL_S = 1.0
GRACE_S = 3.0  # for a worker to clear away what it has under way
EARLY = 4  # workers that start before there is a plan, at most: enough for a first shard


@dataclass(eq=False, slots=True)
class Worker:
    """A worker process, from the driver's side."""

    process: subprocess.Popen[bytes]
    pipe: Connection
    stderr: IO[bytes]

    def send(self, value: object) -> None:
        """Send what the worker waits for. If it is dead, `receive` finds out."""
        with suppress(OSError):
            self.pipe.send(value)

    def receive(self) -> Message | str:
        """The next message; or, if the worker has died, a sentence about how."""
        try:
            message: Message = self.pipe.recv()
        except (EOFError, OSError):
            return self._death()
        return message

    def stop(self) -> None:
        """Ask the worker to end: at once if it is idle, else after clearing away."""
        self.pipe.close()
        self.process.terminate()

    def reap(self, until_s: float) -> None:
        """Wait for the end of the worker until then on the monotonic clock, then kill it."""
        self._end(until_s)
        self.pipe.close()
        self.stderr.close()

    def _death(self) -> str:
        code = self._end(time.monotonic() + POLL_S)
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        end = self.stderr.seek(0, os.SEEK_END)
        self.stderr.seek(max(0, end - STDERR_TAIL_BYTES))
        line = last_line(self.stderr.read().decode("utf-8", "replace"))
        return f"its worker process died ({how})" + (f": {line}" if line else "")

    def _end(self, until_s: float) -> int:
        """How the process has ended; killed if it has not until then."""
        try:
            return self.process.wait(max(0.0, until_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def start_worker(program: str = "") -> Worker:
    """Start a worker; once it has been sent its job, its first message says that it is ready.

    program: what it runs instead of a worker's own, with the same arguments.
    """
    ours, theirs = Pipe()
    stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
    arguments = [str(theirs.fileno()), str(os.getpid())]
    found = os.pathsep.join(path or os.getcwd() for path in sys.path)  # modules as here, no others
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", program or PROGRAM, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
            env={"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": found},
            pass_fds=(theirs.fileno(),),
        )
    finally:
        theirs.close()
    return Worker(process, ours, stderr)


def end_workers(workers: Iterable[Worker]) -> None:
    """End workers, and wait until they have ended."""
    workers, until_s = list(workers), time.monotonic() + GRACE_S
    for worker in workers:
        worker.stop()
    for worker in workers:
        worker.reap(until_s)


class EarlyWorkers:
    """Workers that start while it is still being planned what they will do."""

    def __init__(self) -> None:
        self._workers: list[Worker] = []

    def start(self, number: int) -> None:
        """Start so many. Where that fails, the engine will find out, and say so."""
        with suppress(OSError):
            for _ in range(number):
                enlist(self._workers)

    def hand_over(self, most: int) -> list[Worker]:
        """Give away so many; they are ended by whoever takes them, the others now."""
        taken, self._workers = self._workers, []
        end_workers(taken[most:])
        return taken[:most]

    def end(self) -> None:
        """End those that nobody has taken."""
        self.hand_over(0)


@contextmanager
def early_workers(workers: int | None, *, wanted: bool = True) -> Iterator[EarlyWorkers]:
    """Start workers now, `workers` or one a core but at most `EARLY`, and end them with the block.

    Those are spared that an engine has taken over. wanted: start none if not.
    """
    early = EarlyWorkers()
    try:
        if wanted:
            early.start(min(EARLY, workers or cores()))
        yield early
    finally:
        early.end()


@dataclass(slots=True)
class Crew:
    """The workers of one run: those that start, those without work, and those with a unit.

    No step takes longer the more workers there are.
    """

    job: UnitJob
    starting: set[Worker] = field(default_factory=set)
    free: list[Worker] = field(default_factory=list)
    busy: set[Worker] = field(default_factory=set)
    failed_starts: int = 0
    _pipes: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _started: list[Worker] = field(default_factory=list)  # and not yet in `starting`

    def __len__(self) -> int:
        return len(self.starting) + len(self.free) + len(self.busy)

    def fill(self, units: int, early: EarlyWorkers | None = None) -> None:
        """Start the workers that are missing. units: that are not done yet.

        early: workers that were started before, to begin with.
        """
        missing = min(self._wanted, units) - len(self)
        if early is not None:
            self._started += early.hand_over(max(0, missing))
        while self._started or len(self) < min(self._wanted, units):
            worker = self._started[-1] if self._started else enlist(self._started)
            self.starting.add(worker)
            self._started.pop()
            self._pipes.register(worker.pipe, selectors.EVENT_READ, worker)
            worker.send(self.job)

    def take(self) -> Worker | None:
        """A worker without work, from now on busy; None if there is none."""
        if not self.free:
            return None
        worker = self.free.pop()
        self.busy.add(worker)
        return worker

    def give_back(self, worker: Worker) -> None:
        """A worker has started, or has ended its unit."""
        self.starting.discard(worker)
        self.busy.discard(worker)
        self.free.append(worker)

    def drop(self, worker: Worker, why: str) -> None:
        """A worker has died. Raises `TransientError` where workers keep dying as they start."""
        self.failed_starts = self.failed_starts + 1 if worker in self.starting else 0
        self._pipes.unregister(worker.pipe)
        self.starting.discard(worker)
        self.busy.discard(worker)
        if worker in self.free:
            self.free.remove(worker)
        worker.reap(time.monotonic())
        if self.failed_starts > START_TRIES * self._wanted:
            raise TransientError(
                f"{self.failed_starts} workers in a row died while they started; {why}"
            )

    def wait(self) -> list[Worker]:
        """The workers that have sent something or have died; returns at the latest after 1 s."""
        return [key.data for key, _ in self._pipes.select(POLL_S)]

    def end(self) -> None:
        """End all workers, and wait until they have ended."""
        members = {*self._started, *self.starting, *self.free, *self.busy}
        self._started, self.starting, self.free, self.busy = [], set(), [], set()
        self._pipes.close()
        end_workers(members)

    @property
    def _wanted(self) -> int:
        return self.job.config.run.workers or cores()


def enlist(among: list[Worker], program: str = "") -> Worker:
    """Start a worker as one more of `among`; program: as of `start_worker`.

    Ctrl-C goes to all processes of a terminal; the driver alone answers it, once the worker is
    among those that it ends.
    """
    with interrupts.held():
        worker = start_worker(program)
        among.append(worker)
    return worker
