"""Latent dynamics: the observation after a skill has been carried out.

A transformer reads the observation's P tokens and the skill's n points, all attending to each
other, and adds its output to the observation. The output begins at zero, so that training starts
from "nothing changes", which is also the baseline. Sizes are ours: the SOF paper publishes none.
"""

from __future__ import annotations

from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from sofdata.config.section import Section
from sofdata.models.common.init import init_weights, learned_vectors
from sofdata.models.planner.transformer import Block, gains_of


class DynamicsConfig(Section):
    """Size of the dynamics and its weight in the loss."""

    width: Annotated[int, Field(ge=8)] = Field(128, description="Width of its tokens. Ours.")
    layers: Annotated[int, Field(ge=1)] = Field(2, description="Transformer blocks. Ours.")
    heads: Annotated[int, Field(ge=1)] = Field(4, description="Attention heads a block. Ours.")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.2,
        description="Dropout's rate in training, as random gains a channel (see gains_of). Ours: a "
        "few hundred windows are soon known by heart.",
    )
    weight: Annotated[float, Field(ge=0)] = Field(
        1.0, description="Weight of its error beside the prior's nats a point. Ours."
    )

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")
        return self


class Dynamics(nn.Module):
    """(observation [B, P, C], codes [B, n, D]) -> the next observation [B, P, C].

    Eq. 19 of docs/models.md.
    """

    def __init__(
        self, config: DynamicsConfig, observation: tuple[int, int], tokens: int, code_dim: int
    ) -> None:
        super().__init__()
        self.config = config
        places, channels = observation
        self.places = places
        self.observation = nn.Linear(channels, config.width)
        self.codes = nn.Linear(code_dim, config.width)
        self.positions = learned_vectors(places + tokens, config.width, std=0.02)
        self.blocks = nn.ModuleList(Block(config.width, config.heads) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.change = nn.Linear(config.width, channels)
        init_weights(self.change.weight, self.change.bias, std=0)

    def forward(self, observation: Tensor, codes: Tensor, noise: Tensor | None = None) -> Tensor:
        """The observation after the skill.

        noise: standard normal [B, layers, 2, width] for dropout; None to go without.
        """
        x = torch.cat([self.observation(observation), self.codes(codes)], 1)  # [B, P + n, width]
        x = x + self.positions
        gains = None if noise is None else gains_of(noise, self.config.dropout)
        for index, block in enumerate(self.blocks):
            x, _ = block(x, gains=None if gains is None else gains[:, index])
        change: Tensor = self.change(self.norm(x[:, : self.places]))
        return observation + change


def normalised_error(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean squared error [B] over an observation's tokens and channels.

    Observations are layer-normalised, so a token's channels have variance 1 and the error is in
    units of that variance: 0 is exact, 1 is what predicting zeros gives, 2 is chance.
    """
    return (predicted.float() - target.float()).square().mean((-2, -1))
