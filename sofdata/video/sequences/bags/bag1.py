"""Bags of ROS 1 (.bag), also those that were cut off or never closed (.bag.active).

Messages lie in chunks, each followed by an index of the messages in it; at the end of the file
lies an index of the chunks. Where that is missing, the chunks are gone through one after the other,
which needs no more than their own indexes: only those of the topics that are asked for are kept.
rosbags' own `Reader` refuses such bags, and keeps a tuple for every message of every topic.
"""

from __future__ import annotations

import io
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from sofdata.video.probe import Unusable
from sofdata.video.progress import PROGRESS
from sofdata.video.ranges import RangeFile, Source
from sofdata.video.sequences.bags import records
from sofdata.video.sequences.bags.records import BadRecord, Record, record_at
from sofdata.video.sequences.bags.store import MOST_MESSAGE_BYTES, Index, IndexParts, Topic
from sofdata.video.sequences.bags.unpack import unpacked
from sofdata.video.sequences.base import damaged, opened_file

MAGIC = b"#ROSBAG V"
_VERSION = b"2.0\n"
_KEPT_CHUNKS = 2
_ANY_MD5 = "*"  # what a publisher says that does not know its type


# A connection, and the times and offsets of its messages in a chunk.
_Rows = tuple[int, NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class _Chunk:
    """data: where its messages lie, packed or not. bytes: how many when unpacked."""

    position: int
    data_pos: int
    data_bytes: int
    compression: str
    unpacked_bytes: int

    @property
    def end(self) -> int:
        return self.data_pos + self.data_bytes


@dataclass(slots=True)
class _Connection:
    """A publisher of messages to a topic."""

    topic: str
    type: str
    md5: str
    definition: str


@dataclass(slots=True)
class _Found:
    """What the bag is made of.

    counts: messages by connection, as the index says; by_chunk: those of each chunk, by its
    position. lost: those of chunks that are damaged. words: what is wrong with the bag.
    """

    chunks: list[_Chunk] = field(default_factory=list)
    connections: dict[int, _Connection] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    by_chunk: dict[int, dict[int, int]] = field(default_factory=dict)
    lost: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    words: list[str] = field(default_factory=list)


class Bag1:
    """A bag of ROS 1, local or remote."""

    def __init__(self, source: Source) -> None:
        self._name = str(source)
        self._file = opened_file(source)
        self._bytes = source.size if isinstance(source, RangeFile) else self._file.seek(0, 2)
        self._unpacked: OrderedDict[int, bytes] = OrderedDict()
        try:
            self._found = self._contents(self._bag_header())
        except BadRecord as error:
            raise damaged(f"{self._name}: {error}") from None
        self.topics = _topics(self._found)
        self.words = self._found.words

    def close(self) -> None:
        """Close the file."""
        self._unpacked.clear()
        self._file.close()

    def index(self, topics: Iterable[str]) -> dict[str, Index]:
        """As of `Bag`."""
        parts = {topic: IndexParts(words=[*self._found.words]) for topic in topics}
        wanted = {
            number: parts[connection.topic]
            for number, connection in self._found.connections.items()
            if connection.topic in parts
        }
        for number, part in wanted.items():
            part.lost += self._found.lost[number]
        for number, chunk in enumerate(self._found.chunks):
            PROGRESS.packets += 1
            counts = self._found.by_chunk.get(chunk.position)
            if counts is None or wanted.keys() & counts.keys():
                self._add_chunk(number, chunk, wanted, counts or {})
        return {topic: each.finish() for topic, each in parts.items()}

    def read(
        self, index: Index, numbers: Iterable[int], head_bytes: int | None = None
    ) -> Iterator[bytes | None]:
        """As of `Bag`."""
        for number in numbers:
            chunk, offset = index.places[number, :2].tolist()
            PROGRESS.packets += 1
            try:
                yield self._message(self._found.chunks[chunk], offset, head_bytes)
            except BadRecord:
                yield None

    # What lies where

    def _bag_header(self) -> Record:
        self._file.seek(0)
        first = self._file.read(len(MAGIC) + len(_VERSION))
        if not first.startswith(MAGIC):
            what = "holds no byte" if not first else "does not begin as a bag of ROS 1 does"
            raise damaged(f"{self._name}: {what}")
        if not first.endswith(_VERSION):
            version = records.text_of(first[len(MAGIC) :].strip())
            raise Unusable(
                "unsupported",
                f"{self._name}: is a bag of version {version}; `rosbag filter OLD NEW True` of "
                "ROS 1 writes it again as version 2.0",
            )
        header = record_at(self._file, len(first))
        if header.op != records.BAG:
            raise BadRecord("the header of the bag is missing")
        if header.text("encryptor"):
            raise Unusable("unsupported", f"{self._name}: is encrypted; `rosbag decrypt` helps")
        return header

    def _contents(self, header: Record) -> _Found:
        where = header.uint64("index_pos")
        why = "was never closed, as when a recording is interrupted"
        if 0 < where < self._bytes:
            try:
                return self._by_index(header, where)
            except BadRecord as error:
                why = f"has a damaged index ({error})"
        elif where:
            why = f"is cut off: {self._bytes} bytes of more than {where} are here"
        found = self._scan(header.end)
        found.words.append(f"the bag {why}; read up to byte {self._last(found)}")
        return found

    def _last(self, found: _Found) -> int:
        return found.chunks[-1].end if found.chunks else 0

    def _by_index(self, header: Record, position: int) -> _Found:
        found = _Found()
        for _ in range(header.uint32("conn_count")):
            record = record_at(self._file, position)
            self._add_connection(found, self._file, record)
            position = record.end
        for _ in range(header.uint32("chunk_count")):
            record = record_at(self._file, position)
            self._add_chunk_info(found, record)
            position = record.end
        return found

    def _add_connection(self, found: _Found, file: BinaryIO, record: Record) -> None:
        if record.op != records.CONNECTION:
            raise BadRecord("a connection is missing")
        data = records.data_of(file, record, records.MOST_HEADER_BYTES)
        about = records.fields_of(data)
        found.connections[record.uint32("conn")] = _Connection(
            _normal(record.text("topic")),
            records.text_of(about.get("type", b"")),
            records.text_of(about.get("md5sum", b"")),
            records.text_of(about.get("message_definition", b"")),
        )

    def _add_chunk_info(self, found: _Found, record: Record) -> None:
        if record.op != records.CHUNK_INFO or record.uint32("ver") != 1:
            raise BadRecord("what is known of a chunk is missing")
        data = records.data_of(self._file, record, 1 << 24)
        if len(data) != 8 * record.uint32("count"):
            raise BadRecord("what is known of a chunk has another length than it says")
        rows = np.frombuffer(data, "<u4")
        position = record.uint64("chunk_pos")
        if position in found.by_chunk:
            raise BadRecord("a chunk is there twice")
        counts = dict(rows.reshape(-1, 2).tolist())
        for connection, count in counts.items():
            found.counts[connection] += count
        found.by_chunk[position] = counts
        try:
            found.chunks.append(self._chunk_at(position))
        except BadRecord as error:
            found.words.append(str(error))
            for connection, count in counts.items():
                found.lost[connection] += count

    def _chunk_at(self, position: int) -> _Chunk:
        record = record_at(self._file, position)
        if record.op != records.CHUNK:
            raise BadRecord(f"no chunk lies at byte {position}")
        return _Chunk(
            position,
            record.data_pos,
            record.data_bytes,
            record.text("compression"),
            record.uint32("size"),
        )

    # Without an index

    def _scan(self, position: int) -> _Found:
        """Chunk by chunk, up to where the file ends or is damaged."""
        found = _Found()
        while position < self._bytes:
            PROGRESS.packets += 1
            try:
                op = record_at(self._file, position).op
                if op == records.CHUNK:
                    position = self._scan_chunk(found, position)
                elif op == records.INDEX:
                    position = self._scan_index(found, position)
                else:  # the index of all, of which something is wrong
                    break
            except BadRecord:
                break
        return found

    def _scan_chunk(self, found: _Found, position: int) -> int:
        """Keep a chunk; gives where the next record is."""
        chunk = self._chunk_at(position)
        if not chunk.data_bytes or chunk.end > self._bytes:  # being written, or cut off
            left = self._bytes - chunk.data_pos
            if chunk.compression != "none":
                raise BadRecord("the last chunk is not whole")
            chunk = _Chunk(position, chunk.data_pos, left, "none", left)
        found.chunks.append(chunk)
        following = record_at(self._file, chunk.end) if chunk.end < self._bytes else None
        if following is None or following.op != records.INDEX:
            for _ in self._walk(chunk, found):
                pass
        return chunk.end

    def _scan_index(self, found: _Found, position: int) -> int:
        record = record_at(self._file, position)
        number, count = record.uint32("conn"), record.uint32("count")
        if number not in found.connections:
            for _ in self._walk(found.chunks[-1], found):  # which holds what says so
                pass
        found.counts[number] += count
        return record.end

    def _walk(self, chunk: _Chunk, found: _Found | None = None) -> Iterator[tuple[int, int, int]]:
        """The messages of a chunk as (connection, time, offset), without an index.

        found: takes the connections that lie in it, too.
        """
        plain = chunk.compression in ("", "none")
        file: BinaryIO = self._file if plain else io.BytesIO(self._content(chunk))
        base, end = (chunk.data_pos, chunk.end) if plain else (0, chunk.unpacked_bytes)
        position = base
        while position < end:
            PROGRESS.packets += 1
            try:
                record = record_at(file, position)
                if record.end > end:
                    return
                if record.op == records.CONNECTION and found is not None:
                    self._add_connection(found, file, record)
                elif record.op == records.MESSAGE:
                    yield record.uint32("conn"), record.time_ns("time"), position - base
            except BadRecord:
                return
            position = record.end

    # Messages

    def _add_chunk(
        self, number: int, chunk: _Chunk, wanted: dict[int, IndexParts], counts: dict[int, int]
    ) -> None:
        """Add the messages of a chunk to the index of those topics that are wanted."""
        had: dict[int, int] = defaultdict(int)
        try:
            for connection, times_ns, offsets in self._chunk_index(chunk, set(wanted)):
                wanted[connection].add(times_ns, number, offsets)
                had[connection] += len(times_ns)
        except BadRecord as error:
            for connection in wanted:
                wanted[connection].words.append(f"a chunk at byte {chunk.position}: {error}")
        for connection, count in counts.items():
            if connection in wanted and had[connection] < count:
                wanted[connection].lost += count - had[connection]
                what = f"messages are missing in the chunk at byte {chunk.position}"
                wanted[connection].words.append(what)

    def _chunk_index(self, chunk: _Chunk, wanted: set[int]) -> Iterator[_Rows]:
        position, is_indexed = chunk.end, False
        while position < self._bytes:
            record = record_at(self._file, position)
            if record.op != records.INDEX:
                break
            is_indexed = True
            if (connection := record.uint32("conn")) in wanted:
                data = records.data_of(self._file, record, MOST_MESSAGE_BYTES)
                yield connection, *records.index_rows(data)
            position = record.end
        if not is_indexed:
            yield from self._walked(chunk, wanted)

    def _walked(self, chunk: _Chunk, wanted: set[int]) -> Iterator[_Rows]:
        rows: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for connection, time_ns, offset in self._walk(chunk):
            if connection in wanted:
                rows[connection].append((time_ns, offset))
        for connection, each in rows.items():
            table = np.array(each, np.int64)
            yield connection, table[:, 0], table[:, 1]

    def _message(self, chunk: _Chunk, offset: int, head_bytes: int | None) -> bytes:
        """Raises `BadRecord`."""
        plain = chunk.compression in ("", "none")
        file: BinaryIO = self._file if plain else io.BytesIO(self._content(chunk))
        position = (chunk.data_pos if plain else 0) + offset
        record = record_at(file, position)
        while record.op == records.CONNECTION:  # an index may point to what lies before it
            record = record_at(file, record.end)
        if record.op != records.MESSAGE:
            raise BadRecord("no message lies where the index says")
        if head_bytes is not None and head_bytes < record.data_bytes:
            record = Record(record.fields, record.data_pos, head_bytes)
        return records.data_of(file, record, MOST_MESSAGE_BYTES)

    def _content(self, chunk: _Chunk) -> bytes:
        """What a compressed chunk holds; the last ones are kept. Raises `BadRecord`."""
        if chunk.position not in self._unpacked:
            self._unpacked[chunk.position] = self._unpack(chunk)
            if len(self._unpacked) > _KEPT_CHUNKS:
                self._unpacked.popitem(last=False)
        self._unpacked.move_to_end(chunk.position)
        return self._unpacked[chunk.position]

    def _unpack(self, chunk: _Chunk) -> bytes:
        if max(chunk.unpacked_bytes, chunk.data_bytes) > records.MOST_CHUNK_BYTES:
            raise BadRecord(f"a compressed chunk of {chunk.unpacked_bytes} bytes is not read")
        record = Record({}, chunk.data_pos, chunk.data_bytes)
        data = records.data_of(self._file, record, records.MOST_CHUNK_BYTES)
        content = unpacked(data, chunk.compression, chunk.unpacked_bytes)
        if content is None or len(content) != chunk.unpacked_bytes:
            raise BadRecord(f"a chunk is damaged ({chunk.compression})")
        return content


def _topics(found: _Found) -> dict[str, Topic]:
    """Topics by name; that several publishers wrote one is usual, that they differ is not."""
    by_name: dict[str, list[tuple[int, _Connection]]] = defaultdict(list)
    for number, connection in found.connections.items():
        by_name[connection.topic].append((number, connection))
    return {name: _topic(name, each, found) for name, each in sorted(by_name.items())}


def _topic(name: str, published: list[tuple[int, _Connection]], found: _Found) -> Topic:
    connections = [connection for _, connection in published]
    types = {connection.type for connection in connections}
    problem = ""
    if len(types) > 1:
        problem = f"messages of several types lie on this topic: {', '.join(sorted(types))}"
    return Topic(
        name,
        min(types),
        "ros1",
        frozenset(each.md5 for each in connections if each.md5 not in ("", _ANY_MD5)),
        frozenset(each.definition for each in connections),
        sum(found.counts.get(number, 0) for number, _ in published),
        problem,
    )


def _normal(topic: str) -> str:
    """A topic without doubled slashes, as ROS itself reads it."""
    start = "/" if topic.startswith("/") else ""
    return start + "/".join(part for part in topic.split("/") if part)
