"""What a driver costs, and how many workers one keeps busy: the real loops with workers that sleep.

Each worker "runs" units of 20 s and 60 videos: it sleeps and sends the events of such a unit, in
batches as real workers do. All that happens in the driver is real: its queue, the crew of the
engine `processes` with a pipe a worker, or the pool of the engine `ray` on a real Ray; its account,
its progress display, and a look at its lock with each unit.

- processes: all workers are in one other process, which holds the far ends of their pipes.
- ray: all workers are in a few actors, each of which runs hundreds of units at once by asyncio, so
  that a thousand streams of events arrive at the driver over real Ray. What a thousand processes
  and their connections cost Ray itself, and the work of its head, are not in these figures.

`--speed 4` lets workers do everything four times as fast: a thousand then give the driver the work
of four thousand. Printed, as a Markdown table, for 1,000 workers or as asked:

- CPU time of the driver a unit, and from a second run with a tenth of the videos how much of it
  belongs to a unit and how much to a video;
- the share of a core that it takes, and at how many workers that would be a whole core;
- the share of their time that workers wait for the next unit.

    python benchmarks/driver.py [--engines processes ray] [--workers 1000] [--speed 1]

About three minutes an engine. CPU time hardly depends on other work of the machine; waiting does.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import io
import json
import multiprocessing
import random
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from rich.console import Console

from sofdata.ingest.config import load_config
from sofdata.ingest.engines import crew as crew_module
from sofdata.ingest.engines.actors import Place, here
from sofdata.ingest.engines.batches import Batch, batch_s
from sofdata.ingest.engines.cluster import _drive as drive_ray
from sofdata.ingest.engines.cluster import ray_session
from sofdata.ingest.engines.crew import Crew, Worker
from sofdata.ingest.engines.pool import Pool, PoolMember
from sofdata.ingest.engines.processes import _drive as drive_processes
from sofdata.ingest.engines.queue import queue_of
from sofdata.ingest.engines.worker import Idle
from sofdata.ingest.events import Event, Ready, UnitDone, VideoDone
from sofdata.ingest.job import UnitJob
from sofdata.ingest.progress import following
from sofdata.ingest.run import _Account
from sofdata.ingest.units import Unit
from sofdata.ingest.work import work_of
from sofdata.storage.lock import only_driver
from sofdata.storage.tree import Tree
from sofdata.types import VideoRef

UNIT_S, VIDEOS, WINDOWS = 20.0, 60, 5
SPREAD = 0.3  # of the lengths of units
LIGHT_ACTORS = 4
CPUS = 64  # that Ray is to count with; the actors sleep


@dataclass(frozen=True, slots=True)
class Case:
    """One run: workers, the length of a unit as they sleep it, s, and the videos in it."""

    workers: int
    unit_s: float
    videos: int
    units: int

    def every_s(self) -> float:
        """Between two batches of a worker."""
        return batch_s(self.workers)


@dataclass(frozen=True, slots=True)
class Measured:
    """CPU and wall time of the driver from the first worker to the end, and how workers fared."""

    case: Case
    cpu_s: float
    wall_s: float
    waited_share: float

    @property
    def unit_ms(self) -> float:
        """CPU time of the driver a unit."""
        return 1000 * self.cpu_s / self.case.units


# --- what workers do ------------------------------------------------------------------------------


def schedule(unit: Unit, unit_s: float, every_s: float) -> Iterator[tuple[float, Batch]]:
    """When after its start a worker sends what: by the rule of `batches`."""
    lasts_s = unit_s * random.Random(unit.id).uniform(1 - SPREAD, 1 + SPREAD)
    batch: Batch = []
    sent_s = float("-inf")
    for number, ref in enumerate(unit.videos, 1):
        now_s = lasts_s * number / len(unit.videos)
        batch.append(
            VideoDone(unit.id, ref.id, "done", "", WINDOWS, 30, seconds=4.0, size_bytes=1000)
        )
        if now_s - sent_s >= every_s:
            yield now_s, batch
            batch, sent_s = [], now_s
    videos = len(unit.videos)
    yield lasts_s, [*batch, UnitDone(unit.id, videos, videos * WINDOWS)]


class Waits:
    """How long workers wait between two units. The last unit of each is followed by none."""

    def __init__(self) -> None:
        self._free_since: dict[int, float] = {}
        self.waited_s = self.worked_s = 0.0

    def begin(self, worker: int) -> None:
        """A worker has got a unit."""
        if worker in self._free_since:
            self.waited_s += time.monotonic() - self._free_since[worker]

    def end(self, worker: int, lasted_s: float) -> None:
        """A worker has ended one."""
        self.worked_s += lasted_s
        self._free_since[worker] = time.monotonic()


# --- processes ------------------------------------------------------------------------------------


def simulate(pipes: list[Connection], case: Case, result: Connection) -> None:
    """Be all workers, at the far ends of their pipes, until these are closed."""
    ready, waits = selectors.DefaultSelector(), Waits()
    for number, pipe in enumerate(pipes):
        ready.register(pipe, selectors.EVENT_READ, number)
    due: list[tuple[float, int, int, Any]] = []
    numbers, is_hired = iter(range(10**9)), set[int]()
    while ready.get_map():
        left_s = due[0][0] - time.monotonic() if due else 1.0
        for key, _ in ready.select(max(0.0, left_s)):
            number = key.data
            try:
                given = pipes[number].recv()
            except (EOFError, OSError):
                ready.unregister(key.fileobj)
                continue
            if number not in is_hired:  # what it was given is the job
                is_hired.add(number)
                pipes[number].send(Idle())
                continue
            waits.begin(number)
            now_s, at_s = time.monotonic(), 0.0
            for at_s, batch in schedule(given, case.unit_s, case.every_s()):
                heapq.heappush(due, (now_s + at_s, next(numbers), number, batch))
            heapq.heappush(due, (now_s + at_s, next(numbers), number, Idle()))
        while due and due[0][0] <= time.monotonic():
            _, _, number, message = heapq.heappop(due)
            pipes[number].send(message)
            if isinstance(message, Idle):
                waits.end(number, case.unit_s)
    result.send((waits.waited_s, waits.worked_s))


class NoProcess:
    """Stands for the process of a worker that is simulated."""

    def wait(self, timeout: float | None = None) -> int:
        return 0

    def terminate(self) -> None:
        pass

    kill = terminate


def measure_processes(case: Case) -> Measured:
    fork = multiprocessing.get_context("fork")
    pairs = [multiprocessing.Pipe() for _ in range(case.workers)]
    result, theirs = multiprocessing.Pipe()
    others = fork.Process(target=_simulate_alone, args=(pairs, case, theirs), daemon=True)
    others.start()
    for _, far in pairs:
        far.close()
    near = iter([near for near, _ in pairs])
    before = crew_module.start_worker
    crew_module.start_worker = lambda program="": Worker(
        cast(Any, NoProcess()), next(near), io.BytesIO()
    )
    job = job_of(case)
    crew = Crew(job)
    try:
        cpu_s, wall_s = run_driver(lambda queue: drive_processes(queue, crew, job), case)
    finally:
        crew.end()
        crew_module.start_worker = before
    waited_s, worked_s = result.recv()
    others.join()
    return Measured(case, cpu_s, wall_s, waited_s / (waited_s + worked_s))


def _simulate_alone(
    pairs: list[tuple[Connection, Connection]], case: Case, result: Connection
) -> None:
    for near, _ in pairs:
        near.close()
    simulate([far for _, far in pairs], case, result)


# --- Ray ------------------------------------------------------------------------------------------


class Light:
    """An actor that is many workers, all of which sleep."""

    def __init__(self, unit_s: float) -> None:
        self._unit_s = unit_s
        self._waits = Waits()

    async def start(self) -> Place:
        return here()

    async def run(self, worker: int, unit: Unit, flow_actors: Any, every_s: float) -> Any:
        self._waits.begin(worker)
        began_s = time.monotonic()
        for at_s, batch in schedule(unit, self._unit_s, every_s):
            await asyncio.sleep(max(0.0, began_s + at_s - time.monotonic()))
            yield batch
        self._waits.end(worker, self._unit_s)

    async def waits(self) -> tuple[float, float]:
        return self._waits.waited_s, self._waits.worked_s


@dataclass(frozen=True, slots=True)
class Numbered:
    """The call that runs a unit, by a worker of this number."""

    call: Any
    worker: int

    def remote(self, *given: Any) -> Any:
        return self.call.remote(self.worker, *given)


class LightPool(Pool):
    """A pool whose workers share a few actors; in all else the one of every run."""

    def __init__(self, job: UnitJob, case: Case) -> None:
        import ray

        super().__init__(job)
        remote = ray.remote(num_cpus=0, max_concurrency=case.workers)(Light)
        self.actors = [remote.remote(case.unit_s) for _ in range(LIGHT_ACTORS)]
        self._wanted = case.workers

    def _ask_for_workers(self, units: int) -> None:
        for number in range(self.size + len(self._starting), self._wanted):
            actor = self.actors[number % LIGHT_ACTORS]
            call = Numbered(actor.run.options(num_returns="streaming"), number)
            self._starting[actor.start.remote()] = PoolMember(actor, _run=call)


def measure_ray(case: Case) -> Measured:
    import ray

    job = job_of(case)
    with ray_session(None, CPUS):
        pool = LightPool(job, case)
        cpu_s, wall_s = run_driver(lambda queue: drive_ray(queue, pool, job), case)
        waits = ray.get([actor.waits.remote() for actor in pool.actors])
    waited_s, worked_s = map(sum, zip(*waits, strict=True))
    return Measured(case, cpu_s, wall_s, waited_s / (waited_s + worked_s))


# --- the driver -----------------------------------------------------------------------------------


def job_of(case: Case) -> UnitJob:
    config = load_config(None, [f"run.workers={case.workers}", "flow.estimator=dis"])
    return cast(UnitJob, SimpleNamespace(config=config, libraries={}))


def units_of(case: Case) -> list[Unit]:
    """Units whose videos have what those of a corpus have."""
    texts, units = "pushing something from left to right", []
    for number in range(case.units):
        refs = tuple(
            VideoRef(
                f"{number}-{index}", f"train/{number}/{index}.webm", 1000, "f" * 32, text=texts
            )
            for index in range(case.videos)
        )
        units.append(Unit(f"{number:016x}", number, refs))
    return units


def run_driver(drive: Any, case: Case) -> tuple[float, float]:
    """CPU and wall time of all that a driver does from the first worker to the last unit."""
    units, account = units_of(case), _Account()
    videos, done = case.units * case.videos, 0
    with tempfile.TemporaryDirectory() as folder, only_driver(Tree(folder)) as lock:
        console = Console(file=io.StringIO(), force_terminal=True, width=120)
        with following(console, videos, 0, quiet=False, work=work_of(units)) as follow:
            cpu_s = wall_s = 0.0
            events: Iterable[Event]
            with closing(drive(queue_of(units))) as events:
                for event in events:
                    if isinstance(event, Ready):
                        cpu_s, wall_s = time.process_time(), time.monotonic()
                    elif isinstance(event, UnitDone):
                        lock.check()
                        done += 1
                    account.add(event)
                    follow(event)
            cpu_s, wall_s = time.process_time() - cpu_s, time.monotonic() - wall_s
    assert done == case.units
    return cpu_s, wall_s


def measured_alone(engine: str, case: Case) -> Measured:
    """What one measurement finds in a process of its own, which begins with nothing."""
    command = [sys.executable, __file__, "--one", json.dumps([engine, asdict(case)])]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return Measured(case, found["cpu_s"], found["wall_s"], found["waited_share"])


def measure_one(asked: str) -> None:
    """The child's side of that."""
    engine, case = json.loads(asked)
    print(json.dumps(asdict(ENGINES[engine](Case(**case)))))


ENGINES = {"processes": measure_processes, "ray": measure_ray}


def rows(engine: str, workers: int, seconds: float, speed: float) -> Iterator[dict[str, Any]]:
    unit_s = UNIT_S / speed
    units = max(2 * workers, int(workers * seconds / unit_s))
    found = []
    for videos in (VIDEOS, VIDEOS // 10):
        found.append(measured_alone(engine, Case(workers, unit_s, videos, units)))
    full, few = found
    video_ms = (full.unit_ms - few.unit_ms) / (VIDEOS - VIDEOS // 10)
    core_share = full.unit_ms / 1000 * workers * speed / UNIT_S
    yield {
        "engine": engine,
        "workers": workers if speed == 1 else f"{workers} x {speed:g}",
        "units": units,
        "ms a unit of 60 videos": round(full.unit_ms, 2),
        "ms a unit": round(full.unit_ms - VIDEOS * video_ms, 2),
        "ms a video": round(video_ms, 4),
        "share of a core": round(core_share, 3),
        "workers at a whole core": int(workers * speed / core_share),
        "workers wait": f"{100 * full.waited_share:.1f} %",
        "wall s": round(full.wall_s, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--workers", type=int, nargs="+", default=[1000])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--json", type=Path, help="also write the rows there")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        measure_one(asked.one)
        return
    table: list[dict[str, Any]] = []
    for engine in asked.engines:
        for workers in asked.workers:
            for row in rows(engine, workers, asked.seconds, asked.speed):
                if not table:
                    print(f"| {' | '.join(row)} |\n|{'---|' * len(row)}")
                table.append(row)
                print(f"| {' | '.join(map(str, row.values()))} |", flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
