"""`sofdata.shards.tar`: equal samples give equal bytes, and damage is seen."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from sofdata.errors import InputError
from sofdata.shards.tar import TarWriter, read_sample_at, read_samples

SAMPLES = {
    "a-1": {"json": b"{}", "flow.jpg": b"x" * 700},
    "b-2": {"json": b"[1]", "flow.jpg": b"y" * 512},
    "c-3": {"json": b"", "flow.jpg": b"z"},
}


def write(path: Path, samples: dict[str, dict[str, bytes]]) -> list[int]:
    writer = TarWriter(str(path))
    offsets = [writer.add(key, members) for key, members in samples.items()]
    writer.finish()
    return offsets


def read(data: bytes) -> dict[str, dict[str, bytes]]:
    return {key: members for key, _, members in read_samples(io.BytesIO(data), "s.tar")}


def test_samples_come_back_as_written(tmp_path: Path) -> None:
    offsets = write(tmp_path / "s.tar", SAMPLES)
    data = (tmp_path / "s.tar").read_bytes()
    assert read(data) == SAMPLES
    assert [offset for _, offset, _ in read_samples(io.BytesIO(data), "s.tar")] == offsets


def test_a_sample_is_read_at_its_offset(tmp_path: Path) -> None:
    offsets = write(tmp_path / "s.tar", SAMPLES)
    with open(tmp_path / "s.tar", "rb") as stream:
        for offset, (key, members) in zip(offsets, SAMPLES.items(), strict=True):
            assert read_sample_at(stream, offset, "s.tar") == (key, members)
        with pytest.raises(InputError, match="no sample at byte 512"):
            read_sample_at(stream, 512, "s.tar")


def test_equal_samples_give_equal_bytes(tmp_path: Path) -> None:
    write(tmp_path / "1.tar", SAMPLES)
    write(tmp_path / "2.tar", {key: dict(reversed(m.items())) for key, m in SAMPLES.items()})
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()


def test_rollback_leaves_no_trace(tmp_path: Path) -> None:
    write(tmp_path / "1.tar", SAMPLES)
    writer = TarWriter(str(tmp_path / "2.tar"))
    for key, members in SAMPLES.items():
        writer.add(key, members)
        start = writer.position()
        writer.add("gone-0", {"json": b"w" * 5000})
        writer.rollback(start)
    writer.finish()
    assert writer.samples == len(SAMPLES)
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()


def test_tar_program_format_is_plain_ustar(tmp_path: Path) -> None:
    write(tmp_path / "s.tar", SAMPLES)
    with tarfile.open(tmp_path / "s.tar") as archive:
        members = archive.getmembers()
    assert members[0].name == "a-1.flow.jpg"
    assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in members} == {(0, 0, 0, "", 0o644)}


def test_a_shard_cut_anywhere_before_its_end_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "s.tar", SAMPLES)
    data = (tmp_path / "s.tar").read_bytes()
    end = len(data.rstrip(b"\0")) // 512 * 512 + 2 * 512
    for cut in range(0, end, 256):
        with pytest.raises(InputError, match=r"s\.tar"):
            read(data[:cut])


@pytest.mark.parametrize(
    "name", ["../a.json", "/etc/a.json", "a/b.json", "a", "a.b c", ".json", "a" * 90 + ".json"]
)
def test_a_member_with_another_name_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="not a plain file named KEY"):
        read(_tar(tarfile.TarInfo(name)))


def test_a_link_is_refused() -> None:
    link = tarfile.TarInfo("a-1.json")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(InputError, match="not a plain file"):
        read(_tar(link))


def test_a_sample_that_comes_twice_is_refused() -> None:
    names = ("a-1.json", "b-2.json", "a-1.json")
    with pytest.raises(InputError, match="duplicate sample a-1"):
        read(_tar(*(tarfile.TarInfo(name) for name in names)))


def _tar(*members: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for member in members:
            archive.addfile(member)
    return buffer.getvalue()


def test_what_is_written_is_hashed_also_after_a_rollback(tmp_path: Path) -> None:
    writer = TarWriter(str(tmp_path / "s.tar"))
    for key, members in SAMPLES.items():
        start = writer.position()
        for _ in range(2):  # twice from the same position
            writer.add("gone-0", {"json": b"w" * 5000})
            writer.rollback(start)
        writer.add(key, members)
    writer.finish()
    data = (tmp_path / "s.tar").read_bytes()
    assert writer.hashes() == (hashlib.sha256(data).hexdigest(), hashlib.md5(data).hexdigest())


@pytest.mark.parametrize("size", [0, 1, 511, 512, 5000])
@pytest.mark.parametrize("key", ["a", "clip-0123456789abcdef-000012", "k" * 80])
def test_headers_are_those_of_tarfile(tmp_path: Path, key: str, size: int) -> None:
    write(tmp_path / "s.tar", {key: {"flow.jpg": b"x" * size, "json": b"{}"}})
    info = tarfile.TarInfo(f"{key}.flow.jpg")
    info.size, info.mode = size, 0o644
    with (tmp_path / "s.tar").open("rb") as file:
        assert file.read(512) == info.tobuf(tarfile.USTAR_FORMAT)
    with tarfile.open(tmp_path / "s.tar") as archive:
        assert archive.getnames() == [f"{key}.flow.jpg", f"{key}.json"]
