"""Settings of the latent action model and of its training; no torch model is imported for them."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sofdata.config.earlier import Earlier
from sofdata.config.section import LARGEST_WHOLE, Section
from sofdata.models.skill.eyes import EyesConfig
from sofdata.train.config import DataConfig, OptimConfig, StageRun


class LapaConfig(EyesConfig):
    """The latent action model. Sizes as the skill model's; the choice is ours.

    The benchmark gives it the eyes of the skill model: `eyes` and `image_px` are not set here.
    """

    levels: tuple[int, ...] = Field((8, 5, 5, 5), description="As skill.model.levels.")
    tokens: Annotated[int, Field(ge=1)] = Field(4, description="Codes of a latent action.")
    width: Annotated[int, Field(ge=8)] = Field(192, description="As skill.model.width.")
    heads: Annotated[int, Field(ge=1)] = Field(4, description="As skill.model.heads.")
    blocks: Annotated[int, Field(ge=1)] = Field(2, description="Blocks in which queries read.")
    channels: tuple[int, int, int] = Field((16, 48, 96), description="As skill.model.channels.")
    change_weight: Annotated[float, Field(ge=0)] = Field(
        5.0, description="How much more a pixel counts that differs fully between both frames."
    )

    reads: Annotated[Literal["pair", "frames"], Earlier("pair")] = Field(
        "pair",
        description="What is encoded, and predicted from the first frame: the last frame of a "
        "window, as LAPA does; or the frame after each of its steps, which shows as much of the "
        "motion as flow does.",
    )
    conditions: Annotated[Literal["codes", "frames"], Earlier("codes")] = Field(
        "codes",
        description="What action decoders read of a latent action where decoder.model.condition "
        "asks for flow: its codes, or the frames that are predicted from them and what changes in "
        "each; this needs reads=frames.",
    )

    @model_validator(mode="after")
    def _check_reads(self) -> Self:
        if self.conditions == "frames" and self.reads == "pair":
            raise ValueError("conditions=frames needs a frame after each step: set reads=frames")
        return self

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")
        if not self.levels or min(self.levels) < 3 or math.prod(self.levels) > LARGEST_WHOLE:
            raise ValueError(f"levels {list(self.levels)}: as those of skill.model.levels")
        return self


class LapaStage(Section):
    """How the latent action model is trained."""

    model: LapaConfig = LapaConfig()
    data: DataConfig = DataConfig()
    optim: OptimConfig = OptimConfig()
    run: StageRun = StageRun()
