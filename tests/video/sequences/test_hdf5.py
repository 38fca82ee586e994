"""Pictures of HDF5 files in every way in which they may lie there, and files that are broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sofdata.errors import DecodeError
from sofdata.video.config import VideoConfig
from sofdata.video.probe import Unusable
from sofdata.video.ranges import RangeFile
from sofdata.video.sampling import Sampling
from sofdata.video.sequences.hdf5.files import opened
from sofdata.video.sequences.hdf5.looking import look_into
from sofdata.video.sequences.hdf5.pictures import reopened
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.stream import SequenceStream
from tests.conformance.barcode import draw, read
from tests.hdf5s import pictures, write_encoded
from tests.sequences import HEIGHT, WIDTH, encoded, image_bytes, numbers_of

COUNT = 12


def stream(path: Any, name: str = "a", **sampling: Any) -> SequenceStream:
    place = SequencePlace.of("hdf5", name, fps=10.0)
    wanted = Sampling(**{"size": 96, "step_s": 0.1, **sampling})
    return SequenceStream(path, place, VideoConfig(), wanted)


def written(tmp_path: Path, write: Callable[[Any], None]) -> str:
    path = tmp_path / "pictures.h5"
    with h5py.File(path, "w") as file:
        write(file)
    return str(path)


def found_in(path: str) -> dict[str, tuple[int, str]]:
    """Count and coding of the sequences that a look finds, by their paths."""
    with opened(path) as root:
        sequences = look_into(root)["sequences"]
    return {each["path"]: (each["count"], each["encoded"]) for each in sequences}


def _with(**options: Any) -> Callable[[Any], None]:
    return lambda file: file.create_dataset("a", data=pictures(range(COUNT)), **options)


def _alpha(file: Any) -> None:
    shown = pictures(range(COUNT))
    file["a"] = np.concatenate([shown, np.full_like(shown[..., :1], 7)], axis=-1)


def _planar(file: Any) -> None:
    file["a"] = np.moveaxis(pictures(range(COUNT)), -1, 1)


def _grey(file: Any) -> None:
    file["a"] = pictures(range(COUNT)).mean(-1).astype(np.uint8)[..., None]


def _flat_grey(file: Any) -> None:
    file["a"] = pictures(range(COUNT)).mean(-1).astype(np.uint8)


@pytest.mark.parametrize(
    ("write", "codec"),
    [
        (_with(), "raw rgb24"),
        (_with(chunks=True, compression="gzip", shuffle=True, fletcher32=True), "raw rgb24"),
        (_with(chunks=(5, 48, 64, 3), compression="lzf"), "raw rgb24"),
        (_with(chunks=(1, HEIGHT, WIDTH, 3), compression="szip"), "raw rgb24"),
        (_alpha, "raw rgb24"),
        (_planar, "raw rgb24"),
        (lambda file: write_encoded(file, "a", range(COUNT), "vlen"), "jpeg"),
        (lambda file: write_encoded(file, "a", range(COUNT), "fixed"), "jpeg"),
        (lambda file: write_encoded(file, "a", range(COUNT), "opaque"), "jpeg"),
        (lambda file: write_encoded(file, "a", range(COUNT), "padded"), "png"),
    ],
)
def test_pictures_are_read_however_they_lie(
    tmp_path: Path, write: Callable[[Any], None], codec: str
) -> None:
    path = written(tmp_path, write)
    assert found_in(path) == {"a": (COUNT, "" if codec.startswith("raw") else codec)}
    found = stream(path)
    assert found.decoder == f"hdf5 {codec}"
    first = next(iter(found)).rgb[0]
    assert read(first) == read(draw(0, WIDTH, HEIGHT))
    assert numbers_of(stream(path)) == [*range(COUNT)]
    assert (found.info.width, found.info.height) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("write", [_grey, _flat_grey])
def test_grey_pictures_are_read(tmp_path: Path, write: Callable[[Any], None]) -> None:
    found = stream(written(tmp_path, write))
    rgb = next(iter(found)).rgb
    assert found.decoder == "hdf5 raw grey"
    assert len(rgb) == COUNT
    assert np.ptp(rgb, axis=-1).max() == 0


def test_a_file_in_a_store_is_read_in_ranges(tmp_path: Path) -> None:
    data = Path(written(tmp_path, _with(chunks=True, compression="gzip"))).read_bytes()
    remote = RangeFile("s3://a/b.h5", len(data), lambda start, end: data[start:end])
    assert numbers_of(stream(remote)) == [*range(COUNT)]


def test_what_is_no_picture_in_colour_is_left_out(tmp_path: Path) -> None:
    def write(file: Any) -> None:
        file["rgb"] = pictures(range(COUNT))
        file["depth"] = pictures(range(COUNT))[..., 0]
        file["segmentation_mask"] = pictures(range(COUNT))[..., :1]
        file["cloud"] = np.zeros((COUNT, 32, 32, 3), np.float32)
        file["small"] = np.zeros((COUNT, 4, 4), np.uint8)
        file["stacked"] = np.zeros((COUNT, 9, 84, 84), np.uint8)
        grey = pictures(range(COUNT + 3)).mean(-1).astype(np.uint8)
        fours = np.stack([grey[at : at + COUNT] for at in range(4)], axis=1)
        file["fours"], file["fours_last"] = fours, np.moveaxis(fours, 1, -1)
        file["two"] = np.zeros((COUNT, 2, 64, 64, 3), np.uint8)
        file["tactile_left"] = file["next_rgb"] = pictures(range(COUNT))
        file["a*b"] = pictures(range(COUNT))
        h5py.h5o.link(file["a*b"].id, file.id, b"caf\xe9")
        file["bytes"] = np.zeros((COUNT, 100), np.uint8)
        file["names"] = np.array([b"one", b"two"])
        file["film"] = np.frombuffer(b"\0\0\0\x18ftypmp42" + bytes(100), np.uint8)
        file["rgb_again"] = file["rgb"]
        file["type"] = np.dtype("f4")

    path = written(tmp_path, write)
    assert list(found_in(path)) == ["rgb"]
    with opened(path) as root:
        left = look_into(root)["left_out"]
    assert left == {
        "depth maps, masks and the like": 3,
        "float32 arrays, which are no pictures in colour": 1,
        "name that is no UTF-8 or has a '*', not gone into": 2,
        "next_rgb, the same pictures a step later": 1,
        "stacks of four grey frames in place of colours": 2,
        "uint8 arrays of 5 dimensions, which are no pictures in colour": 1,
        "uint8 arrays, which are no pictures in colour": 1,
    }


def test_an_array_of_no_row_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, lambda file: file.create_dataset("a", (0, 64, 64, 3), "u1"))
    with opened(path) as root:
        assert look_into(root)["problems"] == {"a": ["no_frames", "a: it has no row"]}


@pytest.mark.parametrize("kind", ["vlen", "padded"])
def test_the_first_encoded_pictures_may_be_missing(tmp_path: Path, kind: str) -> None:
    def write(file: Any) -> None:
        write_encoded(file, "a", range(COUNT), kind)
        for row in range(6):
            file["a"][row] = np.zeros(file["a"].shape[1:] or 0, np.uint8)

    path = written(tmp_path, write)
    assert list(found_in(path)) == ["a"]
    assert numbers_of(stream(path)) == [*range(6, COUNT)]


def test_no_picture_is_without_the_zeros_at_its_end(tmp_path: Path) -> None:
    rows = [image_bytes(draw(number, WIDTH, HEIGHT), "WEBP") for number in range(COUNT)]
    assert any(row.endswith(b"\0") for row in rows)
    path = written(tmp_path, lambda file: file.create_dataset("a", data=np.array(rows)))
    assert numbers_of(stream(path)) == [*range(COUNT)]


def test_bytes_of_any_size_that_are_no_picture_are_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path, lambda file: file.create_dataset("log", (300 << 20,), "u1"))
    with opened(path) as root:
        assert look_into(root)["problems"] == {}


# What is broken


def test_pictures_that_were_never_written_leave_a_gap(tmp_path: Path) -> None:
    def write(file: Any) -> None:
        shape = (COUNT, HEIGHT, WIDTH, 3)
        rows = file.create_dataset("a", shape, "u1", chunks=(2, HEIGHT // 2, WIDTH, 3))
        rows[:6] = pictures(range(6))
        rows[8:9, : HEIGHT // 2] = draw(8, WIDTH, HEIGHT)[: HEIGHT // 2]  # half a picture
        rows[10:] = pictures([10, 11])
        file.create_dataset("none", shape, "u1")

    path = written(tmp_path, write)
    found = stream(path)
    assert numbers_of(found) == [*range(6), 10, 11]
    assert found.report.frames_lost == 4
    assert found.report.salvaged == "4 of 12 pictures were never written"
    with pytest.raises(Unusable, match="no picture") as caught:
        stream(path, "none")
    assert caught.value.reason == "no_frames"


def test_pictures_of_nothing_but_zeros_are_told(tmp_path: Path) -> None:
    shown = pictures(range(COUNT))
    shown[7:] = 0
    found = stream(written(tmp_path, lambda file: file.create_dataset("a", data=shown)))
    assert len(numbers_of(found)) == COUNT
    assert "hold nothing but zeros" in found.report.salvaged


def test_a_damaged_chunk_costs_its_pictures_alone(tmp_path: Path) -> None:
    path = written(tmp_path, _with(chunks=(2, HEIGHT, WIDTH, 3), compression="gzip"))
    with h5py.File(path) as file:
        chunk = file["a"].id.get_chunk_info(2)
    data = bytearray(Path(path).read_bytes())
    data[chunk.byte_offset + 100 : chunk.byte_offset + 200] = bytes(100)
    Path(path).write_bytes(data)
    found = stream(path)
    assert numbers_of(found) == [*range(4), *range(6, COUNT)]
    assert found.report.decode_errors == 2


def test_a_missing_encoded_row_costs_itself_alone(tmp_path: Path) -> None:
    def write(file: Any) -> None:
        write_encoded(file, "a", range(COUNT))
        file["a"][3] = np.zeros(0, np.uint8)
        file["a"][5] = np.frombuffer(encoded(5)[:500], np.uint8)

    found = stream(written(tmp_path, write))
    assert numbers_of(found) == [each for each in range(COUNT) if each not in (3, 5)]
    assert found.report.frames_lost == 2


@pytest.mark.parametrize(
    ("name", "reason"),
    [("b", "no_frames"), ("none", "damaged"), ("c", "no_frames"), ("frames/*", "no_frames")],
)
def test_what_holds_no_pictures_is_unusable(tmp_path: Path, name: str, reason: str) -> None:
    def write(file: Any) -> None:
        file["b"] = np.zeros((COUNT, HEIGHT, WIDTH, 3), np.float32)
        file["c"] = pictures(range(1))[0]

    with pytest.raises(Unusable) as caught:
        stream(written(tmp_path, write), name)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [
        ((1 << 40, 64, 64, 3), (1, 64, 64, 3)),
        ((8, 1 << 20, 1 << 20, 3), (1, 256, 256, 3)),
        ((8, 16000, 16000, 3), (1, 16000, 16000, 3)),
        ((2000, 480, 640, 3), (2000, 480, 640, 3)),
        ((2000, 480, 640, 3), (1000, 48, 64, 3)),
    ],
)
def test_huge_shapes_and_chunks_are_refused_before_any_is_read(
    tmp_path: Path, shape: tuple[int, ...], chunks: tuple[int, ...]
) -> None:
    path = written(tmp_path, lambda file: file.create_dataset("a", shape, "u1", chunks=chunks))
    with pytest.raises(Unusable) as caught:
        stream(path)
    assert caught.value.reason == "too_large"


def test_chunks_are_unpacked_once_for_all_pictures_in_them(tmp_path: Path) -> None:
    path = written(tmp_path, _with(chunks=(6, 32, 32, 1), compression="gzip"))
    with h5py.File(path) as file:
        dataset = reopened(file["a"])
        _, kept_bytes, _ = dataset.id.get_access_plist().get_chunk_cache()
    assert kept_bytes == 6 * HEIGHT * WIDTH * 3


def test_a_file_of_too_many_groups_in_groups_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, lambda file: file.create_group("/".join("abcd" * 20)))
    with pytest.raises(Unusable, match="deep"), opened(path) as root:
        look_into(root)


def test_groups_that_contain_each_other_are_gone_into_once(tmp_path: Path) -> None:
    def write(file: Any) -> None:
        file["a/pictures"] = pictures(range(COUNT))
        file["a/again"] = file["/"]
        file["b"] = file["a"]

    assert list(found_in(written(tmp_path, write))) == ["a/pictures"]


def test_a_wrong_file_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 8)
    with pytest.raises(Unusable) as caught:
        stream(str(path))
    assert caught.value.reason == "damaged"


def test_rows_that_are_no_pictures_at_all_are_a_decode_error(tmp_path: Path) -> None:
    def write(file: Any) -> None:
        file["a"] = np.array([b"\xff\xd8\xff no JPEG at all"] * 4)

    with pytest.raises(DecodeError, match="none of the first"):
        stream(written(tmp_path, write))
