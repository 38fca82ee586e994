"""Meta-World (Yu et al. 2019, arXiv 1910.10897): a Sawyer arm, many tasks, a scripted expert each.

Seen through a free camera near the table, which shows more motion than the simulator's own cameras:
those are far away and upside down. A frame takes some 5-8 ms on a CPU, a step about 0.4 ms. An
episode follows from its seed alone; earlier ones leave no trace.
"""

from __future__ import annotations

import functools
import sys
import warnings
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.bench.envs.base import Env, Expert, LookName, Task, Variant, check_retreat
from sofdata.bench.envs.look import LOOKS, Look
from sofdata.bench.envs.play import Box, Place, Player
from sofdata.bench.envs.rendering import (
    FastRenderer,
    check_packages,
    check_rendering,
    choose_backend,
)

TEXTS = {  # what takes part where no tasks are named
    "drawer-open": "open the drawer",
    "door-open": "open the door",
    "button-press-topdown": "press the button from above",
    "window-open": "open the window",
    "faucet-open": "open the faucet",
    "handle-press": "press the handle down",
    "door-close": "close the door",
    "pick-place": "pick up the puck and place it at the goal",
}
MORE_TEXTS = {
    "window-close": "close the window",
    "drawer-close": "close the drawer",
    "faucet-close": "close the faucet",
    "handle-press-side": "press the handle at the side down",
    "handle-pull": "pull the handle up",
    "handle-pull-side": "pull the handle at the side up",
    "button-press": "press the button from the front",
    "coffee-button": "press the button of the coffee machine",
    "door-lock": "turn the lock of the door to close it",
    "door-unlock": "turn the lock of the door to open it",
    "lever-pull": "pull the lever up",
    "plate-slide": "slide the plate into the goal",
}
MEASURED = ("handle-press-side", "handle-pull-side")  # by the presets, beside the first eight
MAX_STEPS = 150
CAMERA = {"lookat": (0.02, 0.66, 0.17), "distance": 1.15, "azimuth": 135.0, "elevation": -30.0}
# From the other side, a little lower and nearer: what the hand hides of a thing shows here.
SECOND_CAMERA = {**CAMERA, "distance": 1.0, "azimuth": 225.0, "elevation": -20.0}
NOISE = 0.1  # standard deviation of what is added to each number of the expert's actions, in -1..1
_HIGHEST = 0.35  # m above the table, that play goes up to: higher, the hand leaves the picture
STATE_NAMES = ("x", "y", "z", "gripper")


class MetaWorldEnv:
    """One task."""

    def __init__(self, task: Task, size: int, look: Look | None = None) -> None:
        choose_backend()
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS

        self.task = task
        self._env: Any = ALL_V3_ENVIRONMENTS[f"{task.name}-v3"]()
        self._env._freeze_rand_vec = False
        self._env.seeded_rand_vec = True
        self._env._partially_observable = False
        self._env._set_task_called = True
        self._env.__dict__.pop("sawyer_observation_space", None)  # was made without the goal
        self._renderer = FastRenderer(
            self._env.model, size, CAMERA, look=look, second=SECOND_CAMERA
        )
        self.observation: NDArray[np.float64] = np.zeros(39)

    def reset(self, seed: int) -> None:
        """See `Env`."""
        import mujoco

        self._env.seed(seed)
        self._env.reset()
        # `reset` places objects by writing into the model and does not recompute the state: without
        # this, the first image and the first observation show the objects of the last episode.
        mujoco.mj_forward(self._env.model, self._env.data)
        self.observation = self._env._get_obs()

    def step(self, action: NDArray[np.float32]) -> bool:
        """See `Env`."""
        self._env.curr_path_length = 0  # the benchmark limits episodes, not the simulator
        bounded = np.clip(action, -1, 1).astype(np.float32)
        self.observation, _, _, _, info = self._env.step(bounded)
        return bool(info["success"])

    def image(self) -> NDArray[np.uint8]:
        """See `Env`."""
        return self._renderer.draw(self._env.data)

    def second_image(self) -> NDArray[np.uint8]:
        """See `TwoCameraEnv`."""
        return self._renderer.draw_second(self._env.data)

    def state(self) -> NDArray[np.float32]:
        """See `Env`. The first numbers of an observation are the hand's."""
        return self.observation[: len(STATE_NAMES)].astype(np.float32)

    def layout(self) -> NDArray[np.float64]:
        """See `Env`."""
        return np.concatenate([self.observation, self._env._last_rand_vec])

    def bounds(self) -> Box:
        """Corners of the box that the hand stays in, m: [3] each."""
        return self._env.mocap_low.copy(), self._env.mocap_high.copy()

    def close(self) -> None:
        """See `Env`."""
        self._renderer.close()
        self._env.close()


class MetaWorldExpert:
    """Meta-World's own policy of a task, with noise."""

    def __init__(self, task: Task, rng: np.random.Generator) -> None:
        from metaworld.policies import ENV_POLICY_MAP

        self._policy: Any = ENV_POLICY_MAP[f"{task.name}-v3"]()
        self._rng = rng
        self._observation: NDArray[np.float64] | None = None

    def reset(self) -> None:
        """See `Expert`."""
        self._observation = None

    def act(self, env: Env) -> NDArray[np.float32]:
        """See `Expert`."""
        self._observation = _simulated(env).observation
        return _noisy(self._scripted(self._observation), self._rng)

    @property
    def stage(self) -> frozenset[int] | None:
        """See `Staged`: the lines of its policy's script that the last action went through.

        The scripts are a choice between way-points, and have no names for them. Asked for, the last
        action is worked out once more.
        """
        if self._observation is None:
            return None
        lines: set[int] = set()
        file = sys.modules[type(self._policy).__module__].__file__
        before = sys.gettrace()
        sys.settrace(functools.partial(_note_line, file, lines))
        try:
            self._scripted(self._observation)
        finally:
            sys.settrace(before)
        return frozenset(lines)

    def _scripted(self, observation: NDArray[np.float64]) -> NDArray[np.float64]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about gains that the simulator clips
            return np.asarray(self._policy.get_action(observation))


def _note_line(file: str | None, lines: set[int], frame: FrameType, event: str, _: Any) -> Any:
    """What `sys.settrace` calls: notes the lines of one file."""
    if frame.f_code.co_filename != file:
        return None
    lines.add(frame.f_lineno)
    return functools.partial(_note_line, file, lines)


def _noisy(action: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float32]:
    noisy = np.clip(action, -1, 1) + rng.normal(0, NOISE, len(action))
    bounded: NDArray[np.float32] = np.clip(noisy, -1, 1).astype(np.float32)
    return bounded


def _simulated(env: Env) -> MetaWorldEnv:
    assert isinstance(env, MetaWorldEnv)
    return env


class MetaWorldBody:
    """The arm as one that plays knows it: see `Body`. An action of 1 moves the hand by 1 cm."""

    up: Place = np.array([0.0, 0.0, 0.1])
    near, reach = 0.02, 0.12
    grip_steps, way_steps = 10, 40
    _GAIN = 10.0  # of an action, for each m that is left: as that of most experts

    def box(self, env: Env) -> Box:
        """See `Body`."""
        low, high = _simulated(env).bounds()
        high[2] = min(high[2], _HIGHEST)
        return low, high

    def hand(self, env: Env) -> Place:
        """See `Body`."""
        return _simulated(env).observation[:3]

    def things(self, env: Env) -> list[Place]:
        """See `Body`. The simulator names two places; the second is 0 where there is one thing."""
        places = [_simulated(env).observation[first : first + 3] for first in (4, 11)]
        return [place for place in places if place.any()] or [np.mean(self.box(env), 0)]

    def begin(self, env: Env, thing: int, rng: np.random.Generator) -> None:
        """See `Body`. The hand does not turn."""

    def action(
        self, env: Env, way: Place, grip: float, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """See `Body`."""
        return _noisy(np.array([*(way * self._GAIN), grip]), rng)


class MetaWorldSuite:
    """Eight tasks, pick-place the hard one, and more that settings can name.

    30 frames/s is nominal, since the simulator's own 80 control steps a second are no video: at 30
    the default step of flow, 0.13 s, spans four of them.
    """

    name = "metaworld"
    fps = 30.0
    action_names: tuple[str, ...] = ("dx", "dy", "dz", "gripper")
    state_names: tuple[str, ...] = STATE_NAMES
    second_camera = "side"
    tasks = tuple(
        Task(name, text, MAX_STEPS, standard=name in TEXTS, measured=name in MEASURED)
        for name, text in (TEXTS | MORE_TEXTS).items()
    )

    def __init__(self, look: LookName = "default") -> None:
        self._look = LOOKS[look]

    def varied(self, variant: Variant) -> MetaWorldSuite:
        """See `CanVary`."""
        check_retreat(self.name, variant)
        return MetaWorldSuite(variant.look)

    def make(self, task: Task, size: int) -> MetaWorldEnv:
        """See `Suite`."""
        return MetaWorldEnv(task, size, self._look)

    def player(self, task: Task, rng: np.random.Generator) -> Expert:
        """See `CanPlay`."""
        return Player(MetaWorldBody(), rng)

    def expert(self, task: Task, rng: np.random.Generator) -> Expert:
        """See `Suite`."""
        return MetaWorldExpert(task, rng)

    def check(self) -> None:
        """See `Suite`."""
        check_packages(self.name, ("mujoco", "metaworld", "packaging"))
        check_rendering()
