"""Which windows each stage of a cell learns from, and which it is evaluated on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from sofdata.bench.study.choice import DataBudget, labelled, unlabelled, unlearned
from sofdata.bench.study.config import BenchConfig
from sofdata.bench.study.data import BenchData, DataPart
from sofdata.bench.study.memory import MemoryWindows, read_windows
from sofdata.bench.study.second import with_second
from sofdata.bench.study.split import agreed_split
from sofdata.models.skill.vae import FlowShape

# Stages that learn from videos alone, where there are any.
_OF_VIDEOS = ("skill", "lapa", "tracks", "planner")


@dataclass(eq=False)
class StageWindows:
    """Windows by what they are for. Keeps those that were used last in memory.

    texts: of the tasks that take part.
    """

    config: BenchConfig
    data: BenchData
    texts: tuple[str, ...]
    _read: Any = field(init=False)

    def __post_init__(self) -> None:
        self._read = lru_cache(maxsize=3)(self._read_windows)

    def of(self, part: DataPart, sources: Sequence[str]) -> MemoryWindows:
        """Windows of videos, demonstrations or play, with text ids that point into `texts`; those
        of play are of no task."""
        windows: MemoryWindows = self._read(part, tuple(sources))
        return windows

    def _read_windows(self, part: DataPart, sources: tuple[str, ...]) -> MemoryWindows:
        image_px = self.config.skill.model.image_px
        frames = self.config.lapa.model.reads == "frames"
        windows = read_windows(self.data.folders[part], sources, image_px, frames)
        windows = windows.with_history(self.config.decoder.model.history)
        if self.data.second is not None and part != "videos":
            folder = self.data.folders[part]
            windows = with_second(windows, folder, self.data.second, sources, image_px)
        return windows.untold() if part == "play" else windows.with_texts(self.texts)

    def demonstrations(self, budget: DataBudget) -> MemoryWindows:
        """The labelled windows: the K demonstrations of each task that has any, or play."""
        chosen = labelled(self.data, self.texts, budget)
        return self.of(chosen.part, chosen.sources)

    def held_out(self, budget: DataBudget) -> MemoryWindows | None:
        """Labelled windows that the arm does not learn from; None if there are none."""
        left = unlearned(self.data, self.texts, budget)
        return self._some(left.part, left.sources)

    def with_goals(self, budget: DataBudget) -> list[MemoryWindows]:
        """Windows whose ends show how tasks end: of demonstrations, and of the videos of tasks that
        have none."""
        without = self.texts if budget.play_minutes else budget.withheld
        shown = [] if budget.play_minutes else [self.demonstrations(budget)]
        if not without:
            return shown
        chosen = self.data.choose("videos", without, budget.videos, budget.seed)
        return [*shown, self.of("videos", chosen)]

    def _some(self, part: DataPart, sources: Sequence[str]) -> MemoryWindows | None:
        return self.of(part, sources) if sources else None

    def learned(self, kind: str, budget: DataBudget) -> dict[DataPart, list[str]]:
        """Ids of the videos, demonstrations or episodes of play that a stage learns from."""
        found: dict[DataPart, list[str]] = {}
        joint = kind == "skill" and self.config.joint.weight
        if kind in ("decoder", "clone", "finetune") or joint or not budget.videos:
            chosen = labelled(self.data, self.texts, budget)
            found[chosen.part] = chosen.sources
        if kind != "decoder" and budget.videos:
            found["videos"] = unlabelled(self.data, self.texts, budget).sources
        return found

    def judged(self, kind: str, budget: DataBudget, folder: Path) -> MemoryWindows | None:
        """What a stage is evaluated on that it does not learn from; None for nothing.

        Where demonstrations may not be read, what is learned from videos is not evaluated on those
        of other tasks either: it is the same for all folds. A clone of a task is not evaluated on
        play, which has none.
        """
        shared = budget.videos and kind in _OF_VIDEOS
        untold = budget.play_minutes and kind == "clone"
        left = unlearned(self.data, self.texts, budget)
        unused = [] if budget.blind and (shared or untold) else left.sources
        return self._some(left.part, agreed_split(folder, self.learned(kind, budget), unused))

    def unlabelled(self, budget: DataBudget) -> MemoryWindows:
        """Windows that latent model and prior learn from; their actions, if any, are not used."""
        if not budget.videos:
            return self.demonstrations(budget)
        return self.of("videos", unlabelled(self.data, self.texts, budget).sources)

    def unlabelled_name(self, budget: DataBudget) -> list[Any]:
        """The part of a key for `unlabelled`: K counts only where there are no videos.

        What is learned from videos is the same whatever is held out; but it is not what was
        evaluated on demonstrations of every task.
        """
        if not budget.videos:
            return ["demos", budget.demos, *budget.labels_name]
        return ["videos", budget.videos, *(["no demos"] if budget.blind else [])]

    def labelled_shape(self, budget: DataBudget) -> FlowShape:
        """Of labelled windows. The record of their dataset has statistics of all of them, which do
        not count where some may not be read."""
        if budget.blind:
            windows = self.demonstrations(budget)
            return shape_of(windows, windows.own_p99_px())
        record = json.loads((Path(self.data.folders["demos"]) / "dataset.json").read_text())
        of = record["config"]["windows"]
        return FlowShape(of["length"], of["size"], float(record["flow"]["p99_px"]))


def shape_of(windows: MemoryWindows, p99_px: float) -> FlowShape:
    return FlowShape(windows.geometry.steps, windows.geometry.flow_px, p99_px)
