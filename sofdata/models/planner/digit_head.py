"""Tokens of an FSQ codebook as the output of a network: one level after the other.

A token is a level in each of D dimensions. A softmax over the 1,000 tokens of a codebook has to see
each of them often; one over the levels of a dimension sees them all the time, and what it learns
about a level holds for every token that has it. The dimensions of a token depend on each other: so
each is predicted from those before it, which by the chain rule loses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from sofdata.models.common.init import init_weights
from sofdata.models.planner.guide import Guide
from sofdata.models.skill.fsq import FSQ


class DigitHead(nn.Module):
    """Tokens of the codebook of `FSQ(levels)` in and out, by Eq. 17 of docs/models.md:

    p(token | hidden) = Π_d p(level_d | hidden, level_1 ... level_(d-1))
    """

    def __init__(self, width: int, levels: Sequence[int]) -> None:
        super().__init__()
        self.fsq = FSQ(levels)
        self.into = nn.Linear(len(levels), width)  # that levels have an order is in the codes
        self.tables = nn.ModuleList(nn.Embedding(count, width) for count in levels)
        self.known = nn.ModuleList(nn.Embedding(count, width) for count in levels[:-1])
        self.inner = nn.ModuleList(nn.Linear(width, width) for _ in levels)
        self.outer = nn.ModuleList(nn.Linear(width, count) for count in levels)
        init_weights(*(table.weight for table in [*self.tables, *self.known]), std=0.05)

    def embed(self, tokens: Tensor) -> Tensor:
        """int64 [...] -> [..., width]."""
        vectors: Tensor = self.into(self.fsq.codes_of(tokens))
        digits = self.fsq.digits_of(tokens).unbind(-1)
        return sum((table(at) for table, at in zip(self.tables, digits, strict=True)), vectors)

    def logs(self, hidden: Tensor, tokens: Tensor) -> list[Tensor]:
        """Log-probabilities of the levels of each dimension, given those of `tokens` before it.

        [..., width] and int64 [...] -> D of float32 [..., levels].
        """
        digits, found = self.fsq.digits_of(tokens).unbind(-1), []
        for place in range(len(digits)):
            found.append(self._logits(hidden, place).log_softmax(-1))
            hidden = self._given_level(hidden, place, digits[place])
        return found

    def log_prob(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """Log-probability [...] of tokens [...], nats."""
        digits = self.fsq.digits_of(tokens)
        parts = zip(self.logs(hidden, tokens), digits.split(1, -1), strict=True)
        levels = [logs.gather(-1, digit) for logs, digit in parts]  # D of [..., 1]
        return torch.cat(levels, -1).sum(-1)

    def sample(
        self,
        hidden: Tensor,
        temperature: float,
        generator: Generator | None,
        guide: Guide | None = None,
    ) -> Tensor:
        """Draw tokens [...]; temperature 0 takes the likeliest level of each dimension in turn.

        With a guide from logits that go beyond its own (Eq. 30).
        """
        digits, untold = [], guide.hidden if guide else hidden
        for place in range(self.fsq.dim):
            logits = self._logits(hidden, place)
            if guide:
                logits = guide.beyond(logits, self._logits(untold, place))
            digits.append(_drawn(logits, temperature, generator))
            hidden = self._given_level(hidden, place, digits[-1])
            if guide:
                untold = self._given_level(untold, place, digits[-1])
        return (torch.stack(digits, -1) * self.fsq.radix).sum(-1)  # [..., D] -> [...]

    def _logits(self, hidden: Tensor, place: int) -> Tensor:
        """Of the levels of a dimension, float32 [..., levels]."""
        logits: Tensor = self.outer[place](functional.gelu(self.inner[place](hidden)))
        return logits.float()

    def _given_level(self, hidden: Tensor, place: int, digit: Tensor) -> Tensor:
        """`hidden` with the level of a dimension added, to predict the next ones from."""
        if place == len(self.known):
            return hidden
        conditioned: Tensor = hidden + self.known[place](digit)
        return conditioned


def _drawn(logits: Tensor, temperature: float, generator: Generator | None) -> Tensor:
    """Levels [...] drawn from logits [..., levels]."""
    if temperature == 0:
        return logits.argmax(-1)
    odds = (logits / temperature).softmax(-1)
    flat = odds.flatten(0, -2)  # [..., levels] -> [N, levels]
    return torch.multinomial(flat, 1, generator=generator).view(odds.shape[:-1])
