"""Records of a ROS 1 bag, version 2.0: https://wiki.ros.org/Bags/Format/2.0."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

MESSAGE, BAG, INDEX, CHUNK, CHUNK_INFO, CONNECTION = 2, 3, 4, 5, 6, 7
MOST_HEADER_BYTES = 1 << 24  # that of a connection holds the whole definition of its type
# A chunk that is compressed has to be unpacked as a whole; rosbag makes them of 768 KiB.
MOST_CHUNK_BYTES = 1 << 29
_INDEX_ROW = np.dtype([("sec", "<u4"), ("nsec", "<u4"), ("offset", "<u4")])
_UINT32, _UINT64 = struct.Struct("<I"), struct.Struct("<Q")


class BadRecord(Exception):
    """What lies here is no record, or ends before it should."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record without its data. fields: of its header. data_pos, data_bytes: where these lie."""

    fields: dict[str, bytes]
    data_pos: int
    data_bytes: int

    @property
    def op(self) -> int:
        """What kind of record this is."""
        return self._number("op", struct.Struct("<B"))

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.data_pos + self.data_bytes

    def uint32(self, name: str) -> int:
        """Raises `BadRecord` where there is no such number."""
        return self._number(name, _UINT32)

    def uint64(self, name: str) -> int:
        """Raises `BadRecord` where there is no such number."""
        return self._number(name, _UINT64)

    def time_ns(self, name: str) -> int:
        """Raises `BadRecord` where there is no such time."""
        value = self._number(name, _UINT64)
        return (value & 0xFFFFFFFF) * 10**9 + (value >> 32)

    def text(self, name: str) -> str:
        """A text, "" where there is none."""
        return text_of(self.fields.get(name, b""))

    def _number(self, name: str, kind: struct.Struct) -> int:
        try:
            return int(kind.unpack(self.fields[name])[0])
        except (KeyError, struct.error):
            raise BadRecord(f"a record lacks '{name}'") from None


def record_at(file: BinaryIO, position: int) -> Record:
    """The record that begins at a position. Raises `BadRecord`."""
    file.seek(position)
    header = _sized(file, MOST_HEADER_BYTES)
    data_bytes = _uint32(file)
    return Record(fields_of(header), position + 8 + len(header), data_bytes)


def data_of(file: BinaryIO, record: Record, most_bytes: int) -> bytes:
    """The data of a record. Raises `BadRecord` where they are more, or not all there."""
    if record.data_bytes > most_bytes:
        raise BadRecord(f"a record of {record.data_bytes} bytes, more than the {most_bytes} read")
    file.seek(record.data_pos)
    return _exactly(file, record.data_bytes)


def fields_of(header: bytes) -> dict[str, bytes]:
    """The fields of a header. Raises `BadRecord`."""
    fields, position = {}, 0
    while position < len(header):
        if position + 4 > len(header):
            raise BadRecord("a header ends within a field")
        size = int(_UINT32.unpack_from(header, position)[0])
        position += 4
        name, equals, value = header[position : position + size].partition(b"=")
        position += size
        if not equals or position > len(header):
            raise BadRecord("a header holds what is no field")
        fields[text_of(name)] = value
    return fields


def text_of(value: bytes) -> str:
    """Bytes as text; what is no UTF-8 is marked in it."""
    return value.decode(errors="replace")


def index_rows(data: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Times, ns, and offsets in the chunk, of the data of an index record. Raises `BadRecord`."""
    if len(data) % _INDEX_ROW.itemsize:
        raise BadRecord("an index of a chunk has no whole number of rows")
    rows = np.frombuffer(data, _INDEX_ROW)
    times_ns = rows["sec"].astype(np.int64) * 10**9 + rows["nsec"]
    return times_ns, rows["offset"].astype(np.int64)


def _uint32(file: BinaryIO) -> int:
    return int(_UINT32.unpack(_exactly(file, 4))[0])


def _sized(file: BinaryIO, most_bytes: int) -> bytes:
    size = _uint32(file)
    if size > most_bytes:
        raise BadRecord(f"a header of {size} bytes")
    return _exactly(file, size)


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise BadRecord("the file ends within a record")
    return data
