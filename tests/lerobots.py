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

from sofdata.corpora.lerobot.writer import Episode, LeRobotWriter
from tests.videos import write_video

TOP, WRIST = "observation.images.top", "observation.images.wrist"
DATA = "data/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
INFO = "meta/info.json"
LENGTHS = (7, 12, 9)
CHUNK, EPISODE = "chunk-{episode_chunk:03d}", "episode_{episode_index:06d}"  # in v2


def write_grey(folder: Path, lengths: Sequence[int] = LENGTHS, fps: int = 10) -> Path:
    """Two cameras whose grey level tells episode and camera; two episodes share a file.

    The action of frame t of episode e is (10 e + t, -t).
    """
    writer = LeRobotWriter(folder, fps=fps, action_names=("a", "b"), episodes_per_file=2)
    for episode in grey_episodes(lengths):
        writer.add(episode)
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
    for episode in jumping_episodes(episodes, length):
        writer.add(episode)
    writer.finish()
    return folder


def write_v2(
    folder: Path,
    episodes: Sequence[Episode],
    fps: int = 10,
    *,
    version: str = "v2.1",
    chunk: int = 2,
    action: str = "action",
    state: str = "observation.state",
    videos: str = "videos",
    short: int = 0,
) -> Path:
    """A dataset of the formats before v3.0: an MP4 and a Parquet file an episode. Returns `folder`.

    chunk: episodes a folder. action, state: their columns. videos: the folder of the MP4s, whatever
    the template says. short: by how many frames each MP4 ends early.
    """
    (folder / "meta").mkdir(parents=True)
    tasks: dict[str, int] = {}
    lines, first = [], 0
    for number, episode in enumerate(episodes):
        size, where = len(episode), f"chunk-{number // chunk:03d}"
        task = tasks.setdefault(episode.task, len(tasks))
        lines.append({"episode_index": number, "tasks": [episode.task], "length": size})
        for camera, frames in episode.frames.items():
            path = folder / videos / where / camera / f"episode_{number:06d}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_video(path, frames[: size - short], fps)
        rows = {
            action: [row.tolist() for row in episode.actions],
            state: [row.tolist() for row in episode.actions],
            "timestamp": pa.array(np.arange(size) / fps, pa.float32()),
            "frame_index": np.arange(size),
            "episode_index": np.full(size, number),
            "index": first + np.arange(size),
            "task_index": np.full(size, task),
        }
        path = folder / "data" / where / f"episode_{number:06d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(rows), path)
        first += size
    put_lines(folder / "meta/episodes.jsonl", lines)
    put_lines(folder / "meta/episodes_stats.jsonl", [{"stats": {action: {"max": [9.0, 9.0]}}}])
    put_lines(
        folder / "meta/tasks.jsonl",
        [{"task_index": at, "task": task} for task, at in tasks.items()],
    )
    cameras = {
        camera: {
            "dtype": "video",
            "shape": list(frames.shape[1:]),
            "names": ["height", "width", "channels"],
            "info": {
                "video.fps": float(fps),
                "video.codec": "av1",
                "has_audio": False,
            },  # it is not
        }
        for camera, frames in episodes[0].frames.items()
    }
    vectors = {
        name: {"dtype": "float32", "shape": [2], "names": {"motors": ["dx", "dy"]}}
        for name in (action, state)
    }
    info = {
        "codebase_version": version,
        "total_episodes": len(episodes),
        "chunks_size": chunk,
        "fps": fps,
        "data_path": f"data/{CHUNK}/{EPISODE}.parquet",
        "video_path": f"videos/{CHUNK}/{{video_key}}/{EPISODE}.mp4",
        "features": {**cameras, **vectors},
    }
    (folder / INFO).write_text(json.dumps(info))
    return folder


def grey_episodes(lengths: Sequence[int] = LENGTHS) -> list[Episode]:
    """The episodes of `write_grey`."""
    episodes = []
    for episode, length in enumerate(lengths):
        frames = {
            camera: np.full((length, 32, 32, 3), 40 + 60 * episode + extra, np.uint8)
            for camera, extra in ((TOP, 0), (WRIST, 30))
        }
        count = np.arange(length, dtype=np.float32)
        actions = np.stack([10 * episode + count, -count], axis=1)
        episodes.append(Episode(frames, actions, f"task {episode % 2}"))
    return episodes


def jumping_episodes(episodes: int = 4, length: int = 40) -> list[Episode]:
    """The episodes of `write_jumping`."""
    made = []
    for episode in range(episodes):
        frames, jumps = jumping_texture(length + episode, seed=episode)
        made.append(Episode({TOP: frames}, jumps, "jump about"))
    return made


def put_lines(path: Path, rows: Sequence[object]) -> None:
    """Write JSONL."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


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


def add_columns(
    folder: Path, columns: dict[str, Callable[[int], Any]], kind: pa.DataType | None = None
) -> None:
    """Set columns of all files of rows to a function of the frame's number in its episode."""
    for path in sorted(folder.glob("data/*/*.parquet")):
        table = pq.ParquetFile(path).read()
        for name, value in columns.items():
            values = pa.array([value(t) for t in table["frame_index"].to_pylist()], kind)
            table = table.drop_columns([name] if name in table.column_names else [])
            table = table.append_column(name, values)
        pq.write_table(table, path)
