"""Tokens, one level after the other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sofdata.models.planner.digit_head import DigitHead

LEVELS, CODES = (4, 3, 5), 60


@pytest.fixture
def head() -> DigitHead:
    torch.manual_seed(0)
    head = DigitHead(16, LEVELS)
    with torch.no_grad():
        for weight in head.parameters():
            weight.mul_(3)
    return head


def hidden(*shape: int) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(*shape, 16)


def test_the_likelihoods_of_all_tokens_sum_to_one(head: DigitHead) -> None:
    every = torch.arange(CODES).expand(7, -1)
    total = head.log_prob(hidden(7, 1).expand(-1, CODES, -1), every).exp().sum(1)
    torch.testing.assert_close(total, torch.ones(7))


def test_a_level_depends_on_those_before_it_and_on_no_other(head: DigitHead) -> None:
    logs = {token: head.logs(hidden(1), torch.tensor([token])) for token in (0, 1, 4, 12)}
    for other, first in ((1, 1), (4, 2), (12, 3)):  # in which dimension they differ
        for place in range(3):
            same = torch.equal(logs[0][place], logs[other][place])
            assert same == (place < first), (other, place)


def test_tokens_are_drawn_as_often_as_they_are_likely(head: DigitHead) -> None:
    rows = hidden(1, 1).expand(1, 40_000, -1)
    drawn = head.sample(rows, 1.0, torch.Generator().manual_seed(0))
    assert drawn.shape == (1, 40_000)
    likely = head.log_prob(rows[0, :CODES], torch.arange(CODES)).exp()
    found = torch.bincount(drawn[0], minlength=CODES) / 40_000
    torch.testing.assert_close(found, likely, atol=0.01, rtol=0)


def test_every_level_shows_in_the_embedding(head: DigitHead) -> None:
    vectors = head.embed(torch.arange(CODES))
    assert vectors.shape == (CODES, 16)
    assert (torch.cdist(vectors, vectors) + 99 * torch.eye(CODES)).min() > 0.01
