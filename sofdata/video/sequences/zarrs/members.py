"""The members of a zip by their names, in little memory: 699,000 are in UMI's largest store.

`zipfile` makes an object of 0.7 KB of each. Here the directory of the zip stays as it is
(APPNOTE.TXT 4.3.12), 0.1 KB a member, and where each begins in it is found by a hash.
"""

from __future__ import annotations

import itertools
import os
import struct
from array import array
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

from sofdata.video.progress import PROGRESS

MOST_DIRECTORY_BYTES = 1 << 30
END_BYTES = (1 << 16) + 22  # of the end record, whose comment may be long
_END = struct.Struct("<4s4H2LH")  # 4.3.16
_END_64 = struct.Struct("<4sQ2H2L4Q")  # 4.3.14
_LOCATOR_64 = struct.Struct("<4sLQL")  # 4.3.15
_ENTRY = struct.Struct("<4s4H2H3L3H2H2L")  # 4.3.12
_WIDE = 0xFFFFFFFF  # the number is in an extra field
_BEATS = 1 << 14  # members from one sign of life to the next
_FIRST_BYTES = 1 << 16  # of a directory, to see what a zip may hold


class Member(NamedTuple):
    """A file in a zip: where its header begins, its size as it is stored and unpacked, its sum."""

    offset: int
    packed: int
    size: int
    crc: int


class Members:
    """The directory of a zip. Of members with one name the last counts.

    Raises `ValueError` for a file that is no whole zip.
    """

    def __init__(self, file: BinaryIO) -> None:
        start, size, self._moved = _directory(file)
        if size > MOST_DIRECTORY_BYTES:
            raise ValueError(f"its directory has {size} bytes; {MOST_DIRECTORY_BYTES} are read")
        file.seek(start)
        self._data = file.read(size)
        if len(self._data) < size:
            raise ValueError("it ends before its directory")
        found, places = array("q"), array("q")
        for place, name in _entries(self._data):
            found.append(hash(name))
            places.append(place)
        hashes = np.frombuffer(found, np.int64)
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._places = hashes[order], np.frombuffer(places, np.int64)[order]

    def __iter__(self) -> Iterator[str]:
        """The names, in the order of the zip; one that came twice comes twice."""
        for _, name in _entries(self._data):
            yield name.decode(errors="surrogateescape")

    def get(self, key: str) -> Member | None:
        """The last member of this name."""
        name = key.encode(errors="surrogateescape")
        wanted = hash(name)
        end = int(np.searchsorted(self._hashes, wanted, "right"))
        while end > 0 and self._hashes[end - 1] == wanted:
            end -= 1
            place = int(self._places[end])
            if self._name(place) == name:
                return self._member(place)
        return None

    def _name(self, place: int) -> bytes:
        (length,) = struct.unpack_from("<H", self._data, place + 28)
        return self._data[place + _ENTRY.size : place + _ENTRY.size + length]

    def _member(self, place: int) -> Member:
        fields = _ENTRY.unpack_from(self._data, place)
        crc, packed, size, name, extra = fields[7:12]
        offset = fields[-1]
        begin = place + _ENTRY.size + name
        wide = _wide(self._data[begin : begin + extra])
        size, packed, offset = (
            next(wide, _WIDE) if each == _WIDE else each for each in (size, packed, offset)
        )
        return Member(offset + self._moved, packed, size, crc)


def first_names(file: BinaryIO) -> Iterator[str]:
    """The names at the beginning of a zip's directory, of which little is read; none of no zip."""
    try:
        start, size, _ = _directory(file)
        file.seek(start)
        for _, name in _entries(file.read(min(size, _FIRST_BYTES))):
            yield name.decode(errors="surrogateescape")
    except (ValueError, struct.error):  # as where the rest of the directory was not read
        return


def _entries(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Where each entry begins in a directory, and its name.

    Up to the end of the directory: old writers count to 65,535 only.
    """
    place = 0
    for number in itertools.count():
        if place == len(data):
            return
        if number % _BEATS == 0:
            PROGRESS.packets += 1
        if data[place : place + 4] != b"PK\1\2" or len(data) < place + _ENTRY.size:
            raise ValueError("its directory is damaged")
        name, extra, comment = struct.unpack_from("<3H", data, place + 28)
        begin = place + _ENTRY.size
        yield place, data[begin : begin + name]
        place = begin + name + extra + comment


def _wide(extra: bytes) -> Iterator[int]:
    """The numbers of 64 bits in the extra fields of an entry (4.5.3)."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<2H", extra)
        if kind == 1:
            yield from (each for (each,) in struct.iter_unpack("<Q", extra[4 : 4 + size // 8 * 8]))
            return
        extra = extra[4 + size :]


def _directory(file: BinaryIO) -> tuple[int, int, int]:
    """Where the directory begins, its bytes, and by how much all offsets are off.

    That is where something stands before the zip.
    """
    whole = file.seek(0, os.SEEK_END)
    tail_at = max(0, whole - END_BYTES)
    file.seek(tail_at)
    tail = file.read(END_BYTES)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) < at + _END.size:
        raise ValueError("its end is missing")
    *_, size, offset, _ = _END.unpack_from(tail, at)
    end = tail_at + at
    locator = tail[max(0, at - _LOCATOR_64.size) : at]
    if locator[:4] == b"PK\6\7":
        end = _LOCATOR_64.unpack(locator)[2]
        file.seek(end)
        record = file.read(_END_64.size)
        if len(record) < _END_64.size or record[:4] != b"PK\6\6":
            raise ValueError("its end is damaged")
        size, offset = _END_64.unpack(record)[-2:]
    start = end - size
    if start < 0:
        raise ValueError("its end is damaged")
    return start, size, start - offset
