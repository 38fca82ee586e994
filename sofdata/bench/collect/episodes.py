"""One attempt of an expert, and the files that hold attempts until a collection is complete.

    WORK/PART/TASK/SEED.json       written last: success, steps, hash of the layout
    WORK/videos/TASK/SEED.mp4      if it succeeded; frames and nothing else
    WORK/demos/TASK/SEED.npz       if it succeeded: frames, actions, states; and, where a second
                                   camera is wanted, its frames
    WORK/play/TASK/SEED.npz        the same of an episode of play, which cannot fail

An attempt depends on its suite, task, seed and settings alone, not on what its process did before.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from sofdata.bench.envs.base import Env, Expert, Suite, Task, second_image_of
from sofdata.bench.envs.registry import playing
from sofdata.storage import atomic

Part = Literal["videos", "demos", "play"]
PARTS: tuple[Part, ...] = ("videos", "demos")  # that every collection has
_MANNER = 7  # keeps the expert's noise apart from what the simulator draws from the same seed


@dataclass(frozen=True, slots=True)
class Attempt:
    """The record of an attempt. layout: sha256 of the initial state and goal.

    success: of the expert; of play, that it was carried out.
    """

    seed: int
    success: bool
    steps: int
    layout: str
    cpu_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Performance:
    """An episode of an expert: frames uint8 [T,S,S,3]; actions float32 [T,A] and the robot's states
    float32 [T,S], row t of both at frame t; and whether the task succeeded within its steps.

    second: as frames, what a second camera saw at the same times; None where it was not drawn.
    """

    frames: NDArray[np.uint8]
    actions: NDArray[np.float32]
    states: NDArray[np.float32]
    layout: NDArray[np.float64]
    success: bool
    second: NDArray[np.uint8] | None = None


def perform(
    suite: Suite, env: Env, task: Task, seed: int, hold_steps: int, second_camera: bool = False
) -> Performance:
    """Let the expert do the task, and `hold_steps` further steps once it has succeeded."""
    expert = suite.expert(task, np.random.default_rng([seed, _MANNER]))
    steps = _Steps(env, expert, seed, second_camera)
    done = 0  # steps since the task has succeeded, that one included
    while done <= hold_steps and (done or len(steps) < task.max_steps):
        done += steps.take() or done > 0
    return steps.performance(done > 0)


def play(
    suite: Suite, env: Env, task: Task, seed: int, number: int, second_camera: bool = False
) -> Performance:
    """Let the robot play in the scene of a task, for so many steps, whatever succeeds by chance.

    Raises `ConfigError` for a suite in which nothing plays.
    """
    player = playing(suite).player(task, np.random.default_rng([seed, _MANNER]))
    steps = _Steps(env, player, seed, second_camera)
    while len(steps) < number:
        steps.take()
    return steps.performance(success=True)


class _Steps:
    """What is seen and done, step by step, in an episode that begins with the seed."""

    def __init__(self, env: Env, expert: Expert, seed: int, second_camera: bool) -> None:
        self._env, self._expert = env, expert
        env.reset(seed)
        expert.reset()
        self._layout = env.layout()
        self._frames = list[NDArray[np.uint8]]()
        self._actions = list[NDArray[np.float32]]()
        self._states = list[NDArray[np.float32]]()
        self._second: list[NDArray[np.uint8]] | None = [] if second_camera else None

    def __len__(self) -> int:
        return len(self._actions)

    def take(self) -> bool:
        """One more; whether the task has succeeded with it."""
        self._frames.append(self._env.image())
        if self._second is not None:
            self._second.append(second_image_of(self._env))
        self._states.append(self._env.state())
        self._actions.append(self._expert.act(self._env))
        return self._env.step(self._actions[-1])

    def performance(self, success: bool) -> Performance:
        frames, actions, states = self._frames, self._actions, self._states
        stacked = np.stack(frames), np.stack(actions), np.stack(states)
        second = None if self._second is None else np.stack(self._second)
        return Performance(*stacked, self._layout, success, second)


def layout_hash(layout: NDArray[np.float64]) -> str:
    """sha256 of an initial state and goal, in full precision."""
    return hashlib.sha256(np.ascontiguousarray(layout, np.float64).tobytes()).hexdigest()


def attempt(
    suite: Suite,
    env: Env,
    task: Task,
    *,
    seed: int,
    part: Part,
    hold_steps: int,
    play_steps: int,
    work: Path,
    second_camera: bool = False,
) -> Attempt:
    """Make an attempt, unless its record exists. Videos are of the first camera alone."""
    folder = work / part / task.name
    done = read_attempt(folder, seed)
    if done:
        return done
    folder.mkdir(parents=True, exist_ok=True)
    began = time.process_time()
    if part == "play":
        made = play(suite, env, task, seed, play_steps, second_camera)
    else:
        both = second_camera and part != "videos"
        made = perform(suite, env, task, seed, hold_steps, both)
    if made.success and part == "videos":
        with atomic.replacing(folder / f"{seed}.mp4") as partial:
            _write_video(partial, made.frames, suite.fps)
    elif made.success:
        with atomic.replacing(folder / f"{seed}.npz") as partial:
            _write_arrays(partial, made)
    record = Attempt(
        seed,
        made.success,
        len(made.actions),
        layout_hash(made.layout),
        round(time.process_time() - began, 3),
    )
    atomic.write_text(folder / f"{seed}.json", json.dumps(asdict(record)) + "\n")
    return record


def read_attempt(folder: Path, seed: int) -> Attempt | None:
    """The record of an attempt, None if it was not made."""
    try:
        return Attempt(**json.loads((folder / f"{seed}.json").read_text()))
    except FileNotFoundError:
        return None


def read_demonstration(path: Path) -> dict[str, NDArray[np.generic]]:
    """The arrays of a demonstration: frames, actions, states; and `second`, if there is one."""
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _write_video(path: Path, frames: NDArray[np.uint8], fps: float) -> None:
    from sofdata.video.writer import write_video

    write_video(path, frames, fps, "h264")


def _write_arrays(path: Path, made: Performance) -> None:
    file: BinaryIO
    with open(path, "wb") as file:
        arrays: dict[str, Any] = {
            "frames": made.frames,
            "actions": made.actions,
            "states": made.states,
        }
        if made.second is not None:
            arrays["second"] = made.second
        np.savez_compressed(file, **arrays)
