"""Pictures in rows of Parquet files, however they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sofdata.errors import DecodeError
from sofdata.storage.archives import cells
from sofdata.video.config import VideoConfig
from sofdata.video.probe import Unusable
from sofdata.video.ranges import RangeFile
from sofdata.video.sampling import Sampling
from sofdata.video.sequences.parquets import open_sequence
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.stream import SequenceStream
from tests.lerobots import spoil_column
from tests.sequences import encoded, numbers_of

STRUCT = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def place(episode: int = 1, **options: Any) -> SequencePlace:
    return SequencePlace.of("parquet", "eye", episode=episode, fps=10.0, **options)


def columns(episodes: int = 3, length: int = 12) -> dict[str, Any]:
    """Picture t of episode e carries 20 e + t."""
    episode = np.repeat(np.arange(episodes), length)
    frame = np.tile(np.arange(length), episodes)
    data = [encoded(20 * e + t) for e, t in zip(episode.tolist(), frame.tolist(), strict=True)]
    return {
        "eye": pa.array([{"bytes": each, "path": None} for each in data], STRUCT),
        "episode_index": episode,
        "timestamp": (frame / 10).astype(np.float32),
    }


def write(path: Path, told: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(told), path, **options)
    return path


def shown(path: Path | RangeFile, where: SequencePlace) -> list[int | None]:
    source = path if isinstance(path, RangeFile) else str(path)
    return numbers_of(SequenceStream(source, where, VideoConfig(), Sampling(96, 0.1)))


@pytest.mark.parametrize("options", [{}, {"row_group_size": 5}, {"write_statistics": False}])
def test_an_episode_is_found_whatever_the_row_groups_are(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    path = write(tmp_path / "a.parquet", columns(), **options)
    assert shown(path, place()) == list(range(20, 32))
    data = path.read_bytes()
    remote = RangeFile("a.parquet", len(data), lambda start, end: data[start:end])
    assert shown(remote, place(2)) == list(range(40, 52))


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_pictures_may_be_plain_bytes(tmp_path: Path, kind: pa.DataType) -> None:
    told = columns()
    data = [each["bytes"] for each in told["eye"].to_pylist()]
    told["eye"] = pa.array(data, kind)
    assert shown(write(tmp_path / "a.parquet", told), place()) == list(range(20, 32))
    told["eye"] = pa.array(data, kind).dictionary_encode()
    assert shown(write(tmp_path / "b.parquet", told), place()) == list(range(20, 32))


def test_a_picture_that_is_replaced_by_an_earlier_one_is_not_unpacked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = columns()
    rows = told["eye"].to_pylist()
    for at in (14, 18):
        rows[at]["bytes"] = b"no picture"
    told["eye"] = pa.array(rows, STRUCT)
    begun: list[cells.Group] = []
    kept = cells.Column.cells

    def counted(self: cells.Column, group: cells.Group) -> Any:
        begun.append(group)
        return kept(self, group)

    monkeypatch.setattr(cells.Column, "cells", counted)
    stream = SequenceStream(
        str(write(tmp_path / "a.parquet", told)), place(), VideoConfig(), Sampling(96, 0.2)
    )
    found = numbers_of(stream)
    assert found == [20, 23, 25, 27, 29, 31]
    assert stream.report.decode_errors == 1
    assert len(begun) == 1


def test_memory_is_that_of_a_row_group(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "a.parquet"
    schema = pa.schema(
        [("eye", STRUCT), ("episode_index", pa.int64()), ("timestamp", pa.float32())]
    )
    with pq.ParquetWriter(path, schema) as writer:
        for group in range(16):
            data = [{"bytes": rng.bytes(1 << 18), "path": None} for _ in range(8)]
            times = np.arange(8 * group, 8 * group + 8) / 10
            writer.write_table(pa.table([data, [1] * 8, times.tolist()], schema))
    pool = pa.default_memory_pool()
    before = pool.bytes_allocated()
    sequence = open_sequence(str(path), place())
    most = 0
    for image in sequence.images(range(128)):
        assert image is not None
        most = max(most, pool.bytes_allocated() - before)
    sequence.close()
    assert most < 6 << 20  # a group has 2 MiB, the file 32


def test_a_row_group_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.parquet", columns())
    monkeypatch.setattr(cells, "MAX_GROUP_BYTES", 1000)
    with pytest.raises(Unusable, match="1000 are unpacked at most") as error:
        shown(path, place())
    assert error.value.reason == "row_group_too_large"


def test_a_damaged_row_group_costs_its_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", columns())
    spoil_column(path, "eye.bytes")
    with pytest.raises(DecodeError, match="none of the first 12 pictures can be read"):
        shown(path, place())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eye": [1.5] * 36}, "'eye' is double, which are no encoded pictures"),
        ({"eye": [[b"x"]] * 36}, "which are no encoded pictures"),
        ({"eye": ["images/0.png"] * 36}, "'eye' is string, which are no encoded pictures"),
        ({"eye": [{"bytes": "x", "path": None}] * 36}, "which are no encoded pictures"),
        ({"eye": None}, "it has no column 'eye'"),
        ({"episode_index": None}, "it has no column 'episode_index'"),
        ({"episode_index": ["1"] * 36}, "'episode_index' is string, which are no numbers"),
        ({"timestamp": ["0"] * 36}, "'timestamp' is string, which are no numbers"),
    ],
)
def test_columns_of_other_kinds_are_said(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    told = {name: value for name, value in (columns() | change).items() if value is not None}
    with pytest.raises(Unusable, match=message) as error:
        shown(write(tmp_path / "a.parquet", told), place())
    assert error.value.reason == "damaged"


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"no parquet" * 99, b"PAR1" + bytes(99) + b"PAR1"]
)
def test_a_file_that_is_no_parquet_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(Unusable, match="no readable Parquet") as error:
        shown(tmp_path / "a.parquet", place())
    assert error.value.reason == "damaged"


def test_an_episode_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="no row is of episode 7"):
        shown(write(tmp_path / "a.parquet", columns()), place(7))


def test_times_that_are_null_cost_their_pictures(tmp_path: Path) -> None:
    told = columns()
    told["timestamp"] = [None if at == 15 else value for at, value in enumerate(told["timestamp"])]
    stream = SequenceStream(
        str(write(tmp_path / "a.parquet", told)), place(), VideoConfig(), Sampling(96, 0.1)
    )
    assert numbers_of(stream) == [*range(20, 23), *range(24, 32)]
    assert stream.report.frames_undated == 1


def test_without_a_clock_rows_are_a_frame_apart(tmp_path: Path) -> None:
    told = columns()
    del told["timestamp"]
    assert shown(write(tmp_path / "a.parquet", told), place(rows=12)) == list(range(20, 32))


@pytest.mark.parametrize(
    ("times_s", "said"),
    [
        (np.array([0, *(1.7e9 + np.arange(11) / 10)]), "by 19675.9 days"),
        ((1e6 + np.arange(12) / 10).astype(np.float32), "too coarse"),
        ((1.7e9 + np.arange(12) / 10).astype(np.float32), "do not increase"),
        (np.array([100, *(np.arange(11) / 10)]), "behind earlier ones, 11 of 12"),
    ],
)
def test_timestamps_that_no_film_can_have_are_said(tmp_path: Path, times_s: Any, said: str) -> None:
    path = write(tmp_path / "a.parquet", columns(1) | {"timestamp": times_s})
    with pytest.raises(Unusable, match=said) as error:
        open_sequence(str(path), place(0))
    assert error.value.reason == "no_times"


@pytest.mark.parametrize("times_s", [1e6 + np.arange(12) / 10, 1000 + np.arange(12) / 10])
def test_timestamps_that_are_fine_enough_count(tmp_path: Path, times_s: Any) -> None:
    stored = times_s if times_s[0] > 1e5 else times_s.astype(np.float32)
    path = write(tmp_path / "a.parquet", columns(1) | {"timestamp": stored})
    found = open_sequence(str(path), place(0))
    assert found.times_s.tolist() == pytest.approx(times_s.tolist(), abs=1e-4)
    found.close()
