"""Small LeRobot datasets for tests, with known content, and ways to spoil them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sofdata.corpora.lerobot_writer import Episode, LeRobotWriter

TOP, WRIST = "observation.images.top", "observation.images.wrist"
DATA = "data/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
INFO = "meta/info.json"
LENGTHS = (7, 12, 9)


def write_grey(folder: Path, lengths: Sequence[int] = LENGTHS, fps: int = 10) -> Path:
    """Two cameras whose grey level tells episode and camera; two episodes share a file.

    The action of frame t of episode e is (10 e + t, -t).
    """
    writer = LeRobotWriter(folder, fps=fps, action_names=("a", "b"), episodes_per_file=2)
    for episode, length in enumerate(lengths):
        frames = {
            camera: np.full((length, 32, 32, 3), 40 + 60 * episode + extra, np.uint8)
            for camera, extra in ((TOP, 0), (WRIST, 30))
        }
        count = np.arange(length, dtype=np.float32)
        actions = np.stack([10 * episode + count, -count], axis=1)
        writer.add(Episode(frames, actions, f"task {episode % 2}"))
    writer.finish()
    return folder


def jumping_texture(
    length: int, seed: int, side: int = 128
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A film [T,side,side,3] that jumps by whole px, and the jump (dx, dy) after each frame."""
    import cv2

    rng = np.random.default_rng(seed)
    jumps = rng.integers(-2, 3, (length, 2))
    places = np.vstack([np.zeros((1, 2), int), np.cumsum(jumps, 0)[:-1]])
    reach = int(np.abs(places).max()) + 1
    whole = side + 2 * reach
    cloth = np.zeros((whole, whole, 3), np.float32)
    for cell, weight in ((24, 0.7), (9, 0.4)):  # coarse, so that no jump looks like a cut
        coarse = rng.uniform(-100, 100, (whole // cell + 2,) * 2 + (3,)).astype(np.float32)
        cloth += weight * cv2.resize(coarse, (whole, whole), interpolation=cv2.INTER_CUBIC)
    cloth = np.clip(cloth + 128, 0, 255).astype(np.uint8)
    frames = [cloth[reach - y : reach - y + side, reach - x : reach - x + side] for x, y in places]
    return np.stack(frames), jumps.astype(np.float32)


def write_jumping(folder: Path, episodes: int = 4, length: int = 40, fps: int = 20) -> Path:
    """Episodes in which the whole picture moves by the action of each frame, in px."""
    writer = LeRobotWriter(folder, fps=fps, action_names=("dx", "dy"), episodes_per_file=2)
    for episode in range(episodes):
        frames, jumps = jumping_texture(length + episode, seed=episode)
        writer.add(Episode({TOP: frames}, jumps, "jump about"))
    writer.finish()
    return folder


def edit_info(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change `meta/info.json`."""
    values = json.loads((folder / INFO).read_text())
    change(values)
    (folder / INFO).write_text(json.dumps(values))


def edit_table(
    folder: Path, rel: str, change: Callable[[list[dict[str, Any]]], object], schema: Any = None
) -> None:
    """Change the rows of a Parquet file; all rows then lie in one row group."""
    table = pq.ParquetFile(folder / rel).read()
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema or table.schema), folder / rel)


def spoil_column(path: Path, column: str) -> None:
    """Overwrite what is stored of a column, so that reading any of it fails."""
    data = bytearray(path.read_bytes())
    metadata = pq.ParquetFile(path).metadata
    spoiled = 0
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(number)
            if chunk.path_in_schema.split(".list")[0] == column:
                start = chunk.dictionary_page_offset or chunk.data_page_offset
                data[start : start + chunk.total_compressed_size] = (
                    b"\xff" * chunk.total_compressed_size
                )
                spoiled += 1
    assert spoiled, metadata
    path.write_bytes(data)
