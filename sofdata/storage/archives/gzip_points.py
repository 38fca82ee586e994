"""Entering a gzip file in the middle, from restart points that a first pass has left.

The points are those of `indexed_gzip`: every `SPACING` bytes the place in the compressed file and
the 32 KiB before it, in a file of that library's format (https://github.com/pauldmccarthy/
indexed_gzip, zran.c). That file is not loaded as a whole, as it may have some hundred MB: each
reader is given the few points that it needs.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np

SPACING = 4 << 20  # bytes, unpacked; on average half of it is unpacked to enter anywhere
_HEAD = struct.Struct("<5sBBQQIII")  # magic, version, flags, sizes, spacing, window, points
_POINT = np.dtype([("packed", "<u8"), ("unpacked", "<u8"), ("bits", "u1"), ("window", "u1")])
# A spacing at which a reader makes hardly any points of its own. Not more: four times it has to fit
# into 32 bits in zran.c, which else divides by zero and takes the process with it.
_NEVER = 1 << 28


def reader(handle: Any, points: Path, build: bool = False) -> Any:
    """A file that unpacks `handle`, with seek and read, from the points that lie at `points`.

    build: gather points while reading instead, for its `export_index`.
    """
    from indexed_gzip import _IndexedGzipFile

    if build or not points.exists():
        return _IndexedGzipFile(fileobj=handle, spacing=SPACING, skip_crc_check=True)
    return _Entered(handle, points)


def read(handle: Any, points: Path, start: int, end: int) -> bytes:
    """The unpacked bytes from `start` to `end`. Raises `OSError` where they cannot be had."""
    file = _entered(handle, points, start)
    return bytes(file.read(end - start))


def size(points: Path) -> int:
    """Bytes of the unpacked file."""
    with points.open("rb") as file:
        return int(_HEAD.unpack(file.read(_HEAD.size))[4])


def whole(points: Path) -> bool:
    """Whether a file of points is as long as its head says."""
    with points.open("rb") as file:
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return False
        *_, window, number = _HEAD.unpack(head)
        table = file.read(number * _POINT.itemsize)
    if len(table) < number * _POINT.itemsize:
        return False
    windows = int(np.frombuffer(table, _POINT)["window"].sum()) * window
    return bool(points.stat().st_size == len(head) + len(table) + windows)


def _entered(handle: Any, points: Path, offset: int) -> Any:
    """A file that stands at `offset`, and reads on from there."""
    from indexed_gzip import _IndexedGzipFile

    file = _IndexedGzipFile(fileobj=handle, spacing=_NEVER, skip_crc_check=True)
    if near := _around(points, offset):
        file.import_index(fileobj=io.BytesIO(near))
    file.seek(offset)
    return file


def _around(points: Path, offset: int) -> bytes:
    """A file of points that holds the first one, the last one up to `offset`, and the next.

    Empty where there are none, as for a file smaller than what is read at once.
    """
    with points.open("rb") as file:
        *head, number = _HEAD.unpack(file.read(_HEAD.size))
        window = head[6]
        if not number:
            return b""
        table = np.frombuffer(file.read(number * _POINT.itemsize), _POINT)
        at = max(0, int(np.searchsorted(table["unpacked"], offset, side="right")) - 1)
        chosen = sorted({0, at, min(at + 1, number - 1)})
        before = np.cumsum(table["window"]) - table["window"]
        windows = b""
        for each in chosen:
            if table["window"][each]:
                file.seek(_HEAD.size + table.nbytes + int(before[each]) * window)
                windows += file.read(window)
    return _HEAD.pack(*head, len(chosen)) + table[chosen].tobytes() + windows


class _Entered:
    """Reads on as long as reads follow each other, and enters anew where they do not."""

    def __init__(self, handle: Any, points: Path) -> None:
        self._handle, self._points = handle, points
        self._file: Any = None
        self._at = 0

    def seek(self, offset: int) -> None:
        if self._file is None or not 0 <= offset - self._at < SPACING:
            self._file = _entered(self._handle, self._points, offset)
        elif offset != self._at:
            self._file.seek(offset)
        self._at = offset

    def read(self, number: int) -> bytes:
        data = bytes(self._file.read(number))
        self._at += len(data)
        return data
