"""`sofdata bench run`: all cells that the settings ask for, one process a core, each cell once.

    collected ─► data ─► latent models and priors ─► decoders ─► rollouts ─► OUT/cells/*.json

What exists is not made again, so the same command resumes a run that was killed. Cells that share a
latent model wait until one process has trained it.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sofdata.bench.envs.base import Task
from sofdata.bench.envs.registry import find_suite, tasks_of
from sofdata.bench.study.arms import ARMS, Arm
from sofdata.bench.study.cells import IMAGE_PX, cell_hash, claim, run_cell
from sofdata.bench.study.choice import labelled, unlabelled
from sofdata.bench.study.config import BenchConfig, Purpose
from sofdata.bench.study.data import BenchData, prepare_data
from sofdata.bench.study.datasets import choices_of, chosen_data
from sofdata.bench.study.evaluate import Simulators
from sofdata.bench.study.folds import folds_of
from sofdata.bench.study.frozen import check_frozen
from sofdata.bench.study.stages import Trainer
from sofdata.bench.study.wanted import Cell, wanted_cells
from sofdata.errors import ConfigError, TransientError
from sofdata.storage.local_paths import local_folder
from sofdata.storage.lock import only_driver
from sofdata.storage.tree import Tree
from sofdata.system.allocation import keep_memory
from sofdata.system.cores import cores
from sofdata.system.interrupts import held
from sofdata.system.processes import end_with_parent, end_workers

RunListener = Callable[["WorkDone"], None]


@dataclass(frozen=True, slots=True)
class Work:
    """One unit of work for a process: train what several cells build on, or run a cell.

    needs: the `what` of the work that must be finished before, "" for none.
    """

    what: str
    cell: Cell
    needs: str
    prepares: bool


@dataclass(frozen=True, slots=True)
class WorkDone:
    """A finished unit of work: its name, the file if it is a cell, and how many of all are done."""

    what: str
    path: Path | None
    number: int
    of: int


@dataclass(frozen=True, slots=True)
class RunContext:
    """What every worker process needs.

    data: by the name of the choice of videos, "" for what needs none or the collected ones.
    arms: all, also those that only this process knows.
    """

    config: BenchConfig
    data: dict[str, BenchData]
    out: str
    arms: tuple[Arm, ...]


def run(
    config: BenchConfig,
    collected: Path,
    out: Path,
    purpose: Purpose,
    *,
    workers: int | None = None,
    follow: RunListener = lambda done: None,
) -> list[Path]:
    """Make all cells; returns their files in the order of `wanted_cells`.

    workers: processes; default: one for each core.

    Raises `ConfigError` for data, tasks or settings that do not fit, on test seeds for settings
    that were not frozen before, for a folder that is not on this machine, and if another command
    uses it.
    """
    place = Tree(local_folder(out, "the benchmark's folder"))
    with only_driver(place, "benchmark", config.ingest.run.lock):
        return _run(config, collected, out, purpose, workers=workers, follow=follow)


def _run(
    config: BenchConfig,
    collected: Path,
    out: Path,
    purpose: Purpose,
    *,
    workers: int | None,
    follow: RunListener,
) -> list[Path]:
    keep_memory()
    suite = find_suite(config.suite)
    suite.check()
    if config.decoder.model.state and not suite.state_names:
        raise ConfigError(
            f"robots of {suite.name} tell no state of their own: set decoder.model.state=false"
        )
    tasks = tasks_of(suite, config.tasks)
    folds = folds_of(config, [task.name for task in tasks])
    if purpose == "test":
        check_frozen(config, out)
    texts = texts_of(tasks)
    data = all_data(config, suite.fps, texts, collected, out)
    cells = wanted_cells(config, purpose, folds, data[""].look, [name for name in data if name])
    paths = [_path(cell, config, data[cell.dataset], tasks, out) for cell in cells]
    left = [cell for cell, path in zip(cells, paths, strict=True) if not path.exists()]
    for cell in left:  # missing data is found before hours of training
        labelled(data[cell.dataset], texts, cell.budget(tasks))
        unlabelled(data[cell.dataset], texts, cell.budget(tasks))
    for known in paths:
        if known.exists():
            claim(known, config)
    works = plan(left)
    number = workers or cores()
    context = RunContext(config, data, str(out), tuple(ARMS.values()))
    made = _alone(works, context) if number == 1 else _side_by_side(works, context, number)
    for count, (work, path) in enumerate(made, 1):
        follow(WorkDone(work.what, path, count, len(works)))
    return paths


def all_data(
    config: BenchConfig, fps: float, texts: Sequence[str], collected: Path, out: Path
) -> dict[str, BenchData]:
    """The data by the name of the choice of videos; "" is what was collected."""
    choices_of(config)  # wrong names are noticed before anything is ingested
    base = prepare_data(config, fps, collected, out)
    return {"": base} | chosen_data(config, fps, texts, base)


def texts_of(tasks: Iterable[Task]) -> tuple[str, ...]:
    """The texts of tasks, each once, sorted."""
    return tuple(sorted({task.text for task in tasks}))


def plan(cells: list[Cell]) -> list[Work]:
    """All work for these cells, shared trainings first."""
    shared: dict[str, Work] = {}
    works = []
    for cell in cells:
        needs = _shared(cell)
        if needs and (needs not in shared or ARMS[cell.arm].prior):
            shared[needs] = Work(needs, cell, "", prepares=True)
        works.append(Work(_name(cell), cell, needs, prepares=False))
    return [*shared.values(), *works]


def _name(cell: Cell) -> str:
    parts = [cell.arm, f"K={cell.demos}" if cell.demos else "", f"seed {cell.seed}"]
    parts += [f"{cell.videos} videos" if cell.videos else "", cell.labels_name]
    parts += [f"videos of {cell.look} look" if cell.look and cell.videos else ""]
    parts += [f"videos of {cell.dataset}" if cell.dataset else ""]
    return ", ".join(part for part in parts if part)


def _shared(cell: Cell) -> str:
    """The name of the latent model that a cell shares with others, "" if there is none."""
    arm = ARMS[cell.arm]
    if not arm.latent or not cell.videos:
        return ""
    what = {"flow": "skills", "frames": "latent actions", "tracks": "tracks"}[arm.latent]
    blind = ", without demonstrations" if cell.labels_name else ""
    of = f" of {cell.dataset}" if cell.dataset else ""
    return f"{what} of {cell.videos} videos{of}, seed {cell.seed}{blind}"


def _path(
    cell: Cell, config: BenchConfig, data: BenchData, tasks: tuple[Task, ...], out: Path
) -> Path:
    names = tuple(task.name for task in tasks)
    return out / "cells" / f"{cell_hash(cell, config, data.digest, names)}.json"


class _Worker:
    """What a process keeps between cells: windows, and simulators that take a second to make."""

    def __init__(self, context: RunContext) -> None:
        config = context.config
        self.context = context
        self.suite = find_suite(config.suite)
        self.tasks = tasks_of(self.suite, config.tasks)
        self.simulators = Simulators(self.suite, IMAGE_PX)
        # Of one choice of videos at a time, so that no windows are kept that are not needed.
        self.trainer_of = lru_cache(maxsize=1)(self._trainer_of)

    def _trainer_of(self, dataset: str) -> Trainer:
        context = self.context
        data, out = context.data[dataset], Path(context.out)
        return Trainer(context.config, data, texts_of(self.tasks), out)

    def do(self, work: Work) -> Path | None:
        trainer = self.trainer_of(work.cell.dataset)
        if not work.prepares:
            return run_cell(work.cell, trainer, self.tasks, self.simulators)
        arm = ARMS[work.cell.arm]
        budget = work.cell.budget(self.tasks)
        latent = trainer.latent(arm, budget)
        if arm.prior:
            trainer.planner(arm, budget, latent)
        return None


def _alone(works: list[Work], context: RunContext) -> Iterator[tuple[Work, Path | None]]:
    worker = _Worker(context)
    try:
        for work in works:
            yield work, worker.do(work)
    finally:
        worker.simulators.close()


_worker: Any = None  # of a worker process


def _begin(context: RunContext, parent: int) -> None:
    global _worker
    end_with_parent(parent)
    keep_memory()
    ARMS.update({arm.name: arm for arm in context.arms})
    _worker = _Worker(context)


def _do(work: Work) -> Path | None:
    path: Path | None = _worker.do(work)
    return path


def _side_by_side(
    works: list[Work], context: RunContext, number: int
) -> Iterator[tuple[Work, Path | None]]:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that begin now
    spawn = multiprocessing.get_context("spawn")
    waiting, running, ready = list(works), dict[Future[Path | None], Work](), {""}
    with ProcessPoolExecutor(number, spawn, _begin, (context, os.getpid())) as pool:
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
                f"a process of the benchmark died: {error} If memory ran out, use fewer with "
                "--workers; the same command resumes from here"
            ) from None
        except BaseException:
            end_workers()  # their work needs no waiting for: it is made again
            raise
        finally:
            pool.shutdown(cancel_futures=True)
