"""Rows of one Zarr array, read by the library zarr from checked metadata, and which of them exist.

The library fills in what is missing with the fill value, which makes a picture of zeros of one that
was never written: so it is asked for what is there only.
"""

from __future__ import annotations

import lzma
import math
import struct
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import Buffer, BufferPrototype

from sofdata.video.progress import PROGRESS
from sofdata.video.sequences.zarrs import codecs
from sofdata.video.sequences.zarrs.files import Files
from sofdata.video.sequences.zarrs.metadata import Array

MOST_BLOCK_BYTES = 1 << 27  # of pictures that are unpacked and kept
_NOWHERE = (1 << 64) - 1  # sharding, "Empty chunks": offset and length of one that was not written
# What the codecs raise for damaged chunks, and the library for ones of another size.
FAILURES = (
    *(ValueError, TypeError, RuntimeError, LookupError, OSError, EOFError, OverflowError),
    *(zlib.error, lzma.LZMAError, struct.error),
)


class ArrayReader:
    """Rows of an array; a chunk of many is unpacked once. Not for several threads.

    Raises one of `FAILURES` where what is there cannot be unpacked.
    """

    def __init__(self, files: Files, array: Array) -> None:
        self._files = files
        self._array = array
        self._opened: Any = None
        self._indices: dict[tuple[int, ...], NDArray[np.uint64] | None] = {}
        self._block: tuple[range, NDArray[Any] | Exception] | None = None

    def present(self, start: int, end: int) -> NDArray[np.bool_]:
        """Of which rows all chunks are there, bool [end - start]. Reads no chunk."""
        found = np.zeros(end - start, bool)
        rows = self._array.chunks[0]
        for number in range(start // rows, -(-end // rows)):
            PROGRESS.packets += 1
            first = max(0, number * rows - start)
            found[first : max(0, (number + 1) * rows - start)] = self._has(number)
        return found

    def row(self, number: int) -> NDArray[Any]:
        """One row, which is `present`."""
        if self._block is None or number not in self._block[0]:
            self._block = None  # before another is in memory
            self._block = self._unpacked(self._around(number))
        rows, values = self._block
        if isinstance(values, Exception):
            raise values
        found: NDArray[Any] = values[number - rows.start]
        return found

    def rows(self, start: int, end: int) -> NDArray[Any]:
        """Rows of a small array, all of which are `present`."""
        found: NDArray[Any] = np.asarray(self._library()[start:end])
        return found

    def pieces(self, start: int, end: int) -> Iterator[tuple[range, NDArray[Any]]]:
        """Rows that are present, in pieces of a chunk."""
        there = self.present(start, end)
        number = start
        while number < end:
            piece = self._around(number)
            piece = range(number, min(end, piece.stop))
            if there[number - start]:
                yield piece, self.rows(piece.start, piece.stop)
            number = piece.stop

    def _around(self, number: int) -> range:
        """The rows that are unpacked together with one: those of its chunk, if not too many."""
        size, rows = self._array.shape[0], self._array.chunks[0]
        most = max(1, MOST_BLOCK_BYTES // max(1, self._array.row_bytes))
        first = number // rows * rows
        if rows > most:
            first += (number - first) // most * most
            return range(first, min(size, first + most, number // rows * rows + rows))
        return range(first, min(size, first + rows))

    def _unpacked(self, rows: range) -> tuple[range, NDArray[Any] | Exception]:
        try:
            return rows, self.rows(rows.start, rows.stop)
        except FAILURES as error:
            return rows, error  # once for all that are in the chunk

    def _library(self) -> Any:
        if self._opened is None:
            zarr = _zarr()
            store = _Checked(self._files, self._array)
            self._opened = zarr.open_array(
                store=store, path=self._array.path, mode="r", zarr_format=self._array.version
            )
        return self._opened

    # Which chunks are there

    def _has(self, number: int) -> bool:
        shape, chunks = self._array.shape[1:], self._array.chunks[1:]
        others = (range(-(-size // part)) for size, part in zip(shape, chunks, strict=True))
        return all(self._has_chunk((number, *rest)) for rest in product(*others))

    def _has_chunk(self, chunk: tuple[int, ...]) -> bool:
        shards = self._array.shards
        if shards is None:
            return bool(self._files.size(self._array.key(chunk)))
        per_shard = [a // b for a, b in zip(shards.shape, self._array.chunks, strict=True)]
        pairs = [divmod(at, per) for at, per in zip(chunk, per_shard, strict=True)]
        index = self._index(tuple(shard for shard, _ in pairs), per_shard)
        if index is None:
            return False
        return bool(index[tuple(inside for _, inside in pairs)].max() != _NOWHERE)

    def _index(self, shard: tuple[int, ...], per_shard: list[int]) -> NDArray[np.uint64] | None:
        """Offset and length of each chunk in a shard, uint64 [..., 2]; None for no shard."""
        if shard not in self._indices:
            self._indices.clear()  # they come one after the other
            self._indices[shard] = self._read_index(self._array.key(shard), per_shard)
        return self._indices[shard]

    def _read_index(self, key: str, per_shard: list[int]) -> NDArray[np.uint64] | None:
        shards = self._array.shards
        size = self._files.size(key)
        if not size or shards is None:
            return None
        length = 16 * math.prod(per_shard)
        begin = size - length - 4 * shards.has_sum if shards.index_at_end else 0
        data = self._files.read(key, max(0, begin), max(0, begin) + length)
        if len(data) < length or begin < 0:
            return None  # cut off
        return np.frombuffer(data, "<u8").reshape(*per_shard, 2)


class _Checked(Store):
    """One array of a store: its checked metadata, and bytes of its chunks. Nothing is written."""

    def __init__(self, files: Files, array: Array) -> None:
        super().__init__(read_only=True)
        self._files = files
        self._array = array
        prefix = f"{array.path}/" if array.path else ""
        self._document = f"{prefix}{'zarr.json' if array.version == 3 else '.zarray'}"
        self._prefix = prefix

    def __eq__(self, other: object) -> bool:
        return self is other

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        if key == self._document:
            return prototype.buffer.from_bytes(self._array.document)
        data = self._chunk(key, byte_range)
        return None if data is None else prototype.buffer.from_bytes(data)

    def _chunk(self, key: str, wanted: ByteRequest | None) -> bytes | None:
        last = key.rpartition("/")[2]
        if not key.startswith(self._prefix) or last.startswith(".") or last == "zarr.json":
            return None
        size = self._files.size(key)
        if size is None:
            return None
        start, end = _bounds(wanted, size)
        if end - start > self._most_bytes:
            raise ValueError(f"{key} has {end - start} bytes, more than its chunk can have")
        return self._files.read(key, start, end)

    @property
    def _most_bytes(self) -> int:
        """Of one read: a chunk that does not pack, or so much of a shard as is unpacked at once."""
        array = self._array
        if array.shards is None:
            return 2 * array.chunk_bytes + (1 << 16)
        per_shard = [a // b for a, b in zip(array.shards.shape, array.chunks, strict=True)]
        return (
            2 * array.chunk_bytes * math.prod(per_shard[1:]) + 16 * math.prod(per_shard) + (1 << 16)
        )

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        return [await self.get(key, prototype, wanted) for key, wanted in key_ranges]

    async def exists(self, key: str) -> bool:
        return key == self._document or self._files.size(key) is not None

    @property
    def supports_writes(self) -> bool:
        return False

    @property
    def supports_deletes(self) -> bool:
        return False

    @property
    def supports_partial_writes(self) -> Any:
        return False

    @property
    def supports_listing(self) -> bool:
        return False

    async def set(self, key: str, value: Buffer) -> None:
        raise NotImplementedError

    async def set_partial_values(self, key_start_values: Any) -> None:
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        raise NotImplementedError

    async def list(self) -> AsyncIterator[str]:
        for key in (self._document,):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        for key in (self._document,):
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        for key in (self._document,):
            if key.startswith(prefix):
                yield key.rpartition("/")[2]


def _bounds(wanted: ByteRequest | None, size: int) -> tuple[int, int]:
    if isinstance(wanted, RangeByteRequest):
        return wanted.start, min(size, wanted.end)
    if isinstance(wanted, OffsetByteRequest):
        return wanted.offset, size
    if isinstance(wanted, SuffixByteRequest):
        return max(0, size - wanted.suffix), size
    return 0, size


@cache
def _zarr() -> Any:
    """The library, told to do one thing at a time, so that memory is that of one chunk."""
    import numcodecs.blosc
    import zarr

    numcodecs.blosc.use_threads = False
    zarr.config.set({"async.concurrency": 1, "threading.max_workers": 1})
    codecs.register()
    return zarr
