"""Numbered pictures in tars: what is looked for, and what of a tar is read."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from sofdata.video.config import VideoConfig
from sofdata.video.probe import Unusable
from sofdata.video.ranges import RangeFile
from sofdata.video.sampling import Sampling
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.stream import SequenceStream
from sofdata.video.sequences.tars import look
from tests.sequences import encoded, numbers_of, write_frames_tar

PLACE = SequencePlace.of("tar", "frame_*.jpg", fps=10.0)


def opened(path: Path | RangeFile, place: SequencePlace = PLACE) -> SequenceStream:
    source = path if isinstance(path, RangeFile) else str(path)
    return SequenceStream(source, place, VideoConfig(), Sampling(96, 0.1))


def test_a_look_says_what_kinds_there_are(tmp_path: Path) -> None:
    path = write_frames_tar(tmp_path / "a.tar", range(1, 13), times=b"0", notes=b"")
    found = look(str(path), {"times": "times.txt"})
    assert found == {
        "kinds": [["", "frame_*.jpg", 12, 1, 12]],
        "others": 2,
        "whole": True,
        "files": ["times.txt"],
    }


def test_pictures_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    path = write_frames_tar(tmp_path / "a.tar", reversed(range(20)), "./x/frame_{}.jpg")
    place = SequencePlace.of("tar", "x/frame_*.jpg", fps=10.0)
    assert numbers_of(opened(path, place)) == list(range(20))
    data = path.read_bytes()
    remote = RangeFile("a.tar", len(data), lambda start, end: data[start:end])
    assert numbers_of(opened(remote, place)) == list(range(20))


def test_links_and_folders_are_no_pictures(tmp_path: Path) -> None:
    path = write_frames_tar(tmp_path / "a.tar", range(10))
    with tarfile.open(path, "a") as tar:
        for kind, name in (
            (tarfile.SYMTYPE, "frame_11.jpg"),
            (tarfile.LNKTYPE, "frame_12.jpg"),
            (tarfile.DIRTYPE, "frame_13.jpg"),
            (tarfile.FIFOTYPE, "frame_14.jpg"),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    assert numbers_of(opened(path)) == list(range(10))


def test_a_member_that_is_no_picture_costs_itself(tmp_path: Path) -> None:
    path = write_frames_tar(tmp_path / "a.tar", range(10))
    with tarfile.open(path, "a") as tar:
        for number, data in ((10, b""), (11, b"text"), (12, encoded(12))):
            member = tarfile.TarInfo(f"frame_{number:010d}.jpg")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    stream = opened(path)
    assert numbers_of(stream) == [*range(10), 12]
    assert stream.report.decode_errors == 2


@pytest.mark.parametrize("end", [1, 0.5, 0.33])
def test_a_cut_is_told(tmp_path: Path, end: float) -> None:
    path = write_frames_tar(tmp_path / "a.tar", range(20))
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[: int(end * size)])
    stream = opened(path)
    found = numbers_of(stream)
    assert found == list(range(len(found)))
    assert ("the tar is cut off" in stream.report.salvaged) == (end < 1)
    assert look(str(path), {})["whole"] == (end == 1)


@pytest.mark.parametrize("content", [b"", b"no tar" * 999, b"\x1f\x8b" + bytes(600)])
def test_what_is_no_tar_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(Unusable, match="no tar can be read"):
        opened(tmp_path / "a.tar")


def test_a_tar_without_such_pictures_is_said(tmp_path: Path) -> None:
    path = write_frames_tar(tmp_path / "a.tar", range(3), "y{}.jpg")
    with pytest.raises(Unusable, match=r"holds no picture named frame_\*\.jpg"):
        opened(path)
