"""The headers of a tar, one after the other: what lies where. Nothing is unpacked, or kept.

Python's `tarfile` believes what a header says: a negative size leads it back to where it was, over
and over, the header of a long name is read into memory however long it says that it is, and one
that makes no sense ends a tar as if it was whole, or raises whatever comes of it. All of that is an
error of the tar here.
"""

from __future__ import annotations

import re
import sys
import tarfile
from collections.abc import Iterator
from typing import Any, BinaryIO

MOST_HEADER_BYTES = 1 << 16  # of what lies before a member: its long name, times, rights
# Pieces of headers before a member: `tarfile` calls itself for each, and indexed_gzip, which reads
# for it, crashes where Python allows no more calls.
MOST_PIECES = 256
MOST_GLOBALS = 1 << 10  # what a tar may say of all of its members, which is copied for each
_BLOCK = tarfile.BLOCKSIZE
# More digits than any name has, over which the patterns of `tarfile` take minutes (CVE-2024-6232).
_DIGITS = re.compile(rb"[0-9]{400}")
# What `tarfile` raises over numbers and texts that are none, and over headers of headers.
_WRONG = (ArithmeticError, LookupError, RecursionError, ValueError)


class TarHeaders:
    """The members of a tar; iterate over it once.

    file: read from where it stands; never sought back while its headers are gone through, unless
    what they say makes no sense.
    whole: whether the mark of a tar's end was come to; False before. One that is cut off between
    two members lacks it, as one does whose headers are damaged from some place on.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.whole = False
        self.count = 0
        self._file = file

    def __iter__(self) -> Iterator[tarfile.TarInfo]:
        """Folders and links among them. Raises `tarfile.TarError`, and `OSError` of the file."""
        source: Any = _Bounded(self._file)
        last = -1
        try:
            with tarfile.open(fileobj=source, mode="r:") as tar:
                while (member := tar.next()) is not None:
                    if member.size < 0 or not last < member.offset < tar.offset <= sys.maxsize:
                        raise tarfile.ReadError(f"the header at byte {last + 1} makes no sense")
                    if len(tar.pax_headers) > MOST_GLOBALS:
                        raise tarfile.ReadError(f"more than {MOST_GLOBALS} headers of all members")
                    last = member.offset
                    self.count += 1
                    source.count = 0
                    vars(tar)["members"].clear()  # which keeps all of them otherwise
                    yield member
                self.whole = source.last == bytes(_BLOCK)
        except _WRONG as error:
            raise tarfile.ReadError(f"a header makes no sense: {error}") from None

    def read(self, member: tarfile.TarInfo) -> bytes:
        """The bytes of a member, which is the caller's to bound; what is there of one cut off."""
        self._file.seek(member.offset_data)
        return self._file.read(member.size)


class _Bounded:
    """A file as `tarfile` reads its headers.

    last: what was read last. count: pieces read for the member that comes next.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.last = b""
        self.count = 0
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        if size > MOST_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size} bytes")
        self.count += 1
        if self.count > MOST_PIECES:
            raise tarfile.ReadError(f"more than {MOST_PIECES} headers of a member: makes no sense")
        data = self._file.read(size)
        if _DIGITS.search(data):
            raise tarfile.ReadError("a header of nothing but digits")
        self.last = data
        return data
