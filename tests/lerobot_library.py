"""What the library lerobot makes of a dataset, and datasets that it makes; run by its own Python.

    PYTHON tests/lerobot_library.py read DATASET OUT.json
    PYTHON tests/lerobot_library.py write EPISODES.npz DATASET
    PYTHON tests/lerobot_library.py write_pictures EPISODES.npz DATASET

lerobot needs another Python and an older PyAV than sofdata, so nothing of sofdata is imported here.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

TOP, WRIST = "observation.images.top", "observation.images.wrist"
DEPTH = "observation.images.top_depth"
FPS = 10


def _library() -> Any:
    return importlib.import_module("lerobot.datasets").LeRobotDataset


def read(root: str, out: str) -> None:
    """Every frame as the library gives it: its numbers, its task, the level of each picture."""
    dataset = _library()("local/demo", root=root, video_backend="pyav")
    frames = []
    for index in range(len(dataset)):
        item = dataset[index]
        frames.append(
            {
                "episode": int(item["episode_index"]),
                "time_s": float(item["timestamp"]),
                "task": item["task"],
                "action": item["action"].tolist(),
                "level": {key: float(item[key].mean()) * 255 for key in dataset.meta.camera_keys},
            }
        )
    shapes = {
        f"{feature}/{name}": list(value.shape)
        for feature, values in dataset.meta.stats.items()
        for name, value in values.items()
    }
    version = importlib.import_module("lerobot").__version__
    Path(out).write_text(json.dumps({"version": version, "frames": frames, "shapes": shapes}))


def write(source: str, root: str) -> None:
    """Record episodes: `top-N` and `wrist-N` uint8 [T,H,W,3], `action-N` float32 [T,A], `task-N`.

    A depth camera and actions in several columns go beside them, as the library allows.
    """
    told = np.load(source)
    size = told["top-0"].shape[1:]
    vector = {"dtype": "float32", "names": None}
    features = {
        TOP: {"dtype": "video", "shape": size, "names": ["height", "width", "channels"]},
        WRIST: {"dtype": "video", "shape": size, "names": ["height", "width", "channels"]},
        DEPTH: {
            "dtype": "video",
            "shape": (*size[:2], 1),
            "names": ["height", "width", "channels"],
            "info": {"is_depth_map": True},
        },
        "action.arm": {**vector, "shape": (told["action-0"].shape[1],)},
        "action.pose": {**vector, "shape": (2, 2)},
        "action.gripper": {**vector, "shape": (1,)},
    }
    dataset = _library().create("local/demo", FPS, features, root=root, video_backend="pyav")
    episode = 0
    while f"top-{episode}" in told:
        top, wrist, tasks = (told[f"{name}-{episode}"] for name in ("top", "wrist", "task"))
        for at, action in enumerate(told[f"action-{episode}"]):
            depth = np.full((*size[:2], 1), 500 + 100 * at, np.uint16)
            pose = np.array([[at, 1], [2, -at]], np.float32)
            frame = {TOP: top[at], WRIST: wrist[at], DEPTH: depth, "action.arm": action}
            frame |= {"action.pose": pose, "action.gripper": np.array([at % 2], np.float32)}
            dataset.add_frame({**frame, "task": str(tasks[at])})
        dataset.save_episode(parallel_encoding=False)
        episode += 1
    dataset.finalize()


def write_pictures(source: str, root: str) -> None:
    """Record episodes without video: `top-N` and `wrist-N` uint8 [T,H,W,3], `action-N` [T,2]."""
    told = np.load(source)
    size = told["top-0"].shape[1:]
    picture = {"dtype": "image", "shape": size, "names": ["height", "width", "channels"]}
    depth = {**picture, "shape": (*size[:2], 1), "info": {"is_depth_map": True}}
    vector = {"dtype": "float32", "shape": (2,), "names": ["a", "b"]}
    features = {TOP: picture, WRIST: picture, DEPTH: depth}
    features |= {"action": vector, "observation.state": vector}
    dataset = _library().create("local/demo", FPS, features, root=root, use_videos=False)
    episode = 0
    while f"top-{episode}" in told:
        top, wrist, tasks = (told[f"{name}-{episode}"] for name in ("top", "wrist", "task"))
        for at, action in enumerate(told[f"action-{episode}"]):
            depth_map = np.full((*size[:2], 1), 500 + at, np.uint16)
            frame = {TOP: top[at], WRIST: wrist[at], DEPTH: depth_map, "action": action}
            frame["observation.state"] = np.array([at, episode], np.float32)
            dataset.add_frame({**frame, "task": str(tasks[at])})
        dataset.save_episode()
        episode += 1
    dataset.finalize()


if __name__ == "__main__":
    commands = {"read": read, "write": write, "write_pictures": write_pictures}
    commands[sys.argv[1]](*sys.argv[2:])
