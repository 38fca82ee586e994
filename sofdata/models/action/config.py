"""How skills are decoded into actions. The SOF paper publishes none of it: defaults are ours."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sofdata.config.earlier import Earlier
from sofdata.config.section import Section
from sofdata.errors import ConfigError
from sofdata.models.action.space import ActionSpace
from sofdata.models.common.text import TextMode


class DecoderConfig(Section):
    """The action decoder. The SOF paper publishes none of this: the defaults are ours."""

    condition: Literal["skill", "flow", "flow+image", "motion", "none"] = Field(
        "skill",
        description="What actions are decoded from: 'skill': the first frame and the skill's "
        "codes; 'flow': only the flow that the frozen skill model decodes from the codes, which is "
        "inverse dynamics; 'flow+image': that flow and the first frame; 'motion': the flow that "
        "was seen in the window and `context` steps around it, and the first frame: it names the "
        "actions of videos, and cannot act, since what will be seen is not known; 'none': only the "
        "first frame, which is plain behaviour cloning, as a baseline. Default ours.",
    )
    context: Annotated[int, Field(ge=0, le=64), Earlier(0)] = Field(
        0,
        description="Steps of flow before and after a window that are read too, with condition "
        "'motion': an arm follows an action a little later, so that the last ones of a window show "
        "after it. Default ours.",
    )
    encoder: Literal["frozen", "tuned", "fresh"] = Field(
        "frozen",
        description="The image encoder: 'frozen': the skill model's own, not trained; 'tuned': a "
        "copy of it, trained along; 'fresh': one of the same build, from random weights. No matter "
        "with condition 'flow'. Default ours.",
    )
    task: TextMode | None = Field(
        None,
        description="How the task's text is read, as with planner.model.text; null: actions do not "
        "depend on it. Plain cloning of several tasks needs it. No matter with condition 'flow'. "
        "Default ours.",
    )
    text_width: Annotated[int, Field(ge=1)] = Field(
        256, description="Width of the task's vector, as with the planner. Default ours."
    )
    code_noise: Annotated[float, Field(ge=0)] = Field(
        0.0,
        description="In training only, standard deviation of what is added to each number of a "
        "code, which lies in -1..1 with fsq: the skills that a prior draws are not quite those "
        "that demonstrations show. Default ours.",
    )
    image_dropout: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0,
        description="In training only, share of the samples whose image is hidden, so that the "
        "decoder learns to go by the skill: of a few demonstrations, it else knows every image by "
        "heart. 1: it never sees images. Only with 'skill' and 'flow+image'. Default ours.",
    )
    head: Annotated[Literal["tokens", "flat", "both"], Earlier("tokens")] = Field(
        "tokens",
        description="How the features of the actions are read: 'tokens': a query for each action "
        "attends to the tokens of image, skill and task; 'flat': these are laid flat, and a "
        "network of two layers gives the features of all actions at once, which learns sooner "
        "where exactly things lie; 'both': the sum of the two. No matter with condition 'flow'. "
        "Default ours.",
    )
    head_width: Annotated[int, Field(ge=8), Earlier(256)] = Field(
        256, description="Width of the network of head=flat and both. Default ours."
    )
    history: Annotated[int, Field(ge=0, le=8), Earlier(0)] = Field(
        0,
        description="Frames that are seen beside the present one, each a step of flow before the "
        "next; an episode's first frame is repeated before its start. Each costs as much to encode "
        "as the present one. In the benchmark alone: 'sofdata train' reads windows one by one. "
        "Default ours: cloned policies often do worse with a history (causal confusion, arXiv "
        "1905.11979).",
    )
    state: Annotated[bool, Earlier(False)] = Field(
        False,
        description="Whether the robot's own state (hand, gripper, joints; nothing of the scene) "
        "is read beside image and task. Demonstrations have it where they were ingested with "
        "with_state; videos have none, so that policies that are cloned from videos never read "
        "it. Not with conditions 'flow' and 'motion'. Default ours: cloned policies may follow "
        "their own state in place of what they see (causal confusion, arXiv 1905.11979).",
    )
    second_camera: Annotated[bool, Earlier(False)] = Field(
        False,
        description="Whether a second camera's present image is read beside the first one's, by an "
        "image encoder of its own ('tuned' or 'fresh' as `encoder` says; 'frozen': the skill "
        "model's for both). In the benchmark alone, with demonstrations that were collected with "
        "second_camera: a window holds the frames of one camera. Videos have one, so that policies "
        "that are cloned from videos never read it. Not with conditions 'flow' and 'motion'. "
        "Default ours.",
    )
    width: Annotated[int, Field(ge=8)] = Field(
        128, description="Features of a token; a multiple of heads. Default ours."
    )
    layers: Annotated[int, Field(ge=1)] = Field(
        2, description="Transformer layers, or convolutions over time with 'flow'. Default ours."
    )
    heads: Annotated[int, Field(ge=1)] = Field(4, description="Heads of attention. Default ours.")
    gripper: int | Literal["auto"] | None = Field(
        "auto",
        description="The action dimension of the gripper, which gets a head of its own: its "
        "number, from 0 or, from the end, -1; 'auto': the last dimension that takes only two "
        "values in the demonstrations, if any does; null: none. Where it takes two values, they "
        "are told apart by cross-entropy and one of the two is what comes out; any other is "
        "regressed. Default ours.",
    )
    gripper_weight: Annotated[float, Field(ge=0)] = Field(
        1.0,
        description="Weight of the gripper's cross-entropy against the mean loss of the other "
        "dimensions. Default ours.",
    )
    loss: Literal["huber", "l1"] = Field(
        "huber", description="Loss of an action, in standard deviations. Default ours."
    )
    huber_delta: Annotated[float, Field(gt=0)] = Field(
        1.0,
        description="Error in standard deviations from which Huber's loss is linear. Default ours.",
    )
    shift_px: Annotated[int, Field(ge=0)] = Field(
        4,
        description="In training only, images are shifted at random by up to this many px each "
        "way, at the size that frames are stored at; 0 is off. DrQ's value, for 84 px.",
    )
    clip_margin: Annotated[float, Field(ge=0)] = Field(
        0.1,
        description="Actions are clipped to the range of the demonstrations, widened at both ends "
        "by this share of it. Default ours.",
    )

    @model_validator(mode="after")
    def _check_context(self) -> Self:
        if self.context and self.condition != "motion":
            raise ValueError(f"context {self.context} is read with condition 'motion' alone")
        if self.state and self.condition in ("flow", "motion"):
            raise ValueError(f"condition '{self.condition}' reads no state of the robot: leave it")
        if self.second_camera and self.condition in ("flow", "motion"):
            raise ValueError(
                f"condition '{self.condition}' reads no second camera: set second_camera=false"
            )
        return self

    @model_validator(mode="after")
    def _check_width(self) -> Self:
        if self.width % self.heads or self.width % 4:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.heads} and 4")
        return self


def gripper_dimension(setting: int | str | None, space: ActionSpace) -> int | None:
    """The gripper's dimension, 0 to A - 1, that a config's `gripper` means, or None."""
    if setting == "auto":
        return max((n for n, values in enumerate(space.values) if values), default=None)
    if setting is None:
        return None
    if not -space.size <= int(setting) < space.size:
        raise ConfigError(
            f"gripper is dimension {setting}, but actions have {space.size}: "
            f"0 to {space.size - 1}, or -{space.size} to -1 from the end"
        )
    return int(setting) % space.size
