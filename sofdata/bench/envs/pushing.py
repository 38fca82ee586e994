"""The project's own toy world as a suite: no simulator to install, and fast. See `PushingScene`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sofdata.bench.envs.base import Env, Expert, Task
from sofdata.scenes.pushing_scene import (
    ACTION_NAMES,
    CARRY,
    FPS,
    MAX_STEP_PX,
    SIZE,
    STATE_NAMES,
    TASKS,
    PushingScene,
)

MAX_STEPS = 60


class PushingEnv:
    """A task in the toy world."""

    def __init__(self, task: Task, size: int) -> None:
        self.task, self._size = task, size
        self.scene = PushingScene()

    def reset(self, seed: int) -> None:
        """See `Env`."""
        self.scene.reset(self.task.text, seed)

    def step(self, action: NDArray[np.float32]) -> bool:
        """See `Env`."""
        self.scene.step(action)
        return self.scene.success()

    def image(self) -> NDArray[np.uint8]:
        """See `Env`."""
        image = self.scene.observe()
        if self._size == SIZE:
            return image
        from PIL import Image

        side = (self._size, self._size)
        return np.asarray(Image.fromarray(image).resize(side, Image.Resampling.BOX))

    def state(self) -> NDArray[np.float32]:
        """See `Env`."""
        return self.scene.state()

    def layout(self) -> NDArray[np.float64]:
        """See `Env`."""
        scene = self.scene
        return np.concatenate([scene.disc, scene.square, scene.gripper, [scene.radius]])

    def close(self) -> None:
        """See `Env`."""


class PushingExpert:
    """The scene's own demonstrator, with noise of `unsteady_px` on its moves."""

    def __init__(self, rng: np.random.Generator, unsteady_px: float = 0.4) -> None:
        self._rng, self._unsteady_px = rng, unsteady_px

    def reset(self) -> None:
        """See `Expert`."""

    def act(self, env: Env) -> NDArray[np.float32]:
        """See `Expert`."""
        assert isinstance(env, PushingEnv)
        action = env.scene.expert()
        if action[:2].any():
            move = action[:2] + self._rng.normal(0, self._unsteady_px, 2)
            action[:2] = np.clip(move, -MAX_STEP_PX, MAX_STEP_PX)
        return action


class PushingSuite:
    """Four pushes and a carry."""

    name = "pushing"
    fps = float(FPS)
    action_names: tuple[str, ...] = ACTION_NAMES
    state_names: tuple[str, ...] = STATE_NAMES
    tasks: tuple[Task, ...] = tuple(
        Task(
            "carry"
            if text == CARRY
            else text.replace(" the disc", "").replace(" to the", "").replace(" ", "-"),
            text,
            MAX_STEPS,
            2 if text == CARRY else 1,
        )
        for text in TASKS
    )

    def make(self, task: Task, size: int) -> PushingEnv:
        """See `Suite`."""
        return PushingEnv(task, size)

    def expert(self, task: Task, rng: np.random.Generator) -> Expert:
        """See `Suite`."""
        return PushingExpert(rng)

    def check(self) -> None:
        """See `Suite`."""
