"""Zarr arrays of either version are read as they were written."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numcodecs
import numpy as np
import pytest
import zarr.codecs

from sofdata.video.probe import Unusable
from sofdata.video.ranges import RangeFile
from sofdata.video.sequences import zarr as reader
from sofdata.video.sequences.zarrs import files as zarr_files
from tests.conformance.barcode import read
from tests.zarrs import (
    PICTURE,
    actions,
    document,
    numbers,
    pictures,
    place,
    put,
    replay_buffer,
    source,
    store,
    umi_zip,
    why,
)

Version = Literal[2, 3]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("name", ["a.zarr", "a.zarr.zip"])
def test_rows_are_read_from_folders_and_zips_of_either_version(
    tmp_path: Path, version: Version, name: str
) -> None:
    path = replay_buffer(tmp_path / name, (12, 8), version)
    assert numbers(path) == list(range(20))
    assert numbers(path, place(start=12, end=20)) == list(range(12, 20))


@pytest.mark.parametrize(
    "codec",
    [
        None,
        numcodecs.Blosc("lz4"),
        numcodecs.Blosc("zstd", shuffle=2),
        numcodecs.Zstd(),
        numcodecs.GZip(),
        numcodecs.Zlib(),
        numcodecs.LZ4(),
        numcodecs.BZ2(),
        numcodecs.LZMA(),
    ],
)
def test_codecs_of_version_2(tmp_path: Path, codec: Any) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (9,), compressors=codec)
    assert numbers(path) == list(range(9))


@pytest.mark.parametrize("codec", ["BloscCodec", "GzipCodec", "ZstdCodec", "Crc32cCodec"])
def test_codecs_of_version_3(tmp_path: Path, codec: str) -> None:
    packed = getattr(zarr.codecs, codec)()
    path = replay_buffer(tmp_path / "a.zarr", (9,), 3, compressors=packed)
    assert numbers(path) == list(range(9))


@pytest.mark.parametrize("filter", [numcodecs.Shuffle(1), numcodecs.Delta("u1"), numcodecs.CRC32()])
def test_filters_of_version_2(tmp_path: Path, filter: Any) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (9,), filters=[filter])
    assert numbers(path) == list(range(9))


@pytest.mark.parametrize("separator", [".", "/"])
@pytest.mark.parametrize("version", [2, 3])
def test_chunks_are_named_with_dots_or_in_folders(
    tmp_path: Path, version: Version, separator: str
) -> None:
    name: Any = "v2" if version == 2 else "default"
    keys = {"name": name, "separator": separator}
    path = replay_buffer(tmp_path / "a.zarr", (9,), version, chunk_key_encoding=keys)
    assert numbers(path) == list(range(9))


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    "chunks", [(1, *PICTURE), (4, 50, 70, 1), (50, *PICTURE), (3, 128, 192, 3)]
)
def test_chunks_of_any_shape(tmp_path: Path, version: Version, chunks: tuple[int, ...]) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (11,), version, chunks=chunks)
    assert numbers(path) == list(range(11))


def test_fortran_order_is_turned(tmp_path: Path) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (9,), order="F")
    assert document(path)["order"] == "F"
    assert numbers(path) == list(range(9))


@pytest.mark.parametrize("chunks", [(1, *PICTURE), (2, 64, 96, 3)])
def test_shards_are_read_chunk_by_chunk(tmp_path: Path, chunks: tuple[int, ...]) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (11,), 3, chunks=chunks, shards=(4, *PICTURE))
    assert numbers(path) == list(range(11))


def test_channels_may_come_first(tmp_path: Path) -> None:
    with store(tmp_path / "a.zarr") as root:
        put(root, "img", np.ascontiguousarray(np.moveaxis(pictures(range(5)), -1, 1)))
    assert numbers(tmp_path / "a.zarr", place("img")) == list(range(5))


@pytest.mark.parametrize("kind", ["jpegxl", "jpeg", "jpeg2k"])
def test_pictures_of_umi_are_unpacked(tmp_path: Path, kind: str) -> None:
    path = umi_zip(tmp_path / "a.zarr.zip", (6,), kind)
    wanted = place("data/camera0_rgb")
    sequence = reader.open_sequence(str(path), wanted)
    assert sequence.codec == kind
    assert numbers(path, wanted) == list(range(6))


def test_a_picture_of_another_size_than_its_array_says_is_none(tmp_path: Path) -> None:
    import imagecodecs

    umi_zip(tmp_path / "a.zarr.zip", (3,))
    with zipfile.ZipFile(tmp_path / "a.zarr.zip") as archive:
        archive.extractall(tmp_path / "a.zarr")
    turned = np.ascontiguousarray(pictures([1])[0].swapaxes(0, 1))
    packed = imagecodecs.jpegxl_encode(turned)
    (tmp_path / "a.zarr/data/camera0_rgb/1.0.0.0").write_bytes(packed)
    wanted = place("data/camera0_rgb")
    assert numbers(tmp_path / "a.zarr", wanted) == [0, None, 2]
    said = why(tmp_path / "a.zarr", wanted)
    assert said.startswith("row 1 cannot be unpacked: a picture is uint8 [192, 128, 3]")


def test_a_store_in_a_folder_in_a_zip(tmp_path: Path) -> None:
    replay_buffer(tmp_path / "a.zarr", (6,))
    shutil.make_archive(str(tmp_path / "a.zarr"), "zip", tmp_path, "a.zarr")
    found = reader.look(str(tmp_path / "a.zarr.zip"), {})
    assert [video["array"] for video in found["videos"]] == ["a.zarr/data/img"]
    assert found["videos"][0]["actions"] == [["a.zarr/data/action", 2]]
    assert numbers(tmp_path / "a.zarr.zip", place("a.zarr/data/img")) == list(range(6))


def test_a_zip_is_read_in_ranges_and_its_index_once(tmp_path: Path) -> None:
    path = umi_zip(tmp_path / "a.zarr.zip", (6, 5))
    data = path.read_bytes()
    fetched = []

    def fetch(start: int, end: int) -> bytes:
        fetched.append((start, end))
        return data[start:end]

    for start, end in ((0, 6), (6, 11)):
        wanted = place("data/camera0_rgb", start=start, end=end)
        sequence = reader.open_sequence(RangeFile("s3://b/a.zarr.zip", len(data), fetch), wanted)
        found: Iterable[Any] = sequence.images(range(end - start))
        assert [read(each).number for each in found] == list(range(start, end))
        sequence.close()
    assert zarr_files._kept is not None
    assert zarr_files._kept[0][0] == f"s3://b/a.zarr.zip {len(data)}"


# Floats


@pytest.mark.parametrize(
    ("range_", "made"),
    [
        ("0..255", lambda rgb: rgb.astype(np.float32)),
        ("0..1", lambda rgb: (rgb / 255).astype(np.float32)),
        ("0..1", lambda rgb: (rgb / 255).astype(np.float16)),
        ("-1..1", lambda rgb: (rgb / 127.5 - 1).astype(np.float64)),
    ],
)
def test_floats_are_scaled_by_their_range(tmp_path: Path, range_: str, made: Any) -> None:
    with store(tmp_path / "a.zarr") as root:
        put(root, "img", made(pictures(range(4))))
    sequence = reader.open_sequence(f"{tmp_path}/a.zarr/", place("img", range=range_))
    for found, wanted in zip(sequence.images(range(4)), pictures(range(4)), strict=True):
        assert isinstance(found, np.ndarray)
        assert found.dtype == np.uint8
        assert np.abs(found.astype(int) - wanted).max() <= (1 if range_ != "0..255" else 0)


@pytest.mark.parametrize(("taken", "scale"), [("0..1", 1.0), ("-1..1", 1.0), ("0..255", 2.0)])
def test_floats_out_of_their_range_are_refused(tmp_path: Path, taken: str, scale: float) -> None:
    with store(tmp_path / "a.zarr") as root:
        put(root, "img", pictures(range(4)).astype(np.float32) * scale)
    sequence = reader.open_sequence(f"{tmp_path}/a.zarr/", place("img", range=taken))
    with pytest.raises(Unusable, match="is taken for their range") as refused:
        list(sequence.images(range(4)))
    assert refused.value.reason == "other_range"


def test_a_range_is_told_only_where_it_is_sure(tmp_path: Path) -> None:
    with store(tmp_path / "a.zarr") as root:
        put(root, "sure", pictures(range(4)).astype(np.float32))
        put(root, "unit", (pictures(range(4)) / 255).astype(np.float32))
        put(root, "signed", (pictures(range(4)) / 127.5 - 1).astype(np.float32))
        put(root, "wide", pictures(range(4)).astype(np.float32) - 100)
    found = reader.look(f"{tmp_path}/a.zarr/", {})["videos"]
    told = {video["array"]: video["range"] for video in found}
    assert told == {"sure": "0..255", "unit": "", "signed": "", "wide": ""}


# Times and numbers


@pytest.mark.parametrize(
    ("unit", "stamps"),
    [
        ("s", 1.7e9 + np.arange(20) / 10),
        ("s", (np.arange(20) / 10).astype(np.float32)),
        ("ms", np.arange(20) * 100),
        ("us", 1_700_000_000_000_000 + np.arange(20) * 100_000),
        ("ns", np.uint64(1_700_000_000_000_000_000) + np.arange(20, dtype=np.uint64) * 10**8),
    ],
)
def test_the_unit_of_timestamps_is_told_by_their_pace(
    tmp_path: Path, unit: str, stamps: Any
) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (12, 8), times_s=stamps)
    first, second = reader.look(source(path), {})["videos"]
    assert (first["times"], first["unit"]) == ("data/timestamp", unit)
    assert (first["lasts_s"], second["lasts_s"]) == pytest.approx((1.2, 0.8), abs=1e-3)
    wanted = place(times="data/timestamp", unit=unit, start=12, end=20)
    sequence = reader.open_sequence(source(path), wanted)
    assert sequence.times_s.tolist() == pytest.approx(list(np.arange(8) / 10), abs=1e-3)


@pytest.mark.parametrize("stamps", [np.arange(20), np.zeros(20), np.full(20, np.nan)])
def test_numbers_of_rows_are_no_timestamps(tmp_path: Path, stamps: Any) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (12, 8), times_s=stamps)
    found = reader.look(source(path), {})
    assert [video["times"] for video in found["videos"]] == ["", ""]
    assert "has timestamps without the pace of any camera" in found["left_out"]


@pytest.mark.parametrize(
    "stamps",
    [1.7e9 + np.arange(20) * 10, 1e6 + np.arange(20) / 20, 1e5 + np.arange(20) / 20],
)
def test_timestamps_coarser_than_their_steps_are_named_and_not_used(
    tmp_path: Path, stamps: Any
) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (12, 8), times_s=stamps.astype(np.float32))
    found = reader.look(source(path), {})
    assert [video["times"] for video in found["videos"]] == ["", ""]
    assert found["left_out"] == {"has timestamps coarser than their steps": ["data/timestamp"]}


@pytest.mark.parametrize(("first", "said"), [(0.0, "19675.9 days"), (1.8e9, "behind earlier")])
def test_a_first_timestamp_that_is_off_costs_its_episode_alone(
    tmp_path: Path, first: float, said: str
) -> None:
    stamps = 1.7e9 + np.arange(20) / 10
    stamps[0] = first
    path = replay_buffer(tmp_path / "a.zarr", (12, 8), times_s=stamps)
    wrong, right = reader.look(source(path), {})["videos"]
    assert wrong["problem"] == "no_times"
    assert said in wrong["detail"]
    assert (right["problem"], right["lasts_s"]) == ("", pytest.approx(0.8, abs=1e-3))


def test_timestamps_of_another_number_are_named_and_not_used(tmp_path: Path) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (12, 8), times_s=np.arange(40) / 20)
    found = reader.look(source(path), {})
    assert found["videos"][0]["times"] == ""
    assert found["left_out"] == {"has 40 rows, where pictures have 20": ["data/timestamp"]}


def test_rows_of_numbers_have_times_and_missing_ones_are_nan(tmp_path: Path) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (12, 9))
    os.remove(path / "data/action/2.0")  # of rows 14 to 20
    rows = reader.read_rows(source(path), place("data/action", start=12, end=21))
    assert rows.values[:2].tolist() == actions(14)[12:].tolist()
    assert np.isnan(rows.values[2:]).all()
    assert rows.times_s.tolist() == pytest.approx(list(np.arange(9) / 10))
    both = reader.read_rows(source(path), place("data/action", start=0, end=3, more="data/state"))
    assert both.values.tolist() == np.hstack([actions(3), actions(3) * 10]).tolist()
