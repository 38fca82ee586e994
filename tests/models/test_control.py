"""A loaded policy in a control loop: an action for every step, chunks that overlap averaged."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch

from sofdata.errors import ConfigError
from sofdata.models.policy import Policy
from sofdata.types import Actions


class Counting(Policy):
    """A policy whose chunk at its look number n is all n, the gripper -1 but at even looks 1."""

    def __init__(self, chunk: int, switch: int | None = None) -> None:
        self.seeds: list[int] = []
        space = type("Space", (), {"chunk": chunk})
        decoder = type("Decoder", (), {"space": space, "switch": switch})
        super().__init__(cast(Any, None), cast(Any, object()), cast(Any, decoder))

    def plan(self, image: Any, task: Any = "", *more: Any, seed: int = 0, **others: Any) -> Any:
        self.seeds.append(seed)
        return task

    def act(
        self, image: Any, plan: Any, task: Any = "", state: Any = None, second: Any = None
    ) -> Actions:
        look = len(self.seeds)
        size = image.shape[0] if image.ndim == 4 else 1
        values = torch.full((size, 4, 2), float(look))
        values[..., 1] = 1.0 if look % 2 == 0 else -1.0
        return Actions(values)


IMAGE = np.zeros((8, 8, 3), np.uint8)


def test_without_an_ensemble_the_latest_look_counts() -> None:
    policy = Counting(4)
    control = policy.control("push", execute=2, seed=5)
    taken = [float(control.action(IMAGE)[0]) for _ in range(6)]
    assert taken == [1, 1, 2, 2, 3, 3]
    assert policy.seeds == [5, 7, 9]
    assert str(control.plan) == "push"
    assert control.steps == 6


def test_overlapping_chunks_are_averaged_and_a_gripper_is_voted_on() -> None:
    control = Counting(4, switch=1).control(execute=2, ensemble=0.0)
    taken = [control.action(IMAGE) for _ in range(6)]
    assert [float(action[0]) for action in taken] == [1, 1, 1.5, 1.5, 2.5, 2.5]
    assert [float(action[1]) for action in taken] == [-1, -1, 1, 1, -1, -1]  # a tie: the latest
    older = Counting(4).control(execute=2, ensemble=5.0)
    assert float([older.action(IMAGE) for _ in range(3)][2][0]) == pytest.approx(1.0067, abs=1e-4)


def test_an_image_is_needed_where_it_looks_and_no_oftener() -> None:
    control = Counting(4).control(execute=3)
    with pytest.raises(ConfigError, match="step 0 is a look"):
        control.action()
    control.action(IMAGE)
    assert control.looks is False
    control.action()
    with pytest.raises(ConfigError, match="one image at a time, got 2"):
        Counting(4).control().action(np.stack([IMAGE, IMAGE]))


def test_a_chunk_is_carried_out_whole_by_default_and_never_more_than_that() -> None:
    for control in (Counting(4).control(), Counting(4).control(execute=9)):
        assert [float(control.action(IMAGE)[0]) for _ in range(5)] == [1, 1, 1, 1, 2]
    with pytest.raises(ConfigError, match="execute is 0"):
        Counting(4).control(execute=0)
