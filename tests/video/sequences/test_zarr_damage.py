"""What of a Zarr store is missing, damaged or hostile costs itself, and runs no code."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import zarr.codecs

from sofdata.video.probe import Unusable
from sofdata.video.sequences import zarr as reader
from tests.zarrs import (
    PICTURE,
    damage,
    numbers,
    pictures,
    place,
    replay_buffer,
    rewrite,
    source,
    store,
    umi_zip,
    why,
)

Version = Literal[2, 3]


# What is missing or damaged


@pytest.mark.parametrize("name", ["a.zarr", "a.zarr.zip"])
def test_a_chunk_that_was_never_written_is_no_picture_of_zeros(tmp_path: Path, name: str) -> None:
    with store(tmp_path / name) as root:
        array = root.create_array("img", shape=(12, *PICTURE), chunks=(3, *PICTURE), dtype="u1")
        array[0:3] = pictures(range(3))
        array[6:12] = pictures(range(6, 12))
    assert numbers(tmp_path / name, place("img")) == [0, 1, 2, *range(6, 12)]
    assert damage(tmp_path / name, place("img")) == (
        3,
        ("3 pictures were never written, the first in row 3",),
    )
    sequence = reader.open_sequence(source(tmp_path / name), place("img"))
    assert sequence.times_s.tolist() == pytest.approx([0, 0.1, 0.2, *np.arange(6, 12) / 10])


@pytest.mark.parametrize("location", ["start", "end"])
def test_a_chunk_that_a_shard_lacks_is_missing(tmp_path: Path, location: Any) -> None:
    shards = zarr.codecs.ShardingCodec(chunk_shape=(1, *PICTURE), index_location=location)
    with store(tmp_path / "a.zarr", 3) as root:
        array = root.create_array(
            "img",
            shape=(8, *PICTURE),
            chunks=(4, *PICTURE),
            dtype="u1",
            serializer=shards,
            compressors=None,
        )
        array[0:2] = pictures([0, 1])
        array[3:4] = pictures([3])
    assert numbers(tmp_path / "a.zarr", place("img")) == [0, 1, 3]
    assert damage(tmp_path / "a.zarr", place("img"))[0] == 5


@pytest.mark.parametrize("what", ["cut", "rubbish", "empty"])
def test_a_damaged_chunk_costs_its_pictures_alone(tmp_path: Path, what: str) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (9,), chunks=(3, *PICTURE))
    chunk = path / "data/img/1.0.0.0"
    data = chunk.read_bytes()
    chunk.write_bytes({"cut": data[: len(data) // 2], "rubbish": b"x" * 999, "empty": b""}[what])
    good = [*range(3), *range(6, 9)]
    assert [each for each in numbers(path) if each is not None] == good
    if what == "empty":
        assert damage(path)[0] == 3
    else:
        assert why(path).startswith("row 3 cannot be unpacked: ")


def test_a_member_of_a_zip_with_a_wrong_sum_is_no_picture(tmp_path: Path) -> None:
    path = umi_zip(tmp_path / "a.zarr.zip", (4,))
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("data/camera0_rgb/2.0.0.0")
    data = bytearray(path.read_bytes())
    data[info.header_offset + 100] ^= 1
    path.write_bytes(data)
    assert numbers(path, place("data/camera0_rgb")) == [0, 1, None, 3]


def test_a_zip_that_is_cut_off_is_damaged(tmp_path: Path) -> None:
    path = umi_zip(tmp_path / "a.zarr.zip", (4,))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(Unusable, match="no whole zip"):
        reader.look(str(path), {})


# What is refused


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"compressor": {"id": "pickle"}}, "codec 'pickle', which is not read"),
        ({"compressor": {"id": "imagecodecs_tiff"}}, "'imagecodecs_tiff'"),
        ({"filters": [{"id": "json2"}]}, "filter 'json2'"),
        ({"filters": [{"id": "msgpack2"}], "dtype": "|O"}, "objects"),
        ({"filters": [{"id": "vlen-bytes"}]}, "filter 'vlen-bytes'"),
        ({"filters": [{"id": "vlen-utf8"}]}, "filter 'vlen-utf8'"),
        ({"filters": [{"id": "pickle"}], "dtype": "|O"}, "objects"),
        ({"filters": [{"id": "vlen-utf8"}, {"id": "pickle"}], "dtype": "|O"}, "objects"),
        ({"dtype": [["a", "<i4"]]}, "several fields"),
        ({"dtype": "nonsense"}, "unknown type"),
        ({"chunks": [100_000, 128, 192, 3]}, "at most 256 MiB"),
        ({"chunks": [0, 128, 192, 3]}, "makes no sense"),
        ({"chunks": [-1, 128, 192, 3]}, "makes no sense"),
        ({"chunks": [1, 1, 1, 1]}, "chunks for each picture"),
        ({"chunks": [1, 128]}, "4 dimensions, and chunks of 2"),
        ({"shape": [1 << 60, 128, 192, 3]}, "makes no sense"),
        ({"shape": "long"}, "makes no sense"),
        ({"order": "Z"}, "'order'"),
        ({"dimension_separator": "/../"}, "'dimension_separator'"),
        ({"zarr_format": 7}, "neither 2 nor 3"),
    ],
)
def test_metadata_of_version_2_that_is_odd_or_hostile(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (4,))
    rewrite(path, **changed)
    with pytest.raises(Unusable, match=r"the array 'data/img'") as refused:
        reader.open_sequence(source(path), place())
    assert said in str(refused.value)
    found = reader.look(source(path), {})
    assert found["videos"] == []
    assert any(said in each for each in found["left_out"])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"codecs": [{"name": "bytes"}, {"name": "numcodecs.pickle"}]}, "'numcodecs.pickle'"),
        ({"codecs": [{"name": "vlen-bytes"}]}, "'vlen-bytes'"),
        ({"codecs": []}, "no list of codecs"),
        ({"data_type": "complex64"}, "'complex64'"),
        ({"data_type": "string"}, "no type of pictures"),
        ({"storage_transformers": [{"name": "x"}]}, "storage transformers"),
        ({"novelty": {"must_understand": True}}, "'novelty'"),
        ({"chunk_grid": {"name": "rectilinear"}}, "'rectilinear'"),
        ({"chunk_grid": {"name": "regular", "configuration": {}}}, "makes no sense"),
        ({"chunk_key_encoding": {"name": "fancy"}}, "'fancy'"),
    ],
)
def test_metadata_of_version_3_that_is_odd_or_hostile(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (4,), 3)
    rewrite(path, name="zarr.json", **changed)
    with pytest.raises(Unusable) as refused:
        reader.open_sequence(source(path), place())
    assert said in str(refused.value)


@pytest.mark.parametrize("rows", [1 << 26, 1 << 40])
def test_more_rows_than_any_video_has_are_refused(tmp_path: Path, rows: int) -> None:
    """Else each would be looked for among the files, for days."""
    path = replay_buffer(tmp_path / "a.zarr", (4,), chunks=(1, *PICTURE))
    rewrite(path, shape=[rows, *PICTURE])
    with pytest.raises(Unusable, match="more than can be read") as refused:
        reader.open_sequence(source(path), place())
    assert refused.value.reason == "too_large"


def test_what_may_be_ignored_is(tmp_path: Path) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (4,), 3)
    rewrite(path, name="zarr.json", novelty={"must_understand": False})
    assert numbers(path) == list(range(4))


def test_names_in_a_zip_lead_nowhere(tmp_path: Path) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (4,))
    with zipfile.ZipFile(tmp_path / "b.zarr.zip", "w") as archive:
        for file in sorted(path.rglob("*")):
            if file.is_file():
                archive.write(file, f"../../{file.relative_to(path)}")
    found = reader.look(str(tmp_path / "b.zarr.zip"), {})
    assert [video["array"] for video in found["videos"]] == ["../../data/img"]
    with pytest.raises(Unusable, match="is no path of an array"):
        reader.open_sequence(str(tmp_path / "b.zarr.zip"), place("../../data/img"))
    assert sorted(os.listdir(tmp_path)) == ["a.zarr", "b.zarr.zip"]


@pytest.mark.parametrize("name", ["a.zarr", "a.zarr.zip"])
def test_a_name_that_is_no_utf8_is_told(tmp_path: Path, name: str) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (4,), cameras=("img", "cafeteria"))
    if name.endswith(".zip"):
        shutil.make_archive(str(path), "zip", path)
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data.replace(b"data/cafeteria", b"data/caf\xe9teria"))
    else:
        os.rename(path / "data/cafeteria", bytes(path) + b"/data/caf\xe9teria")
    found = reader.look(source(tmp_path / name), {})
    assert [video["array"] for video in found["videos"]] == ["data/img"]
    assert found["left_out"]["has a name that is no UTF-8"] == ["data/caf\\xe9teria"]


def test_a_zip_bomb_is_bounded_by_what_its_chunk_can_be(tmp_path: Path) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (4,), compressors=None, chunks=(1, *PICTURE))
    with zipfile.ZipFile(tmp_path / "b.zarr.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(path.rglob("*")):
            if file.is_file() and file.name != "2.0.0.0":
                archive.write(file, file.relative_to(path))
        archive.writestr("data/img/2.0.0.0", bytes(1 << 22))
    assert numbers(tmp_path / "b.zarr.zip") == [0, 1, None, 3]
    assert "more than its chunk can have" in why(tmp_path / "b.zarr.zip")
