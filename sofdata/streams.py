"""Standard streams as users leave them: closed, cut off by a pager, on a full disk, not in UTF-8.

Output that its reader does not want any more is lost, and nothing else: the command goes on, and
its exit code is that of its work. Output that could not be written, as to a full disk, is an error.
"""

from __future__ import annotations

import io
import os
import select
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from sofdata.errors import StorageError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def mend() -> None:
    """Make standard input, output and error what can be read and written, whatever they are.

    A closed one becomes /dev/null: else the next file that is opened takes its number, and gets
    what libraries print.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest that is free
    sys.stdout = _guarded(sys.stdout, 1)
    sys.stderr = _guarded(sys.stderr, 2)


def _guarded(stream: TextIO | None, number: int) -> TextIO:
    """The stream, with `_Guard` beneath it; another's, such as one that captures, as it is."""
    if stream is not None and not isinstance(stream, io.TextIOWrapper):
        return stream
    encoding, by_line = "utf-8", number == 2
    if stream is not None:
        with suppress(OSError, ValueError):
            stream.flush()
        encoding = stream.encoding
        by_line = stream.line_buffering or stream.write_through
    return io.TextIOWrapper(
        io.BufferedWriter(_Guard(number)),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=by_line,
    )


class _Guard(io.RawIOBase):
    """Writes to a descriptor until nobody reads it any more."""

    def __init__(self, number: int) -> None:
        self._number, self._is_lost = number, False
        self.name = ("<stdin>", "<stdout>", "<stderr>")[number]

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        size = memoryview(data).nbytes
        while not self._is_lost:
            try:
                return os.write(self._number, data)
            except BlockingIOError:  # a terminal that another program has left so
                select.select([], [self._number], [], 1.0)
            except BrokenPipeError:
                self._is_lost = True
            except OSError as error:
                self._is_lost = True
                if self._number == 1:
                    raise StorageError(
                        f"what this command prints cannot be written: {error.strerror}"
                    ) from None
        return size
