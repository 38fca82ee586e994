"""The prior that carries noise to skills: densities, samples, rounding, and learning."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sofdata.models.planner.flow_matching import FlowMatchingPrior
from sofdata.models.planner.trunk import GuidanceConfig, PriorConfig, SkillSpace

POINTS, DIM, LEVELS, PLACES, CHANNELS, TASK = 3, 2, (4, 3), 4, 6, 7
TOKENS = SkillSpace(POINTS, DIM, LEVELS, (PLACES, CHANNELS), TASK)
VECTORS = SkillSpace(POINTS, DIM, (), (PLACES, CHANNELS), TASK)
SPACES = pytest.mark.parametrize("space", [TOKENS, VECTORS], ids=["fsq", "kl"])


def build(space: SkillSpace, moved: bool = True, **settings: float) -> FlowMatchingPrior:
    torch.manual_seed(0)
    prior = FlowMatchingPrior(PriorConfig(width=32, layers=2, **settings), space)
    if moved:
        torch.nn.init.normal_(prior.velocity.weight, std=0.1)
    return prior


def seen(size: int = 3) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(size, PLACES, CHANNELS), torch.randn(size, TASK)


def skills(space: SkillSpace, size: int = 3) -> Tensor:
    torch.manual_seed(2)
    if space.levels:
        return torch.randint(space.codebook_size, (size, POINTS))
    return torch.randn(size, POINTS, DIM)


@SPACES
def test_skills_come_in_the_form_of_the_other_priors(space: SkillSpace) -> None:
    prior, (observation, task) = build(space), seen()
    drawn, log_prob = prior.sample(observation, task, 4)
    assert drawn.shape == (3, 4, *skills(space).shape[1:])
    assert log_prob.shape == (3, 4)
    assert prior.log_prob(observation, task, drawn).shape == (3, 4, POINTS)
    torch.testing.assert_close(prior.log_prob(observation, task, drawn).sum(-1), log_prob)
    quick, none = prior.sample(observation, task, 4, likelihood=False)
    assert quick.shape == drawn.shape
    assert not none.any()


@SPACES
def test_untrained_it_is_the_noise_itself(space: SkillSpace) -> None:
    prior, (observation, task) = build(space, moved=False), seen()
    targets = skills(space)
    codes = targets if prior.fsq is None else prior.fsq.codes_of(targets)
    nats = -0.5 * (codes.square() + math.log(2 * math.pi)).flatten(1).sum(1)
    if prior.fsq is not None:  # levels lie 1/2 and 1 apart
        nats = nats + POINTS * math.log(1 / 2)
    found = prior.log_prob(observation, task, targets[:, None]).sum((1, 2))
    torch.testing.assert_close(found, nats)


def test_what_is_drawn_is_rounded_to_the_nearest_level_there_is() -> None:
    prior = build(TOKENS)
    codes = torch.tensor([[[-5.0, 5.0], [0.26, -0.4], [-0.3, 0.6]]])
    fsq = prior.fsq
    assert fsq is not None
    rounded = fsq.codes_of(prior._targets(codes))
    torch.testing.assert_close(rounded, torch.tensor([[[-1.0, 1], [0.5, 0], [-0.5, 1]]]))


@SPACES
def test_the_loss_is_the_samples_own_and_aims_at_codes_less_noise(space: SkillSpace) -> None:
    """Eq. 29 with a velocity of zero: |x1 - x0|², x1 within the cell of its level."""
    prior, (observation, task) = build(space, moved=False), seen()
    targets, draws = skills(space), torch.randn(3, prior.draws)
    whole, again = prior.loss(observation, task, targets, None, draws)
    assert torch.equal(whole, again)
    start = draws[:, 1 : 1 + POINTS * DIM].view(3, POINTS, DIM)
    codes = targets if prior.fsq is None else prior.fsq.codes_of(targets)
    expected = (codes - start).square().sum(-1)
    if prior.fsq is None:
        torch.testing.assert_close(whole, expected)
    else:
        within = torch.special.ndtr(draws[:, 1 + POINTS * DIM :]).view(3, POINTS, DIM) - 0.5
        moved = codes + within / prior.fsq.width
        torch.testing.assert_close(whole, (moved - start).square().sum(-1))
    alone, _ = prior.loss(observation[1:2], task[1:2], targets[1:2], None, draws[1:2])
    torch.testing.assert_close(alone[0], whole[1])


def test_the_loss_asks_for_its_random_numbers() -> None:
    prior, (observation, task) = build(TOKENS), seen()
    with pytest.raises(ValueError, match="random numbers"):
        prior.loss(observation, task, skills(TOKENS))


@SPACES
def test_a_seed_gives_the_same_and_temperature_zero_gives_one(space: SkillSpace) -> None:
    prior, (observation, task) = build(space), seen()
    first, again, other = (
        prior.sample(observation, task, 2, 1.0, torch.Generator().manual_seed(seed))[0]
        for seed in (5, 5, 6)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    mode, _ = prior.sample(observation, task, 2, 0.0)
    torch.testing.assert_close(mode[:, 0], mode[:, 1])


@SPACES
def test_guidance_of_one_changes_nothing_and_more_goes_beyond(space: SkillSpace) -> None:
    prior, (observation, task) = build(space), seen()

    def drawn(weight: float) -> Tensor:
        guidance = GuidanceConfig(weight=weight)
        source = torch.Generator().manual_seed(5)
        return prior.sample(observation, task, 8, 1.0, source, guidance)[0]

    plain = prior.sample(observation, task, 8, 1.0, torch.Generator().manual_seed(5))[0]
    assert torch.equal(drawn(1.0), plain)
    assert not torch.equal(drawn(4.0), plain)


@SPACES
def test_it_learns_which_skill_belongs_to_which_observation(space: SkillSpace) -> None:
    prior = FlowMatchingPrior(PriorConfig(width=32, layers=2), space)
    (observation, task), targets = seen(), skills(space)
    optimiser = torch.optim.Adam(prior.parameters(), 3e-3)
    source = torch.Generator().manual_seed(0)
    before = prior.log_prob(observation, task, targets[:, None]).sum()
    for _ in range(300):
        draws = torch.randn(30, prior.draws, generator=source)
        seen_, told, wanted = (
            each.repeat_interleave(10, 0) for each in (observation, task, targets)
        )
        loss = prior.loss(seen_, told, wanted, None, draws)[0].mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert prior.log_prob(observation, task, targets[:, None]).sum() > before + 6
    drawn, _ = prior.sample(observation, task, 8, 0.5, source)
    if space.levels:
        assert (drawn == targets[:, None]).float().mean() > 0.7
    else:
        assert (drawn - targets[:, None]).abs().mean() < 0.4
