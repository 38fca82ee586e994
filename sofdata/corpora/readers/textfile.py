"""Text files written by others, in whatever Unicode: they are given on as UTF-8 without a mark.

Excel writes UTF-16 ("Unicode text") and UTF-8 with a byte order mark, PowerShell UTF-16. Other
encodings cannot be recognised by their bytes, so a byte that is no UTF-8 is an error of the reader
above.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from sofdata.storage.folder import Folder

PIECE = 1 << 16
# Longest first: the mark of UTF-32 begins as that of UTF-16 does.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_HEAD = 64


@contextmanager
def open_utf8(tree: Folder, rel: str) -> Iterator[io.BufferedReader]:
    """Open a text file; what is read is UTF-8 from its first character on. It peeks `PIECE` bytes.

    Raises `OSError`, and `UnicodeDecodeError` while reading what is no UTF-16 after all.
    """
    with tree.open(rel) as handle:
        # Nothing seeks: a file that a server sends without saying its size cannot.
        file: io.BufferedReader = io.BufferedReader(cast(Any, handle), PIECE)
        head = file.peek(_HEAD)[:_HEAD]
        encoding = encoding_of(head)
        if encoding == "utf-8":
            file.read(len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0)
            yield file
        else:
            yield io.BufferedReader(_Recoded(file, encoding), PIECE)


def encoding_of(head: bytes) -> str:
    """The encoding of a text by its first bytes: its mark, or zeros between Latin letters."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    if len(head) >= 8 and not any(head[1:9:2]) and all(head[0:8:2]):
        return "utf-16-le"
    if len(head) >= 8 and not any(head[0:8:2]) and all(head[1:9:2]):
        return "utf-16-be"
    return "utf-8"


def is_text(head: bytes) -> bool:
    """Whether a file that begins with these bytes is text: no control characters but white space.

    Text that is no Unicode may be of any encoding, if most of it is ASCII.
    """
    encoding = encoding_of(head)
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)  # a character may be cut off
    except UnicodeDecodeError:
        text = head.decode("latin-1") if sum(byte < 128 for byte in head) > len(head) // 2 else ""
    odd = sum(ord(each) < 32 and each not in "\t\n\r\f\x1b" for each in text) + text.count("\x7f")
    return bool(text) and not odd


class _Recoded(io.RawIOBase):
    """The characters of a file as UTF-8."""

    def __init__(self, file: io.BufferedReader, encoding: str) -> None:
        self._text = io.TextIOWrapper(file, encoding, newline="")
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        target = memoryview(cast(bytearray, buffer))
        if not self._rest:
            self._rest = self._text.read(PIECE).encode("utf-8", "replace")
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
