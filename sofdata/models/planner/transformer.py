"""A transformer block with a cache of keys and values, so that sampling reads each token once."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

Memory = tuple[Tensor, Tensor]  # keys and values of a block, [B, heads, tokens, width / heads]


class Block(nn.Module):
    """Attention and a two-layer network, each with layer norm before it and a residual around it.

    Xiong et al., "On layer normalization in the transformer architecture", ICML 2020. The hidden
    layer is four times as wide.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.network = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(
        self,
        x: Tensor,
        memory: Memory | None = None,
        mask: Tensor | None = None,
        gains: Tensor | None = None,
    ) -> tuple[Tensor, Memory]:
        """Read tokens [B, T, width] after those in `memory`.

        mask: bool [T, M + T], True where a token may attend, M being the tokens in memory; None
            lets every token attend to all.
        gains: [B, 2, width], see `gains_of`; None outside training.
        Returns the tokens, and the memory with them in it.
        """
        attended, memory = self._attend(self.before_attention(x), memory, mask)
        x = x + (attended if gains is None else attended * gains[:, :1])
        found = self.network(x)
        return x + (found if gains is None else found * gains[:, 1:]), memory

    def _attend(
        self, x: Tensor, memory: Memory | None, mask: Tensor | None
    ) -> tuple[Tensor, Memory]:
        # [B, T, 3 * width] -> 3 x [B, heads, T, width / heads]
        q, k, v = self.qkv(x).reshape(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if memory is not None:
            k, v = torch.cat([memory[0], k], 2), torch.cat([memory[1], v], 2)
        out = functional.scaled_dot_product_attention(q, k, v, mask)
        return self.mix(out.transpose(1, 2).flatten(2)), (k, v)  # [B, T, width]


def gains_of(noise: Tensor, dropout: float) -> Tensor:
    """Dropout as random gains of mean 1, from standard normal noise [B, blocks, 2, width].

    Multiplicative Gaussian noise with the variance of dropout's own (Srivastava et al., "Dropout",
    JMLR 2014, section 10), the same for all tokens of a sample (Gal and Ghahramani, NeurIPS 2016).
    The noise is an argument, so that it can depend on the sample rather than on its batch.
    """
    return 1 + math.sqrt(dropout / (1 - dropout)) * noise


def repeat_memory(memory: list[Memory], number: int) -> list[Memory]:
    """The memories of B sequences for `number` continuations of each: [B * number, ...]."""
    return [(k.repeat_interleave(number, 0), v.repeat_interleave(number, 0)) for k, v in memory]
