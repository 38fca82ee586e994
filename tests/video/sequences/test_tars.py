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
        "ignored": {"file that is no numbered picture": 1},
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
    stream = opened(path)
    assert numbers_of(stream) == list(range(10))
    assert stream.report.decode_errors == 1  # the hard link, which leads to nothing in the tar
    assert look(str(path), {})["ignored"] == {"link": 2}


def test_a_hard_link_is_the_picture_that_it_leads_to(tmp_path: Path) -> None:
    """As tar writes a picture that two names share."""
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for number in range(12):
            member = tarfile.TarInfo(f"./x/frame_{number}.jpg")
            if number % 3 == 1:
                member.type, member.linkname = tarfile.LNKTYPE, f"./x/frame_{number - 1}.jpg"
                tar.addfile(member)
            else:
                member.size = len(encoded(number))
                tar.addfile(member, io.BytesIO(encoded(number)))
    stream = opened(path, SequencePlace.of("tar", "x/frame_*.jpg", fps=10.0))
    assert numbers_of(stream) == [0, 0, 2, 3, 3, 5, 6, 6, 8, 9, 9, 11]
    assert stream.report.salvaged == ""


def test_a_hard_link_may_lead_to_another_folder(tmp_path: Path) -> None:
    """As where a split is a folder of links into that of all; one leads to nothing in the tar."""
    path = write_frames_tar(tmp_path / "a.tar", range(10), "all/frame_{}.jpg")
    with tarfile.open(path, "a") as tar:
        for number in range(10):
            member = tarfile.TarInfo(f"train/frame_{number}.jpg")
            member.type = tarfile.LNKTYPE
            member.linkname = f"all/frame_{number}.jpg" if number != 7 else "all/none.jpg"
            tar.addfile(member)
    stream = opened(path, SequencePlace.of("tar", "train/frame_*.jpg", fps=10.0))
    assert numbers_of(stream) == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    assert stream.report.decode_errors == 1


def test_of_pictures_with_one_name_the_last_counts(tmp_path: Path) -> None:
    """As where a tar was brought up to date by tar --append, and as it would be unpacked."""
    path = write_frames_tar(tmp_path / "a.tar", range(100, 112), "frame_{}.jpg")
    with tarfile.open(path, "a") as tar:
        member = tarfile.TarInfo("frame_105.jpg")
        member.size = len(encoded(5))
        tar.addfile(member, io.BytesIO(encoded(5)))
    stream = opened(path)
    assert numbers_of(stream) == [*range(100, 105), 5, *range(106, 112)]
    assert "1 pictures are in the tar more than once" in stream.report.salvaged


def test_what_macos_adds_to_pictures_is_no_picture(tmp_path: Path) -> None:
    path = write_frames_tar(tmp_path / "a.tar", range(10))
    with tarfile.open(path, "a") as tar:
        for number in range(10):
            tar.addfile(tarfile.TarInfo(f"./._frame_{number:010d}.jpg"))
    found = look(str(path), {})
    assert found["kinds"] == [["", "frame_*.jpg", 10, 0, 9]]
    assert found["ignored"] == {"hidden": 10}


def test_names_that_are_no_text_are_counted(tmp_path: Path) -> None:
    path = write_frames_tar(tmp_path / "a.tar", range(3), "caf\udce9/{}.jpg")
    assert look(str(path), {})["ignored"] == {"name that is no UTF-8": 3}


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


def test_a_damaged_header_does_not_end_a_tar_in_silence(tmp_path: Path) -> None:
    path = write_frames_tar(tmp_path / "a.tar", range(20))
    data = bytearray(path.read_bytes())
    at = data.index(b"frame_0000000012.jpg")
    data[at : at + 512] = b"x" * 512
    path.write_bytes(data)
    stream = opened(path)
    assert numbers_of(stream) == list(range(12))
    assert "the tar is cut off or damaged" in stream.report.salvaged


@pytest.mark.parametrize("content", [b"", b"no tar" * 999, b"\x1f\x8b" + bytes(600)])
def test_what_is_no_tar_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(Unusable, match="no tar can be read"):
        opened(tmp_path / "a.tar")


def test_a_tar_without_such_pictures_is_said(tmp_path: Path) -> None:
    path = write_frames_tar(tmp_path / "a.tar", range(3), "y{}.jpg")
    with pytest.raises(Unusable, match=r"holds no picture named frame_\*\.jpg"):
        opened(path)
