"""Demonstrations in a toy world, in which a gripper pushes or carries a disc; see `PushingScene`.

They are to be had as action-free videos with a text each, and as demonstrations with their actions.
An episode of three seconds costs about 50 ms to act, draw and encode.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sofdata.corpora.lerobot.writer import Episode, LeRobotWriter
from sofdata.scenes.pushing_scene import (
    ACTION_NAMES,
    FPS,
    MAX_STEP_PX,
    SIZE,
    STATE_NAMES,
    TASKS,
    PushingScene,
)
from sofdata.video.writer import write_video

__all__ = [
    "ACTION_NAMES",
    "CAMERA",
    "FPS",
    "SIZE",
    "TASKS",
    "PushingScene",
    "Rollout",
    "demonstrate",
    "write_pushing_corpus",
    "write_pushing_demonstrations",
]

CAMERA = "observation.images.top"
_VIDEOS, _DEMONSTRATIONS = 1, 2  # so that no episode of one is an episode of the other


@dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """What happened in one episode: frames uint8 [T,SIZE,SIZE,3], actions float32 [T,3], states
    float32 [T,3]; the action of row t is taken at frame t and leads to frame t + 1."""

    task: str
    frames: NDArray[np.uint8]
    actions: NDArray[np.float32]
    states: NDArray[np.float32]
    success: bool


def demonstrate(
    scene: PushingScene, task: str | None = None, episode: int = 0, *, unsteady_px: float = 0.4
) -> Rollout:
    """Let the expert do a task, with an unsteady hand; goes on for three frames when it is done.

    unsteady_px: standard deviation of what is added to each move; part of the recorded actions.
    """
    image = scene.reset(task, episode)
    rng = np.random.default_rng([*scene.seed, episode, 1])
    frames: list[NDArray[np.uint8]] = []
    actions: list[NDArray[np.float32]] = []
    states: list[NDArray[np.float32]] = []
    done = 0
    while done < 3 and len(frames) < 80:
        action = scene.expert()
        if action[:2].any():
            action[:2] = np.clip(
                action[:2] + rng.normal(0, unsteady_px, 2), -MAX_STEP_PX, MAX_STEP_PX
            )
        frames.append(image)
        states.append(scene.state())
        actions.append(action)
        image = scene.step(action)
        done += scene.success()
    return Rollout(
        scene.task, np.stack(frames), np.stack(actions), np.stack(states), scene.success()
    )


def write_pushing_corpus(folder: str | Path, episodes: int, seed: int = 0) -> list[Path]:
    """Write action-free videos, the tasks in turn, in the layout of Something-Something V2.

    Returns the paths of the videos: H.264, 128 px, 10 frames/s. The label of each is its task.
    """
    root = Path(folder)
    videos = root / "20bn-something-something-v2"
    for name in (videos, root / "labels"):
        name.mkdir(parents=True, exist_ok=True)
    paths, labels = [], []
    for number, rollout in enumerate(_rollouts(episodes, (seed, _VIDEOS))):
        paths.append(videos / f"{number + 1}.mp4")
        write_video(paths[-1], rollout.frames, FPS, "h264")
        labels.append({"id": paths[-1].stem, "label": rollout.task, "template": rollout.task})
    (root / "labels" / "train.json").write_text(json.dumps(labels, indent=1) + "\n")
    return paths


def write_pushing_demonstrations(
    folder: str | Path, episodes_per_task: int, seed: int = 0, *, episodes_per_file: int = 50
) -> int:
    """Write demonstrations of every task as a LeRobot dataset v3.0. Returns their number.

    Episode i shows task i modulo the number of tasks. None of them is in a corpus of videos, of
    whatever seed.
    """
    writer = LeRobotWriter(
        folder,
        fps=FPS,
        action_names=ACTION_NAMES,
        state_names=STATE_NAMES,
        robot_type="pushing scene",
        episodes_per_file=episodes_per_file,
    )
    episodes = episodes_per_task * len(TASKS)
    for rollout in _rollouts(episodes, (seed, _DEMONSTRATIONS)):
        frames = {CAMERA: rollout.frames}
        writer.add(Episode(frames, rollout.actions, rollout.task, rollout.states))
    writer.finish()
    return episodes


def _rollouts(episodes: int, seed: tuple[int, int]) -> Iterator[Rollout]:
    scene = PushingScene(seed)
    for episode in range(episodes):
        yield demonstrate(scene, episode=episode)
