"""OGBench `scene` (Park et al. 2025, arXiv 2410.20092): long tasks of two to seven stages each.

A UR5e arm, a cube, a drawer, a window, and two buttons, one of which locks the drawer, the other
the window. OGBench ships an expert for each object; chained, and retried where they fail, they
solve its five tasks. A step takes 2 ms, a frame some 15-30 ms.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.bench.envs.base import Env, Expert, LookName, Retreat, Task, Variant
from sofdata.bench.envs.look import LOOKS, Look
from sofdata.bench.envs.play import Box, Place, Player
from sofdata.bench.envs.rendering import (
    FastRenderer,
    check_packages,
    check_rendering,
    choose_backend,
)

TASKS = (
    Task("open", "open the drawer and the window", 120, 2),
    Task("unlock-and-lock", "unlock, close and lock the drawer and the window", 240, 4),
    Task("rearrange-medium", "move the cube, open the drawer and close the window", 250, 4),
    Task("put-in-drawer", "put the cube into the drawer and close it", 250, 4),
    Task(
        "rearrange-hard", "put the cube into the drawer, close and lock it, open the window", 400, 7
    ),
)
ACTIONS = 5
CAMERA = {"lookat": (0.40, -0.04, 0.07), "distance": 0.95, "azimuth": 180.0, "elevation": -45.0}
# From beside the drawer, towards the window; a little lower and nearer.
SECOND_CAMERA = {**CAMERA, "distance": 0.85, "azimuth": 100.0, "elevation": -35.0}
NOISE = 0.1  # standard deviation of what is added to each number of the expert's actions, in -1..1
OPEN_DRAWER = -0.16
_DRAWER, _WINDOW = 0, 1  # the buttons that lock them
_HIGH = 0.35  # m, above all things
_NEAR = 0.02  # tolerance of drawer and window, half of OGBench's own


class SceneEnv:
    """One task."""

    def __init__(self, task: Task, size: int, look: Look | None = None) -> None:
        choose_backend()
        self.task = task
        self._number = [each.name for each in TASKS].index(task.name) + 1
        self._env: Any = _repeatable()(
            "scene", permute_blocks=False, visualize_info=False, terminate_at_goal=False
        )
        self.info: dict[str, Any] = {}
        self.reset(0)
        self._renderer = FastRenderer(
            self._env.model, size, CAMERA, look=look, second=SECOND_CAMERA
        )

    def reset(self, seed: int) -> None:
        """See `Env`."""
        _, self.info = self._env.reset(seed=seed, options={"task_id": self._number})
        self.goal: dict[str, Any] = self._env.cur_task_info["goal"]

    def step(self, action: NDArray[np.float32]) -> bool:
        """See `Env`."""
        _, _, _, _, self.info = self._env.step(np.clip(action, -1, 1).astype(np.float64))
        return bool(self.info["success"])

    def image(self) -> NDArray[np.uint8]:
        """See `Env`."""
        return self._renderer.draw(self._env.data)

    def second_image(self) -> NDArray[np.uint8]:
        """See `TwoCameraEnv`."""
        return self._renderer.draw_second(self._env.data)

    def state(self) -> NDArray[np.float32]:
        """See `Env`."""
        parts = ("effector_pos", "effector_yaw", "gripper_opening")
        felt = [np.ravel(self.info[f"proprio/{part}"]) for part in parts]
        return np.concatenate(felt).astype(np.float32)

    def layout(self) -> NDArray[np.float64]:
        """See `Env`."""
        parts = [self._env.data.qpos, self.info["button_states"], self._env.data.mocap_pos.ravel()]
        return np.concatenate([*parts, self.goal["button_states"]]).astype(np.float64)

    def close(self) -> None:
        """See `Env`."""
        self._renderer.close()

    @property
    def simulator(self) -> Any:
        """OGBench's own environment, for experts."""
        return self._env

    def button_top(self, button: int) -> NDArray[np.float64]:
        """The position at which a button is pressed."""
        place: NDArray[np.float64] = self._env.data.site_xpos[self._env._button_site_ids[button]]
        return place.copy()

    def place_targets(self, drawer: float, window: float) -> tuple[Any, Any]:
        """The handles' positions with drawer and window moved to these values."""
        import mujoco

        env = self._env
        env.model.site("drawer_handle_center_target").pos[1] = drawer
        env.model.site("window_handle_center_target").pos[0] = window
        mujoco.mj_kinematics(env.model, env.data)
        sites = (env._drawer_target_site_id, env._window_target_site_id)
        of_drawer, of_window = (env.data.site_xpos[site].copy() for site in sites)
        return of_drawer, of_window


class SceneExpert:
    """Does the next subtask that is needed, by OGBench's expert for that object, with some noise.

    Locked objects are unlocked first, the cube goes into the drawer while it is open, and buttons
    are set last. A subtask that fails is retried. retreat: before the next subtask it rises above
    things, drifting off and turning at random as OGBench's experts do; with "none", straight up.
    """

    def __init__(self, rng: np.random.Generator, retreat: Retreat = "random") -> None:
        self._rng, self._retreat = rng, retreat
        self._oracle: Any = None
        self._doing: tuple[str, Any] = ("", 0)
        self._phase = ""
        self.stage: tuple[str, Any, str] | None = None  # see `Staged`: subtask, target, phase of it

    def reset(self) -> None:
        """See `Expert`."""
        self._oracle, self.stage = None, None

    def act(self, env: Env) -> NDArray[np.float32]:
        """See `Expert`."""
        env = _simulated(env)
        needed = next_goal(env.info, env.goal)
        done = self._oracle is None or self._oracle.done
        if done or (needed != self._doing and not self._retreating(env)):
            self._begin(env, needed)
        if self._retreat == "none":
            self._rise(env)
        action = np.asarray(self._oracle.select_action(None, self._oracle_info(env)))
        self.stage = (*self._doing, self._phase)
        return _noisy(action, self._rng)

    def _note_phase(self, phase: str) -> None:
        self._phase = phase

    def _begin(self, env: SceneEnv, needed: tuple[str, Any]) -> None:
        self._doing = needed
        self._oracle = _oracle(needed[0], env.simulator)
        self._oracle.print_phase = self._note_phase  # it says what it is about, for debugging
        # It draws from a global generator; what it drew is replaced.
        self._oracle.reset(None, None)
        low, high = env.simulator._arm_sampling_bounds
        self._oracle._final_pos = self._rng.uniform(low, high)
        self._oracle._final_pos[2] = high[2]
        self._oracle._final_yaw = self._rng.uniform(-np.pi / 4, np.pi / 4)

    def _rise(self, env: SceneEnv) -> None:
        """Whatever comes after a subtask, go straight up and do not turn."""
        self._oracle._final_pos = env.info["proprio/effector_pos"] * [1, 1, 0] + [0, 0, _HIGH]
        self._oracle._final_yaw = float(env.info["proprio/effector_yaw"][0])

    def _retreating(self, env: SceneEnv) -> bool:
        """The subtask is done, and the gripper still has to move away."""
        height = float(env.info["proprio/effector_pos"][2])
        return height < (0.28 if self._doing[0] == "window" else 0.2)

    def _oracle_info(self, env: SceneEnv) -> dict[str, Any]:
        """`info` with the targets that OGBench adds in its mode for collecting data."""
        kind, target = self._doing
        targets = _targets(env, kind, target).items()
        return env.info | {f"privileged/{key}": value for key, value in targets}


def next_goal(info: dict[str, Any], goal: dict[str, Any]) -> tuple[str, Any]:
    """The next subtask: ("button", (number, state)), ("drawer" or "window", position) or
    ("cube", position); when all is done, the last button again."""
    cube = np.asarray(info["privileged/block_0_pos"])
    drawer, window = (
        float(info["privileged/drawer_pos"][0]),
        float(info["privileged/window_pos"][0]),
    )
    wanted_cube = goal["block_xyzs"][0]
    into_drawer = wanted_cube[1] < -0.3
    inside = lies_in_drawer(cube, float(info["privileged/drawer_handle_pos"][1]))
    wanted_drawer = goal["drawer_pos"]
    if into_drawer and not inside:
        if drawer > OPEN_DRAWER + _NEAR:
            return _unlocked(info, _DRAWER, ("drawer", OPEN_DRAWER))
        return ("cube", (0.33, -0.24, 0.066))
    if not into_drawer and np.linalg.norm(cube - wanted_cube) > 0.035:
        return ("cube", tuple(wanted_cube))
    if abs(drawer - wanted_drawer) > _NEAR:
        return _unlocked(info, _DRAWER, ("drawer", wanted_drawer))
    if abs(window - goal["window_pos"]) > _NEAR:
        return _unlocked(info, _WINDOW, ("window", goal["window_pos"]))
    for button, state in enumerate(goal["button_states"]):
        if info["button_states"][button] != state:
            return ("button", (button, int(state)))
    return ("button", (_WINDOW, int(goal["button_states"][_WINDOW])))


def lies_in_drawer(cube: NDArray[np.float64], handle_y: float) -> bool:
    """Whether the cube rests on the drawer's floor; the drawer extends behind its handle."""
    within = 0.21 < cube[0] < 0.45 and handle_y - 0.27 < cube[1] < handle_y - 0.07
    return bool(within and 0.05 < cube[2] < 0.08)


def _unlocked(info: dict[str, Any], button: int, then: tuple[str, Any]) -> tuple[str, Any]:
    return then if info["button_states"][button] else ("button", (button, 1))


def _targets(env: SceneEnv, kind: str, target: Any) -> dict[str, Any]:
    if kind == "button":
        button, state = target
        return {
            "target_button": button,
            "target_button_state": state,
            "target_button_top_pos": env.button_top(button),
        }
    if kind == "cube":
        yaw = np.zeros(1)
        return {"target_block": 0, "target_block_pos": np.array(target), "target_block_yaw": yaw}
    drawer = target if kind == "drawer" else env.goal["drawer_pos"]
    window = target if kind == "window" else env.goal["window_pos"]
    of_drawer, of_window = env.place_targets(drawer, window)
    return {"target_drawer_handle_pos": of_drawer, "target_window_handle_pos": of_window}


def _oracle(kind: str, simulator: Any) -> Any:
    from ogbench.manipspace.oracles.markov.button_markov import ButtonMarkovOracle
    from ogbench.manipspace.oracles.markov.cube_markov import CubeMarkovOracle
    from ogbench.manipspace.oracles.markov.drawer_markov import DrawerMarkovOracle
    from ogbench.manipspace.oracles.markov.window_markov import WindowMarkovOracle

    kinds = {
        "button": ButtonMarkovOracle,
        "cube": CubeMarkovOracle,
        "drawer": DrawerMarkovOracle,
        "window": WindowMarkovOracle,
    }
    return kinds[kind](env=simulator)


@cache
def _repeatable() -> type:
    """OGBench's class, with the random actions of its reset drawn from the episode's seed."""
    import gymnasium
    from ogbench.manipspace.envs import scene_env

    class Repeatable(scene_env.SceneEnv):  # type: ignore[misc]
        _box = gymnasium.spaces.Box(-1, 1, (ACTIONS,), np.float32)

        @property
        def action_space(self) -> Any:
            return self._box

        def reset(self, seed: int, options: dict[str, Any]) -> Any:
            self._box.seed(seed)
            return super().reset(seed=seed, options=options)

    return Repeatable


class SceneBody:
    """The arm as one that plays knows it: see `Body`. An action of 1 moves the hand by 5 cm.

    It turns to the thing that an act is about, for a button to any yaw near.
    """

    up: Place = np.array([0.0, 0.0, 0.12])
    near, reach = 0.03, 0.15
    grip_steps, way_steps = 8, 30
    _GAIN, _TURN_GAIN = 15.0, 3.0  # of an action, for each m or rad that is left
    _PARTS = ("block_0", "drawer_handle", "window_handle")

    def __init__(self) -> None:
        self._yaw = 0.0

    def box(self, env: Env) -> Box:
        """See `Body`."""
        low, high = _simulated(env).simulator._workspace_bounds
        return low, high

    def hand(self, env: Env) -> Place:
        """See `Body`."""
        place: Place = _simulated(env).info["proprio/effector_pos"]
        return place

    def things(self, env: Env) -> list[Place]:
        """See `Body`. Cube, handles and buttons."""
        scene = _simulated(env)
        places = [scene.info[f"privileged/{part}_pos"] for part in self._PARTS]
        return [*places, *(scene.button_top(button) for button in (_DRAWER, _WINDOW))]

    def begin(self, env: Env, thing: int, rng: np.random.Generator) -> None:
        """See `Body`. Turn to the nearest yaw at which the jaws fit, half a turn being none."""
        info, now = _simulated(env).info, self._turned(env)
        wanted = now + float(rng.uniform(-np.pi / 4, np.pi / 4))
        if thing < len(self._PARTS):
            wanted = float(info[f"privileged/{self._PARTS[thing]}_yaw"][0])
        self._yaw = now + (wanted - now + np.pi / 2) % np.pi - np.pi / 2

    def _turned(self, env: Env) -> float:
        return float(_simulated(env).info["proprio/effector_yaw"][0])

    def action(
        self, env: Env, way: Place, grip: float, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """See `Body`."""
        left = self._yaw - self._turned(env)
        action = np.array([*(way * self._GAIN), left * self._TURN_GAIN, grip])
        return _noisy(np.clip(action, -1, 1), rng)


def _simulated(env: Env) -> SceneEnv:
    assert isinstance(env, SceneEnv)
    return env


def _noisy(action: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float32]:
    noisy: NDArray[np.float32] = np.clip(action + rng.normal(0, NOISE, ACTIONS), -1, 1).astype(
        np.float32
    )
    return noisy


class SceneSuite:
    """OGBench's five tasks.

    30 frames/s is nominal (the simulator takes 20 control steps a second): the default step of
    flow, 0.13 s, spans four of them.
    """

    name = "scene"
    fps = 30.0
    action_names: tuple[str, ...] = ("dx", "dy", "dz", "dyaw", "gripper")
    state_names: tuple[str, ...] = ("x", "y", "z", "yaw", "gripper")
    second_camera = "side"
    tasks: tuple[Task, ...] = TASKS

    def __init__(self, look: LookName = "default", retreat: Retreat = "random") -> None:
        self._look, self._retreat = LOOKS[look], retreat

    def varied(self, variant: Variant) -> SceneSuite:
        """See `CanVary`."""
        return SceneSuite(variant.look, variant.retreat)

    def make(self, task: Task, size: int) -> SceneEnv:
        """See `Suite`."""
        return SceneEnv(task, size, self._look)

    def expert(self, task: Task, rng: np.random.Generator) -> Expert:
        """See `Suite`."""
        return SceneExpert(rng, self._retreat)

    def player(self, task: Task, rng: np.random.Generator) -> Expert:
        """See `CanPlay`."""
        return Player(SceneBody(), rng)

    def check(self) -> None:
        """See `Suite`."""
        check_packages(self.name, ("mujoco", "ogbench"))
        check_rendering()
