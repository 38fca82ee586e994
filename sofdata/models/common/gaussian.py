"""The Gaussian bottleneck of a variational autoencoder.

Kingma and Welling, "Auto-encoding variational Bayes", arXiv 1312.6114; free bits after Kingma et
al., "Improving variational inference with inverse autoregressive flow", arXiv 1606.04934. Equation
numbers (Eq. n) are those of docs/models.md.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import torch
from torch import Tensor

_LOGVAR_RANGE = (-12.0, 6.0)  # keeps exp() finite however wrong an encoder starts


def split(parameters: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log variance, float32 [..., D] each, from an encoder's output [..., 2 D]."""
    mean, logvar = parameters.float().chunk(2, -1)
    return mean, logvar.clamp(*_LOGVAR_RANGE)


def reparametrise(mean: Tensor, logvar: Tensor, noise: Tensor) -> Tensor:
    """A draw from the Gaussian, through which gradients reach mean and logvar (Eq. 11)."""
    return mean + torch.exp(0.5 * logvar) * noise


def kl_nats(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL divergence of N(mean, exp(logvar)) from N(0, 1), a dimension, nats [..., D] (Eq. 12)."""
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar)


def with_free_nats(kl: Tensor, free: float) -> Tensor:
    """KL of which a dimension's first `free` nats are constant: they give no gradient.

    Applied to each sample, not to a batch as in the paper, so that no sample's loss depends on
    another.
    """
    return kl.clamp(min=free)


def warm_up(step: int, steps: int) -> float:
    """Share of the KL weight at a step of training: from 0 linearly to 1 at `steps`."""
    return 1.0 if steps <= 0 else min(1.0, max(0, step) / steps)


def noise_of(keys: Sequence[str], step: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise [len(keys), *shape] that depends on sample and step alone.

    The same sample gets the same noise however a batch is spread over ranks. Made on the CPU.
    """
    draws = []
    for key in keys:
        source = torch.Generator().manual_seed(zlib.crc32(f"{key}:{step}".encode()))
        draws.append(torch.randn(shape, generator=source))
    return torch.stack(draws)
