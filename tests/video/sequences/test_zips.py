"""Numbered pictures in zips: what is looked for, and what of a zip is read."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from sofdata.errors import DecodeError
from sofdata.video.config import VideoConfig
from sofdata.video.probe import Unusable
from sofdata.video.ranges import RangeFile
from sofdata.video.sampling import Sampling
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.stream import SequenceStream
from sofdata.video.sequences.zips import look
from tests.sequences import encoded, numbers_of

PLACE = SequencePlace.of("zip", "x/frame_*.jpg", fps=10.0)


def write_zip(
    path: Path, numbers: Iterable[int], how: int = zipfile.ZIP_STORED, **files: bytes
) -> Path:
    with zipfile.ZipFile(path, "w", how) as target:
        for number in numbers:
            target.writestr(f"x/frame_{number}.jpg", encoded(number))
        for name, data in files.items():
            target.writestr(f"x/{name}.txt", data)
    return path


def opened(path: Path | RangeFile, place: SequencePlace = PLACE) -> SequenceStream:
    source = path if isinstance(path, RangeFile) else str(path)
    return SequenceStream(source, place, VideoConfig(), Sampling(96, 0.1))


def test_a_look_says_what_kinds_there_are(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", range(1, 13), times=b"0", notes=b"")
    with zipfile.ZipFile(path, "a") as target:
        target.mkdir("y")
        target.writestr("__MACOSX/x/._frame_1.jpg", b"")
        target.writestr("x/.frame_1.jpg", b"")
    assert look(str(path), {"times": "times.txt"}) == {
        "kinds": [["x", "frame_*.jpg", 12, 1, 12]],
        "ignored": {"file that is no numbered picture": 1, "hidden": 2},
        "whole": True,
        "files": ["x/times.txt"],
    }


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_pictures_are_in_the_order_of_their_numbers(tmp_path: Path, how: int) -> None:
    path = write_zip(tmp_path / "a.zip", reversed(range(20)), how)
    assert numbers_of(opened(path)) == list(range(20))
    data = path.read_bytes()
    remote = RangeFile("a.zip", len(data), lambda start, end: data[start:end])
    assert numbers_of(opened(remote)) == list(range(20))


def test_times_may_lie_in_it(tmp_path: Path) -> None:
    lines = "".join(f"{at / 5}\n" for at in range(10))
    path = write_zip(tmp_path / "a.zip", range(10), times=lines.encode())
    place = SequencePlace.of("zip", "x/frame_*.jpg", times="times.txt")
    assert opened(path, place).duration_s == pytest.approx(1.8)
    with pytest.raises(Unusable, match=r"there is no x/stamps\.txt in it"):
        opened(path, SequencePlace.of("zip", "x/frame_*.jpg", times="stamps.txt"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_pictures_with_one_name_the_last_counts(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", range(10))
    with zipfile.ZipFile(path, "a") as target:
        target.writestr("x/frame_4.jpg", encoded(77))
    assert numbers_of(opened(path)) == [0, 1, 2, 3, 77, 5, 6, 7, 8, 9]


def test_a_damaged_member_costs_itself(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", range(10))
    data = bytearray(path.read_bytes())
    data[data.index(encoded(4)) + 700] ^= 1
    path.write_bytes(data)
    stream = opened(path)
    assert numbers_of(stream) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert "its checksum is wrong" in stream.report.salvaged


def test_members_that_lay_before_the_file_begins_cost_themselves(tmp_path: Path) -> None:
    """As of a zip whose first bytes were lost."""
    path = write_zip(tmp_path / "a.zip", range(10))
    path.write_bytes(path.read_bytes()[700:])
    stream = opened(path)
    assert numbers_of(stream) == list(range(1, 10))
    assert stream.report.decode_errors == 1


def test_what_cannot_be_unpacked_is_said(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", range(10), zipfile.ZIP_BZIP2)
    with pytest.raises(DecodeError, match="packed in a way that is not read"):
        opened(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(Unusable, match="it is no whole zip"):
        opened(path)
