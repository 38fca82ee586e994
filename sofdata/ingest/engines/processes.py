"""The engine without Ray: worker processes of this machine, each running one unit at a time.

Workers are those of the Ray engine; `sofdata.ingest.engines.crew` starts and ends them. One that
dies is replaced and its unit is run again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from sofdata.errors import SofdataError, TransientError
from sofdata.ingest.engines.crew import Crew, EarlyWorkers, Worker
from sofdata.ingest.engines.queue import Queue, queue_of, raise_if_final
from sofdata.ingest.engines.splitting import Splits
from sofdata.ingest.engines.worker import Failed, Helped, Idle, Message
from sofdata.ingest.events import Event, Ready, UnitRetried
from sofdata.ingest.job import UnitJob
from sofdata.ingest.units import Unit


def run_processes(
    units: Iterable[Unit], job: UnitJob, early: EarlyWorkers | None = None
) -> Iterator[Event]:
    """Run units in processes of this machine: `run.workers` of them, or one for each core.

    early: workers that were started before.

    A unit whose worker dies, or that fails with a `TransientError`, is run again, three times in
    all (see `Queue.retry`). Any other error ends the run.
    """
    queue, crew = queue_of(units), Crew(job)
    try:
        crew.fill(len(queue), early)
        yield from _drive(queue, crew, job)
    finally:
        crew.end()


def _drive(queue: Queue, crew: Crew, job: UnitJob) -> Iterator[Event]:
    """Keep every worker busy with one unit, or with a part of a long video, until all are done.

    Raises `TransientError` with a diagnosis if for `run.stall_s` not one video ends, or if for
    `run.start_up_s` there is no worker.
    """
    run = job.config.run
    progress_s = worked_s = time.monotonic()
    splits, is_ready = Splits(), False
    while queue:
        queue.wake()
        crew.fill(len(queue) + sum(splits.wanted().values()))
        while queue.waiting and (worker := crew.take()):
            if not is_ready:
                is_ready = True
                yield Ready()
            unit = queue.waiting.popleft()
            queue.under_way[worker] = (unit, worker)
            worker.send(unit)
        if not queue.waiting:
            _help(splits, crew)
        now = time.monotonic()
        worked_s = now if queue.under_way or not queue.waiting else worked_s
        if now - worked_s > run.start_up_s:
            raise TransientError(
                f"for {run.start_up_s:.0f} s none of {len(crew)} workers started. Is the "
                "machine busy with other work? Ask for fewer (--workers), or wait longer "
                "(run.start_up_s); the same command resumes"
            )
        if now - progress_s > run.stall_s:
            raise TransientError(
                f"no video has ended for {run.stall_s:.0f} s. Under way: {queue.describe()}. Is a "
                "storage stuck? The same command resumes; run.stall_s sets the patience"
            )
        for worker in crew.wait():
            message = worker.receive()
            if worker in splits.helping:
                _take_help(splits, crew, worker, message)
            else:
                progress_s = time.monotonic()
                yield from _advance(queue, crew, splits, worker, message)


def _help(splits: Splits, crew: Crew) -> None:
    """Let the workers without work help with long videos."""
    while (split := splits.next_at()) and (worker := crew.take()):
        splits.begin(worker, split, worker)
        worker.send(split.video)


def _take_help(splits: Splits, crew: Crew, worker: Worker, message: Message | str) -> None:
    """Take what a worker says that has helped with a long video, or has failed to.

    No unit fails for it: the worker that has the video does without.
    """
    if isinstance(message, str):
        crew.drop(splits.lose(worker), message)
    else:
        crew.give_back(splits.end(worker, isinstance(message, Helped) and message.more))


def _advance(
    queue: Queue, crew: Crew, splits: Splits, worker: Worker, message: Message | str
) -> Iterator[Event]:
    """Take the next message of a worker: events of its unit, or its end, or its failure."""
    unit, _ = queue.under_way.get(worker, (None, None))
    if isinstance(message, list):
        yield from (event for event in message if not splits.follow(event))
        return
    queue.under_way.pop(worker, None)
    if isinstance(message, Idle | Helped):
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
        retried = UnitRetried(unit.id, why)
        splits.follow(retried)
        yield retried


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
