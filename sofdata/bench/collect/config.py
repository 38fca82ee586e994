"""What `sofdata bench collect` makes. All of it decides bytes and is kept in `collect.json`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from sofdata.config.section import Section


class CollectConfig(Section):
    """How many episodes of what."""

    suite: str = Field(
        "metaworld", description="metaworld, scene, pushing, or module:Class of your own."
    )
    tasks: tuple[str, ...] = Field((), description="Names of its tasks; (): all of them.")
    videos: int = Field(50, ge=0, description="Action-free videos of each task.")
    demos: int = Field(
        54,
        ge=0,
        description="Demonstrations of each task, with actions: 50 to learn from at most, and four "
        "for held-out errors.",
    )
    size: Annotated[int, Field(ge=16, le=4096, multiple_of=2)] = Field(
        128, description="Side of a frame, px."
    )
    hold_steps: int = Field(3, ge=0, description="Steps that go on after the task has succeeded.")
    least_rate: Annotated[float, Field(ge=1e-6, le=1)] = Field(
        0.2, description="An expert that succeeds less often than this is given up."
    )

    def content(self) -> dict[str, Any]:
        """As in `collect.json`."""
        return self.model_dump(mode="json")
