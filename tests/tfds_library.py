"""A dataset that the library tensorflow_datasets writes; run by its own Python, with TensorFlow.

    PYTHON tests/tfds_library.py EPISODES.npz FOLDER

EPISODES holds `frames-N`, uint8 [T,H,W,3], for each episode. Nothing of sofdata is imported here.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

tfds: Any = importlib.import_module("tensorflow_datasets")
f: Any = tfds.features
SHAPE = (128, 192, 3)
STEP_NS = 100_000_000

STEPS = {
    "observation": {
        "image": f.Image(shape=SHAPE, dtype=np.uint8, encoding_format="png"),
        "jpeg": f.Image(shape=SHAPE, dtype=np.uint8, encoding_format="jpeg"),
        "array": f.Tensor(shape=SHAPE, dtype=np.uint8),
        "packed": f.Tensor(shape=SHAPE, dtype=np.uint8, encoding="zlib"),
        "sized": f.Tensor(shape=(None, None, 3), dtype=np.uint8, encoding="bytes"),
        "depth": f.Image(shape=(*SHAPE[:2], 1), dtype=np.uint16, encoding_format="png"),
        "metres": f.Image(shape=(*SHAPE[:2], 1), dtype=np.float32, encoding_format="png"),
        "several": f.Sequence(f.Image(shape=SHAPE)),
        "state": f.Tensor(shape=(2,), dtype=np.float64),
        "timestamp": np.int64,
    },
    "action": {
        "open_gripper": np.bool_,
        "packed": f.Tensor(shape=(2,), dtype=np.float64, encoding="zlib"),
        "world_vector": f.Tensor(shape=(3,), dtype=np.float32),
    },
    "maybe": f.Tensor(shape=(), dtype=np.float32, optional=True),
    "language_instruction": f.Text(),
    "is_first": np.bool_,
    "is_last": np.bool_,
}


class Tiny(tfds.core.GeneratorBasedBuilder):  # type: ignore[misc]
    """Episodes of a file."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, source: str, **options: Any) -> None:
        self._episodes = dict(np.load(source))
        super().__init__(**options)

    def _info(self) -> Any:
        features = {
            "steps": f.Dataset(STEPS),
            "episode_metadata": {"file_path": f.Text()},
            "clip": f.Video(shape=(None, *SHAPE)),
        }
        return tfds.core.DatasetInfo(builder=self, features=f.FeaturesDict(features))

    def _split_generators(self, dl_manager: Any) -> Any:
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[str, Any]]:
        for name, frames in self._episodes.items():
            steps = [self._step(frames, at) for at in range(len(frames))]
            about = {"file_path": name}
            yield name, {"steps": steps, "episode_metadata": about, "clip": list(frames)}

    def _step(self, frames: Any, at: int) -> dict[str, Any]:
        frame, last = frames[at], at == len(frames) - 1
        observation = dict.fromkeys(("image", "jpeg", "array", "packed", "sized"), frame)
        observation["depth"] = np.full((*SHAPE[:2], 1), at, np.uint16)
        observation["metres"] = np.full((*SHAPE[:2], 1), at, np.float32)
        observation |= {"several": [frame] * (at % 3), "state": np.array([at, -at], float)}
        action = {"open_gripper": at % 2 == 1, "packed": np.array([at, at + 0.5])}
        return {
            "observation": observation | {"timestamp": 10**18 + STEP_NS * at},
            "action": action | {"world_vector": np.array([at, -at, 0.5], np.float32)},
            "maybe": None if at % 2 else 1.0,
            "language_instruction": "open it" if at < len(frames) / 2 else "close it",
            "is_first": at == 0,
            "is_last": last,
        }


if __name__ == "__main__":
    Tiny(sys.argv[1], data_dir=sys.argv[2]).download_and_prepare()
