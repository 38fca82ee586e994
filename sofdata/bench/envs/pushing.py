"""The project's own toy world as a suite: no simulator to install, and fast. See `PushingScene`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sofdata.bench.envs.base import Env, Expert, LookName, Task, Variant, check_retreat
from sofdata.bench.envs.look import FLAT_LOOKS, Look
from sofdata.bench.envs.play import Box, Place, Player
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
HAND_PX = SIZE // 2  # side of what the second camera sees


class PushingEnv:
    """A task in the toy world."""

    def __init__(self, task: Task, size: int, look: Look | None = None) -> None:
        self.task, self._size, self._look = task, size, look
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
        image = self._seen()
        if self._size == SIZE:
            return image
        from PIL import Image

        side = (self._size, self._size)
        return np.asarray(Image.fromarray(image).resize(side, Image.Resampling.BOX))

    def second_image(self) -> NDArray[np.uint8]:
        """See `TwoCameraEnv`. Around the gripper, `HAND_PX` a side and enlarged; at the border the
        view stays inside the picture."""
        from PIL import Image

        low = np.clip(np.rint(self.scene.gripper) - HAND_PX // 2, 0, SIZE - HAND_PX)
        left, top = (int(value) for value in low)
        near = self._seen()[top : top + HAND_PX, left : left + HAND_PX]
        side = (self._size, self._size)
        return np.asarray(Image.fromarray(near).resize(side, Image.Resampling.BILINEAR))

    def _seen(self) -> NDArray[np.uint8]:
        """The picture, uint8 [SIZE,SIZE,3], in this suite's look."""
        image = self.scene.observe()
        return self._look.of_picture(image) if self._look else image

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
        self.stage: tuple[bool, bool] | None = None  # see `Staged`: does it move, does it close

    def reset(self) -> None:
        """See `Expert`."""
        self.stage = None

    def act(self, env: Env) -> NDArray[np.float32]:
        """See `Expert`."""
        assert isinstance(env, PushingEnv)
        action = env.scene.expert()
        self.stage = bool(action[:2].any()), bool(action[2] > 0)
        if action[:2].any():
            move = action[:2] + self._rng.normal(0, self._unsteady_px, 2)
            action[:2] = np.clip(move, -MAX_STEP_PX, MAX_STEP_PX)
        return action


class PushingBody:
    """The gripper as one that plays knows it: see `Body`. The unit is px."""

    up: Place = np.zeros(2)
    near, reach = 3.0, 30.0
    grip_steps, way_steps = 6, 20
    _NOISE_PX = 0.4

    def box(self, env: Env) -> Box:
        """See `Body`."""
        return np.full(2, 8.0), np.full(2, SIZE - 8.0)

    def hand(self, env: Env) -> Place:
        """See `Body`."""
        return _simulated(env).scene.gripper

    def things(self, env: Env) -> list[Place]:
        """See `Body`."""
        return [_simulated(env).scene.disc]

    def begin(self, env: Env, thing: int, rng: np.random.Generator) -> None:
        """See `Body`. The hand does not turn."""

    def action(
        self, env: Env, way: Place, grip: float, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """See `Body`. At the pace of this episode's demonstrator."""
        pace_px = _simulated(env).scene.pace_px
        move = way * min(1.0, pace_px / max(float(np.hypot(*way)), 1e-6))
        move = np.clip(move + rng.normal(0, self._NOISE_PX, 2), -MAX_STEP_PX, MAX_STEP_PX)
        return np.array([*move, grip], np.float32)


def _simulated(env: Env) -> PushingEnv:
    assert isinstance(env, PushingEnv)
    return env


class PushingSuite:
    """Four pushes and a carry."""

    name = "pushing"
    fps = float(FPS)
    action_names: tuple[str, ...] = ACTION_NAMES
    state_names: tuple[str, ...] = STATE_NAMES
    second_camera = "hand"
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

    def __init__(self, look: LookName = "default") -> None:
        self._look = FLAT_LOOKS[look]

    def varied(self, variant: Variant) -> PushingSuite:
        """See `CanVary`."""
        check_retreat(self.name, variant)
        return type(self)(variant.look)

    def make(self, task: Task, size: int) -> PushingEnv:
        """See `Suite`."""
        return PushingEnv(task, size, self._look)

    def player(self, task: Task, rng: np.random.Generator) -> Expert:
        """See `CanPlay`."""
        return Player(PushingBody(), rng)

    def expert(self, task: Task, rng: np.random.Generator) -> Expert:
        """See `Suite`."""
        return PushingExpert(rng)

    def check(self) -> None:
        """See `Suite`."""
