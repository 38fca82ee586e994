"""Standard streams as users leave them: closed, cut off by a pager, on a full disk, not in UTF-8.

Output that its reader does not want any more is lost, and nothing else: the command goes on, and
its exit code is that of its work. Output that could not be written, as to a full disk, is an error.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TextIO

from sofdata.errors import StorageError


def make_usable() -> None:
    """Make standard input, output and error what can be read and written, whatever they are.

    A closed one becomes /dev/null: else the next file that is opened takes its number, and gets
    what libraries print.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest that is free
    sys.stdout = _usable(sys.stdout, 1)
    sys.stderr = _usable(sys.stderr, 2)


def _usable(stream: TextIO | None, number: int) -> TextIO:
    """The stream as a `_Stream`; another's, such as one that captures, as it is."""
    if stream is not None and not isinstance(stream, io.TextIOWrapper):
        return stream
    encoding, by_line = "utf-8", number == 2
    with suppress(OSError, ValueError):
        os.set_blocking(number, True)  # a terminal that another program has left otherwise
        if stream is not None:
            stream.flush()
    if stream is not None:
        encoding = stream.encoding
        by_line = stream.line_buffering or stream.write_through
    return _Stream(
        io.BufferedWriter(io.FileIO(number, "w", closefd=False)),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=by_line,
    )


class _Stream(io.TextIOWrapper):
    """Text to a descriptor, which becomes /dev/null once it cannot be written.

    All buffers are C's: one of Python's could be interrupted between writing and knowing it, and
    would write the same again.
    """

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)
        if self.fileno() == 1 and not isinstance(error, BrokenPipeError):
            raise StorageError(
                f"what this command prints cannot be written: {error.strerror}"
            ) from None
