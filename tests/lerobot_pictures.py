"""LeRobot datasets whose cameras are kept as pictures that carry their numbers.

Schema, row groups and the metadata of `datasets` are those that lerobot 0.6.1 writes with
use_videos=False (tests/corpora/test_lerobot_library.py compares them with it); v2.1 is by the
published layout. The action of frame t of episode e is (100 e + t, -t), the state (t, e).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.conformance.barcode import draw
from tests.lerobots import TOP, WRIST, put_lines
from tests.sequences import HEIGHT, WIDTH, encoded
from tests.videos import write_video

# How a camera is kept: in the rows; in folders, of which the rows tell by a path; both; as video.
Keeping = Literal["rows", "files", "both", "video"]
ROWS: Mapping[str, Keeping] = {TOP: "rows", WRIST: "rows"}
LENGTHS = (14, 20, 11)
FPS = 10
DATA_V3 = "data/chunk-000/file-000.parquet"
IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
VECTOR = pa.list_(pa.float32(), 2)
PLAIN = {
    "timestamp": pa.float32(),
    "frame_index": pa.int64(),
    "episode_index": pa.int64(),
    "index": pa.int64(),
    "task_index": pa.int64(),
}


def first_number(camera: str, episode: int) -> int:
    """The number that the first picture of an episode carries."""
    return 60 * episode + (30 if camera == WRIST else 0)


def schema(cameras: Sequence[str]) -> pa.Schema:
    """The columns of rows, with what `datasets` says of them but for its fingerprint."""
    plain = {name: {"dtype": str(kind), "_type": "Value"} for name, kind in PLAIN.items()}
    plain["timestamp"]["dtype"] = "float32"
    value = {"feature": {"dtype": "float32", "_type": "Value"}, "length": 2, "_type": "List"}
    vectors = {"action": value, "observation.state": value}
    features = {**{camera: {"_type": "Image"} for camera in cameras}, **vectors, **plain}
    kinds = dict.fromkeys(cameras, IMAGE) | dict.fromkeys(vectors, VECTOR) | PLAIN
    about = json.dumps({"info": {"features": features}})
    return pa.schema([*kinds.items()], {"huggingface": about})


def write_pictures(
    folder: Path,
    keeping: Mapping[str, Keeping] = ROWS,
    *,
    version: str = "v3.0",
    kind: str = "PNG",
    change: Callable[[int, dict[str, Any]], object] = lambda episode, columns: None,
) -> Path:
    """Write a dataset. change: what to do with the columns of each episode before they are written.

    Returns `folder`.
    """
    tables = []
    kept = [camera for camera, how in keeping.items() if how != "video"]
    for episode, length in enumerate(LENGTHS):
        columns = _columns(folder, keeping, episode, length, version, kind)
        change(episode, columns)
        known = schema(kept)
        fields = [known.field(each) for each in columns if each in known.names]
        tables.append(pa.table(columns, pa.schema(fields, known.metadata)))
    (folder / "meta").mkdir(parents=True, exist_ok=True)
    write = _write_v3 if version.startswith("v3") else _write_v2
    write(folder, keeping, tables)
    features = {camera: _feature(how) for camera, how in keeping.items()}
    for name in ("action", "observation.state"):
        features[name] = {"dtype": "float32", "shape": [2], "names": ["a", "b"]}
    for name, dtype in PLAIN.items():
        shown = "float32" if name == "timestamp" else str(dtype)
        features[name] = {"dtype": shown, "shape": [1], "names": None}
    _write_info(folder, features, version, "video" in keeping.values())
    return folder


def pictures(camera: str, episode: int, length: int, kind: str = "PNG") -> list[bytes]:
    """The encoded pictures of an episode."""
    first = first_number(camera, episode)
    return [encoded(first + at, kind) for at in range(length)]


def _columns(
    folder: Path,
    keeping: Mapping[str, Keeping],
    episode: int,
    length: int,
    version: str,
    kind: str,
) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    mark, end = "-" if version.startswith("v3") else "_", {"PNG": "png", "JPEG": "jpg"}[kind]
    for camera, how in keeping.items():
        if how == "video":
            continue
        data = pictures(camera, episode, length, kind)
        names = [f"frame{mark}{at:06d}.{end}" for at in range(length)]
        place = folder / f"images/{camera}/episode{mark}{episode:06d}"
        if how in ("files", "both"):
            place.mkdir(parents=True)
            for name, each in zip(names, data, strict=True):
                (place / name).write_bytes(each)
        columns[camera] = [
            {"bytes": None if how == "files" else each, "path": name}
            for name, each in zip(names, data, strict=True)
        ]
    count = np.arange(length)
    columns["action"] = [[100.0 * episode + t, -float(t)] for t in count]
    columns["observation.state"] = [[float(t), float(episode)] for t in count]
    columns["timestamp"] = (count / FPS).astype(np.float32)
    columns["frame_index"] = count
    columns["episode_index"] = np.full(length, episode)
    columns["index"] = sum(LENGTHS[:episode]) + count
    columns["task_index"] = np.full(length, episode % 2)
    return columns


def _write_v3(folder: Path, keeping: Mapping[str, Keeping], tables: Sequence[pa.Table]) -> None:
    (folder / DATA_V3).parent.mkdir(parents=True)
    with pq.ParquetWriter(folder / DATA_V3, tables[0].schema) as writer:
        for table in tables:  # a row group an episode
            writer.write_table(table)
    rows: list[dict[str, Any]] = []
    for episode, length in enumerate(LENGTHS):
        begin = sum(LENGTHS[:episode])
        row = {
            "episode_index": episode,
            "tasks": [f"task {episode % 2}"],
            "length": length,
            "data/chunk_index": 0,
            "data/file_index": 0,
            "dataset_from_index": begin,
            "dataset_to_index": begin + length,
        }
        for camera in (name for name, how in keeping.items() if how == "video"):
            row |= {f"videos/{camera}/{name}": 0 for name in ("chunk_index", "file_index")}
            row[f"videos/{camera}/from_timestamp"] = begin / FPS
            row[f"videos/{camera}/to_timestamp"] = (begin + length) / FPS
        rows.append(row)
    path = folder / "meta/episodes/chunk-000/file-000.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    for camera in (name for name, how in keeping.items() if how == "video"):
        numbers = [n for e, length in enumerate(LENGTHS) for n in _numbers(camera, e, length)]
        _film(folder / f"videos/{camera}/chunk-000/file-000.mp4", numbers)


def _write_v2(folder: Path, keeping: Mapping[str, Keeping], tables: Sequence[pa.Table]) -> None:
    lines = []
    for episode, table in enumerate(tables):
        path = folder / f"data/chunk-000/episode_{episode:06d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, row_group_size=8)  # `datasets` writes 100 pictures to one
        task, length = f"task {episode % 2}", LENGTHS[episode]
        lines.append({"episode_index": episode, "tasks": [task], "length": length})
        for camera in (name for name, how in keeping.items() if how == "video"):
            place = folder / f"videos/chunk-000/{camera}/episode_{episode:06d}.mp4"
            _film(place, _numbers(camera, episode, length))
    put_lines(folder / "meta/episodes.jsonl", lines)
    tasks = [{"task_index": at, "task": f"task {at}"} for at in range(2)]
    put_lines(folder / "meta/tasks.jsonl", tasks)


def _numbers(camera: str, episode: int, length: int) -> list[int]:
    first = first_number(camera, episode)
    return list(range(first, first + length))


def _film(path: Path, numbers: Sequence[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, [draw(number, WIDTH, HEIGHT) for number in numbers], FPS)


def _feature(how: Keeping) -> dict[str, Any]:
    names = ["height", "width", "channels"]
    dtype = "video" if how == "video" else "image"
    return {"dtype": dtype, "shape": [HEIGHT, WIDTH, 3], "names": names}


def _write_info(folder: Path, features: dict[str, Any], version: str, videos: bool) -> None:
    is_v3 = version.startswith("v3")
    place = "chunk-{chunk_index:03d}/file-{file_index:03d}"
    old = "chunk-{episode_chunk:03d}", "episode_{episode_index:06d}"
    data = f"data/{place}" if is_v3 else f"data/{old[0]}/{old[1]}"
    video = f"videos/{{video_key}}/{place}" if is_v3 else f"videos/{old[0]}/{{video_key}}/{old[1]}"
    info = {
        "codebase_version": version,
        "robot_type": None,
        "total_episodes": len(LENGTHS),
        "chunks_size": 1000,
        "fps": FPS,
        "data_path": f"{data}.parquet",
        "video_path": f"{video}.mp4" if videos else None,
        "features": features,
    }
    (folder / "meta/info.json").write_text(json.dumps(info))
