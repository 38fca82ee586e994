"""HDF5 files as robomimic, LIBERO and ALOHA write them, by h5py; pictures carry their number."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from tests.conformance.barcode import draw
from tests.sequences import HEIGHT, WIDTH, encoded, image_bytes


def pictures(numbers: Iterable[int]) -> NDArray[np.uint8]:
    """uint8 [T,H,W,3]."""
    return np.stack([draw(number, WIDTH, HEIGHT) for number in numbers])


def actions(count: int, size: int = 7) -> NDArray[Any]:
    """float64 [T,A] whose numbers say where they stand: 1000 t + a."""
    return 1000.0 * np.arange(count)[:, None] + np.arange(size)


def write_robomimic(path: Path, demos: dict[str, range], **options: Any) -> Path:
    """As robomimic's dataset_states_to_obs.py does. options: of the pictures' datasets."""
    path.parent.mkdir(parents=True, exist_ok=True)
    env = {"env_name": "Lift", "type": 1, "env_kwargs": {"control_freq": 20, "robots": ["Panda"]}}
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps(env)
        data.attrs["total"] = sum(map(len, demos.values()))
        for name, numbers in demos.items():
            demo = data.create_group(name)
            demo.attrs["num_samples"] = len(numbers)
            demo.attrs["model_file"] = "<mujoco/>"
            demo["actions"] = actions(len(numbers))
            demo["states"] = np.zeros((len(numbers), 32))
            demo["dones"] = np.zeros(len(numbers), np.int64)
            for group in ("obs", "next_obs"):
                _write_observations(demo, group, numbers, options)
        file["mask/train"] = np.array([*demos][:1], "S")
        file["mask/valid"] = np.array([*demos][1:], "S")
    return path


def _write_observations(demo: Any, group: str, numbers: range, options: dict[str, Any]) -> None:
    shown = pictures(numbers)
    for camera in ("agentview_image", "robot0_eye_in_hand_image"):
        demo.create_dataset(f"{group}/{camera}", data=shown, **options)
    demo[f"{group}/agentview_depth"] = np.zeros((*shown.shape[:3], 1), np.float32)
    for name, size in (("robot0_eef_pos", 3), ("robot0_eef_quat", 4), ("robot0_gripper_qpos", 2)):
        demo[f"{group}/{name}"] = actions(len(numbers), size) + 100


def write_libero(path: Path, demos: dict[str, range], language: str = "put the bowl away") -> Path:
    """As LIBERO's create_dataset.py does: pictures lie upside down."""
    path.parent.mkdir(parents=True, exist_ok=True)
    env = {"type": 1, "env_name": "Libero_Kitchen", "env_kwargs": {"control_freq": 20}}
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps(env)
        data.attrs["problem_info"] = json.dumps({"language_instruction": [language]})
        data.attrs["macros_image_convention"] = "opengl"
        for name, numbers in demos.items():
            demo = data.create_group(name)
            demo["actions"] = actions(len(numbers))
            demo["obs/agentview_rgb"] = pictures(numbers)[:, ::-1]
            demo["obs/eye_in_hand_rgb"] = pictures(numbers)[:, ::-1]
            demo["obs/ee_states"] = actions(len(numbers), 6) + 100
            demo["obs/gripper_states"] = actions(len(numbers), 2) + 200
            demo["obs/joint_states"] = actions(len(numbers), 7) + 300
            demo.attrs["num_samples"] = len(numbers)
    return path


def write_aloha(path: Path, numbers: range, compress: bool = False) -> Path:
    """As ALOHA's record_episodes.py does; compressed pictures have red for blue."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cameras = ("cam_high", "cam_left_wrist")
    with h5py.File(path, "w", rdcc_nbytes=1024**2 * 2) as file:
        file.attrs["sim"], file.attrs["compress"] = False, compress
        images = file.create_group("observations/images")
        for camera in cameras:
            if compress:
                _write_padded(images, camera, numbers)
            else:
                shape = (len(numbers), HEIGHT, WIDTH, 3)
                images.create_dataset(camera, shape, "uint8", chunks=(1, *shape[1:]))
                images[camera][...] = pictures(numbers)
        file["observations/qpos"] = actions(len(numbers), 14) + 100
        file["observations/qvel"] = actions(len(numbers), 14)
        file["action"] = actions(len(numbers), 14)
        file["base_action"] = np.zeros((len(numbers), 2))
        if compress:
            lengths = [[len(_exchanged(number)) for number in numbers]] * len(cameras)
            file.create_dataset("compress_len", data=np.array(lengths, np.float32))
    return path


def _exchanged(number: int) -> bytes:
    """The JPEG that OpenCV makes of an array of RGB, which it takes for BGR."""
    return image_bytes(np.ascontiguousarray(draw(number, WIDTH, HEIGHT)[..., ::-1]))


def _write_padded(images: Any, camera: str, numbers: range) -> None:
    rows = [_exchanged(number) for number in numbers]
    longest = max(map(len, rows))
    table = images.create_dataset(camera, (len(rows), longest), "uint8", chunks=(1, longest))
    for at, row in enumerate(rows):
        table[at] = np.frombuffer(row.ljust(longest, b"\0"), np.uint8)


def write_encoded(file: Any, name: str, numbers: Iterable[int], kind: str = "vlen") -> None:
    """Encoded pictures in rows, as `kind` says: vlen, fixed, opaque, padded."""
    rows = [encoded(number, "PNG" if kind == "padded" else "JPEG") for number in numbers]
    longest = max(map(len, rows))
    if kind == "vlen":
        table = file.create_dataset(name, (len(rows),), h5py.vlen_dtype(np.uint8))
        for at, row in enumerate(rows):
            table[at] = np.frombuffer(row, np.uint8)
    elif kind == "padded":
        filled = b"".join(row.ljust(longest, b"\0") for row in rows)
        file[name] = np.frombuffer(filled, np.uint8).reshape(len(rows), longest)
    else:
        dtype = f"S{longest}" if kind == "fixed" else f"V{longest}"
        file[name] = np.array(rows, f"S{longest}").view(dtype)
