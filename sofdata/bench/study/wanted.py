"""Which cells the settings ask for: what identifies each result of a study."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sofdata.bench.envs.base import Task
from sofdata.bench.study.arms import ARMS
from sofdata.bench.study.choice import DataBudget
from sofdata.bench.study.config import BenchConfig, Labels, Purpose
from sofdata.bench.study.folds import NONE, Fold

_TODAY: dict[str, Any] = {
    "held_out": (),
    "labels": "demos",
    "play_minutes": 0,
    "look": "",
    "dataset": "",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """What identifies a result.

    demos, videos: for each task; 0 videos for an arm without. held_out: names of tasks of which no
    demonstration is read, and which are tried. labels: what actions are learned from; of play,
    `play_minutes`, and then demos is 0. look: of the videos, "" for that of everything else.
    dataset: the name of the dataset that the videos are of, "" where they were collected.
    """

    suite: str
    arm: str
    demos: int
    seed: int
    videos: int
    purpose: Purpose
    held_out: Fold = NONE
    labels: Labels = "demos"
    play_minutes: int = 0
    look: str = ""
    dataset: str = ""

    def identity(self) -> dict[str, Any]:
        """As results and hashes have it: without what is empty, so that those of cells from before
        these fields existed stay."""
        values = asdict(self) | {"held_out": list(self.held_out)}
        empty = {name for name, value in _TODAY.items() if getattr(self, name) == value}
        return {name: value for name, value in values.items() if name not in empty}

    @property
    def labels_name(self) -> str:
        """Where its labels come from, for messages; "" for demonstrations of every task."""
        if self.labels == "play":
            return f"{self.play_minutes} min of play"
        return f"without labels of {', '.join(self.held_out)}" if self.held_out else ""

    def budget(self, tasks: Sequence[Task]) -> DataBudget:
        """How much of the data it learns from."""
        withheld = tuple(sorted({task.text for task in tasks if task.name in self.held_out}))
        return DataBudget(self.demos, self.videos, self.seed, withheld, self.play_minutes)

    def tried(self, tasks: Sequence[Task]) -> tuple[Task, ...]:
        """The tasks that its success is measured on: those held out, or all."""
        return tuple(task for task in tasks if not self.held_out or task.name in self.held_out)

    def labelled(self, tasks: Sequence[Task]) -> tuple[Task, ...]:
        """The tasks that have demonstrations beside those held out; () where none is."""
        return tuple(task for task in tasks if self.held_out and task.name not in self.held_out)


def wanted_cells(
    config: BenchConfig,
    purpose: Purpose,
    folds: Sequence[Fold] = (),
    look: str = "",
    datasets: Sequence[str] = (),
) -> list[Cell]:
    """All cells that the settings ask for, by choice of videos, training seed and fold, all arms at
    the first K first.

    folds: as `folds_of` gives them. look: of the videos. datasets: names of the choices of videos,
    () for those that were collected. Cells without videos are the same for all choices.
    """
    cells: dict[Cell, None] = {}
    for dataset, seed in itertools.product(datasets or ("",), config.seeds):
        base = Cell(config.suite, "", 0, seed, 0, purpose, labels=config.labels, look=look)
        base = replace(base, dataset=dataset)
        if config.labels == "play":
            base = replace(base, play_minutes=config.play_minutes)
        for fold in folds or (NONE,):
            of_fold = replace(base, held_out=fold)
            cells |= dict.fromkeys(_cell(of_fold, *which) for which in _arms(config))
        if folds:
            cells |= dict.fromkeys(_cell(base, *which) for which in _references(config))
    return list(cells)


def _arms(config: BenchConfig) -> list[tuple[str, int, int]]:
    """Arms with their K and number of videos."""
    first, *others = config.demos if config.labels == "demos" else (0,)
    found = [(arm, first, config.videos) for arm in config.arms]
    found += [(arm, demos, config.videos) for demos in others for arm in config.more_arms]
    for name in config.curve_arms:
        found += [(name, first, few) for few in config.curve if name in config.arms]
    return found


def _references(config: BenchConfig) -> list[tuple[str, int, int]]:
    return [(arm, demos, config.videos) for demos in config.demos for arm in config.reference_arms]


def _cell(base: Cell, name: str, demos: int, videos: int) -> Cell:
    arm = ARMS[name]
    uses = videos if arm.latent and arm.videos else 0
    dataset = base.dataset if uses else ""
    demos = (arm.demos or demos) if demos else 0
    return replace(base, arm=name, demos=demos, videos=uses, dataset=dataset)
