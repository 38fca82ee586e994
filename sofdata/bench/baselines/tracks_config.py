"""Settings of the track model and of its training."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sofdata.config.section import Section
from sofdata.models.common.text import TextMode
from sofdata.models.skill.eyes import EyesConfig
from sofdata.train.config import DataConfig, OptimConfig, StageRun


class TracksConfig(EyesConfig):
    """The track model. ATM's is larger; the choice is ours.

    The benchmark gives it the eyes of the skill model: `eyes` and `image_px` are not set here.
    """

    side: Annotated[int, Field(ge=1)] = Field(
        6,
        description="Points along a side of the grid at which the policy reads tracks: 36 in all, "
        "where ATM's policy reads 32.",
    )
    width: Annotated[int, Field(ge=8)] = Field(128, description="Features of a point.")
    heads: Annotated[int, Field(ge=1)] = Field(4, description="Heads of attention.")
    blocks: Annotated[int, Field(ge=1)] = Field(
        3, description="Blocks in which points read image and task, and then each other."
    )
    channels: tuple[int, int, int] | None = Field(
        None,
        description="As skill.model.channels; null: the same, so that images are encoded alike.",
    )
    text: TextMode = Field("words", description="How the task's text is read: planner.model.text.")
    text_width: Annotated[int, Field(ge=1)] = Field(256, description="As planner.model.text_width.")
    motion_weight: Annotated[float, Field(ge=0)] = Field(
        4.0,
        description="How much more a point counts that moves as far as the dataset's 99th "
        "percentile would in all steps of a window than one that rests. ATM leaves out points that "
        "hardly move.",
    )
    reads: Literal["predicted", "true"] = Field(
        "predicted",
        description="Which tracks the policy learns to read: those that this model predicts, as in "
        "ATM; or those of the demonstrations themselves. It acts by predicted ones.",
    )

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")
        return self


class TracksStage(Section):
    """How the track model is trained."""

    model: TracksConfig = TracksConfig()
    data: DataConfig = DataConfig(batch_size=64)
    optim: OptimConfig = OptimConfig(steps=1500, lr=1e-3, warmup_steps=50)
    run: StageRun = StageRun(evaluate_every=1_000_000, checkpoint_every=500, pictures=False)
