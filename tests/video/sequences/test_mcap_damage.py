"""MCAP files without their summary, cut off, damaged, and made to do harm."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
import zstandard

from sofdata.video.probe import Unusable
from sofdata.video.sequences import mcap
from sofdata.video.sequences.mcaps.recording import Recording
from sofdata.video.sequences.mcaps.records import Damage, records
from sofdata.video.sequences.place import SequencePlace
from tests.mcaps import (
    BARE,
    COMPRESSION,
    IMAGE,
    LATENCY_NS,
    Say,
    by_time,
    image,
    images,
    opened,
    said,
    shown,
    topic,
    write,
)
from tests.robots import array, ros_message
from tests.sequences import numbers_of


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
@pytest.mark.parametrize("chunk_size", [200_000, 10_000_000])
def test_of_a_cut_file_what_comes_before_the_cut_is_used(
    tmp_path: Path, compression: str, chunk_size: int
) -> None:
    path = write(
        tmp_path / "a.mcap",
        images(range(100), noise=30_000),
        compression=COMPRESSION[compression],
        chunk_size=chunk_size,
    )
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    stream = opened(path)
    found = numbers_of(stream)
    assert 40 <= len(found) <= 50
    assert found == list(range(len(found)))
    assert f"the file is cut off at byte {len(data) // 2}" in stream.report.salvaged
    said_ = mcap.look(str(path), {})
    assert said_["topics"][0]["count"] == len(found)
    assert said_["damage"]


def test_a_file_that_lacks_only_its_end_loses_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mcap", images(range(20)))
    path.write_bytes(path.read_bytes()[:-8])
    assert shown(path) == list(range(20))


def chunks(path: Path) -> list[tuple[int, int]]:
    """Where the bodies of the chunks of a file begin, and how long they are."""
    with path.open("rb") as file:
        return [
            (each.start, each.length)
            for each in records(file, 8, path.stat().st_size)
            if not isinstance(each, Damage) and each.kind == 6
        ]


def spoil(path: Path, at: int, by: bytes = b"\xff\x00\xff") -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(by)


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
@pytest.mark.parametrize("settings", [{}, BARE])
def test_a_chunk_that_fails_its_checksum_is_not_used(
    tmp_path: Path, compression: str, settings: dict[str, Any]
) -> None:
    path = write(
        tmp_path / "a.mcap", images(range(40)), compression=COMPRESSION[compression], **settings
    )
    start, length = chunks(path)[3]
    spoil(path, start + length // 2)
    stream = opened(path)
    found = [number for number in numbers_of(stream) if number is not None]
    lost = 40 - len(found)
    assert 0 < lost < 8
    assert (
        sorted(set(range(40)) - set(found))
        == list(range(min(set(range(40)) - set(found)), 40))[:lost]
    )
    assert f"{start}" in stream.report.salvaged or "checksum" in stream.report.salvaged
    if not settings or compression == "none":  # else nothing says how many there were
        assert stream.report.frames_lost == lost


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_chunks_without_a_checksum_are_used(tmp_path: Path, compression: str) -> None:
    """What is passed over in a chunk that is not packed either is not even read."""
    other = images(range(30), "/o", noise=60_000)
    settings = {"compression": COMPRESSION[compression], "chunk_size": 500_000}
    given = by_time(images(range(30), noise=30_000), other)
    path = write(tmp_path / "a.mcap", given, enable_crcs=False, **settings)
    assert shown(path) == shown(path, SequencePlace.of("mcap", "/o")) == list(range(30))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    found = shown(path)
    assert 10 <= len(found) < 20
    assert found == list(range(len(found)))


def test_a_wrong_summary_is_not_believed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mcap", images(range(20)))
    data = path.read_bytes()
    spoil(path, len(data) - 80, b"\xff" * 9)
    with_none = Recording(str(path))
    assert with_none.summary is None
    with_none.close()
    assert shown(path) == list(range(20))
    assert topic(path)["count"] == 20


def test_a_summary_that_counts_more_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mcap", images(range(20)))
    start, _ = chunks(path)[2]
    spoil(path, start - 9, b"\x08")  # a kind that holds no messages
    stream = opened(path)
    assert len(numbers_of(stream)) < 20
    assert "are missing of those that the summary counts" in stream.report.salvaged


@pytest.mark.parametrize("zeros", [16, 100_000])
def test_a_file_that_ends_in_zeros_is_read_up_to_them(tmp_path: Path, zeros: int) -> None:
    path = write(tmp_path / "a.mcap", images(range(20)), **BARE)
    with path.open("rb") as file:
        end = next(
            each.start - 9
            for each in records(file, 8, path.stat().st_size)
            if not isinstance(each, Damage) and each.kind == 0x0F
        )
    path.write_bytes(path.read_bytes()[:end] + bytes(zeros))
    stream = opened(path)
    assert numbers_of(stream) == list(range(20))
    assert "is no record" in stream.report.salvaged


def record(kind: int, body: bytes, length: int | None = None) -> bytes:
    return struct.pack("<BQ", kind, len(body) if length is None else length) + body


def chunk(data: bytes, compression: bytes, size: int) -> bytes:
    head = struct.pack("<QQQII", 0, 0, size, 0, len(compression)) + compression
    return record(6, head + struct.pack("<Q", len(data)) + data)


def before(path: Path) -> bytes:
    """A whole file up to the end of its data."""
    with path.open("rb") as file:
        end = next(
            each.start - 9
            for each in records(file, 8, path.stat().st_size)
            if not isinstance(each, Damage) and each.kind == 0x0F
        )
    return path.read_bytes()[:end]


HOSTILE = {
    "a message of 2^63 bytes": record(5, b"\0" * 22, 1 << 63),
    "a message that is too short": record(5, b"\0" * 5),
    "a channel of nonsense": record(4, b"\xff" * 30),
    "a chunk without a head": record(6, b"\0" * 10),
    "a chunk of another compression": chunk(b"abc", b"xz", 3),
    "a chunk of nonsense": chunk(b"abc" * 40, b"zstd", 1000),
    "a chunk of nonsense in LZ4": chunk(b"abc" * 40, b"lz4", 1000),
    "a chunk that unpacks to more": chunk(zstandard.compress(bytes(1 << 26)), b"zstd", 1000),
    "a chunk that holds a long message": chunk(record(5, b"\0" * 40, 1 << 40), b"", 49),
    "a chunk of 2^64 bytes": chunk(
        zstandard.compress(record(5, struct.pack("<HIQQ", 1, 0, 1, 1) + b"abc", (1 << 64) - 200)),
        b"zstd",
        (1 << 64) - 1,
    ),
    "a time of 2^64 ns": record(5, struct.pack("<HIQQ", 9, 0, (1 << 64) - 1, 1)),
    "records of a newer version": record(0x10, b"new") + record(0x7F, b"new"),
    "private records": record(0x90, b"own"),
    "a schema with a long name": record(3, b"\1\0" + b"\xff\xff\xff\x7f" + b"x" * 40),
}


@pytest.mark.parametrize("harm", HOSTILE)
def test_harmful_records_cost_nothing_else(tmp_path: Path, harm: str) -> None:
    path = write(tmp_path / "a.mcap", images(range(20)), **BARE)
    path.write_bytes(before(path) + HOSTILE[harm])
    assert shown(path) == list(range(20))
    assert topic(path)["count"] == 20


def test_a_bomb_is_unpacked_no_further_than_it_says_and_never_held(tmp_path: Path) -> None:
    """A chunk of half a GiB of zeros says that it holds one MiB."""
    path = write(tmp_path / "a.mcap", images(range(5)), **BARE)
    packer = zstandard.ZstdCompressor().compressobj()
    zeros = bytes(1 << 24)
    bomb = b"".join(packer.compress(zeros) for _ in range(32)) + packer.flush()
    path.write_bytes(before(path) + chunk(bomb, b"zstd", 1 << 20))
    assert shown(path) == list(range(5))


def test_a_message_larger_than_any_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sofdata.video.sequences.mcaps.index.MOST_MESSAGE_BYTES", 20_000)
    monkeypatch.setattr("sofdata.video.sequences.mcaps.look.MOST_MESSAGE_BYTES", 20_000)
    given = images(range(10))
    data = ros_message(2, IMAGE, time_ns=1, format="jpeg", data=array(bytes(30_000)))
    given[4] = Say("/cam", IMAGE, data, given[4].ns)
    stream = opened(write(tmp_path / "a.mcap", given))
    assert numbers_of(stream) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert stream.decoder == "mcap jpeg by log times"  # whose stamp was not looked at
    assert stream.report.decode_errors == 1


@pytest.mark.parametrize("data", [b"", b"\x89MCAP0\r\n", b"#ROSBAG V2.0\n", b"text" * 100])
def test_what_is_no_mcap_file_is_damaged(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.mcap"
    path.write_bytes(data)
    with pytest.raises(Unusable) as refused:
        opened(path)
    assert refused.value.reason == "damaged"


def test_records_of_a_newer_version_are_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mcap", images(range(20)), **BARE)
    at = chunks(path)[1][0] - 9
    data = path.read_bytes()
    path.write_bytes(data[:at] + record(0x10, b"what it is nobody knows yet") + data[at:])
    stream = opened(path)
    assert numbers_of(stream) == list(range(20))
    assert stream.report.salvaged == ""


def test_a_look_tells_nothing_of_a_chunk_that_fails_its_checksum(tmp_path: Path) -> None:
    """Else texts would be on another clock than the pictures, which begin behind that chunk."""
    texts = [said("/task", "one", 0.0), said("/task", "two", 1.0)]
    stored = {**BARE, "compression": COMPRESSION["none"]}
    path = write(tmp_path / "a.mcap", by_time(images(range(20)), texts), **stored)
    start, length = chunks(path)[0]
    spoil(path, start + length - 200)
    found = mcap.look(str(path), {})
    lost = 20 - len(shown(path))
    assert 0 < lost < 10
    (cam,) = found["topics"]
    assert cam["count"] == 20 - lost
    assert cam["first_ns"] == (image(0, at=lost / 10).ns, image(0, at=lost / 10).ns - LATENCY_NS)
    assert [each["text"] for each in found["texts"]] == ["two"]
    assert "checksum" in found["damage"][0]


@pytest.mark.parametrize("settings", [{}, BARE])
def test_a_topic_of_which_all_fails_its_checksum_is_told(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    stored = {**settings, "compression": COMPRESSION["none"], "chunk_size": 1 << 20}
    path = write(tmp_path / "a.mcap", images(range(20)), **stored)
    ((start, length),) = chunks(path)
    spoil(path, start + length - 200)
    found = topic(path)
    assert found["codec"] == found["left_out"] == ""
    assert "fails its checksum" in found["why"]
