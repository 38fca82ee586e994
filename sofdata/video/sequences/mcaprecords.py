"""Records of an MCAP file, one after the other, of which none is held that is not asked for.

https://mcap.dev/spec. The library `mcap` parses what is small: schemas, channels, the summary. Its
own reader takes every record into memory, and a chunk as a whole however far it unpacks; here
chunks of any size are unpacked as they are read, so that memory stays that of one message. What is
cut off or damaged ends no reading: it is told as `Damage`, and what comes behind it is read on.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple

from sofdata.video.progress import PROGRESS
from sofdata.video.sequences.base import damaged

MAGIC = b"\x89MCAP0\r\n"
HEAD_BYTES = 9  # of a record: its kind, and the length of its body
MESSAGE_HEAD = struct.Struct("<HIQQ")
MOST_BODY_BYTES = 1 << 26  # of a record that is parsed as a whole
MOST_MESSAGE_BYTES = 1 << 28
PIECE_BYTES = 1 << 17
MOST_WINDOW_BYTES = 1 << 27  # that Zstandard may look back
SCHEMA, CHANNEL, MESSAGE, CHUNK = 0x03, 0x04, 0x05, 0x06
FOOTER, DATA_END, METADATA = 0x02, 0x0F, 0x0C
LAST_KNOWN = 0x0F
_PRIVATE = 0x80  # from here on everyone may have kinds of their own


class Place(NamedTuple):
    """Where the data of a message lie: at `offset` in the file, or in what a chunk unpacks to.

    chunk: where the body of that chunk begins in the file, 0 for none.
    """

    chunk: int
    offset: int


class Message(NamedTuple):
    """A message that the walk stands at.

    chunk: where the body of the chunk begins in which it lies, packed or not; 0 for none.
    read: its first bytes, as many as asked for; once, while the walk stands here.
    """

    chunk: int
    place: Place
    channel: int
    log_ns: int
    publish_ns: int
    length: int
    read: Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class ChunkEnd:
    """All messages of a chunk have been walked over. why: what is wrong with them, "" if nothing.

    is_cut: the file ends in it, which says nothing against the messages before the cut.
    """

    start: int
    why: str
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Damage:
    """What is wrong with the file, in words."""

    what: str


class Record(NamedTuple):
    """kind: its opcode. start: of its body. length: of the body, as far as the file has it."""

    kind: int
    start: int
    length: int
    is_cut: bool


Event = Any  # Schema, Channel or Metadata of mcap.records; Message, ChunkEnd, Damage


def size_of(file: BinaryIO) -> int:
    """Bytes of an open file."""
    return file.seek(0, 2)


def check_magic(file: BinaryIO, name: str) -> None:
    """Raises `Unusable` where a file does not begin as one of MCAP does."""
    file.seek(0)
    found = file.read(len(MAGIC))
    if found != MAGIC:
        raise damaged(f"{name}: is no MCAP file: it begins with {found.hex() or 'nothing'}")


def records(file: BinaryIO, start: int, size: int) -> Iterator[Record | Damage]:
    """The records from `start` on, up to the end of the data or of the file."""
    while True:
        file.seek(start)
        head = file.read(HEAD_BYTES)
        if len(head) < HEAD_BYTES:
            yield Damage(f"the file is cut off at byte {size}")
            return
        kind, length = struct.unpack("<BQ", head)
        start += HEAD_BYTES
        if not kind or LAST_KNOWN < kind < _PRIVATE:
            yield Damage(f"what begins at byte {start - HEAD_BYTES} of {size} is no record")
            return
        PROGRESS.packets += 1
        is_cut = start + length > size
        yield Record(kind, start, min(length, size - start), is_cut)
        start += length
        if kind in (DATA_END, FOOTER):
            return
        if is_cut:
            yield Damage(f"the file is cut off at byte {size}")
            return


def walk(
    file: BinaryIO, size: int, is_wanted: Callable[[int], bool] = lambda _: True
) -> Iterator[Event]:
    """All that the data hold, in the order of the file.

    is_wanted: whether the chunk whose body begins at a byte is to be looked into.
    """
    for record in records(file, len(MAGIC), size):
        if isinstance(record, Damage):
            yield record
        elif record.kind == CHUNK:
            if is_wanted(record.start):
                yield from walk_chunk(file, record)
        elif record.kind == MESSAGE and not record.is_cut:
            if (message := _plain_message(file, record)) is not None:
                yield message
        elif record.kind in (SCHEMA, CHANNEL, METADATA) and not record.is_cut:
            yield parsed(file, record)


def walk_chunk(file: BinaryIO, record: Record) -> Iterator[Event]:
    """What a chunk holds, and a `ChunkEnd`."""
    try:
        content = Content(file, chunk_head(file, record))
    except ValueError as error:
        yield ChunkEnd(record.start, f"the chunk at byte {record.start}: {error}")
        return
    try:
        yield from _inside(content, record)
        content.drain()
        yield ChunkEnd(record.start, content.verdict(record.is_cut), record.is_cut)
    except ValueError as error:
        why = "" if record.is_cut else f"the chunk at byte {record.start}: {error}"
        yield ChunkEnd(record.start, why, record.is_cut)


def _inside(content: Content, record: Record) -> Iterator[Event]:
    while len(head := content.read(HEAD_BYTES)) == HEAD_BYTES:
        kind, length = struct.unpack("<BQ", head)
        PROGRESS.packets += 1
        end = content.position + length
        if kind == MESSAGE and length >= MESSAGE_HEAD.size:
            fields = content.read(MESSAGE_HEAD.size)
            if len(fields) < MESSAGE_HEAD.size:
                return
            channel, _, log_ns, publish_ns = MESSAGE_HEAD.unpack(fields)
            place = content.place(record.start)
            left = length - MESSAGE_HEAD.size
            if content.has(left, record.is_cut):
                read = _reader(content, left)
                yield Message(record.start, place, channel, log_ns, publish_ns, left, read)
            elif not record.is_cut:
                raise ValueError("a message in it is longer than itself")
        elif kind in (SCHEMA, CHANNEL) and length <= MOST_BODY_BYTES:
            yield _parsed(kind, content.read(length))
        content.skip(end - content.position)


def _reader(content: Content, left: int) -> Callable[[int], bytes]:
    return lambda size: content.read(min(size, left))


def _plain_message(file: BinaryIO, record: Record) -> Message | None:
    """A message that lies in no chunk; None for one that is too short to be one."""
    fields = file.read(MESSAGE_HEAD.size) if record.length >= MESSAGE_HEAD.size else b""
    if len(fields) < MESSAGE_HEAD.size:
        return None
    channel, _, log_ns, publish_ns = MESSAGE_HEAD.unpack(fields)
    place = Place(0, record.start + MESSAGE_HEAD.size)
    left = record.length - MESSAGE_HEAD.size

    def read(size: int) -> bytes:
        file.seek(place.offset)
        return file.read(min(size, left))

    return Message(0, place, channel, log_ns, publish_ns, left, read)


def parsed(file: BinaryIO, record: Record) -> Event:
    """A record of a kind that the library parses, or `Damage`."""
    if record.length > MOST_BODY_BYTES:
        return Damage(f"the record at byte {record.start} has {record.length} bytes")
    file.seek(record.start)
    return _parsed(record.kind, file.read(record.length))


def _parsed(kind: int, body: bytes) -> Event:
    from mcap import records as known
    from mcap.data_stream import ReadDataStream
    from mcap.exceptions import McapError

    classes = {SCHEMA: known.Schema, CHANNEL: known.Channel, METADATA: known.Metadata}
    try:
        return classes[kind].read(ReadDataStream(BytesIO(body)))
    except (McapError, struct.error, ValueError, TypeError) as error:
        return Damage(f"a record of {len(body)} bytes cannot be read: {error!r:.80}")


# Chunks


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
