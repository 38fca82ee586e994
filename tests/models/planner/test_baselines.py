"""The baselines that look at nothing."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal

from sofdata.models.planner.baselines import TokenCounts, VectorMoments, standard_normal_nats


def test_counts_give_frequencies_at_each_place_with_one_added() -> None:
    counts = TokenCounts(2, 3)
    counts.add(torch.tensor([[0, 2], [0, 1]]))
    counts.add(torch.tensor([[1, 1]]))
    nats = counts.nats(torch.tensor([[0, 0], [2, 1]]))
    expected = [[-math.log(3 / 6), -math.log(1 / 6)], [-math.log(1 / 6), -math.log(3 / 6)]]
    torch.testing.assert_close(nats, torch.tensor(expected))


def test_without_counts_every_code_is_as_likely() -> None:
    nats = TokenCounts(1, 1000).nats(torch.tensor([[3]]))
    assert nats.item() == pytest.approx(math.log(1000), rel=1e-6)


def test_moments_give_the_density_of_a_gaussian_at_each_place() -> None:
    torch.manual_seed(0)
    vectors = torch.randn(50, 2, 3) * torch.tensor([0.5, 1, 2]) + 1
    moments = VectorMoments(2, 3, 0.05)
    moments.add(vectors[:20])
    moments.add(vectors[20:])
    gaussian = Normal(vectors.mean(0), vectors.std(0, correction=0))
    expected = -gaussian.log_prob(vectors).sum(-1)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(moments.nats(vectors), expected, atol=1e-4, rtol=1e-4)


def test_without_moments_the_gaussian_is_standard_and_its_deviation_has_a_floor() -> None:
    vectors = torch.ones(1, 1, 2)
    moments = VectorMoments(1, 2, 0.1)
    torch.testing.assert_close(moments.nats(vectors), standard_normal_nats(vectors))
    moments.add(vectors)
    expected = -2 * Normal(1.0, 0.1).log_prob(torch.tensor(1.0)).item()  # type: ignore[no-untyped-call]
    assert moments.nats(vectors).item() == pytest.approx(expected, rel=1e-4)


def test_counts_travel_with_the_state() -> None:
    counts, copy = TokenCounts(2, 3), TokenCounts(2, 3)
    counts.add(torch.tensor([[0, 2]]))
    copy.load_state_dict(counts.state_dict())
    assert torch.equal(copy.counts, counts.counts)
