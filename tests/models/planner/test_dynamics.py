"""The latent dynamics: what is observed after a skill."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sofdata.models.planner.dynamics import Dynamics, DynamicsConfig, normalised_error

PLACES, CHANNELS, POINTS, DIM = 4, 6, 3, 2
CONFIG = DynamicsConfig(width=32, layers=1)


def build() -> Dynamics:
    torch.manual_seed(0)
    return Dynamics(CONFIG, (PLACES, CHANNELS), POINTS, DIM)


def world(size: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """A toy: the skill's first number turns the channels, the second point's swaps two places."""
    draw = torch.Generator().manual_seed(seed)
    before = torch.randn(size, PLACES, CHANNELS, generator=draw)
    codes = torch.randint(2, (size, POINTS, DIM), generator=draw).float()
    turned = torch.where(codes[:, 0, :1, None] > 0, before.roll(1, 2), before)
    after = torch.where(codes[:, 1, :1, None] > 0, turned[:, [1, 0, 2, 3]], turned)
    return before, codes, after


def test_it_begins_with_no_change() -> None:
    before, codes, _ = world(5, 0)
    torch.testing.assert_close(build()(before, codes), before)


def test_it_learns_a_toy_world_and_needs_the_right_skill_for_it() -> None:
    dynamics = build()
    optimiser = torch.optim.Adam(dynamics.parameters(), 5e-3)
    for step in range(200):
        before, codes, after = world(64, step)
        loss = normalised_error(dynamics(before, codes), after).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    before, codes, after = world(256, 10_000)
    with torch.no_grad():
        right, wrong = (
            normalised_error(dynamics(before, given), after).mean().item()
            for given in (codes, codes.roll(1, 0))
        )
    no_change = normalised_error(before, after).mean().item()
    assert right < 0.3 * no_change
    assert wrong > 2 * right


def test_a_sample_of_a_batch_is_predicted_as_it_is_alone() -> None:
    dynamics = build()
    torch.nn.init.normal_(dynamics.change.weight)
    before, codes, _ = world(4, 0)
    noise = torch.randn(4, 1, 2, 32)
    for given in (None, noise):
        whole = dynamics(before, codes, given)
        alone = dynamics(before[2:3], codes[2:3], None if given is None else given[2:3])
        torch.testing.assert_close(whole[2:3], alone, atol=1e-5, rtol=1e-5)


def test_errors_are_in_variances_of_a_normalised_token() -> None:
    tokens = torch.nn.functional.layer_norm(torch.randn(3, PLACES, 64), (64,))
    assert normalised_error(tokens, tokens).tolist() == [0, 0, 0]
    zeros = normalised_error(torch.zeros_like(tokens), tokens)
    torch.testing.assert_close(zeros, torch.ones(3), atol=1e-3, rtol=0)
    assert normalised_error(-tokens, tokens).mean().item() == pytest.approx(4, abs=1e-2)
