"""`sofdata.models.common.gaussian` against closed forms and torch's own distributions."""

from __future__ import annotations

import torch
from torch.distributions import Normal, kl_divergence

from sofdata.models.common.gaussian import (
    kl_nats,
    noise_of,
    reparametrise,
    split,
    warm_up,
    with_free_nats,
)


def test_kl_is_the_closed_form() -> None:
    mean, logvar = torch.randn(5, 3), torch.randn(5, 3)
    expected = kl_divergence(Normal(mean, (0.5 * logvar).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(kl_nats(mean, logvar), expected)
    assert kl_nats(torch.zeros(1), torch.zeros(1)).item() == 0


def test_free_nats_cost_nothing_and_push_nothing() -> None:
    mean = torch.tensor([0.1, 3.0], requires_grad=True)
    cost = with_free_nats(kl_nats(mean, torch.zeros(2)), 0.5)
    cost.sum().backward()
    assert mean.grad is not None
    assert mean.grad[0] == 0
    assert mean.grad[1] > 0


def test_draws_have_the_mean_and_the_variance() -> None:
    mean, logvar = split(torch.tensor([[2.0, -1.0]]).expand(20000, -1))
    drawn = reparametrise(mean, logvar, torch.randn(20000, 1))
    assert abs(drawn.mean().item() - 2) < 0.02
    assert abs(drawn.var().item() - torch.tensor(-1.0).exp().item()) < 0.02


def test_the_weight_warms_up() -> None:
    assert [warm_up(step, 4) for step in (0, 2, 4, 9)] == [0.0, 0.5, 1.0, 1.0]
    assert warm_up(0, 0) == 1.0


def test_noise_belongs_to_sample_and_step() -> None:
    both = noise_of(["a", "b"], 3, (4,))
    assert torch.equal(both[1:], noise_of(["b"], 3, (4,)))
    assert not torch.equal(both[0], both[1])
    assert not torch.equal(both, noise_of(["a", "b"], 4, (4,)))
