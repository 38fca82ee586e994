"""Skills drawn with guidance: beyond what the prior is told, and away from what it is not told."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sofdata.models.planner.digit_head import DigitHead
from sofdata.models.planner.guide import Guide
from sofdata.models.planner.mixture_head import MixtureHead
from sofdata.models.planner.prior import Prior
from sofdata.models.planner.trunk import GuidanceConfig, PriorConfig, SkillSpace

PLACES, CHANNELS, TASK, SUBGOAL = 4, 6, 7, 3


def space(levels: tuple[int, ...], subgoal: int = 0) -> SkillSpace:
    return SkillSpace(3, 2, levels, (PLACES, CHANNELS), TASK, subgoal)


def build(levels: tuple[int, ...], subgoal: int = 0) -> Prior:
    torch.manual_seed(0)
    prior = Prior(PriorConfig(width=32, layers=2), space(levels, subgoal))
    with torch.no_grad():
        for weight in prior.parameters():
            weight.mul_(2)
    return prior


def test_a_part_of_the_condition_is_left_out_as_zeros() -> None:
    told = torch.arange(1.0, 11.0)[None]
    parts = space((4, 3), SUBGOAL)
    assert parts.without(told, "task").tolist() == [[0] * 7 + [8, 9, 10]]
    assert parts.without(told, "subgoal").tolist() == [[1, 2, 3, 4, 5, 6, 7, 0, 0, 0]]
    assert not parts.without(told, "both").any()


def test_levels_are_drawn_from_logits_beyond_those_told() -> None:
    """Eq. 30 with one dimension: frequencies are those of the softmax of the guided logits."""
    torch.manual_seed(0)
    head = DigitHead(16, (4,))
    told, untold = torch.randn(1, 16), torch.randn(1, 16)
    logits, other = (
        head.logs(told, torch.zeros(1, dtype=torch.int64))[0],
        head.logs(untold, torch.zeros(1, dtype=torch.int64))[0],
    )
    wanted = (other + 3 * (logits - other)).softmax(-1)[0]
    many = 20_000
    drawn = head.sample(
        told.expand(many, -1),
        1.0,
        torch.Generator().manual_seed(0),
        Guide(untold.expand(many, -1), 3.0),
    )
    counts = torch.bincount(drawn, minlength=4) / many
    torch.testing.assert_close(counts, wanted, atol=0.015, rtol=0)


def test_vectors_are_drawn_where_they_are_likelier_told_than_untold() -> None:
    """One Gaussian told around 1, one untold around 0, of the same width: w = 2 gives around 2."""
    torch.manual_seed(0)
    head = MixtureHead(2, 1, 1, 0.05)
    with torch.no_grad():
        head.out.weight.zero_()
        head.out.weight[1, 0] = 1.0  # the mean is the first number of the hidden vector
        head.out.bias.copy_(torch.tensor([0.0, 0.0, 0.5]))
    told, untold = torch.tensor([[1.0, 0]]).expand(4000, -1), torch.zeros(4000, 2)
    source = torch.Generator().manual_seed(0)
    plain = head.sample(told, 1.0, source).mean().item()
    guided = head.sample(told, 1.0, source, Guide(untold, 2.0)).mean().item()
    assert plain == pytest.approx(1.0, abs=0.05)
    assert guided == pytest.approx(2.0, abs=0.25)  # of 16 candidates, which thins out the tail
    assert head.sample(told[:2], 0.0, None, Guide(untold[:2], 2.0)).tolist() == [[1.0], [1.0]]


@pytest.mark.parametrize("levels", [(4, 3), ()], ids=["fsq", "kl"])
def test_a_weight_of_one_draws_as_without_guidance(levels: tuple[int, ...]) -> None:
    prior = build(levels)
    torch.manual_seed(1)
    observation, task = torch.randn(3, PLACES, CHANNELS), torch.randn(3, TASK)

    def drawn(guidance: GuidanceConfig | None) -> tuple[Tensor, Tensor]:
        source = torch.Generator().manual_seed(5)
        return prior.sample(observation, task, 8, 1.0, source, guidance)

    plain, log_prob = drawn(None)
    same, same_log_prob = drawn(GuidanceConfig())
    beyond, likelihood = drawn(GuidanceConfig(weight=6.0))
    assert torch.equal(plain, same)
    assert torch.equal(log_prob, same_log_prob)
    assert not torch.equal(plain, beyond)
    expected = prior.log_prob(observation, task, beyond).sum(-1)  # as told, without guidance
    torch.testing.assert_close(likelihood, expected, atol=1e-4, rtol=1e-4)


def test_a_subgoal_is_a_token_of_its_own_that_reaches_every_point() -> None:
    prior = build((4, 3), SUBGOAL)
    assert prior.prefix.shape[0] == PLACES + 2
    torch.manual_seed(1)
    observation, told = torch.randn(2, PLACES, CHANNELS), torch.randn(2, TASK + SUBGOAL)
    told.requires_grad_()
    targets = torch.zeros(2, 1, 3, dtype=torch.int64)
    prior.log_prob(observation, told, targets).sum().backward()  # type: ignore[no-untyped-call]
    assert told.grad is not None
    assert told.grad.abs().amin() > 0
