"""A mixture of diagonal Gaussians as the output of a network (Bishop, "Mixture density networks",
Aston University, 1994)."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn

from sofdata.models.common.init import init_weights
from sofdata.models.planner.guide import Guide

CANDIDATES = 16  # drawn as told for each vector that is drawn with guidance


class MixtureHead(nn.Module):
    """Vectors of D numbers in and out, by Eq. 18 of docs/models.md.

    components: K Gaussians. min_std: the least standard deviation that one may have.
    """

    def __init__(self, width: int, dim: int, components: int, min_std: float) -> None:
        super().__init__()
        self.dim, self.components, self.min_std = dim, components, min_std
        self.into = nn.Linear(dim, width)
        self.out = nn.Linear(width, components * (1 + 2 * dim))
        init_weights(self.out.bias[components : components * (1 + dim)], std=1.0)  # the means

    def embed(self, vectors: Tensor) -> Tensor:
        """[..., D] -> [..., width]."""
        embedded: Tensor = self.into(vectors)
        return embedded

    def mixture(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The mixture at [..., width]: log-weights [..., K], means and deviations [..., K, D]."""
        out = self.out(hidden).float()
        k, d = self.components, self.dim
        weights, means, spread = torch.split(out, [k, k * d, k * d], -1)
        std = self.min_std + nn.functional.softplus(spread)
        shape = (*hidden.shape[:-1], k, d)  # [..., K * D] -> [..., K, D]
        return weights.log_softmax(-1), means.reshape(shape), std.reshape(shape)

    def log_prob(self, hidden: Tensor, vectors: Tensor) -> Tensor:
        """Log-density [...] of vectors [..., D], nats: log sum_k w_k prod_d N(x_d; m_kd, s_kd)."""
        weights, means, std = self.mixture(hidden)
        apart = (vectors[..., None, :].float() - means) / std
        normals = -0.5 * apart.square() - std.log() - 0.5 * math.log(2 * math.pi)
        return (weights + normals.sum(-1)).logsumexp(-1)

    def sample(
        self,
        hidden: Tensor,
        temperature: float,
        generator: Generator | None,
        guide: Guide | None = None,
    ) -> Tensor:
        """Draw vectors [..., D].

        temperature: divides the log-weights and scales variances; 0 takes the mean of the
            component with the greatest weight.
        """
        if guide is not None:
            return self._guided(hidden, temperature, generator, guide)
        weights, means, std = self.mixture(hidden)
        if temperature == 0:
            chosen = weights.argmax(-1)
        else:
            chosen = _drawn(weights / temperature, generator)
        index = chosen[..., None, None].expand(*chosen.shape, 1, self.dim)  # [..., 1, D]
        mean, spread = means.gather(-2, index)[..., 0, :], std.gather(-2, index)[..., 0, :]
        if temperature == 0:
            return mean
        noise = torch.empty_like(mean).normal_(generator=generator)
        drawn: Tensor = mean + temperature**0.5 * spread * noise
        return drawn

    def _guided(
        self, hidden: Tensor, temperature: float, generator: Generator | None, guide: Guide
    ) -> Tensor:
        """Draw from told^w untold^(1 - w) (Eq. 30), which is no mixture.

        So candidates are drawn as told and resampled by (told / untold)^(w - 1); at temperature 0
        the candidates are the means, and the likeliest of them is taken.
        """
        if temperature == 0:
            candidates = self.mixture(hidden)[1]  # [..., K, D]
        else:
            many = hidden[..., None, :].expand(*hidden.shape[:-1], CANDIDATES, hidden.shape[-1])
            candidates = self.sample(many, temperature, generator)  # [..., M, D]
        told = self.log_prob(hidden[..., None, :], candidates)
        worth = guide.beyond(told, self.log_prob(guide.hidden[..., None, :], candidates))
        if temperature == 0:
            chosen = worth.argmax(-1)
        else:
            chosen = _drawn((worth - told) / temperature, generator)
        index = chosen[..., None, None].expand(*chosen.shape, 1, self.dim)  # [..., 1, D]
        return candidates.gather(-2, index)[..., 0, :]


def _drawn(logits: Tensor, generator: Generator | None) -> Tensor:
    """Numbers [...] drawn by the odds of logits [..., K]."""
    odds = logits.softmax(-1)
    flat = odds.flatten(0, -2)  # [..., K] -> [N, K]
    return torch.multinomial(flat, 1, generator=generator).view(odds.shape[:-1])
