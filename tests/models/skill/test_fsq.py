"""`sofdata.models.skill.fsq` against the definition in its paper."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from sofdata.errors import ConfigError, ContractError
from sofdata.models.skill.fsq import FSQ


def by_hand(z: float, levels: int) -> float:
    """The paper's bound and round, a number at a time, and its normalisation to [-1, 1]."""
    half = (levels - 1) * (1 - 1e-3) / 2
    offset = 0.5 if levels % 2 == 0 else 0.0
    bounded = math.tanh(z + math.atanh(offset / half)) * half - offset
    return round(bounded) / (levels // 2)


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (7,), (3, 4)])
def test_codes_are_those_of_the_definition(levels: tuple[int, ...]) -> None:
    z = torch.linspace(-4, 4, 801)[:, None].expand(-1, len(levels)).contiguous() + 0.0013
    codes = FSQ(levels)(z)
    for dimension, count in enumerate(levels):
        expected = [by_hand(float(value), count) for value in z[:, dimension]]
        assert codes[:, dimension].tolist() == pytest.approx(expected)
        assert len(set(codes[:, dimension].tolist())) == count


def test_tokens_and_codes_are_two_names_of_the_same() -> None:
    fsq = FSQ((8, 5, 5, 5))
    tokens = torch.arange(fsq.codebook_size)
    codes = fsq.codes_of(tokens)
    assert fsq.codebook_size == 1000
    assert torch.equal(fsq.tokens_of(codes), tokens)
    assert len({tuple(code) for code in codes.tolist()}) == 1000
    assert codes.abs().max() <= 1
    grid = [
        [(level - count // 2) / (count // 2) for level in range(count)] for count in (8, 5, 5, 5)
    ]
    assert {tuple(code) for code in codes.tolist()} == {
        tuple(torch.tensor(code).tolist()) for code in itertools.product(*grid)
    }


def test_the_gradient_passes_through_the_rounding() -> None:
    z = torch.tensor([[0.1, -0.2, 0.3, 0.4]], requires_grad=True)
    FSQ((8, 5, 5, 5))(z).sum().backward()
    assert z.grad is not None
    assert bool((z.grad > 0).all())


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigError, match="three or more"):
        FSQ((8, 2))  # with the paper's slack, two levels have no middle
    with pytest.raises(ContractError, match="tokens must lie"):
        FSQ((3, 3)).codes_of(torch.tensor([9]))
