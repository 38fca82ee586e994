"""The directory of a zip is read as `zipfile` reads it, in less memory."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from pathlib import Path

import pytest

from sofdata.video.sequences.zarrs.files import ZipFiles
from sofdata.video.sequences.zarrs.members import Members


def written(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return target.getvalue()


def test_every_member_is_found_as_zipfile_finds_it() -> None:
    data = written({f"data/{number}.0": bytes(number) for number in range(300)})
    found = Members(io.BytesIO(data))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert list(found) == archive.namelist()
        for info in archive.infolist():
            wanted = (info.header_offset, info.compress_size, info.file_size, info.CRC)
            assert found.get(info.filename) == wanted
    assert found.get("data/300.0") is None


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_members_of_one_name_the_last_counts(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for text in ("first", "second", "third"):
            archive.writestr("a", text)
    assert ZipFiles(str(tmp_path / "a.zip")).read("a") == b"third"


def test_more_members_than_an_end_record_can_count() -> None:
    found = Members(io.BytesIO(written({str(number): b"" for number in range(70_000)})))
    assert sum(1 for _ in found) == 70_000
    assert found.get("69999") is not None


def test_numbers_of_64_bits(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive, archive.open("big", "w", force_zip64=True) as file:
        file.write(b"content")
    assert ZipFiles(str(path)).read("big") == b"content"


def test_members_beyond_4_gib_are_found(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with path.open("wb") as file:
        file.truncate(5 << 30)  # a hole
        file.seek(5 << 30)
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a", b"first")
            archive.writestr("b", b"second")
    files = ZipFiles(str(path))
    assert (files.read("a"), files.read("b")) == (b"first", b"second")


def test_bytes_before_the_zip_and_a_comment_behind(tmp_path: Path) -> None:
    data = io.BytesIO(written({"a": b"first", "b": b"second"}))
    with zipfile.ZipFile(data, "a") as archive:
        archive.comment = b"PK" * 500
    path = tmp_path / "a.zip"
    path.write_bytes(b"#!/bin/sh" + data.getvalue())
    files = ZipFiles(str(path))
    assert (files.read("a"), files.read("b", 2, 4)) == (b"first", b"co")


def test_deflated_members_and_parts_of_them(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(written({"a": b"0123456789" * 99}, zipfile.ZIP_DEFLATED))
    assert ZipFiles(str(path)).read("a", 11, 13) == b"12"


def test_a_damaged_directory_is_no_crash() -> None:
    """Whatever bytes of it are changed, there are members, or an error that says so."""
    data = written({f"{number}.0": bytes(9) for number in range(20)})
    chance = random.Random(0)
    for _ in range(2000):
        torn = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            torn[chance.randrange(len(torn) // 2, len(torn))] = chance.randrange(256)
        try:
            found = Members(io.BytesIO(bytes(torn[: chance.randint(1, len(torn))])))
        except (ValueError, struct.error):
            continue
        for name in found:
            found.get(name)
