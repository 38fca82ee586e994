"""The engine without Ray: worker processes of this machine, each running one unit at a time.

Workers are those of the Ray engine: each decodes in a child that is killed when a video makes it
hang or takes too much memory. A worker that dies is replaced and its unit is run again. Workers end
with the driver, however it ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import IO

from sofdata.errors import SofdataError, TransientError
from sofdata.ingest.engines.queue import START_TRIES, Queue, queue_of, raise_if_final
from sofdata.ingest.engines.worker import Failed, Idle, Message
from sofdata.ingest.events import Event, Ready, UnitRetried
from sofdata.ingest.job import UnitJob
from sofdata.ingest.units import Unit
from sofdata.system import interrupts
from sofdata.system.cores import cores
from sofdata.video.words import last_line

PROGRAM = "from sofdata.ingest.engines.worker import main; main()"
STDERR_TAIL_BYTES = 2000
POLL_S = 1.0
GRACE_S = 3.0  # for a worker to clear away what it has under way


def run_processes(units: Iterable[Unit], job: UnitJob) -> Iterator[Event]:
    """Run units in processes of this machine: `run.workers` of them, or one for each core.

    A unit whose worker dies, or that fails with a `TransientError`, is run again, three times in
    all (see `Queue.retry`). Any other error ends the run.
    """
    crew = Crew(job)
    try:
        yield from _drive(queue_of(units), crew, job)
    finally:
        crew.end()


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


@dataclass(slots=True)
class Crew:
    """The workers of one run: those that start, those without work, and those with a unit."""

    job: UnitJob
    starting: list[Worker] = field(default_factory=list)
    free: list[Worker] = field(default_factory=list)
    busy: list[Worker] = field(default_factory=list)
    failed_starts: int = 0

    @property
    def members(self) -> list[Worker]:
        """All workers."""
        return [*self.starting, *self.free, *self.busy]

    def fill(self, units: int) -> None:
        """Start the workers that are missing. units: that are not done yet."""
        for _ in range(min(self._wanted, units) - len(self.members)):
            # Ctrl-C goes to all processes of a terminal; the driver alone answers it, once the
            # worker is among those that it ends.
            with interrupts.held():
                worker = start_worker()
                self.starting.append(worker)
            worker.send(self.job)

    def take(self) -> Worker | None:
        """A worker without work, from now on busy; None if there is none."""
        if not self.free:
            return None
        self.busy.append(self.free.pop())
        return self.busy[-1]

    def give_back(self, worker: Worker) -> None:
        """A worker has started, or has ended its unit."""
        self._remove(worker)
        self.free.append(worker)

    def drop(self, worker: Worker, why: str) -> None:
        """A worker has died. Raises `TransientError` where workers keep dying as they start."""
        self.failed_starts = self.failed_starts + 1 if worker in self.starting else 0
        self._remove(worker)
        worker.reap(time.monotonic())
        if self.failed_starts > START_TRIES * self._wanted:
            raise TransientError(
                f"{self.failed_starts} workers in a row died while they started; {why}"
            )

    def wait(self) -> list[Worker]:
        """The workers that have sent something or have died; returns at the latest after 1 s."""
        pipes = {worker.pipe: worker for worker in self.members}
        return [pipes[pipe] for pipe in wait(list(pipes), POLL_S) if isinstance(pipe, Connection)]

    def end(self) -> None:
        """End all workers, and wait until they have ended."""
        members, until_s = self.members, time.monotonic() + GRACE_S
        self.starting, self.free, self.busy = [], [], []
        for worker in members:
            worker.stop()
        for worker in members:
            worker.reap(until_s)

    @property
    def _wanted(self) -> int:
        return self.job.config.run.workers or cores()

    def _remove(self, worker: Worker) -> None:
        for group in (self.starting, self.free, self.busy):
            if worker in group:
                group.remove(worker)


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


def _drive(queue: Queue, crew: Crew, job: UnitJob) -> Iterator[Event]:
    """Keep every worker busy with one unit until all are done.

    Raises `TransientError` with a diagnosis if for `run.stall_s` not one video ends, or if for
    `run.start_up_s` there is no worker.
    """
    run = job.config.run
    progress_s = worked_s = time.monotonic()
    is_ready = False
    while queue:
        queue.wake()
        crew.fill(len(queue))
        while queue.waiting and (worker := crew.take()):
            if not is_ready:
                is_ready = True
                yield Ready()
            unit = queue.waiting.popleft()
            queue.under_way[worker] = (unit, worker)
            worker.send(unit)
        now = time.monotonic()
        worked_s = now if queue.under_way or not queue.waiting else worked_s
        if now - worked_s > run.start_up_s:
            raise TransientError(
                f"for {run.start_up_s:.0f} s none of {len(crew.members)} workers started. Is the "
                "machine busy with other work? Ask for fewer (--workers), or wait longer "
                "(run.start_up_s); the same command resumes"
            )
        if now - progress_s > run.stall_s:
            raise TransientError(
                f"no video has ended for {run.stall_s:.0f} s. Under way: {queue.describe()}. Is a "
                "storage stuck? The same command resumes; run.stall_s sets the patience"
            )
        for worker in crew.wait():
            progress_s = time.monotonic()
            yield from _advance(queue, crew, worker)


def _advance(queue: Queue, crew: Crew, worker: Worker) -> Iterator[Event]:
    """Take the next message of a worker: events of its unit, or its end, or its failure."""
    message = worker.receive()
    unit, _ = queue.under_way.get(worker, (None, None))
    if not isinstance(message, Idle | Failed | str):
        yield from message
        return
    queue.under_way.pop(worker, None)
    if isinstance(message, Idle):
        crew.failed_starts = 0
        crew.give_back(worker)
        return
    if isinstance(message, str):
        why = message
        crew.drop(worker, why)
    else:
        why = str(message.cause)
        _raise_if_final(message, unit)
        crew.give_back(worker)
    if unit is not None:
        queue.retry(unit, why)
        yield UnitRetried(unit.id, why)


def _raise_if_final(failed: Failed, unit: Unit | None) -> None:
    """Raise what would fail again. unit: None if the start of the worker has failed."""
    error = RemoteError(failed.trace)
    if unit is not None:
        raise_if_final(failed.cause, unit, error)
    elif isinstance(failed.cause, SofdataError):
        raise failed.cause  # as things are, no other worker could start either
    else:
        raise TransientError(f"a worker could not start: {failed.cause!r}") from error


class RemoteError(Exception):
    """The traceback of an error in a worker."""

    def __str__(self) -> str:
        return f"in a worker:\n{self.args[0]}"
