"""Layers over sequences: attention with masks and biases, convolution over steps, and blocks.

No layer here depends on the other samples of a batch: no batch statistics, no dropout.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf


def sinusoids(places: Tensor, width: int) -> Tensor:
    """Position vectors [len(places), width] after Vaswani et al., arXiv 1706.03762.

    places: float [n]; need not be whole numbers.
    """
    # The base is 100 rather than the paper's 10,000: a window has only a few steps.
    speeds = torch.exp(torch.arange(0, width, 2) * (-torch.log(torch.tensor(100.0)) / width))
    angles = places.float()[:, None] * speeds  # [n, width / 2]
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :width]


class Attention(nn.Module):
    """Multi-head attention of queries [B,Q,W] over a context [B,K,W]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self, query: Tensor, context: Tensor, keep: Tensor | None = None, bias: Tensor | None = None
    ) -> Tensor:
        """query: [B,Q,W]; context: [B,K,W]. Returns [B,Q,W].

        keep: bool [B,K]; False hides that entry of the context from every query.
        bias: [Q,K], added to the logits of attention.
        """
        q = self._split(self.query(query))
        k, v = (self._split(part) for part in self.key_value(context).chunk(2, -1))
        mask = None if keep is None else keep[:, None, None, :]  # [B, 1, 1, K]
        if bias is not None:
            mask = (
                bias
                if mask is None
                else bias + torch.zeros_like(mask, dtype=bias.dtype).masked_fill(~mask, -1e9)
            )
        mixed = nnf.scaled_dot_product_attention(
            q, k, v, attn_mask=mask
        )  # [B, heads, Q, W / heads]
        return self.out(mixed.transpose(1, 2).flatten(2))  # [B, Q, W]

    def _split(self, x: Tensor) -> Tensor:
        """[B, n, W] to [B, heads, n, W / heads]."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class StepConv(nn.Module):
    """Depthwise convolution over three neighbouring steps of [B,L,W]; hidden steps count as 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, 3, padding=1, groups=width)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        if keep is not None:
            x = x * keep[..., None]
        return self.conv(x.transpose(1, 2)).transpose(1, 2)  # over L of [B, W, L]


class StepBlock(nn.Module):
    """A pre-norm transformer block: cross-attention, mixing over steps, and an MLP a step.

    mix: "attention", "conv" (a convolution over neighbours, then attention) or "gru".
    cross: whether it reads a context.
    """

    def __init__(self, width: int, heads: int, mix: str, cross: bool) -> None:
        super().__init__()
        self.conv = StepConv(width) if mix == "conv" else None
        self.gru = nn.GRU(width, width, batch_first=True) if mix == "gru" else None
        self.attention = Attention(width, heads) if mix != "gru" else None
        self.cross = Attention(width, heads) if cross else None
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))

    def forward(
        self,
        x: Tensor,
        keep: Tensor | None = None,
        context: Tensor | None = None,
        keep_context: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """x: [B,L,W] with keep bool [B,L]; context: [B,K,W] with keep_context bool [B,K].

        bias: [L,K], added to the logits of attention over the context.
        """
        if self.cross is not None:
            assert context is not None
            x = x + self.cross(self.norms[0](x), context, keep_context, bias)
        if self.conv is not None:
            x = x + self.conv(self.norms[1](x), keep)
        if self.attention is not None:
            inner = self.norms[2](x)
            x = x + self.attention(inner, inner, keep)
        if self.gru is not None:
            x = x + self.gru(self.norms[2](x))[0]
        return x + self.mlp(self.norms[3](x))
