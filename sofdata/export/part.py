"""One part of an export to LeRobot: the episodes of a shard, in three files and a record.

The record is written last; a part without one does not exist, and is written again.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.corpora.lerobot.statistics import Pictures, Statistics, of_numbers, reduction, sampled
from sofdata.corpora.lerobot.writer import COLUMNS, DATA_PATH, FILES_A_CHUNK, KEY_FRAMES, VIDEO_PATH
from sofdata.errors import InputError
from sofdata.export.features import CAMERA, Feature, Rows
from sofdata.export.merged import Merged
from sofdata.export.rows import Stretch
from sofdata.storage.tree import Tree
from sofdata.video.writer import Film

EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
Frames = Iterator[NDArray[np.uint8]]


@dataclass(slots=True, eq=False)
class Totals:
    """What stands before a part: episodes, frames, files, and the number of each task."""

    episodes: int = 0
    frames: int = 0
    files: int = 0
    tasks: dict[str, int] = field(default_factory=dict)


class PartWriter:
    """Writes the files of a part into a local folder; `put` moves them to their places.

    folder: an empty one. fps: of rows and of the video. totals: of the parts before, which this
    does not change.
    """

    def __init__(
        self, folder: str, features: Mapping[str, Feature], fps: int, totals: Totals
    ) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._folder, self._features, self._fps, self._before = folder, features, fps, totals
        self._schema = pa.schema(
            [*((name, each.arrow) for name, each in features.items()), *COLUMNS.items()]
        )
        self._table = pq.ParquetWriter(os.path.join(folder, "data.parquet"), self._schema)
        self._film = Film(os.path.join(folder, "video.mp4"), fps, "h264", options=KEY_FRAMES)
        self._episodes: list[dict[str, Any]] = []
        self.tasks: list[str] = []
        self.frames = 0
        self.pictures = Pictures()
        self.numbers = Merged()
        self.size: tuple[int, int] = (0, 0)
        self._ended = False

    @property
    def episodes(self) -> int:
        return len(self._episodes)

    def add(self, stretch: Stretch, rows: Rows, frames: Frames) -> None:
        """Append an episode. frames: as many as rows, uint8 [S,S,3].

        Raises what `frames` raises, and `InputError` if they are not as many; the part is then of
        no use any more.
        """
        row = self._described(stretch, rows)
        row[f"videos/{CAMERA}/from_timestamp"] = self._film.frames / self._fps
        pictures = self._filmed(frames, len(rows.times_s))
        row[f"videos/{CAMERA}/to_timestamp"] = self._film.frames / self._fps
        columns = self._columns(rows)
        self._table.write_table(self._data(columns))
        own: dict[str, Statistics] = {name: of_numbers(each) for name, each in columns.items()}
        self.numbers.add(own)
        self.pictures.merge(pictures)
        own[CAMERA] = pictures.statistics()
        told = {f"stats/{name}/{key}": each for name in own for key, each in own[name].items()}
        self._episodes.append(row | told)
        self.frames += len(rows.times_s)

    def put(self, out: Tree) -> None:
        """End the files and move them to their places."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.close()
        pq.write_table(pa.Table.from_pylist(self._episodes), self._local("episodes.parquet"))
        names = {
            "video.mp4": VIDEO_PATH.format(video_key=CAMERA, **self._place),
            "data.parquet": DATA_PATH.format(**self._place),
            "episodes.parquet": EPISODES_PATH.format(**self._place),
        }
        for local, rel in names.items():
            out.put(self._local(local), rel)

    def close(self) -> None:
        """End the files, whether they are used or not; once."""
        if not self._ended:
            self._ended = True
            self._film.close()
            self._table.close()

    @property
    def _place(self) -> dict[str, int]:
        chunk, file = divmod(self._before.files, FILES_A_CHUNK)
        return {"chunk_index": chunk, "file_index": file}

    def _local(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def _filmed(self, frames: Frames, number: int) -> Pictures:
        """Encode frames, and count those that lerobot would count."""
        counted, pictures, at = {*sampled(number)}, Pictures(), -1
        for at, frame in enumerate(frames):
            whole = _even(frame)
            self.size = whole.shape[:2]
            self._film.add(whole)
            if at in counted:
                step = reduction(*self.size)
                pictures.add(whole[::step, ::step])
        if at + 1 != number:
            raise InputError(f"it has {at + 1} frames where its windows have {number}")
        return pictures

    def _described(self, stretch: Stretch, rows: Rows) -> dict[str, Any]:
        """The row of `meta/episodes`, but for what the film says."""
        first, length = self._before.frames + self.frames, len(rows.times_s)
        row: dict[str, Any] = {
            "episode_index": self._before.episodes + len(self._episodes),
            "tasks": list(dict.fromkeys(rows.texts)),
            "length": length,
            "dataset_from_index": first,
            "dataset_to_index": first + length,
            "source": stretch.source,
            "source_from_s": float(rows.times_s[0]),
            "source_to_s": stretch.windows[-1].end_s,
        }
        for each in ("data", f"videos/{CAMERA}", "meta/episodes"):
            row |= {f"{each}/{key}": number for key, number in self._place.items()}
        return row

    def _columns(self, rows: Rows) -> dict[str, NDArray[Any]]:
        length = len(rows.times_s)
        frame = np.arange(length)
        return {
            **{name: rows.numbers[name] for name in self._features},
            "timestamp": (frame / self._fps).astype(np.float32),
            "frame_index": frame,
            "episode_index": np.full(length, self._before.episodes + len(self._episodes)),
            "index": self._before.frames + self.frames + frame,
            "task_index": np.array([self._task(text) for text in rows.texts]),
        }

    def _task(self, text: str) -> int:
        known = self._before.tasks.get(text)
        if known is not None:
            return known
        if text not in self.tasks:
            self.tasks.append(text)
        return len(self._before.tasks) + self.tasks.index(text)

    def _data(self, columns: Mapping[str, NDArray[Any]]) -> Any:
        import pyarrow as pa

        arrays = [
            self._features[name].column(columns[name])
            if name in self._features
            else pa.array(columns[name])
            for name in self._schema.names
        ]
        return pa.table(arrays, schema=self._schema)


def _even(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """With sides of even length, as H.264 has them: a last row or column stands twice."""
    height, width = frame.shape[:2]
    if height % 2 or width % 2:
        return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
    return frame


def first_frames(stretch: Stretch) -> Frames:
    """The first frame of each window of a stretch."""
    from PIL import Image

    for window in stretch.windows:
        with Image.open(io.BytesIO(window.first), formats=["JPEG"]) as image:
            yield np.asarray(image.convert("RGB"))
