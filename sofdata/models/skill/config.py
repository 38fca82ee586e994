"""The settings of the skill VAE."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sofdata.config.section import LARGEST_WHOLE
from sofdata.models.skill.eyes import EyesConfig
from sofdata.models.skill.pixels import GRID


class SkillConfig(EyesConfig):
    """The skill VAE. The SOF paper publishes none of these values: the defaults are ours."""

    bottleneck: Literal["fsq", "kl"] = Field(
        "fsq",
        description="'fsq': codes of finite scalar quantisation; 'kl': a Gaussian. Default ours.",
    )
    levels: tuple[int, ...] = Field(
        (8, 5, 5, 5),
        description="Levels of each dimension of a code (fsq); their product is the size of the "
        "codebook. 1,000 codes, as the FSQ paper advises for about 2^10. The choice is ours.",
    )
    tokens: Annotated[int, Field(ge=1)] = Field(8, description="n, codes a window. Default ours.")
    latent_dim: Annotated[int, Field(ge=1)] = Field(
        8, description="Numbers a code (kl). Default ours."
    )
    decoder: Literal["transformer", "rnn"] = Field(
        "transformer", description="What unrolls codes into steps; rnn: a GRU. Default ours."
    )
    width: Annotated[int, Field(ge=8)] = Field(192, description="Features a step. Default ours.")
    heads: Annotated[int, Field(ge=1)] = Field(4, description="Attention heads. Default ours.")
    encoder_blocks: Annotated[int, Field(ge=0)] = Field(
        1, description="Blocks over the steps before the queries. Default ours."
    )
    query_blocks: Annotated[int, Field(ge=1)] = Field(
        1, description="Blocks in which the queries read steps and frame. Default ours."
    )
    decoder_blocks: Annotated[int, Field(ge=1)] = Field(
        1, description="Blocks that unroll codes into steps. Default ours."
    )
    channels: tuple[int, int, int] = Field(
        (16, 48, 96),
        description="Channels at 16 x 16, 8 x 8 and 4 x 4 cells; the last is the width of an "
        "observation. Default ours.",
    )
    detail: Annotated[int, Field(ge=GRID)] = Field(
        32,
        description="Side in px at which flow is read and predicted, at most that of the data, to "
        "which it is then resized. Default ours: flow is smooth, and 64 costs three times as much.",
    )
    parts: Annotated[int, Field(ge=1)] = Field(
        6,
        description="Parts that are cut out of the first frame and carried along by the flow. "
        "Default ours.",
    )
    decoded_steps: Annotated[int, Field(ge=0)] = Field(
        4,
        description="Steps of each window that are decoded in training, drawn anew each time; "
        "0: all. Half of them teach nearly as much in less time. Default ours.",
    )
    mirror: bool = Field(
        True, description="In training, lay each window in one of 8 ways. Default ours."
    )
    motion_weight: Annotated[float, Field(ge=0)] = Field(
        1.0,
        description="How much more a pixel counts that moves at the dataset's 99th percentile than "
        "one that rests. Default ours.",
    )
    huber_delta: Annotated[float, Field(gt=0)] = Field(
        1.0, description="Error, in units of that percentile, from which the loss is linear. Ours."
    )
    range_weight: Annotated[float, Field(ge=0)] = Field(
        0.01,
        description="Penalty on what enters the quantiser (fsq) beyond +-2, where its gradient "
        "vanishes. Default ours.",
    )
    kl_weight: Annotated[float, Field(ge=0)] = Field(
        1e-5, description="Weight of a nat (kl). Default ours."
    )
    kl_warmup_steps: Annotated[int, Field(ge=0)] = Field(
        500, description="Steps until that weight is reached (kl). Default ours."
    )
    free_nats: Annotated[float, Field(ge=0)] = Field(
        0.05, description="Nats a dimension that cost nothing (kl). Default ours."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.levels or min(self.levels) < 3:
            raise ValueError(f"levels {list(self.levels)} must be three or more in each dimension")
        if math.prod(self.levels) > LARGEST_WHOLE:
            raise ValueError(f"levels {list(self.levels)} make more codes than can be numbered")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")
        if self.detail % GRID:
            raise ValueError(f"detail {self.detail} is no multiple of {GRID}")
        return self
