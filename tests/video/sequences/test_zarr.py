"""Zarr arrays of either version are read as they were written, and never by code of a store."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import numcodecs
import numpy as np
import pytest
import zarr.codecs

from sofdata.video.probe import Unusable
from sofdata.video.ranges import RangeFile
from sofdata.video.sequences import zarr as reader
from sofdata.video.sequences.images import DamagedImage
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.zarrs import files as zarr_files
from tests.conformance.barcode import read
from tests.sequences import HEIGHT, WIDTH
from tests.zarrs import actions, pictures, put, replay_buffer, store, umi_zip

PICTURE = (HEIGHT, WIDTH, 3)
Version = Literal[2, 3]


def source(path: Path) -> str:
    return str(path) if path.suffix == ".zip" else f"{path}/"


def place(name: str = "data/img", **options: Any) -> SequencePlace:
    return SequencePlace.of("zarr", name, **{"fps": 10.0, **options})


def numbers(path: Path, wanted: SequencePlace | None = None) -> list[int | None]:
    """What all pictures of a sequence carry, None for one that cannot be had."""
    found = shown(path, wanted)
    return [None if isinstance(each, DamagedImage) else read(each).number for each in found]


def shown(path: Path, wanted: SequencePlace | None = None) -> list[Any]:
    sequence = reader.open_sequence(source(path), wanted or place())
    with closing(sequence):
        return list(sequence.images(range(len(sequence.times_s))))


def why(path: Path, wanted: SequencePlace | None = None) -> str:
    """Why the first picture is lost that is."""
    return next(str(each) for each in shown(path, wanted) if isinstance(each, DamagedImage))


def damage(path: Path, wanted: SequencePlace | None = None) -> tuple[int, tuple[str, ...]]:
    with closing(reader.open_sequence(source(path), wanted or place())) as sequence:
        return sequence.damage


def document(path: Path, node: str = "data/img", name: str = ".zarray") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / node / name).read_text())
    return found


def rewrite(path: Path, node: str = "data/img", name: str = ".zarray", **changed: Any) -> None:
    (path / node / name).write_text(json.dumps(document(path, node, name) | changed))


# What is read


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
        ({"data_type": "string"}, "'string'"),
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


def test_a_zip_bomb_is_bounded_by_what_its_chunk_can_be(tmp_path: Path) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (4,), compressors=None, chunks=(1, *PICTURE))
    with zipfile.ZipFile(tmp_path / "b.zarr.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(path.rglob("*")):
            if file.is_file() and file.name != "2.0.0.0":
                archive.write(file, file.relative_to(path))
        archive.writestr("data/img/2.0.0.0", bytes(1 << 22))
    assert numbers(tmp_path / "b.zarr.zip") == [0, 1, None, 3]
    assert "more than its chunk can have" in why(tmp_path / "b.zarr.zip")


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


# What lies where


def test_episode_ends_that_go_back_are_named(tmp_path: Path) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (12, -4))
    (video,) = reader.look(source(path), {})["videos"]
    assert video["problem"] == "bad_episodes"
    assert video["detail"] == "'meta/episode_ends' does not increase"


def test_an_array_that_ends_before_its_episodes_is_cut_off(tmp_path: Path) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (12, 8))
    rewrite(path, shape=[15, *PICTURE])
    found = reader.look(source(path), {})["videos"]
    assert [video["problem"] for video in found] == ["", "cut_off"]


def test_an_empty_episode_has_no_frames_and_spare_rows_are_named(tmp_path: Path) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (12, 0, 8))
    put(zarr.open_group(path), "data/long", pictures(range(25)))
    found = reader.look(source(path), {})
    assert [video["problem"] for video in found["videos"]] == ["", "no_frames", ""] * 2
    assert found["left_out"] == {
        "has rows behind the last episode, which belong to none": ["data/long"]
    }


def test_groups_of_episodes_keep_what_is_theirs(tmp_path: Path) -> None:
    with store(tmp_path / "a.zarr", 3) as root:
        for number, rows in enumerate((10, 14)):
            demo = root.create_group(f"demo_{number}", attributes={"task": f"task {number}"})
            put(demo, "obs/front", pictures(range(rows)))
            put(demo, "obs/wrist", pictures(range(rows)))
            put(demo, "actions", actions(rows))
            put(demo, "timestamp", np.arange(rows) / 20)
    found = reader.look(f"{tmp_path}/a.zarr/", {})["videos"]
    assert [(each["array"], each["group"], each["text"]) for each in found] == [
        ("demo_0/obs/front", "demo_0", "task 0"),
        ("demo_0/obs/wrist", "demo_0", "task 0"),
        ("demo_1/obs/front", "demo_1", "task 1"),
        ("demo_1/obs/wrist", "demo_1", "task 1"),
    ]
    assert [each["actions"] for each in found[1:3]] == [
        [["demo_0/actions", 2]],
        [["demo_1/actions", 2]],
    ]
    assert found[3]["times"] == "demo_1/timestamp"
    assert found[3]["fps"] == 20


@pytest.mark.parametrize(
    ("array", "group"),
    [
        ("demo_3/obs/front", "demo_3"),
        ("session_1/Episode 12/cam/rgb", "session_1/Episode 12"),
        ("data/demo3/0/rgb", "data/demo3"),
        ("12/obs/0/rgb", "12"),
        ("kitchen/front", "kitchen"),
        ("front", ""),
    ],
)
def test_the_group_of_a_recording(tmp_path: Path, array: str, group: str) -> None:
    with store(tmp_path / "a.zarr") as root:
        put(root, array, pictures(range(3)))
    (video,) = reader.look(f"{tmp_path}/a.zarr/", {})["videos"]
    assert video["group"] == group


def test_a_camera_may_have_a_clock_of_its_own(tmp_path: Path) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (9,), cameras=("cam0_rgb", "cam1_rgb"))
    put(zarr.open_group(path), "data/cam1_timestamp", np.arange(9) / 30)
    first, second = reader.look(source(path), {})["videos"]
    assert (first["times"], second["times"]) == ("", "data/cam1_timestamp")


def test_texts_of_episodes_may_lie_in_an_array(tmp_path: Path) -> None:
    path = replay_buffer(tmp_path / "a.zarr", (12, 8))
    put(zarr.open_group(path), "meta/instruction", np.array(["open", "shut the box"]))
    assert [video["text"] for video in reader.look(source(path), {})["videos"]] == [
        "open",
        "shut the box",
    ]


def test_what_shows_no_colours_is_left_out_and_named(tmp_path: Path) -> None:
    with store(tmp_path / "a.zarr") as root:
        put(root, "depth", np.ones((4, 64, 64), np.uint16))
        put(root, "wrist_depth", pictures(range(4)))
        put(root, "seg_mask", np.ones((4, 64, 64, 1), np.uint8))
        put(root, "points", np.ones((4, 64, 3), np.float32))
        put(root, "deep", pictures(range(4)).astype(np.uint16))
        put(root, "poses", np.ones((4, 7), np.float32))
    found = reader.look(f"{tmp_path}/a.zarr/", {})
    assert found["videos"] == []
    named = sorted(path for paths in found["left_out"].values() for path in paths)
    assert named == ["deep", "depth", "points", "seg_mask", "wrist_depth"]


def test_consolidated_metadata_makes_no_difference(tmp_path: Path) -> None:
    for version in (2, 3):
        path = replay_buffer(tmp_path / f"{version}.zarr", (6,), version)
        before = reader.look(source(path), {})
        zarr.consolidate_metadata(str(path))
        assert reader.look(source(path), {}) == before
        assert numbers(path) == list(range(6))
