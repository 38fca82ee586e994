"""Unconditional priors, as baselines: the frequencies of codes at each point of a skill.

Both are fitted before training begins (`Planner.count`), and are part of the checkpoint.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class TokenCounts(nn.Module):
    """How often each of V codes stood at each of n places."""

    counts: Tensor

    def __init__(self, tokens: int, codebook_size: int) -> None:
        super().__init__()
        self.register_buffer("counts", torch.zeros(tokens, codebook_size, dtype=torch.int64))

    @torch.no_grad()
    def add(self, tokens: Tensor) -> None:
        """Count int64 [B, n]."""
        self.counts.scatter_add_(1, tokens.T, torch.ones_like(tokens.T))  # [n, V], at [n, B]

    def nats(self, tokens: Tensor) -> Tensor:
        """Negative log-likelihood [B, n] of tokens [B, n], one added to every count."""
        counts = (self.counts + 1).double()
        logs = (counts / counts.sum(1, keepdim=True)).log().float()
        return -logs.gather(1, tokens.T).T


class VectorMoments(nn.Module):
    """Mean and variance of each of D numbers at each of n places."""

    number: Tensor
    total: Tensor
    squares: Tensor

    def __init__(self, tokens: int, dim: int, min_std: float) -> None:
        super().__init__()
        self.min_std = min_std
        self.register_buffer("number", torch.zeros((), dtype=torch.float64))
        self.register_buffer("total", torch.zeros(tokens, dim, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(tokens, dim, dtype=torch.float64))

    @torch.no_grad()
    def add(self, vectors: Tensor) -> None:
        """Count float32 [B, n, D]."""
        self.number += len(vectors)
        self.total += vectors.double().sum(0)
        self.squares += vectors.double().square().sum(0)

    def nats(self, vectors: Tensor) -> Tensor:
        """Negative log-density [B, n] of vectors [B, n, D] under a diagonal Gaussian a place.

        A standard normal before anything was counted.
        """
        if not self.number:
            return standard_normal_nats(vectors)
        mean = self.total / self.number
        std = (self.squares / self.number - mean.square()).clamp(min=self.min_std**2).sqrt()
        apart = (vectors.double() - mean) / std
        return (standard_normal_nats(apart) + std.log().sum(-1)).float()


def standard_normal_nats(vectors: Tensor) -> Tensor:
    """Negative log-density [...] of vectors [..., D] under N(0, 1), as the bottleneck's prior."""
    return 0.5 * (vectors.square() + math.log(2 * math.pi)).sum(-1)
