"""`sofdata bench run`: all cells that the settings ask for, one process a core, each cell once.

    collected ─► data ─► latent models and priors ─► decoders ─► rollouts ─► OUT/cells/*.json

What exists is not made again, so that a run that was killed goes on with the same command. Cells
that share a latent model wait until one process has trained it.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sofdata.bench.envs.base import Task
from sofdata.bench.envs.registry import find_suite, tasks_of
from sofdata.bench.study.arms import ARMS
from sofdata.bench.study.cells import IMAGE_PX, Cell, cell_hash, claim, run_cell, wanted_cells
from sofdata.bench.study.config import BenchConfig, Purpose
from sofdata.bench.study.data import BenchData, prepare_data
from sofdata.bench.study.evaluate import Simulators
from sofdata.bench.study.frozen import check_frozen
from sofdata.bench.study.stages import Share, Trainer
from sofdata.errors import TransientError
from sofdata.storage.local_paths import local_folder
from sofdata.storage.lock import only_driver
from sofdata.storage.tree import Tree
from sofdata.system.allocation import keep_memory
from sofdata.system.cores import cores
from sofdata.system.interrupts import held
from sofdata.system.processes import end_with_parent, end_workers

Follow = Callable[["Done"], None]


@dataclass(frozen=True, slots=True)
class Work:
    """One thing for a process to do: train what several cells build upon, or run a cell."""

    what: str
    cell: Cell
    needs: str
    prepares: bool


@dataclass(frozen=True, slots=True)
class Done:
    """Told when something is finished: what, the cell's result if it is one, and how many are."""

    what: str
    path: Path | None
    number: int
    of: int


@dataclass(frozen=True, slots=True)
class Setting:
    """What every process needs to know."""

    config: BenchConfig
    data: BenchData
    out: str


def run(
    config: BenchConfig,
    collected: Path,
    out: Path,
    purpose: Purpose,
    workers: int | None = None,
    follow: Follow = lambda done: None,
) -> list[Path]:
    """Make all cells; returns their files in the order of `wanted_cells`.

    workers: processes; default: one for each core.

    Raises `ConfigError` for data, tasks or settings that do not fit, on test seeds for settings
    that were not frozen before, for a folder that is not on this machine, and if another command is
    at work in it.
    """
    place = Tree(local_folder(out, "the benchmark's folder"))
    with only_driver(place, "benchmark", config.ingest.run.lock):
        return _run(config, collected, out, purpose, workers, follow)


def _run(
    config: BenchConfig,
    collected: Path,
    out: Path,
    purpose: Purpose,
    workers: int | None,
    follow: Follow,
) -> list[Path]:
    keep_memory()
    suite = find_suite(config.suite)
    suite.check()
    tasks = tasks_of(suite, config.tasks)
    if purpose == "test":
        check_frozen(config, out)
    data = prepare_data(config, suite.fps, collected, out)
    cells = wanted_cells(config, purpose)
    paths = [_path(cell, config, data, tasks, out) for cell in cells]
    left = [cell for cell, path in zip(cells, paths, strict=True) if not path.exists()]
    texts = texts_of(tasks)
    for cell in left:  # before hours of training: is there as much as it wants?
        data.choose("demos", texts, cell.demos, cell.seed)
        data.choose("videos", texts, cell.videos, cell.seed)
    for known in paths:
        if known.exists():
            claim(known, config)
    works = plan(left)
    number = workers or cores()
    setting = Setting(config, data, str(out))
    made = _alone(works, setting) if number == 1 else _side_by_side(works, setting, number)
    for count, (work, path) in enumerate(made, 1):
        follow(Done(work.what, path, count, len(works)))
    return paths


def texts_of(tasks: Iterable[Task]) -> tuple[str, ...]:
    """What is asked for in them, each text once."""
    return tuple(sorted({task.text for task in tasks}))


def plan(cells: list[Cell]) -> list[Work]:
    """What is to be done, shared trainings first."""
    shared: dict[str, Work] = {}
    works = []
    for cell in cells:
        needs = _shared(cell)
        if needs and (needs not in shared or ARMS[cell.arm].prior):
            shared[needs] = Work(needs, cell, "", prepares=True)
        arm, demos, seed, videos = cell.arm, cell.demos, cell.seed, cell.videos
        name = f"{arm}, K={demos}, seed {seed}" + (f", {videos} videos" if videos else "")
        works.append(Work(name, cell, needs, prepares=False))
    return [*shared.values(), *works]


def _shared(cell: Cell) -> str:
    """The name of the latent model that a cell shares with others, "" if there is none."""
    arm = ARMS[cell.arm]
    if not arm.latent or not cell.videos:
        return ""
    what = "latent actions" if arm.latent == "frames" else "skills"
    return f"{what} of {cell.videos} videos, seed {cell.seed}"


def _path(
    cell: Cell, config: BenchConfig, data: BenchData, tasks: tuple[Task, ...], out: Path
) -> Path:
    names = tuple(task.name for task in tasks)
    return out / "cells" / f"{cell_hash(cell, config, data.digest, names)}.json"


class _Worker:
    """What one process keeps between cells."""

    def __init__(self, setting: Setting) -> None:
        config = setting.config
        self.suite = find_suite(config.suite)
        self.tasks = tasks_of(self.suite, config.tasks)
        self.trainer = Trainer(config, setting.data, texts_of(self.tasks), Path(setting.out))
        self.simulators = Simulators(self.suite, IMAGE_PX)

    def do(self, work: Work) -> Path | None:
        if not work.prepares:
            return run_cell(work.cell, self.trainer, self.tasks, self.simulators)
        arm = ARMS[work.cell.arm]
        share: Share = work.cell.share
        latent = self.trainer.latent(arm, share)
        if arm.prior:
            self.trainer.planner(arm, share, latent)
        return None


def _alone(works: list[Work], setting: Setting) -> Iterator[tuple[Work, Path | None]]:
    worker = _Worker(setting)
    try:
        for work in works:
            yield work, worker.do(work)
    finally:
        worker.simulators.close()


_worker: Any = None  # of a worker process


def _begin(setting: Setting, parent: int) -> None:
    global _worker
    end_with_parent(parent)
    keep_memory()
    _worker = _Worker(setting)


def _do(work: Work) -> Path | None:
    path: Path | None = _worker.do(work)
    return path


def _side_by_side(
    works: list[Work], setting: Setting, number: int
) -> Iterator[tuple[Work, Path | None]]:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that begin now
    context = multiprocessing.get_context("spawn")
    waiting, running, ready = list(works), dict[Future[Path | None], Work](), {""}
    with ProcessPoolExecutor(number, context, _begin, (setting, os.getpid())) as pool:
        try:
            while waiting or running:
                able = [work for work in waiting if work.needs in ready]
                for work in able[: number - len(running)]:
                    waiting.remove(work)
                    with held():
                        running[pool.submit(_do, work)] = work
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    work = running.pop(future)
                    path = future.result()
                    if work.prepares:
                        ready.add(work.what)
                    yield work, path
        except BrokenExecutor as error:
            raise TransientError(
                f"a process of the benchmark died: {error} If memory ran out, take fewer with "
                "--workers; the same command goes on from here"
            ) from None
        except BaseException:
            end_workers()  # rather than wait for what they do, which is made again
            raise
        finally:
            pool.shutdown(cancel_futures=True)
