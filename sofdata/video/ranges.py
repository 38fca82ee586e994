"""A video that is read where it lies, block by block, instead of being copied first.

Worth it for a short span of a large file whose container has an index: MP4, QuickTime, Matroska
and WebM with cues. Decoders jump about, so blocks are kept, the ones used last.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from sofdata.errors import InputError

BLOCK_BYTES = 1 << 20
KEPT_BLOCKS = 32  # 32 MiB a file

Fetch = Callable[[int, int], bytes]


class RangesSpent(InputError):
    """More of a file was asked for than ranges are good for: it is better copied as a whole."""


class RangeFile:
    """A file of `size` bytes that is seen through `fetch(start, end)`; for reading, by one thread.

    name: what it is called in messages. Raises `InputError` where a block comes back short: the
    file has shrunk.
    """

    def __init__(self, name: str, size: int, fetch: Fetch) -> None:
        self.name = name
        self.size = size
        self._fetch = fetch
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._position = 0

    def fetch(self, start: int, end: int) -> bytes:
        """Fetch some bytes, all of them, past the blocks that are kept."""
        data = self._fetch(start, end)
        if len(data) != end - start:
            raise InputError(
                f"{self.name}: {len(data)} of {end - start} bytes came from {start} on; "
                "the file has shrunk"
            )
        return data

    def __str__(self) -> str:
        return self.name

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of a file."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        """As of a file."""
        return self._position

    def read(self, size: int = -1) -> bytes:
        """As of a file, but perhaps fewer bytes: never beyond one block."""
        left = max(0, self.size - self._position)
        number, begin = divmod(self._position, BLOCK_BYTES)
        wanted = min(left, BLOCK_BYTES - begin) if size < 0 else min(left, size)
        data = self._block(number)[begin : begin + wanted] if wanted else b""
        self._position += len(data)
        return data

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            start, end = number * BLOCK_BYTES, min(self.size, (number + 1) * BLOCK_BYTES)
            self._blocks[number] = self.fetch(start, end)
            if len(self._blocks) > KEPT_BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(number)
        return self._blocks[number]


class Budget:
    """A `Fetch` that counts what it fetches, and refuses once that is more than `limit` bytes."""

    def __init__(self, fetch: Fetch, limit: int | None) -> None:
        self.fetched = 0
        self.failure: Exception | None = None
        self._fetch = fetch
        self._limit = limit

    def __call__(self, start: int, end: int) -> bytes:
        self.fetched += end - start
        if self._limit is not None and self.fetched > self._limit:
            self.failure = RangesSpent(
                f"{self.fetched} bytes are needed; {self._limit} may be read so"
            )
            raise self.failure
        try:
            return self._fetch(start, end)
        except Exception as error:
            self.failure = error
            raise

    def check(self) -> None:
        """Raise what has failed: a decoder may have taken that for the end of the file."""
        if self.failure:
            raise self.failure


Source = str | Path | RangeFile
