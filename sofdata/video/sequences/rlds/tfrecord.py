"""TFRecord files: records one after the other, each with checksums of its length and of its data.

    uint64  length of the data, little-endian
    uint32  masked CRC-32C of those eight bytes
    bytes   data
    uint32  masked CRC-32C of the data

https://www.tensorflow.org/tutorials/load_data/tfrecord, "TFRecords format details". There is no
index: a record is found by the lengths of those before it. The data need not be read for that.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import google_crc32c

from sofdata.video.probe import Unusable
from sofdata.video.progress import PROGRESS
from sofdata.video.sequences.base import damaged

HEAD_BYTES, TAIL_BYTES = 12, 4
CHUNK_BYTES = 1 << 20
_MASK = 0xA282EAD8
# How other files begin: compressed ones, with what unpacks them, and what Git LFS leaves.
_PACKED = (
    (b"\x1f\x8b", "GZIP", "gunzip"),
    (b"BZh", "bzip2", "bunzip2"),
    (b"\xfd7zXZ\0", "xz", "unxz"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unzstd"),
)
_POINTER = b"version http"


@dataclass(frozen=True, slots=True)
class Record:
    """Where the data of a record lies in its file: `size` bytes from `start` on."""

    start: int
    size: int

    @property
    def end(self) -> int:
        return self.start + self.size


def records(file: BinaryIO, size_bytes: int) -> Iterator[Record]:
    """The records of a file of this size, in order; of each its length is read and checked.

    Raises `Unusable` where the file is compressed, is none of this kind or ends too early; what
    came before stands.
    """
    position = 0
    while position < size_bytes:
        PROGRESS.packets += 1
        record = _record(file, position)
        if record.end + TAIL_BYTES > size_bytes:
            there = max(0, size_bytes - record.start)
            what = f"the record at byte {position} has {there} of its {record.size} bytes"
            raise damaged(f"the file is cut off: {what}")
        yield record
        position = record.end + TAIL_BYTES


def check(file: BinaryIO, record: Record) -> None:
    """Read a record through and compare its checksums. Raises `Unusable` where they are wrong."""
    found = _record(file, record.start - HEAD_BYTES)
    if found != record:
        raise damaged(
            f"at byte {record.start} is a record of {found.size} bytes, not {record.size}"
        )
    crc, left = 0, record.size
    while left:
        PROGRESS.packets += 1
        data = file.read(min(left, CHUNK_BYTES))
        if not data:
            raise damaged(f"the file ends within the record at byte {record.start}")
        crc, left = google_crc32c.extend(crc, data), left - len(data)
    if masked(crc) != int.from_bytes(file.read(TAIL_BYTES), "little"):
        raise damaged(f"the checksum of the record at byte {record.start} is wrong")


def masked(crc: int) -> int:
    """A CRC-32C as TFRecord files hold it."""
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


def _record(file: BinaryIO, position: int) -> Record:
    file.seek(position)
    head = file.read(HEAD_BYTES)
    if len(head) < HEAD_BYTES:
        raise damaged(f"the file is cut off: it ends within the head of the record at {position}")
    length, crc = struct.unpack("<QI", head)
    if masked(google_crc32c.value(head[:8])) == crc:
        return Record(position + HEAD_BYTES, length)
    if position == 0:
        raise _no_tfrecord(head)
    what = f"the checksum of the length at byte {position} is wrong"
    raise damaged(f"{what}, so nothing from there on can be found")


def _no_tfrecord(head: bytes) -> Unusable:
    """What else a file is, by its first `HEAD_BYTES`."""
    if head.startswith(_POINTER):
        return damaged("it is a pointer of Git LFS, not the file: fetch that, as by git lfs pull")
    is_zlib = head[0] == 0x78 and not int.from_bytes(head[:2]) % 31
    packed = {"ZLIB": "zlib-flate -uncompress"} if is_zlib else {}
    packed |= {kind: how for mark, kind, how in _PACKED if head.startswith(mark)}
    for kind, how in packed.items():
        what = f"the TFRecord file is compressed as a whole ({kind}), in which no episode is found"
        return Unusable("compressed", f"{what}: decompress it first, as by {how}")
    return damaged("it is no TFRecord file: the checksum of its first length is wrong")
