"""The prior over skills: tokens of a codebook and vectors, by the same transformer."""

from __future__ import annotations

import math
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from sofdata.errors import ConfigError
from sofdata.models.planner.digit_head import DigitHead
from sofdata.models.planner.prior import Prior
from sofdata.models.planner.trunk import PriorConfig, SkillSpace

POINTS, DIM, LEVELS, CODES, PLACES, CHANNELS, TASK, SIZE = 5, 2, (4, 3), 12, 4, 6, 7, 3
TOKENS = SkillSpace(POINTS, DIM, LEVELS, (PLACES, CHANNELS), TASK)
VECTORS = SkillSpace(POINTS, DIM, (), (PLACES, CHANNELS), TASK)
SPACES = pytest.mark.parametrize("space", [TOKENS, VECTORS], ids=["fsq", "kl"])


def build(space: SkillSpace, **settings: float) -> Prior:
    torch.manual_seed(0)
    prior = Prior(PriorConfig(width=32, layers=2, **settings), space)
    with torch.no_grad():  # far from uniform, so that what it attends to shows
        for weight in prior.parameters():
            weight.mul_(2)
    return prior


def seen(size: int = SIZE) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(size, PLACES, CHANNELS), torch.randn(size, TASK)


def skills(space: SkillSpace, size: int = SIZE, number: int = 2) -> Tensor:
    torch.manual_seed(2)
    if space.codebook_size:
        return torch.randint(space.codebook_size, (size, number, POINTS))
    return torch.randn(size, number, POINTS, DIM)


@SPACES
def test_each_point_has_a_log_likelihood(space: SkillSpace) -> None:
    prior, (observation, task) = build(space), seen()
    assert prior.log_prob(observation, task, skills(space)).shape == (SIZE, 2, POINTS)
    drawn, log_prob = prior.sample(observation, task, 4)
    assert drawn.shape == (SIZE, 4, *skills(space).shape[2:])
    assert log_prob.shape == (SIZE, 4)


@SPACES
@pytest.mark.parametrize("changed", range(POINTS))
def test_a_point_depends_on_those_before_it_and_on_no_other(
    space: SkillSpace, changed: int
) -> None:
    prior, (observation, task), targets = build(space), seen(), skills(space)
    other = targets.clone()
    other[:, :, changed] = (other[:, :, changed] + 1) % CODES
    hidden, moved = (prior.hidden(observation, task, part) for part in (targets, other))
    torch.testing.assert_close(hidden[:, :, : changed + 1], moved[:, :, : changed + 1])
    for later in range(changed + 1, POINTS):
        assert not torch.allclose(hidden[:, :, later], moved[:, :, later], atol=1e-3)


@SPACES
def test_every_part_of_the_observation_and_the_task_reaches_the_first_point(
    space: SkillSpace,
) -> None:
    prior, (observation, task) = build(space), seen(1)
    observation.requires_grad_()
    task.requires_grad_()
    prior.log_prob(observation, task, skills(space, 1))[:, :, 0].sum().backward()  # type: ignore[no-untyped-call]
    assert observation.grad is not None
    assert task.grad is not None
    assert observation.grad.abs().amin() > 0
    assert task.grad.abs().amin() > 0


@SPACES
def test_samples_come_with_their_own_log_likelihood(space: SkillSpace) -> None:
    prior, (observation, task) = build(space), seen()
    generator = torch.Generator().manual_seed(0)
    for temperature in (0.5, 1.0, 2.0):
        drawn, log_prob = prior.sample(observation, task, 6, temperature, generator)
        expected = prior.log_prob(observation, task, drawn).sum(-1)
        torch.testing.assert_close(log_prob, expected, atol=1e-4, rtol=1e-4)


@SPACES
def test_a_sample_of_a_batch_is_read_as_it_is_alone(space: SkillSpace) -> None:
    prior, (observation, task), targets = build(space), seen(), skills(space)
    whole = prior.log_prob(observation, task, targets)
    for row in range(SIZE):
        alone = prior.log_prob(observation[row, None], task[row, None], targets[row, None])
        torch.testing.assert_close(alone[0], whole[row], atol=1e-5, rtol=1e-5)


def test_likelihoods_of_all_skills_sum_to_one() -> None:
    space = SkillSpace(2, DIM, LEVELS, (PLACES, CHANNELS), TASK)
    prior, (observation, task) = build(space), seen(1)
    every = torch.cartesian_prod(torch.arange(CODES), torch.arange(CODES))[None]
    total = prior.log_prob(observation, task, every).sum(-1).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-5)


def test_samples_are_as_frequent_as_they_are_likely() -> None:
    space = SkillSpace(2, 1, (3,), (PLACES, CHANNELS), TASK)
    prior, (observation, task) = build(space), seen(1)
    drawn, _ = prior.sample(observation, task, 20_000, 1.0, torch.Generator().manual_seed(0))
    counts = torch.bincount(drawn[0, :, 0] * 3 + drawn[0, :, 1], minlength=9)
    every = torch.cartesian_prod(torch.arange(3), torch.arange(3))[None]
    likely = prior.log_prob(observation, task, every).sum(-1)[0].exp()
    torch.testing.assert_close(counts / 20_000, likely, atol=0.015, rtol=0)


def test_a_peaked_prior_gives_its_mode_at_any_temperature() -> None:
    prior, (observation, task) = build(TOKENS), seen()
    assert isinstance(prior.head, DigitHead)
    with torch.no_grad():
        for layer, level in zip(prior.head.outer, (3, 1), strict=True):
            cast(nn.Linear, layer).bias[level] = 200
    for temperature in (0.0, 0.5, 1.0):
        drawn, log_prob = prior.sample(observation, task, 3, temperature)
        assert (drawn == 7).all()  # 3 + 4 * 1
        torch.testing.assert_close(log_prob, torch.zeros(SIZE, 3))


@SPACES
def test_temperature_zero_always_gives_the_same_and_a_seed_gives_the_same(
    space: SkillSpace,
) -> None:
    prior, (observation, task) = build(space), seen()
    greedy, _ = prior.sample(observation, task, 2, 0.0)
    torch.testing.assert_close(greedy[:, 0], greedy[:, 1])
    first, again = (
        prior.sample(observation, task, 2, 1.0, torch.Generator().manual_seed(5))[0]
        for _ in range(2)
    )
    torch.testing.assert_close(first, again, atol=0, rtol=0)
    assert not torch.equal(first[:, 0], first[:, 1])


@SPACES
def test_a_skill_of_one_point_works(space: SkillSpace) -> None:
    one = SkillSpace(1, DIM, space.levels, (PLACES, CHANNELS), TASK)
    prior, (observation, task) = build(one), seen()
    drawn, log_prob = prior.sample(observation, task, 2)
    expected = prior.log_prob(observation, task, drawn).sum(-1)
    torch.testing.assert_close(log_prob, expected, atol=1e-5, rtol=1e-5)


def test_an_untrained_prior_knows_little_more_than_nothing() -> None:
    prior, (observation, task) = Prior(PriorConfig(), TOKENS), seen(64)
    nats = -prior.log_prob(observation, task, skills(TOKENS, 64)).mean()
    assert nats.item() == pytest.approx(math.log(CODES), rel=0.05)


def test_label_smoothing_mixes_in_the_mean_over_the_levels_of_each_dimension() -> None:
    plain, smoothed = build(TOKENS), build(TOKENS, label_smoothing=0.2)
    (observation, task), targets = seen(), skills(TOKENS)[:, 0]
    loss, nats = smoothed.loss(observation, task, targets)
    torch.testing.assert_close(nats, plain.loss(observation, task, targets)[0])
    hidden = smoothed.hidden(observation, task, targets[:, None])
    assert isinstance(smoothed.head, DigitHead)
    levels = zip(
        smoothed.head.logs(hidden, targets[:, None]), (targets % 4, targets // 4), strict=True
    )
    expected = sum(
        torch.nn.functional.cross_entropy(
            logs[:, 0].transpose(1, 2), level, reduction="none", label_smoothing=0.2
        )
        for logs, level in levels
    )
    torch.testing.assert_close(loss, expected)


@SPACES
def test_dropout_belongs_to_the_sample_and_is_off_without_noise(space: SkillSpace) -> None:
    prior, (observation, task), targets = build(space), seen(), skills(space)[:, 0]
    noise = torch.randn(SIZE, 2, 2, 32)
    plain, _ = prior.loss(observation, task, targets)
    dropped, _ = prior.loss(observation, task, targets, noise)
    alone, _ = prior.loss(observation[1:2], task[1:2], targets[1:2], noise[1:2])
    assert not torch.allclose(plain, dropped)
    torch.testing.assert_close(alone[0], dropped[1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        prior.loss(observation, task, targets, torch.zeros_like(noise))[0], plain
    )


@SPACES
def test_it_learns_one_batch_by_heart(space: SkillSpace) -> None:
    prior = Prior(PriorConfig(width=32, layers=2), space)
    (observation, task), targets = seen(), skills(space)[:, 0]
    optimiser = torch.optim.Adam(prior.parameters(), 3e-3)
    before = prior.loss(observation, task, targets)[0].mean().item()
    for _ in range(150):
        loss = prior.loss(observation, task, targets)[0].mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert loss.item() < before - 2
    if space.codebook_size:
        assert torch.equal(prior.sample(observation, task, 1, 0.0)[0][:, 0], targets)


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ConfigError, match="width 130 is no multiple of heads 4"):
        PriorConfig.parse({"width": 130})
