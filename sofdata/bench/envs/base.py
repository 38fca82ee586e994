"""The interfaces of a simulator: tasks, environments, experts, and suites of them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Task:
    """A task.

    text: the instruction that a policy is given. max_steps: control steps after which an episode
        has failed. stages: how many subtasks must be done one after the other. standard: whether it
        takes part where settings name no tasks. A task that is added to a suite later does not, so
        that earlier settings go on meaning the same tasks. measured: whether it is collected all
        the same where no tasks are named, since a preset of sofdata measures it.
    """

    name: str
    text: str
    max_steps: int
    stages: int = 1
    standard: bool = True
    measured: bool = False


LookName = Literal["default", "other"]
Retreat = Literal["random", "none"]


@dataclass(frozen=True, slots=True)
class Variant:
    """In what a suite can differ from itself; the defaults are the suite as it is.

    look: camera, colours and light of its pictures. retreat: whether an expert that has done a
        subtask moves away at random before the next one.
    """

    look: LookName = "default"
    retreat: Retreat = "random"


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

        Demonstrations carry it, for policies of others and for those of the benchmark that read it
        (`decoder.model.state`).
        """

    def layout(self) -> NDArray[np.float64]:
        """The initial state and the goal of this episode, [n]."""

    def close(self) -> None:
        """Release the simulator and its renderer."""


class TwoCameraEnv(Env, Protocol):
    """An environment of a suite that has a second camera."""

    def second_image(self) -> NDArray[np.uint8]:
        """The second camera's image, as `image`: what `image` gives is the same with it and
        without."""


def second_image_of(env: Env) -> NDArray[np.uint8]:
    """What the second camera shows, uint8 [S,S,3].

    Raises `ConfigError` for an environment whose suite names a second camera that it cannot draw.
    """
    if not hasattr(env, "second_image"):
        raise ConfigError(
            f"{type(env).__name__} of the task {env.task.name} has no method `second_image`, and "
            "its suite names a second camera (sofdata.bench.envs.base.TwoCameraEnv)"
        )
    image: NDArray[np.uint8] = env.second_image()
    return image


class Expert(Protocol):
    """A scripted demonstrator, which may read the whole state of the simulator."""

    def reset(self) -> None:
        """Begin an episode."""

    def act(self, env: Env) -> NDArray[np.float32]:
        """The next action, float32 [A]."""


class Staged(Protocol):
    """An expert that can tell what it is about."""

    @property
    def stage(self) -> Hashable:
        """The part of the task that the last action served; equal ones are the same part.

        None before the first action.
        """


class Suite(Protocol):
    """Tasks of one kind of simulator. examples/own_environment.py shows one.

    fps: nominal frames/s of videos; one frame a control step. action_names, state_names: of each
        dimension. Two methods are optional, `varied` and `player`: see `CanVary` and `CanPlay`; so
        is a second camera: see `HasSecondCamera`.
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


class CanVary(Protocol):
    """A suite that comes in other variants."""

    def varied(self, variant: Variant) -> Suite:
        """The suite in that variant. Raises `ConfigError` for one that it does not have."""


def check_retreat(suite: str, variant: Variant) -> None:
    """Raises `ConfigError` for a suite whose experts never retreat, if they are asked not to."""
    if variant.retreat != Variant().retreat:
        raise ConfigError(
            f"no expert of the suite {suite} retreats at random: leave retreat at "
            f"'{Variant().retreat}'"
        )


class CanPlay(Protocol):
    """A suite in which the robot can play: move about with no task."""

    def player(self, task: Task, rng: np.random.Generator) -> Expert:
        """What moves the robot about in the simulator of a task; what it does comes from `rng`."""


class HasSecondCamera(Protocol):
    """A suite whose environments are seen by a second camera: see `TwoCameraEnv`.

    second_camera: its name, of letters, digits, - and _: demonstrations hold what it shows as
        `observation.images.NAME`. The first is named front.
    """

    second_camera: str
