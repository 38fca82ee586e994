"""Miniature copies of DROID as it was recorded, in the published layout.

No genuine episode was held against them. Their MP4s say 60 frames a second, as DROID's do, and hold
a frame a step of the robot.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.conformance.barcode import draw
from tests.videos import write_video

LAB = "AUTOLab"
SUCCESS = f"{LAB}/success/2023-07-07/Fri_Jul__7_09:50:13_2023"
FAILURE = f"{LAB}/failure/2023-07-08/Sat_Jul__8_10:00:00_2023"
UUIDS = {
    SUCCESS: "AUTOLab+84bd5053+2023-07-07-09h-50m-13s",
    FAILURE: "AUTOLab+84bd5053+2023-07-08-10h-00m-00s",
}
WRIST, LEFT, RIGHT = "18026681", "22008760", "24400334"
SERIALS = {"wrist": WRIST, "ext1": LEFT, "ext2": RIGHT}
STEPS = 40
START_MS = 1_688_737_813_000
SAID = ["Put the marker in the cup", "Place the pen into the mug", "Move the marker to the cup"]
# The number that the first frame of each camera carries.
FIRST = {WRIST: 0, LEFT: 60, RIGHT: 120}
JOINTS = 7


def steps_ms(steps: int = STEPS) -> NDArray[np.int64]:
    """When each step was taken: unevenly, with a pause in it; from 0 on."""
    between = np.random.default_rng(3).integers(58, 78, steps - 1)
    between[steps // 2] = 700
    return np.cumsum([0, *between]).astype(np.int64)


def received_ms(serial: str, steps: int = STEPS) -> NDArray[np.int64]:
    """When the frames of a camera came: some ms after each step, of each camera others."""
    return START_MS + steps_ms(steps) + 5 + list(FIRST).index(serial)


def actions(steps: int = STEPS) -> NDArray[np.float64]:
    """Joint velocities [steps,7]: the number of the step, that of the joint behind the point."""
    return np.arange(steps)[:, None] + np.arange(JOINTS)[None] / 10


def metadata(episode: str, **more: Any) -> dict[str, Any]:
    serials = {f"{role}_cam_serial": serial for role, serial in SERIALS.items()}
    return {
        "uuid": UUIDS[episode],
        "lab": LAB,
        "user": "A Person",
        "building": "Hall",
        "scene_id": 2075841043,
        "success": "/success/" in episode,
        "robot_serial": "panda-295341-1325480",
        "current_task": "Do anything you like that takes multiple steps",
        "trajectory_length": STEPS,
        **serials,
        **more,
    }


def write_trajectory(path: Path, steps: int = STEPS, **more: Any) -> None:
    """trajectory.h5, a row a step. more: datasets in place of others; None: left out."""
    import h5py

    cameras = "observation/timestamp/cameras"
    arrays: dict[str, Any] = {
        "action/cartesian_position": np.zeros((steps, 6)),
        "action/cartesian_velocity": np.ones((steps, 6)),
        "action/gripper_position": np.linspace(0, 1, steps),
        "action/gripper_velocity": np.zeros(steps),
        "action/joint_position": np.zeros((steps, JOINTS)),
        "action/joint_velocity": actions(steps),
        "action/target_cartesian_position": np.zeros((steps, 6)),
        "observation/robot_state/cartesian_position": np.full((steps, 6), 2.0),
        "observation/robot_state/gripper_position": np.full(steps, 3.0),
        "observation/robot_state/joint_positions": np.full((steps, JOINTS), 4.0),
        "observation/timestamp/control/step_start": START_MS + steps_ms(steps),
        "observation/timestamp/skip_action": np.zeros(steps, bool),
    }
    for serial in FIRST:
        stamps = received_ms(serial, steps)
        arrays[f"{cameras}/{serial}_frame_received"] = stamps
        arrays[f"{cameras}/{serial}_estimated_capture"] = stamps - 41
    with h5py.File(path, "w") as file:
        for name, values in {**arrays, **more}.items():
            if values is None:
                continue
            data = np.asarray(values)
            whole = (None, *data.shape[1:])
            file.create_dataset(name, data=data, maxshape=whole, chunks=(1, *data.shape[1:]))
        file.attrs["current_task"] = "anything"


def write_film(path: Path, first: int, frames: int, stereo: bool = False) -> None:
    """An MP4 that says 60 frames a second; a stereo one has another picture on the right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [draw(first + number, 192, 128) for number in range(frames)]
    if stereo:
        pictures = [np.concatenate([each, 255 - each], axis=1) for each in pictures]
    write_video(path, pictures, 60, codec="mpeg4")


def write_episode(root: Path, episode: str, videos: bool = True, frames: int = STEPS) -> Path:
    """One episode: three cameras, of each also both views, and what the maker's software takes."""
    folder = root / episode
    folder.mkdir(parents=True)
    put(folder / f"metadata_{UUIDS[episode]}.json", metadata(episode))
    write_trajectory(folder / "trajectory.h5")
    for serial, first in FIRST.items():
        left = folder / "recordings" / "MP4" / f"{serial}.mp4"
        if videos:
            write_film(left, first, frames)
        else:
            put_bytes(left)
        put_bytes(left.with_name(f"{serial}-stereo.mp4"))
        put_bytes(folder / "recordings" / "SVO" / f"{serial}.svo")
    return folder


def write_droid(root: Path, videos: bool = True) -> Path:
    """A success and a failure of one lab; three instructions for the first. Returns the root."""
    for episode in UUIDS:
        write_episode(root, episode, videos)
    said = {f"language_instruction{number + 1}": text for number, text in enumerate(SAID)}
    put(root / "aggregated-annotations-030724.json", {UUIDS[SUCCESS]: said, "other": said})
    return root


def put(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def put_bytes(path: Path, data: bytes = b"x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
