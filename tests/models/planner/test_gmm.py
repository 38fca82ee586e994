"""The Gaussian mixture as an output, against torch's own distributions."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from sofdata.models.planner.mixture_head import MixtureHead

WIDTH, DIM, COMPONENTS, MIN_STD = 16, 3, 4, 0.05


@pytest.fixture
def head() -> MixtureHead:
    torch.manual_seed(0)
    return MixtureHead(WIDTH, DIM, COMPONENTS, MIN_STD)


def reference(head: MixtureHead, hidden: torch.Tensor) -> MixtureSameFamily:
    weights, means, std = head.mixture(hidden)
    return MixtureSameFamily(Categorical(logits=weights), Independent(Normal(means, std), 1))


def test_log_prob_is_the_mixtures(head: MixtureHead) -> None:
    hidden, vectors = torch.randn(2, 5, WIDTH), torch.randn(2, 5, DIM)
    expected = reference(head, hidden).log_prob(vectors)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(head.log_prob(hidden, vectors), expected)


def test_samples_have_the_mixtures_moments(head: MixtureHead) -> None:
    hidden = torch.randn(1, WIDTH).expand(40_000, WIDTH)
    drawn = head.sample(hidden, 1.0, torch.Generator().manual_seed(0))
    mixture = reference(head, hidden[:1])
    torch.testing.assert_close(drawn.mean(0), mixture.mean[0], atol=0.03, rtol=0)
    torch.testing.assert_close(drawn.var(0), mixture.variance[0], atol=0.06, rtol=0)


def test_temperature_zero_takes_the_mean_of_the_heaviest_component(head: MixtureHead) -> None:
    hidden = torch.randn(3, WIDTH)
    weights, means, _ = head.mixture(hidden)
    expected = means[torch.arange(3), weights.argmax(-1)]
    torch.testing.assert_close(head.sample(hidden, 0, None), expected)


def test_a_generator_decides_the_samples(head: MixtureHead) -> None:
    hidden = torch.randn(5, WIDTH)
    first, again, other = (
        head.sample(hidden, 1.0, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    torch.testing.assert_close(first, again, atol=0, rtol=0)
    assert not torch.equal(first, other)


def test_deviations_have_a_floor(head: MixtureHead) -> None:
    with torch.no_grad():
        head.out.bias[-COMPONENTS * DIM :] = -100
    _, _, std = head.mixture(torch.zeros(1, WIDTH))
    assert std.min().item() == pytest.approx(MIN_STD)
