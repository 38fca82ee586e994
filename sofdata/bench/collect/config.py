"""What `sofdata bench collect` makes. All of it decides bytes and is kept in its record."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import Field

from sofdata.bench.envs.base import LookName, Retreat, Variant
from sofdata.config.earlier import Earlier, identity
from sofdata.config.section import Section


class CollectConfig(Section):
    """How many episodes of what."""

    suite: str = Field(
        "metaworld", description="metaworld, scene, pushing, or module:Class of your own."
    )
    tasks: tuple[str, ...] = Field(
        (), description="Names of its tasks; (): the standard ones and others that presets measure."
    )
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

    play_minutes: float = Field(
        0.0,
        ge=0,
        description="Collect undirected play of the robot alone, with actions, in place of videos "
        "and demonstrations: so many minutes by the suite's frame rate, spread evenly over the "
        "tasks' scenes.",
    )
    play_s: Annotated[float, Field(gt=0, le=600)] = Field(
        5.0, description="Length of an episode of play, s."
    )
    look: Annotated[LookName, Earlier("default")] = Field(
        "default",
        description="other: camera, colours and light differ from those of the suite, also of what "
        "policies see when they act; the same episodes, so that pictures alone differ.",
    )
    retreat: Annotated[Retreat, Earlier("random")] = Field(
        "random",
        description="What an expert of scene does after a subtask: rise while it drifts off and "
        "turns at random, or (none) straight up.",
    )

    second_camera: Annotated[bool, Earlier(False)] = Field(
        False,
        description="Demonstrations, and play, also hold what the suite's second camera shows, "
        "for policies that read it (decoder.model.second_camera); videos never do.",
    )

    @property
    def variant(self) -> Variant:
        """Of the suite."""
        return Variant(self.look, self.retreat)

    def play_episodes(self, tasks: int) -> int:
        """Episodes of play in each of so many tasks' scenes."""
        return math.ceil(round(self.play_minutes * 60 / self.play_s / max(tasks, 1), 6))

    def content(self) -> dict[str, Any]:
        """As in the record of a collection: what decides its bytes.

        Of play, that is other keys. `look`, `retreat` and `second_camera` are left out where they
        are as before there were such keys (see `sofdata.config.earlier`).
        """
        left_out = {"play_minutes", "play_s"}
        if self.play_minutes:
            left_out = {"videos", "demos", "hold_steps", "least_rate", "retreat"}
        return identity(self, exclude=left_out)
