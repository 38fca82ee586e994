"""Writes LeRobot datasets, format v3.0: for demonstrations made by a program, and for tests.

The format is that of `LeRobotDataset` (huggingface/lerobot 0.4 and later, src/lerobot/datasets:
utils.py for the paths, dataset_metadata.py for info.json and meta/episodes, dataset_writer.py for
the rows; https://huggingface.co/docs/lerobot/lerobot-dataset-v3):

    meta/info.json                        version, fps, path templates, features, totals
    meta/tasks.parquet                    task_index by task, which is the index in pandas
    meta/episodes/chunk-000/file-000.parquet   a row an episode: its tasks, length, files, the rows
                                          dataset_from_index to dataset_to_index that are its own,
                                          for each camera from_timestamp to to_timestamp, s, and
                                          its statistics
    meta/stats.json                       statistics of every feature, see `statistics`
    data/chunk-NNN/file-NNN.parquet       a row a frame, a row group an episode
    videos/CAMERA/chunk-NNN/file-NNN.mp4  the frames of several episodes, H.264

lerobot 0.6 loads and trains on them (tests/corpora/test_lerobot_library.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.corpora.lerobot.statistics import Pictures, of_numbers
from sofdata.errors import ContractError
from sofdata.video.writer import Film

VERSION = "v3.0"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-000/file-000.parquet"
FILES_A_CHUNK = 1000
STATE = "observation.state"
KEY_FRAMES = {"g": "10"}  # so that a reader finds the start of an episode soon
COLUMNS = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """One demonstration of T frames.

    frames: uint8 [T,H,W,3] of each camera; even sizes.
    actions: float32 [T,A]; the one of row t is taken at frame t and leads to frame t + 1.
    task: what is done. state: float32 [T,S], or None.
    """

    frames: Mapping[str, NDArray[np.uint8]]
    actions: NDArray[np.float32]
    task: str
    state: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        lengths = {camera: len(frames) for camera, frames in self.frames.items()}
        lengths["state"] = len(self.actions if self.state is None else self.state)
        if not len(self) or set(lengths.values()) != {len(self)} or not self.frames:
            raise ContractError(f"{len(self)} actions need as many frames and states: {lengths}")

    def __len__(self) -> int:
        return len(self.actions)


class LeRobotWriter:
    """Writes episodes as they come; holds none of them, and the numbers of their rows.

    writer = LeRobotWriter(folder, fps=10, action_names=("dx", "dy"))
    for episode in episodes:
        writer.add(episode)
    writer.finish()

    state_names: of `Episode.state`, empty where there is none. episodes_per_file: how many
    episodes share one MP4 and one Parquet file. All episodes must have the same cameras.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        fps: int,
        action_names: Sequence[str],
        state_names: Sequence[str] = (),
        robot_type: str | None = None,
        episodes_per_file: int = 50,
    ) -> None:
        self._root = Path(folder)
        self._fps = fps
        self._robot_type = robot_type
        self._per_file = episodes_per_file
        self._vectors = {"action": tuple(action_names)}
        if state_names:
            self._vectors[STATE] = tuple(state_names)
        self._features: dict[str, Any] = {}
        self._tasks: dict[str, int] = {}
        self._episodes: list[dict[str, Any]] = []
        self._rows = 0
        self._values: dict[str, list[NDArray[Any]]] = {}
        self._pictures: dict[str, Pictures] = {}
        self._films: dict[str, Film] = {}
        self._table: Any = None

    def add(self, episode: Episode) -> None:
        """Append an episode."""
        if len(self._episodes) % self._per_file == 0:
            self._next_files(episode)
        row = self._describe(episode)
        for camera, frames in episode.frames.items():
            film = self._films[camera]
            row[f"videos/{camera}/from_timestamp"] = film.frames / self._fps
            for frame in frames:
                film.add(frame)
            row[f"videos/{camera}/to_timestamp"] = film.frames / self._fps
        numbers = self._numbers(episode)
        self._table.write_table(self._data(numbers))
        self._episodes.append(row | self._count(episode, numbers))
        self._rows += len(episode)

    def finish(self) -> None:
        """End the files and write `meta/`."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._close_files()
        path = self._path(EPISODES_PATH)
        pq.write_table(pa.Table.from_pylist(self._episodes), path)
        pq.write_table(tasks_table(self._tasks), self._path("meta/tasks.parquet"))
        self._path("meta/info.json").write_text(json.dumps(self._info(), indent=4) + "\n")
        stats = {camera: each.statistics() for camera, each in self._pictures.items()}
        stats |= {name: of_numbers(np.concatenate(rows)) for name, rows in self._values.items()}
        self._path("meta/stats.json").write_text(json.dumps(stats, indent=4) + "\n")

    def _next_files(self, episode: Episode) -> None:
        import pyarrow.parquet as pq

        self._close_files()
        place = self._place()
        if not self._features:
            self._features = self._describe_features(episode)
        for camera in episode.frames:
            path = self._path(VIDEO_PATH.format(video_key=camera, **place))
            self._films[camera] = Film(path, self._fps, "h264", options=KEY_FRAMES)
        self._table = pq.ParquetWriter(self._path(DATA_PATH.format(**place)), self._schema())

    def _close_files(self) -> None:
        for film in self._films.values():
            film.close()
        self._films = {}
        if self._table is not None:
            self._table.close()
        self._table = None

    def _place(self) -> dict[str, int]:
        chunk, file = divmod(len(self._episodes) // self._per_file, FILES_A_CHUNK)
        return {"chunk_index": chunk, "file_index": file}

    def _path(self, rel: str) -> Path:
        path = self._root / rel
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _describe(self, episode: Episode) -> dict[str, Any]:
        """The row of `meta/episodes`, but for the seconds in the videos."""
        files = ("data", *(f"videos/{camera}" for camera in episode.frames))
        row: dict[str, Any] = {
            "episode_index": len(self._episodes),
            "tasks": [episode.task],
            "length": len(episode),
            "dataset_from_index": self._rows,
            "dataset_to_index": self._rows + len(episode),
            "meta/episodes/chunk_index": 0,
            "meta/episodes/file_index": 0,
        }
        return row | {f"{each}/{key}": n for each in files for key, n in self._place().items()}

    def _numbers(self, episode: Episode) -> dict[str, NDArray[Any]]:
        """The rows of `data/` by column: float32 [T,D] for vectors, else [T]."""
        length = len(episode)
        task = self._tasks.setdefault(episode.task, len(self._tasks))
        frame = np.arange(length)
        vectors = {"action": episode.actions, STATE: episode.state}
        return {
            **{name: np.asarray(vectors[name], np.float32) for name in self._vectors},
            "timestamp": (frame / self._fps).astype(np.float32),
            "frame_index": frame,
            "episode_index": np.full(length, len(self._episodes)),
            "index": self._rows + frame,
            "task_index": np.full(length, task),
        }

    def _data(self, numbers: Mapping[str, NDArray[Any]]) -> Any:
        import pyarrow as pa

        columns = {
            name: pa.FixedSizeListArray.from_arrays(np.ravel(rows), len(self._vectors[name]))
            if name in self._vectors
            else rows
            for name, rows in numbers.items()
        }
        return pa.table({name: columns[name] for name in self._schema().names}, self._schema())

    def _count(self, episode: Episode, numbers: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """Let the statistics grow, and return those of the episode for its row."""
        own = {}
        for camera, frames in episode.frames.items():
            pictures = Pictures.of_episode(frames)
            self._pictures.setdefault(camera, Pictures()).merge(pictures)
            own[camera] = pictures.statistics()
        for name, rows in numbers.items():
            self._values.setdefault(name, []).append(rows)
            own[name] = of_numbers(rows)
        return {f"stats/{name}/{key}": value for name in own for key, value in own[name].items()}

    def _schema(self) -> Any:
        import pyarrow as pa

        vectors = {name: pa.list_(pa.float32(), len(of)) for name, of in self._vectors.items()}
        return pa.schema([*vectors.items(), *COLUMNS.items()])

    def _describe_features(self, episode: Episode) -> dict[str, Any]:
        features: dict[str, Any] = {
            camera: camera_feature(frames.shape[1], frames.shape[2], self._fps)
            for camera, frames in episode.frames.items()
        }
        for name, names in self._vectors.items():
            features[name] = {"dtype": "float32", "shape": [len(names)], "names": list(names)}
        for name, dtype in COLUMNS.items():
            features[name] = {"dtype": dtype, "shape": [1], "names": None}
        return features

    def _info(self) -> dict[str, Any]:
        totals = {"episodes": len(self._episodes), "frames": self._rows, "tasks": len(self._tasks)}
        return make_info(totals, self._fps, self._features, self._robot_type)


def camera_feature(height: int, width: int, fps: int) -> dict[str, Any]:
    """How `info.json` describes a camera whose frames are H.264."""
    return {
        "dtype": "video",
        "shape": [height, width, 3],
        "names": ["height", "width", "channels"],
        "info": {
            "video.height": height,
            "video.width": width,
            "video.codec": "h264",
            "video.pix_fmt": "yuv420p",
            "video.fps": fps,
            "video.channels": 3,
            "has_audio": False,
            "is_depth_map": False,
        },
    }


def make_info(
    totals: Mapping[str, int], fps: int, features: Mapping[str, Any], robot_type: str | None
) -> dict[str, Any]:
    """`info.json`. totals: the numbers of episodes, frames and tasks."""
    return {
        "codebase_version": VERSION,
        "robot_type": robot_type,
        **{f"total_{what}": totals[what] for what in ("episodes", "frames", "tasks")},
        "chunks_size": FILES_A_CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": fps,
        "splits": {"train": f"0:{totals['episodes']}"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH,
        "features": dict(features),
    }


def tasks_table(tasks: Mapping[str, int]) -> Any:
    """`task_index` with the tasks as index, as pandas would write that frame."""
    import pyarrow as pa

    kinds = {"task_index": ("int64", "int64"), "task": ("unicode", "object")}
    about = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [
            {
                "name": name,
                "field_name": name,
                "pandas_type": pandas_type,
                "numpy_type": numpy_type,
                "metadata": None,
            }
            for name, (pandas_type, numpy_type) in kinds.items()
        ],
        "pandas_version": "2.2.0",
    }
    table = pa.table({"task_index": pa.array(tasks.values(), pa.int64()), "task": list(tasks)})
    return table.replace_schema_metadata({"pandas": json.dumps(about)})
