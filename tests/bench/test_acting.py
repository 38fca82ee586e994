"""Answers that are made of several skills."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sofdata.bench.study.acting import PriorActor
from sofdata.bench.study.config import ActingConfig
from sofdata.types import Actions, Skill


class Decoder:
    """Stands for an action decoder whose action is its skill's number."""

    class config:  # noqa: N801
        condition = "skill"

    switch: int | None = None

    def observe(self, images: Tensor, second: Tensor | None = None) -> Tensor:
        return torch.zeros(len(images), 1, 1)

    def told(self, texts: list[str], state: Tensor | None) -> None:
        return None

    def conditioning(self, images: Tensor, codes: Tensor) -> Tensor:
        assert len(images) == len(codes)
        return codes

    def read(self, seen: Tensor, codes: Tensor, task: Tensor | None) -> Tensor:
        assert len(seen) == len(codes)
        return codes  # [B*S, 1, 1]

    def finish(self, output: Tensor) -> Actions:
        return Actions(output)

    def act(
        self,
        images: Tensor,
        skill: Skill,
        texts: list[str],
        state: Tensor | None,
        second: Tensor | None,
    ) -> Actions:
        return Actions(skill.codes)


class Gripper(Decoder):
    """The same, whose one dimension takes two values."""

    switch = 0


DRAWN = torch.zeros(1, 2, 1, 1), torch.zeros(1, 2)  # codes and likelihoods


def chosen(combine: str, codes: list[float], likelihoods: list[float]) -> tuple[float, float]:
    """The action, and the code of the skill that is meant."""
    decoder: Any = Decoder()
    actor = PriorActor(decoder, decoder, ActingConfig.parse({"combine": combine}))
    images = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    acted = actor.choose(
        images, ["go"], torch.tensor(codes).view(1, -1, 1, 1), torch.tensor([likelihoods])
    )
    assert acted.codes is not None
    return float(acted.actions.squeeze()), float(acted.codes.squeeze())


def test_mean_is_the_expected_action_and_means_the_skill_nearest_to_it() -> None:
    assert chosen("mean", [0.0, 1.0, 5.0], [-1, -2, -3]) == (2.0, 1.0)


def test_medoid_carries_out_one_skill_and_not_a_mixture() -> None:
    assert chosen("medoid", [0.0, 1.0, 5.0], [-1, -2, -3]) == (1.0, 1.0)


def test_likeliest_asks_the_prior() -> None:
    assert chosen("likeliest", [0.0, 1.0, 5.0], [-3, -2, -1]) == (5.0, 5.0)


def test_a_gripper_of_two_values_is_named_for_those_who_average_chunks() -> None:
    images = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    plain: Any = Decoder()
    gripper: Any = Gripper()
    assert PriorActor(plain, plain, ActingConfig()).choose(images, ["go"], *DRAWN).votes == ()
    assert PriorActor(plain, gripper, ActingConfig()).choose(images, ["go"], *DRAWN).votes == (0,)
