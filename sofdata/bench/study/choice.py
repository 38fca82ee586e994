"""Which of the data an arm learns from: so many videos of each task, and the labels it may see.

Labels come from K demonstrations of each task, but of none that is held out, or from undirected
play of the robot. Whatever an arm learns of actions passes through here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sofdata.bench.study.data import BenchData, DataPart
from sofdata.errors import ConfigError

SAMPLED_VIDEOS = 4  # of each task, that a stage is measured on where it may see no demonstration


@dataclass(frozen=True, slots=True)
class DataBudget:
    """How much of the data an arm learns from.

    demos, videos: K demonstrations and some videos, for each task.
    seed: the training seed, which chooses them.
    withheld: texts of the tasks of which no demonstration may be read.
    play_minutes: of play, from which labels come in place of demonstrations; 0: from those.
    """

    demos: int
    videos: int
    seed: int
    withheld: tuple[str, ...] = ()
    play_minutes: int = 0

    @property
    def blind(self) -> bool:
        """Whether some task has no demonstration that may be read."""
        return bool(self.withheld or self.play_minutes)

    @property
    def labels_name(self) -> list[Any]:
        """The part of a key for where labels come from; [] for demonstrations of every task."""
        withheld = [["withheld", *self.withheld]] if self.withheld else []
        return withheld + ([["play", self.play_minutes]] if self.play_minutes else [])

    def sampled(self) -> DataBudget:
        """The same with so few videos that measuring on them takes seconds."""
        return replace(self, videos=min(self.videos, SAMPLED_VIDEOS))


@dataclass(frozen=True, slots=True)
class Chosen:
    """Ids of videos, demonstrations or episodes of play, and which of these they are."""

    part: DataPart
    sources: list[str]


def labelled(data: BenchData, texts: Sequence[str], budget: DataBudget) -> Chosen:
    """What actions are learned from.

    Raises `ConfigError` where there is less than the budget asks for.
    """
    if budget.play_minutes:
        return Chosen("play", data.choose_play(budget.play_minutes, budget.seed))
    seen = _seen(texts, budget)
    if not seen:
        raise ConfigError(
            "the tasks that are held out share their texts with all others: no demonstration is "
            "left to learn actions from. Hold out fewer at once (--folds)"
        )
    chosen = data.choose("demos", seen, budget.demos, budget.seed)
    return Chosen("demos", data.without(chosen, budget.withheld))


def unlearned(data: BenchData, texts: Sequence[str], budget: DataBudget) -> Chosen:
    """Labelled data of the same kind that the arm does not learn from; may be empty."""
    if budget.play_minutes:
        return Chosen("play", data.held_out_play(budget.play_minutes, budget.seed))
    held_out = data.held_out(_seen(texts, budget), budget.demos, budget.seed)
    return Chosen("demos", data.without(held_out, budget.withheld))


def unlabelled(data: BenchData, texts: Sequence[str], budget: DataBudget) -> Chosen:
    """The videos of every task.

    Raises `ConfigError` where there are fewer than the budget asks for.
    """
    return Chosen("videos", data.choose("videos", texts, budget.videos, budget.seed))


def _seen(texts: Sequence[str], budget: DataBudget) -> list[str]:
    return [text for text in texts if text not in budget.withheld]
