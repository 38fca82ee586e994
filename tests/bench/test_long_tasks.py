"""Goal value, subgoals and guidance in the benchmark: what is trained anew, and how arms act."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from sofdata.bench.study.acting import SearchActor
from sofdata.bench.study.arms import ARMS
from sofdata.bench.study.cells import actor_of, cell_settings, train_arm
from sofdata.bench.study.choice import DataBudget
from sofdata.bench.study.config import ActingConfig
from sofdata.bench.study.frozen import chosen
from sofdata.bench.study.stages import Trainer
from sofdata.bench.study.wanted import Cell
from sofdata.models.planner.mpc import MPCConfig
from tests.bench.conftest import tiny

BUDGET = DataBudget(demos=1, videos=3, seed=0)
CELL = Cell("pushing", "sof+mpc", 1, 0, 3, "validation")
VALUE = (
    "planner.model.value.weight=1",
    "planner.model.value.width=32",
    "planner.model.subgoal.ahead=2",
    "planner.model.subgoal.width=32",
    "planner.model.prior.task_dropout=0.2",
)


def with_settings(trainer: Trainer, *overrides: str) -> Trainer:
    return Trainer(tiny(*overrides), trainer.data, trainer.texts, trainer.out)


def key(trainer: Trainer, *overrides: str) -> str:
    config = tiny(*overrides)
    return with_settings(trainer, *overrides)._key("planner", config.planner, 0, "skill")


def test_keys_that_change_nothing_are_no_part_of_cells_stages_and_choices(
    trainer: Trainer,
) -> None:
    plain, unused = tiny(), tiny("planner.model.goals.same=0.5", "planner.model.value.width=8")
    assert cell_settings(CELL, plain) == cell_settings(CELL, unused)
    assert chosen(plain) == chosen(unused)
    assert key(trainer) == key(trainer, "planner.model.goals.same=0.5")
    model = cell_settings(CELL, plain)["planner"]["model"]
    assert not {"value", "subgoal", "goals", "guidance"} & set(model)


def test_what_is_learned_makes_another_stage_and_how_it_is_used_another_cell(
    trainer: Trainer,
) -> None:
    used = (
        "planner.model.mpc.score=value",
        "planner.model.guidance.weight=2",
        "planner.model.subgoal.temperature=0",
    )
    assert key(trainer) != key(trainer, *VALUE)
    assert key(trainer, *VALUE) != key(trainer, *VALUE, "planner.model.subgoal.ahead=3")
    assert key(trainer, *VALUE) != key(trainer, *VALUE, "planner.model.prior.head=flow_matching")
    for setting in used:
        assert key(trainer, *VALUE) == key(trainer, *VALUE, setting)
        assert cell_settings(CELL, tiny(*VALUE)) != cell_settings(CELL, tiny(*VALUE, setting))


@pytest.mark.parametrize("videos", [3, 0], ids=["videos", "demonstrations"])
def test_a_goal_value_is_learned_from_windows_in_the_order_of_their_videos(
    trainer: Trainer, videos: int
) -> None:
    own = with_settings(trainer, *VALUE)
    budget = DataBudget(demos=1, videos=videos, seed=0)
    arm = ARMS["sof" if videos else "sof-novideo"]
    trained = own.planner(arm, budget, own.latent(arm, budget))
    assert trained.model.value is not None
    assert int(trained.model.value.updated) == 11  # of 12 updates, counted from 0
    assert {"value_one_skill", "value_other_window"} <= set(trained.record["metrics"])


def test_arms_draw_and_search_by_what_was_learned(trainer: Trainer) -> None:
    search = (
        "planner.model.mpc.score=value",
        "planner.model.mpc.carries=elites",
        "planner.model.guidance.weight=2",
    )
    own = with_settings(trainer, *VALUE, *search)
    images = own.windows.demonstrations(BUDGET).batch.first[:2]
    found: dict[str, Tensor] = {}
    for name in ("sof", "sof+mpc"):
        arm = ARMS[name]
        stages = train_arm(arm, BUDGET, own)
        planner = stages["planner"].model
        assert planner.config.guidance.weight == 2
        actor = actor_of(arm, BUDGET, own, stages)
        first, again = (actor.act(images, own.texts[:2], 3) for _ in range(2))
        assert torch.equal(first.actions, again.actions)
        found[name] = first.actions
    assert found["sof"].shape == found["sof+mpc"].shape
    plain = with_settings(trainer, *VALUE)
    stages = train_arm(ARMS["sof"], BUDGET, plain)
    assert stages["planner"].model.config.guidance.weight == 1


class Elites:
    """Stands for a planner whose search has found two skills, by their numbers."""

    def observe(self, images: Tensor) -> Tensor:
        return torch.zeros(len(images), 1, 1)

    def elites(self, images: Tensor, texts: list[str], **settings: Any) -> tuple[Tensor, Tensor]:
        return torch.tensor([1.0, 3.0]).view(1, 2, 1, 1), torch.zeros(1, 2)


def test_the_mean_of_the_elites_is_carried_out_where_that_is_asked_for() -> None:
    from tests.bench.test_acting import Decoder

    planner: Any = Elites()
    decoder: Any = Decoder()
    mpc = MPCConfig(carries="elites")
    actor = SearchActor(planner, decoder, mpc, {"go": torch.zeros(1, 1, 1)}, ActingConfig())
    acted = actor.act(torch.zeros(1, 3, 64, 64, dtype=torch.uint8), ["go"], 0)
    assert acted.actions.flatten().tolist() == [2.0]
