"""Finite scalar quantisation: each dimension is bounded and rounded to one of a few levels.

Mentzer, Minnen, Agustsson and Tschannen, "Finite scalar quantization: VQ-VAE made simple",
arXiv 2309.15505. It has no parameters, so no code of the codebook can fall out of use for good.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sofdata.errors import ConfigError, ContractError

_SLACK = 1e-3  # the paper's: keeps the outermost levels within reach of tanh


class FSQ(nn.Module):
    """Rounds D numbers to levels; the codebook is every combination of levels.

    levels: how many levels each dimension has, at least 3. (8, 5, 5, 5) makes 1,000 codes.

    With l levels, a number z becomes round(tanh(z + s) (l - 1) / 2 - o), divided by half the number
    of levels so that codes lie in [-1, 1]; o is 1/2 for an even l and 0 for an odd one, and
    s = atanh(2 o / (l - 1)) maps z = 0 to the level 0 (Eq. 10 of docs/models.md). The paper's
    listing has tan for atanh, which differs in the fourth digit. A code's token is its levels read
    as a number of mixed radix, the first dimension being the least significant digit.
    """

    reach: Tensor
    offset: Tensor
    shift: Tensor
    width: Tensor
    radix: Tensor
    levels: Tensor

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        if not levels or min(levels) < 3:
            raise ConfigError(f"levels must be three or more in each dimension, got {list(levels)}")
        self.dim = len(levels)
        self.codebook_size = math.prod(levels)
        count = torch.tensor(levels)
        half = (count - 1) * (1 - _SLACK) / 2
        offset = torch.where(count % 2 == 0, 0.5, 0.0)
        radix = torch.cumprod(torch.tensor([1, *levels[:-1]]), 0)
        values = {"reach": half, "offset": offset, "shift": torch.atanh(offset / half)}
        for name, value in {**values, "width": count // 2, "radix": radix, "levels": count}.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, z: Tensor) -> Tensor:
        """Codes of numbers [..., D]: float32 of the same shape, in [-1, 1].

        The gradient passes through the rounding unchanged (straight-through estimator).
        """
        bounded = torch.tanh(z.float() + self.shift) * self.reach - self.offset
        rounded = bounded + (bounded.round() - bounded).detach()
        return rounded / self.width  # Eq. 10

    def tokens_of(self, codes: Tensor) -> Tensor:
        """Which code of the codebook each is: [..., D] to int64 [...]."""
        digits = torch.round(codes.float() * self.width).long() + self.width
        return (digits * self.radix).sum(-1)

    def digits_of(self, tokens: Tensor) -> Tensor:
        """The level of each dimension, from 0: int64 [...] to int64 [..., D]."""
        return (tokens[..., None] // self.radix) % self.levels

    def codes_of(self, tokens: Tensor) -> Tensor:
        """The codes that tokens stand for: int64 [...] to float32 [..., D].

        Raises `ContractError` for a token outside the codebook.
        """
        if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < self.codebook_size:
            raise ContractError(
                f"tokens must lie in 0..{self.codebook_size - 1}, "
                f"got {int(tokens.min())}..{int(tokens.max())}"
            )
        return (self.digits_of(tokens) - self.width) / self.width
