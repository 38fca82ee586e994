"""The processes that measure a sample: as many at once as the ingest would keep busy.

All of them stay busy until the last video is measured, those without work by measuring what has
been measured already: cores that share memory and hyper-threads are slower together than one alone,
and so will they be in the ingest.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import cast

from sofdata.errors import ContractError, SofdataError, TransientError
from sofdata.ingest.engines.crew import Worker, end_workers, enlist
from sofdata.ingest.engines.processes import RemoteError
from sofdata.ingest.engines.worker import Failed
from sofdata.ingest.estimate.guess import Header
from sofdata.ingest.estimate.meter import Measured, Meter
from sofdata.ingest.estimate.worker import Answer, Question, answer
from sofdata.ingest.job import UnitJob
from sofdata.types import VideoRef

PROGRAM = "from sofdata.ingest.estimate.worker import main; main()"
POLL_S = 1.0
HEADERS_AT_ONCE = 8
MOST_TOGETHER = 4  # videos that are measured as one unit, so that the next is fetched meanwhile

OnProgress = Callable[[int, int], None]


class Measurers:
    """Processes that measure, or this process where there are none.

    start_up_s: from the first start until all were ready.
    """

    def __init__(self, workers: Sequence[Worker], meter: Meter | None, start_up_s: float) -> None:
        self._workers = workers
        self._meter = meter
        self.start_up_s = start_up_s

    @property
    def processes(self) -> int:
        """How many work at once."""
        return max(1, len(self._workers))

    def headers(self, refs: Sequence[VideoRef]) -> list[Header | None]:
        """What the headers of videos say; None for each that cannot be read."""
        groups = [
            tuple(refs[at : at + HEADERS_AT_ONCE]) for at in range(0, len(refs), HEADERS_AT_ONCE)
        ]
        answers = self._ask([Question(group, headers=True) for group in groups])
        return [cast(Header | None, each) for found in answers for each in found]

    def measure(self, refs: Sequence[VideoRef], on_progress: OnProgress) -> list[Measured]:
        """Measure videos, given with the most costly first; in this order."""
        groups = together(len(refs), self.processes)
        questions = [Question(tuple(refs[at] for at in group), headers=False) for group in groups]
        found: list[Measured | None] = [None] * len(refs)
        done = 0
        for number, answer_ in self._answers(questions, busy=True):
            for at, each in zip(groups[number], answer_, strict=True):
                found[at] = cast(Measured, each)
            done += len(groups[number])
            on_progress(done, len(refs))
        return [each for each in found if each is not None]

    def _ask(self, questions: Sequence[Question]) -> list[Answer]:
        answers = dict(self._answers(questions, busy=False))
        return [answers[number] for number in range(len(questions))]

    def _answers(self, questions: Sequence[Question], busy: bool) -> Iterator[tuple[int, Answer]]:
        """The answers with the numbers of their questions, as they come."""
        if self._meter:
            for number, question in enumerate(questions):
                yield number, answer(self._meter, question)
            return
        talk = _Talk(questions, busy, {worker.pipe: worker for worker in self._workers})
        yield from talk.answers()
        # What still measures for nobody answers into the void, or is ended with its process.


@dataclass(slots=True)
class _Talk:
    """Questions to several processes, and whose answer is waited for.

    busy: whether processes without work are asked again what was asked already.
    """

    questions: Sequence[Question]
    busy: bool
    workers: dict[Connection, Worker]
    asked: dict[Connection, int] = field(default_factory=dict)

    def answers(self) -> Iterator[tuple[int, Answer]]:
        """All answers; of questions that were asked again, the first."""
        waiting, missing = deque(range(len(self.questions))), set(range(len(self.questions)))
        for pipe in self.workers:
            self._next(pipe, waiting)
        while missing:
            for ready in wait(list(self.asked), POLL_S):
                assert isinstance(ready, Connection)
                number, found = self.asked.pop(ready), _received(self.workers[ready])
                if number in missing:
                    missing.remove(number)
                    yield number, found
                if missing:
                    self._next(ready, waiting)

    def _next(self, pipe: Connection, waiting: deque[int]) -> None:
        if waiting:
            number = waiting.popleft()
        elif self.busy and self.questions:
            number = len(self.asked) % len(self.questions)
        else:
            return
        self.workers[pipe].send(self.questions[number])
        self.asked[pipe] = number


@contextmanager
def measurers(job: UnitJob, processes: int) -> Iterator[Measurers]:
    """So many processes that measure, until the block ends; 0: this process does.

    Raises what keeps them from starting, `ConfigError` among it.
    """
    began_s = time.monotonic()
    if not processes:
        with closing(Meter(job, isolated=False)) as meter:
            meter.start()
            yield Measurers((), meter, time.monotonic() - began_s)
        return
    workers: list[Worker] = []
    try:
        for _ in range(processes):
            enlist(workers, PROGRAM).send(job)
        for worker in workers:
            _received(worker)
        yield Measurers(workers, None, time.monotonic() - began_s)
    finally:
        end_workers(workers)


def together(count: int, processes: int) -> list[list[int]]:
    """Places of videos, the most costly first, in groups that take about equally long."""
    rounds = -(-count // (MOST_TOGETHER * processes))
    groups = min(count, rounds * processes)
    return [list(range(first, count, groups)) for first in range(groups)]


def _received(worker: Worker) -> Answer:
    message = worker.receive()
    if isinstance(message, str):
        raise TransientError(f"the sample could not be measured: {message}; run it again")
    if isinstance(message, Failed):
        if isinstance(message.cause, SofdataError):
            raise message.cause
        raise ContractError(f"a measurement failed: {message.cause!r}") from RemoteError(
            message.trace
        )
    return cast(Answer, message)
