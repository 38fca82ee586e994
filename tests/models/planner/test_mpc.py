"""The cross-entropy method on problems with a known best answer, and planning in a known world."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import Generator, Tensor, nn

from sofdata.errors import ConfigError
from sofdata.models.planner.digit_head import DigitHead
from sofdata.models.planner.dynamics import Dynamics, DynamicsConfig
from sofdata.models.planner.mpc import (
    Imagination,
    MPCConfig,
    Proposal,
    TokenProposal,
    VectorProposal,
    cross_entropy_method,
    search,
)
from sofdata.models.planner.prior import Prior
from sofdata.models.planner.trunk import PriorConfig, SkillSpace

CODES, SKILLS, POINTS, DIM = 12, 2, 4, 3
SEEDS = pytest.mark.parametrize("seed", range(5))
THOROUGH = MPCConfig(candidates=128, elites=12, iterations=12, fresh=0.2)


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def look_for(
    sample: Callable[[int], Tensor],
    score: Callable[[Tensor], Tensor],
    proposal: Proposal,
    config: MPCConfig,
    generator: Generator,
) -> tuple[Tensor, Tensor]:
    """The cross-entropy method where fresh candidates are scored as any other."""

    def scored(number: int) -> tuple[Tensor, Tensor]:
        fresh = sample(number)
        return fresh, score(fresh)

    return cross_entropy_method(scored, score, proposal, config, generator)


@SEEDS
def test_it_finds_the_best_tokens(seed: int) -> None:
    generator = seeded(seed)
    best = torch.randint(CODES, (SKILLS, POINTS), generator=generator)

    def sample(number: int) -> Tensor:
        return torch.randint(CODES, (number, SKILLS, POINTS), generator=generator)

    def score(tokens: Tensor) -> Tensor:
        return (tokens == best).flatten(1).sum(1).float()

    found, worth = look_for(sample, score, TokenProposal(CODES), THOROUGH, generator)
    assert found.dtype == torch.int64
    assert torch.equal(found, best)
    assert worth.item() == SKILLS * POINTS


@SEEDS
def test_it_finds_the_best_vectors(seed: int) -> None:
    generator = seeded(seed)
    best = torch.randn(SKILLS, POINTS, DIM, generator=generator)

    def sample(number: int) -> Tensor:
        return torch.randn(number, SKILLS, POINTS, DIM, generator=generator)

    def score(vectors: Tensor) -> Tensor:
        return -(vectors - best).square().flatten(1).sum(1)

    config = MPCConfig(candidates=256, elites=24, iterations=25, fresh=0.1, smoothing=0.1)
    found, worth = look_for(sample, score, VectorProposal(), config, generator)
    assert worth.item() == pytest.approx(0, abs=0.02)
    torch.testing.assert_close(found, best, atol=0.1, rtol=0)


def test_more_rounds_never_lose_the_best_found() -> None:
    worths = []
    for iterations in range(1, 6):
        generator = seeded(3)
        config = MPCConfig(candidates=8, elites=2, iterations=iterations, fresh=0.5)
        _, worth = look_for(
            lambda number: torch.randint(CODES, (number, 6), generator=generator),  # noqa: B023
            lambda tokens: tokens.float().sum(1),
            TokenProposal(CODES),
            config,
            generator,
        )
        worths.append(worth.item())
    assert worths == sorted(worths)
    assert worths[-1] > worths[0]


@pytest.mark.parametrize("fresh", [0.0, 1.0])
def test_all_new_candidates_may_come_from_either_source(fresh: float) -> None:
    drawn = []

    def sample(number: int) -> Tensor:
        drawn.append(number)
        return torch.zeros(number, 2, dtype=torch.int64)

    config = MPCConfig(candidates=10, elites=4, iterations=3, fresh=fresh)
    look_for(sample, lambda t: t.sum(1), TokenProposal(3), config, seeded(0))
    assert drawn == ([10, 6, 6] if fresh else [10])


def test_a_score_that_is_no_number_is_the_worst() -> None:
    generator = seeded(0)
    found, worth = look_for(
        lambda number: torch.randint(3, (number, 1), generator=generator),
        lambda tokens: torch.where(tokens[:, 0] == 2, torch.nan, tokens[:, 0].float()),
        TokenProposal(3),
        MPCConfig(),
        generator,
    )
    assert (found.item(), worth.item()) == (1, 1)


def test_a_score_of_another_shape_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"gave \[\] for 64 candidates; expected one number"):
        look_for(
            lambda number: torch.zeros(number, 1, dtype=torch.int64),
            lambda tokens: tokens.sum(),
            TokenProposal(3),
            MPCConfig(),
            seeded(0),
        )


def test_as_many_elites_as_candidates_are_refused() -> None:
    with pytest.raises(ConfigError, match="elites 9 must be fewer than candidates 9"):
        MPCConfig.parse({"elites": 9, "candidates": 9})


def walk(likely: float = 0.0) -> Imagination:
    """A world of one number, 0 to begin with, and skills that add -1, 0 or 1.

    The prior favours adding 1 by `likely` nats over the others.
    """
    torch.manual_seed(0)
    prior = Prior(PriorConfig(width=8, layers=1, heads=1), SkillSpace(1, 1, (3,), (1, 1), 2))
    assert isinstance(prior.head, DigitHead)
    last = cast(nn.Linear, prior.head.outer[0])
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0, 0, likely]))
    return Imagination(
        prior,
        lambda observation, codes: observation + codes,
        lambda tokens: tokens[..., None].float() - 1,
        torch.zeros(1, 1, 1),
        torch.zeros(1, 2),
    )


@pytest.mark.parametrize("goal", [-4, -1, 0, 3])
@torch.no_grad()
def test_a_plan_reaches_the_goal_of_a_known_world(goal: int) -> None:
    config = MPCConfig(horizon=4, iterations=6, prior_weight=0)
    skills, worth = search(
        walk(), lambda seen: -(seen[:, -1, 0, 0] - goal).abs(), config, seeded(0)
    )
    assert skills.shape == (4, 1)
    assert (skills - 1).sum().item() == goal
    assert worth.item() == 0


@torch.no_grad()
def test_the_prior_decides_between_plans_of_equal_value() -> None:
    world, config = walk(likely=2.0), MPCConfig(horizon=3, iterations=6, prior_weight=0.1)
    skills, worth = search(world, lambda seen: torch.zeros(len(seen)), config, seeded(0))
    assert (skills - 1).tolist() == [[1], [1], [1]]
    nats = torch.tensor([0, 0, 2.0]).log_softmax(0)[2].item()
    assert worth.item() == pytest.approx(0.1 * nats, abs=1e-6)


@torch.no_grad()
def test_later_skills_are_proposed_from_what_is_predicted_before_them() -> None:
    world = walk()
    drawn = world.propose(50, 3, 1.0, seeded(0))
    assert drawn.skills.shape == (50, 3, 1)
    moves = (drawn.skills[..., 0] - 1).float()
    torch.testing.assert_close(drawn.predicted[:, :, 0, 0], moves.cumsum(1))


@pytest.mark.parametrize("levels", [(5, 3), ()], ids=["fsq", "kl"])
@torch.no_grad()
def test_what_is_drawn_is_imagined_as_if_it_had_been_given(levels: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    prior = Prior(PriorConfig(), SkillSpace(POINTS, 2, levels, (4, 8), 16)).eval()
    dynamics = Dynamics(DynamicsConfig(), (4, 8), POINTS, 2).eval()
    nn.init.normal_(dynamics.change.weight)
    table = torch.randn(15, 2)
    world = Imagination(
        prior,
        dynamics,
        (lambda tokens: table[tokens]) if levels else (lambda codes: codes),
        torch.randn(1, 4, 8),
        torch.randn(1, 16),
    )
    drawn = world.propose(20, 3, 1.5, seeded(0))
    given = world.roll_out(drawn.skills)
    torch.testing.assert_close(given.predicted, drawn.predicted)
    torch.testing.assert_close(given.log_prob, drawn.log_prob)
    one = world.roll_out(drawn.skills[:1])
    torch.testing.assert_close(one.log_prob, drawn.log_prob[:1])


@torch.no_grad()
def test_a_value_that_is_one_number_for_all_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"gave \[\] for 64 candidates; expected one number"):
        search(walk(), lambda seen: seen.sum(), MPCConfig(), seeded(0))
