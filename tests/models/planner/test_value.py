"""The goal value: what it is learned towards, and that it learns ways from videos alone."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from torch import Tensor, nn

from sofdata.models.planner.value import GoalValue, ValueConfig

PLACES, CHANNELS = 2, 3
GAMMA = 0.9


def value(**settings: float) -> GoalValue:
    torch.manual_seed(0)
    config = {"width": 64, "embedding": 8, "discount": GAMMA, "weight": 1, **settings}
    return GoalValue(ValueConfig.parse(config), (PLACES, CHANNELS))


def seen(size: int, seed: int = 1) -> Tensor:
    return torch.randn(size, PLACES, CHANNELS, generator=torch.Generator().manual_seed(seed))


def test_a_goal_is_an_embedding_of_fixed_length() -> None:
    model = value()
    assert model(seen(50), seen(50, 2)).shape == (50,)
    lengths = model.embed(seen(5)).norm(dim=-1)
    torch.testing.assert_close(lengths, torch.full((5,), 8**0.5))


def test_the_target_is_what_the_video_took_where_that_is_more() -> None:
    """Eq. 31: reached, one skill ahead, far ahead, and of another video."""
    model = value()
    with torch.no_grad():
        last = cast(nn.Linear, model.slow.value[-1])
        last.weight.zero_()
        last.bias.fill_(-3.0)
    onwards = -1 - GAMMA * 3
    targets = model.targets(seen(5), seen(5, 2), torch.tensor([0.0, 1.0, 2.0, 20.0, torch.inf]))
    far = -(1 - GAMMA**20) / (1 - GAMMA)
    assert far < onwards
    expected = torch.tensor([0.0, -1.0, -(1 + GAMMA), onwards, onwards])
    torch.testing.assert_close(targets, expected)


def test_an_expectile_above_a_half_weighs_what_is_better_than_expected_more() -> None:
    """Eq. 32."""
    model = value(expectile=0.8)
    before, after, goal = seen(40), seen(40, 2), seen(40, 3)
    skills = torch.full((40,), torch.inf)
    apart = model.targets(after, goal, skills) - model(before, goal)
    expected = torch.where(apart > 0, 0.8, 0.2) * apart.square()
    torch.testing.assert_close(model.loss(before, after, goal, skills), expected)


def test_where_a_goal_is_reached_it_is_what_is_seen() -> None:
    model = value(expectile=0.5)
    goal = seen(3, 3)
    error = model.loss(seen(3), seen(3, 2), goal, torch.zeros(3))
    torch.testing.assert_close(error, 0.5 * model(goal, goal).square())


def test_an_advantage_is_what_was_gained_beyond_what_the_skills_took() -> None:
    """Eq. 34, with values of a known world: the slow copy is replaced by minus a distance."""
    model = value()

    class Distance(torch.nn.Module):
        def embed(self, goal: Tensor) -> Tensor:
            return goal[:, 0, 0]

        def forward(self, observation: Tensor, goal: Tensor) -> Tensor:
            far = (goal - observation[:, 0, 0]).abs()
            return -(1 - GAMMA**far) / (1 - GAMMA)

    model.slow = Distance()  # type: ignore[assignment]

    def at(*places: float) -> Tensor:
        return torch.tensor(places)[:, None, None].expand(-1, PLACES, CHANNELS)

    found = model.advantage(at(0, 0, 0), at(2, 0, -2), at(5, 5, 5), torch.tensor([2.0, 2.0, 2.0]))
    assert found[0].item() == pytest.approx(0, abs=1e-5)
    assert found[2] < found[1] < -1


def test_the_slow_copy_moves_once_an_update_however_many_batches_it_has() -> None:
    model = value(rate=0.5)
    before = {name: weight.clone() for name, weight in model.slow.named_parameters()}
    with torch.no_grad():
        for weight in model.now.parameters():
            weight.add_(1.0)
    model.follow(0)
    for name, weight in model.slow.named_parameters():
        torch.testing.assert_close(weight, before[name], atol=0, rtol=0)
    for _ in range(3):
        model.follow(1)
    for name, weight in model.slow.named_parameters():
        torch.testing.assert_close(weight, before[name] + 0.5)
    assert not any(weight.requires_grad for weight in model.slow.parameters())


def test_it_learns_how_far_goals_are_and_that_some_cannot_be_reached() -> None:
    """A chain of eight observations, a skill apart; pairs of one video, and of others."""
    model, chain = value(rate=0.1), seen(9, 5)
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 3e-3)
    source = torch.Generator().manual_seed(0)
    for step in range(400):
        model.follow(step)
        row = torch.randint(8, (128,), generator=source)
        goal = torch.randint(9, (128,), generator=source)
        skills = torch.where(goal >= row, (goal - row).float(), torch.inf)
        loss = model.loss(chain[row], chain[row + 1], chain[goal], skills).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.no_grad():
        found = model(chain[:1].expand(9, -1, -1), chain)
        wanted = -(1 - GAMMA ** torch.arange(9.0)) / (1 - GAMMA)
        back = model(chain[5:6].expand(5, -1, -1), chain[:5])
    torch.testing.assert_close(found, wanted, atol=0.5, rtol=0)
    assert (back < found[4]).all()
