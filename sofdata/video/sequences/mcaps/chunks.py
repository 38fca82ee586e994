"""Chunks of an MCAP file: what they unpack to, read forward, held by pieces."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple

from sofdata.video.progress import PROGRESS
from sofdata.video.sequences.mcaps.records import MOST_MESSAGE_BYTES, PIECE_BYTES, Record

MOST_WINDOW_BYTES = 1 << 27  # that Zstandard may look back
MOST_CONTENT_BYTES = 1 << 62  # lengths and places are int64 in what is kept of messages


class Place(NamedTuple):
    """Where the data of a message lie: at `offset` in the file, or in what a chunk unpacks to.

    chunk: where the body of that chunk begins in the file, 0 for none.
    """

    chunk: int
    offset: int


class ChunkHead(NamedTuple):
    """What stands before the data of a chunk. start, length: of those, as far as they are there."""

    size: int
    crc: int
    compression: str
    start: int
    length: int

    def behind(self, size: int) -> ChunkHead:
        """The same without the first bytes of what it holds, which must not be compressed."""
        start, length = self.start + size, self.length - size
        return self._replace(start=start, length=length, size=max(0, self.size - size))


def chunk_head(file: BinaryIO, record: Record) -> ChunkHead:
    """Raises `ValueError` where it is none, or of a compression that is not known."""
    file.seek(record.start)
    fields = file.read(min(record.length, 64))
    try:
        _, _, size, crc, named = struct.unpack_from("<QQQII", fields)
        compression = fields[32 : 32 + named].decode("ascii")
        (length,) = struct.unpack_from("<Q", fields, 32 + named)
    except (struct.error, UnicodeDecodeError):
        raise ValueError("it has no proper head") from None
    if size > MOST_CONTENT_BYTES:
        raise ValueError(f"it says that it unpacks to {size} bytes")
    if compression not in ("", "none", "lz4", "zstd"):
        raise ValueError(f"its compression '{compression:.20}' is none that can be read")
    start = record.start + 40 + named
    there = record.start + record.length - start
    if length > there and not record.is_cut:
        raise ValueError("it says that it is longer than its record")
    return ChunkHead(size, crc, compression.removeprefix("none"), start, min(length, there))


class Content:
    """What a chunk unpacks to, read forward. Reads raise `ValueError` where it cannot be unpacked.

    Of a chunk that is not compressed, nothing is read that is not asked for but for the checksum.
    """

    def __init__(self, file: BinaryIO, head: ChunkHead) -> None:
        self._head = head
        self._file = file
        self._pieces = _unpacked(file, head)
        self._held = b""
        self._at = 0  # in what is held
        self._crc = 0
        self.position = 0

    def place(self, chunk: int) -> Place:
        """Of what comes next. chunk: where the body of this chunk begins."""
        if not self._head.compression:
            return Place(0, self._head.start + self.position)
        return Place(chunk, self.position)

    def has(self, size: int, is_cut: bool) -> bool:
        """Whether so many bytes follow, as far as that can be said before they are unpacked."""
        if is_cut and not self._head.compression:
            return self.position + size <= self._head.length
        if is_cut:
            return self._look_ahead(size)
        return self.position + size <= self._head.size

    def read(self, size: int) -> bytes:
        """The next bytes, fewer where it ends."""
        found = []
        while size > 0 and (piece := self._piece(size)):
            found.append(piece)
            size -= len(piece)
        return found[0] if len(found) == 1 else b"".join(found)

    def skip(self, size: int) -> None:
        """Pass over the next bytes; without reading them where there is no checksum to compare."""
        if not (self._head.compression or self._head.crc) and size > len(self._held) - self._at:
            self.position = end = min(self.position + size, self._head.length)
            self._held, self._at = b"", 0
            self._pieces = _unpacked(self._file, self._head.behind(end))
            return
        while size > 0 and (piece := self._piece(size)):
            size -= len(piece)

    def drain(self) -> None:
        """Pass over all that is left."""
        self.skip(self._head.size + 1 - self.position)

    def verdict(self, is_cut: bool) -> str:
        """What is wrong with all that was read, "" if nothing."""
        if is_cut:
            return ""
        chunk = f"the chunk that begins at byte {self._head.start}"
        if self.position != self._head.size:
            return f"{chunk} unpacks to {self.position} bytes instead of {self._head.size}"
        if self._head.crc and self._crc != self._head.crc:
            return f"{chunk} fails its checksum"
        return ""

    def _piece(self, size: int) -> bytes:
        if self._at == len(self._held):
            self._held, self._at = next(self._pieces, b""), 0
            self._crc = zlib.crc32(self._held, self._crc)
        piece = self._held[self._at : self._at + size]
        self._at += len(piece)
        self.position += len(piece)
        return piece

    def _look_ahead(self, size: int) -> bool:
        """Whether so many bytes can be unpacked. They are held meanwhile."""
        while len(self._held) - self._at < size <= MOST_MESSAGE_BYTES:
            try:
                more = next(self._pieces, b"")
            except ValueError:
                more = b""
            if not more:
                return False
            self._held, self._at = self._held[self._at :] + more, 0
        return size <= MOST_MESSAGE_BYTES


def _unpacked(file: BinaryIO, head: ChunkHead) -> Iterator[bytes]:
    """The content of a chunk, piece by piece, never more than a little beyond its stated size."""
    made = {"": _stored, "lz4": _lz4, "zstd": _zstd}[head.compression]
    left = head.size + 1
    for piece in made(_region(file, head)):
        PROGRESS.packets += 1
        yield piece[:left]
        left -= len(piece)
        if left <= 0:
            return


def _region(file: BinaryIO, head: ChunkHead) -> Callable[[], bytes]:
    """Gives the data of a chunk, piece by piece; others may read the file meanwhile."""
    at, end = head.start, head.start + head.length

    def read() -> bytes:
        nonlocal at
        file.seek(at)
        piece = file.read(min(PIECE_BYTES, end - at))
        at += len(piece)
        return piece

    return read


def _stored(read: Callable[[], bytes]) -> Iterator[bytes]:
    yield from iter(read, b"")


def _lz4(read: Callable[[], bytes]) -> Iterator[bytes]:
    import lz4.frame

    unpacker = lz4.frame.LZ4FrameDecompressor()
    while not unpacker.eof:
        given = read() if unpacker.needs_input else b""
        if unpacker.needs_input and not given:
            return
        try:
            piece = unpacker.decompress(given, max_length=PIECE_BYTES)
        except (RuntimeError, EOFError) as error:
            raise ValueError(f"LZ4: {error}") from None
        if piece:
            yield piece


def _zstd(read: Callable[[], bytes]) -> Iterator[bytes]:
    import zstandard

    unpacker = zstandard.ZstdDecompressor(max_window_size=MOST_WINDOW_BYTES)
    source: Any = _Readable(read)
    with unpacker.stream_reader(source, read_across_frames=True) as stream:
        while True:
            try:
                piece = stream.read(PIECE_BYTES)
            except zstandard.ZstdError as error:
                raise ValueError(f"Zstandard: {error}") from None
            if not piece:
                return
            yield piece


class _Readable:
    """What `zstandard` reads from."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read

    def read(self, _size: int = -1) -> bytes:
        return self._read()
