"""The interfaces of a simulator: tasks, environments, experts, and suites of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Task:
    """A task.

    text: the instruction that a policy is given. max_steps: control steps after which an episode
        has failed. stages: how many subtasks must be done one after the other.
    """

    name: str
    text: str
    max_steps: int
    stages: int = 1


class Env(Protocol):
    """One task in one simulator.

    Images are uint8 [S,S,3], actions float32 [A].
    """

    task: Task

    def reset(self, seed: int) -> None:
        """Begin an episode, which must follow from the seed alone: earlier ones leave no trace."""

    def step(self, action: NDArray[np.float32]) -> bool:
        """Carry out one action; True if the task has succeeded with it."""

    def image(self) -> NDArray[np.uint8]:
        """The camera's image, rendered at this call: it costs most, so nothing renders unasked."""

    def state(self) -> NDArray[np.float32]:
        """Proprioception, [S]: hand and gripper, and nothing of the scene.

        No policy of the benchmark reads it; demonstrations carry it for policies of others.
        """

    def layout(self) -> NDArray[np.float64]:
        """The initial state and the goal of this episode, [n]."""

    def close(self) -> None:
        """Release the simulator and its renderer."""


class Expert(Protocol):
    """A scripted demonstrator, which may read the whole state of the simulator."""

    def reset(self) -> None:
        """Begin an episode."""

    def act(self, env: Env) -> NDArray[np.float32]:
        """The next action, float32 [A]."""


class Suite(Protocol):
    """Tasks of one kind of simulator. examples/own_environment.py shows one.

    fps: nominal frames/s of videos; one frame a control step. action_names, state_names: of each
        dimension.
    """

    name: str
    fps: float
    action_names: tuple[str, ...]
    state_names: tuple[str, ...]

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All tasks of the suite."""

    def make(self, task: Task, size: int) -> Env:
        """A simulator of a task, with images of `size` px a side."""

    def expert(self, task: Task, rng: np.random.Generator) -> Expert:
        """A demonstrator of a task; its noise comes from `rng`."""

    def check(self) -> None:
        """Raises `ConfigError` that names what to install, where something is missing."""
