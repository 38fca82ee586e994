"""What a driver does for a unit does not grow with the number of workers, nor of units that wait.

Counted in calls, not in time. The workers are pipes whose far ends answer at once.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, cast

import pytest

from sofdata.ingest.config import load_config
from sofdata.ingest.engines.batches import BATCH_S, MESSAGES_PER_S, batch_s
from sofdata.ingest.engines.crew import Crew, Worker
from sofdata.ingest.engines.pool import Pool, PoolMember
from sofdata.ingest.engines.processes import _drive
from sofdata.ingest.engines.queue import Queue, queue_of
from sofdata.ingest.engines.worker import Idle
from sofdata.ingest.events import Event, UnitDone, UnitRetried, VideoDone
from sofdata.ingest.job import UnitJob
from sofdata.ingest.progress import IngestProgress
from sofdata.ingest.run import _Account
from sofdata.ingest.units import Unit
from sofdata.shards.schema import DatasetRecord
from sofdata.storage.tree import Tree
from sofdata.types import VideoRef

VIDEOS = 3


class Calls:
    """Counts calls, of Python and of C."""

    number = 0

    def __call__(self, frame: object, event: str, argument: object) -> None:
        self.number += event in ("call", "c_call")


@contextmanager
def counting() -> Iterator[Calls]:
    calls = Calls()
    sys.setprofile(calls)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def calls_of(act: Callable[[], object]) -> int:
    with counting() as calls:
        act()
    return calls.number


def units(number: int) -> list[Unit]:
    return [
        Unit(f"u{n}", n, tuple(VideoRef(f"{n}-{v}", "x", 1, "") for v in range(VIDEOS)))
        for n in range(number)
    ]


def job(workers: int) -> UnitJob:
    config = load_config(None, [f"run.workers={workers}", "flow.estimator=dis"])
    return UnitJob(Tree("memory://source"), Tree("memory://dest"), config)


def events_of(unit: Unit) -> list[Event]:
    videos = [VideoDone(unit.id, ref.id, "done", "", 2, 10) for ref in unit.videos]
    return [*videos, UnitDone(unit.id, len(videos), 2 * len(videos))]


class Killed:
    """Stands for the process of a worker."""

    def wait(self, timeout: float | None = None) -> int:
        return -9

    def terminate(self) -> None:
        pass

    kill = terminate


class Fake(Worker):
    """A worker that answers as soon as it is sent something; `answers` says what to a unit."""

    answers: Callable[[Unit, Connection], None]
    far: Connection

    def send(self, value: object) -> None:
        if isinstance(value, Unit):
            self.answers(value, self.far)
        else:
            self.far.send(Idle())


def run_at_once(unit: Unit, far: Connection) -> None:
    far.send(events_of(unit))
    far.send(Idle())


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[Unit, Connection], None]]:
    """How a worker that starts answers to units; the last one holds for all that start later."""
    wanted: list[Callable[[Unit, Connection], None]] = [run_at_once]

    def start(program: str = "") -> Fake:
        near, far = Pipe()
        worker = Fake(cast(Any, Killed()), near, io.BytesIO())
        worker.far, worker.answers = far, wanted[0] if len(wanted) == 1 else wanted.pop(0)
        return worker

    monkeypatch.setattr("sofdata.ingest.engines.crew.start_worker", start)
    return wanted


def drive(number: int, workers: int) -> list[Event]:
    given = job(workers)
    crew = Crew(given)
    try:
        return list(_drive(queue_of(units(number)), crew, given))
    finally:
        crew.end()


def test_a_unit_takes_as_many_steps_with_many_workers_as_with_few(answers: object) -> None:
    steps = {
        workers: calls_of(partial(drive, 4 * workers, workers)) / (4 * workers)
        for workers in (10, 100)
    }
    assert steps[100] < 1.1 * steps[10]


def test_a_unit_takes_as_many_steps_when_many_wait_as_when_few_do(answers: object) -> None:
    steps = {number: calls_of(partial(drive, number, 4)) for number in (100, 1000)}
    assert steps[1000] < 10 * steps[100]


def test_units_that_wait_are_not_looked_at_each_turn() -> None:
    few, many = queue_of(units(10)), queue_of(units(1000))
    for queue in (few, many):
        for unit in list(queue.waiting)[1:]:
            queue.retry(unit, "its worker died")
        queue.waiting.clear()
    assert calls_of(few.wake) == calls_of(many.wake)
    assert (len(few.waiting), len(many.waiting)) == (0, 0)


def test_units_wait_out_their_pauses_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr("sofdata.ingest.engines.queue.time.monotonic", lambda: now_s)
    first, second, third = units(3)
    queue = Queue(queue_of([]).waiting)
    queue.tries[first.id] = 1
    queue.retry(first, "it failed a second time")
    queue.retry(second, "it failed a first time")
    queue.retry(third, "its node is lost", lost=True)
    queue.wake()
    assert list(queue.waiting) == [third]
    now_s += 0.5
    queue.wake()
    assert list(queue.waiting) == [third, second]
    now_s += 0.5
    queue.wake()
    assert list(queue.waiting) == [third, second, first]
    assert len(queue) == 3


def test_a_pool_takes_and_gives_back_in_as_many_steps_however_large_it_is() -> None:
    steps = {}
    for number in (10, 1000):
        pool = Pool(job(number))
        pool._free.extend(PoolMember(object()) for _ in range(number))

        def turn(pool: Pool = pool) -> None:
            taken = pool.take()
            assert taken
            pool.give_back(taken[0])

        steps[number] = calls_of(turn)
        assert pool.size == number
    assert steps[10] == steps[1000]


def test_all_workers_together_send_no_more_messages_than_a_driver_takes() -> None:
    assert batch_s(1) == batch_s(8) == BATCH_S
    for workers in (1000, 10_000):
        assert workers / batch_s(workers) == MESSAGES_PER_S


def test_a_worker_that_dies_in_the_middle_of_a_unit_leaves_the_account_right(
    answers: list[Callable[[Unit, Connection], None]],
) -> None:
    """One dies with part of its events sent, the next with none."""

    def dies_after(number: int) -> Callable[[Unit, Connection], None]:
        def die(unit: Unit, far: Connection) -> None:
            if number:
                far.send(events_of(unit)[:number])
            far.close()

        return die

    answers[:0] = [dies_after(2), dies_after(0)]
    account, progress = _Account(), IngestProgress(4 * VIDEOS, 0)
    events = drive(4, 1)
    for event in events:
        account.add(event)
        progress.add(event)
    assert [event.unit for event in events if isinstance(event, UnitRetried)] == ["u0", "u1"]
    done = [event.unit for event in events if isinstance(event, UnitDone)]
    assert sorted(done) == ["u0", "u1", "u2", "u3"]
    summary = account.summary(cast(DatasetRecord, None), 4, 4)
    assert summary.frames == 4 * VIDEOS * 10
    assert progress.done == 4 * VIDEOS
    assert progress.line().startswith(f"videos 12/12 · windows {4 * VIDEOS * 2} · ")
