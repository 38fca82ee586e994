"""Miniature copies of AgiBot World in the published layout, held against no genuine one."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.conformance.barcode import draw
from tests.videos import write_video

TASK, OTHER_TASK = "327", "352"
ONE, TWO, THREE = "648642", "648649", "648544"
EPISODES = {ONE: TASK, TWO: TASK, THREE: OTHER_TASK}
CAMERAS = ("head", "hand_left", "head_center_fisheye")
FPS, ROWS = 30, 60
START_NS = 1_735_530_000_000_000_000
# The number that the first frame of each camera carries, of every episode.
FIRST = dict(zip(CAMERAS, (0, 64, 128), strict=True))


def steps(*spans: tuple[int, int, str, str]) -> list[dict[str, Any]]:
    """action_config: first frame, end, what is done and by which skill."""
    names = ("start_frame", "end_frame", "action_text", "skill")
    return [dict(zip(names, span, strict=True)) for span in spans]


def episode(number: str, config: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "episode_id": int(number),
        "label_info": {"action_config": config},
        "task_name": "Pickup items in the supermarket",
        "init_scene_text": "The robot is in front of the fruit stand.",
        **more,
    }


def task_info() -> list[dict[str, Any]]:
    """task_327.json, as dictionaries that a test may change."""
    cucumber = "Retrieve cucumber from the shelf."
    return [
        episode(ONE, steps((0, 30, cucumber, "Pick"), (30, 54, "Place it into the bag.", "Place"))),
        episode(TWO, steps((6, 60, "Wipe the table.", "Wipe"))),
        episode("999999", []),
    ]


def actions(rows: int = ROWS) -> NDArray[np.float64]:
    """Joint positions [rows,14]: the number of the row, and that of the joint behind the point."""
    return np.arange(rows)[:, None] + np.arange(14)[None] / 100


def proprio(path: Path, rows: int = ROWS, **more: Any) -> None:
    """proprio_stats.h5. more: datasets in place of others; None: left out."""
    import h5py

    arrays: dict[str, Any] = {
        "timestamp": START_NS + np.round(np.arange(rows) * 1e9 / FPS).astype(np.int64),
        "action/effector/force": np.zeros(0, np.float32),
        "action/effector/index": np.arange(rows),
        "action/effector/position": np.zeros((rows, 2)),
        "action/end/index": np.arange(rows - 3),
        "action/end/orientation": np.zeros((rows, 2, 4)),
        "action/end/position": np.zeros((rows, 2, 3)),
        "action/head/position": np.zeros((rows, 2)),
        "action/joint/position": actions(rows),
        "action/joint/velocity": np.zeros(0, np.float32),
        "action/robot/velocity": np.zeros((rows, 2)),
        "action/waist/position": np.zeros((rows, 2)),
        "state/effector/position": np.full((rows, 2), 5.0),
        "state/end/orientation": np.zeros((rows, 2, 4)),
        "state/joint/current_value": np.zeros((rows, 14)),
        "state/joint/position": np.full((rows, 14), 7.0),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, values in {**arrays, **more}.items():
            if values is not None:
                file[name] = np.asarray(values)


def write_agibot(root: Path, videos: bool = True, episodes: Iterable[str] = EPISODES) -> Path:
    """Two tasks with three episodes of three cameras. Returns the root."""
    for number in episodes:
        place = f"{EPISODES[number]}/{number}"
        for camera, first in FIRST.items():
            path = root / "observations" / place / "videos" / f"{camera}_color.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            if videos:
                write_video(path, [draw(first + each, 192, 128) for each in range(ROWS)], FPS)
            else:
                path.write_bytes(b"x")
        put_bytes(root / "observations" / place / "depth" / "head_depth_000000.png")
        put(root / "parameters" / place / "camera" / "head_intrinsic_params.json", {})
        proprio(root / "proprio_stats" / place / "proprio_stats.h5")
    put(root / "task_info" / f"task_{TASK}.json", task_info())
    return root


def pack(root: Path) -> Path:
    """The same as it is downloaded: tars of observations by task, and one of proprio_stats."""
    for task in sorted(path.name for path in (root / "observations").iterdir()):
        pack_folder(
            root / "observations" / task / "648544-648649.tar", root / "observations" / task
        )
    pack_folder(root / "proprio_stats" / "648544-648649.tar", root / "proprio_stats")
    return root


def pack_folder(target: Path, folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with tarfile.open(target, "w") as tar:
        for path in files:
            data = path.read_bytes()
            member = tarfile.TarInfo(path.relative_to(folder).as_posix())
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    for path in files:
        path.unlink()
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            path.rmdir()


def put(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def put_bytes(path: Path, data: bytes = b"x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
