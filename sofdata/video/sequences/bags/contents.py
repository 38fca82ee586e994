"""What a ROS 1 bag is made of: by the index at its end, else by going through it chunk by chunk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

from sofdata.video.probe import Unusable
from sofdata.video.progress import PROGRESS
from sofdata.video.sequences.bags import records
from sofdata.video.sequences.bags.chunks import Chunk, Chunks
from sofdata.video.sequences.bags.records import BadRecord, Record, record_at
from sofdata.video.sequences.bags.store import Topic
from sofdata.video.sequences.base import damaged
from sofdata.video.sequences.topics import several_types

MAGIC = b"#ROSBAG V"
_VERSION = b"2.0\n"
_ANY_MD5 = "*"  # what a publisher says that does not know its type


@dataclass(slots=True)
class Connection:
    """A publisher of messages to a topic."""

    topic: str
    type: str
    md5: str
    definition: str


@dataclass(slots=True)
class Found:
    """What the bag is made of.

    counts: messages by connection, as the index says; by_chunk: those of each chunk, by its
    position. lost: those of chunks that are damaged. words: what is wrong with the bag.
    """

    chunks: list[Chunk] = field(default_factory=list)
    connections: dict[int, Connection] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    by_chunk: dict[int, dict[int, int]] = field(default_factory=dict)
    lost: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    words: list[str] = field(default_factory=list)


class Contents:
    """Reads what a bag is made of. name: for messages. size: of the file, bytes."""

    def __init__(self, file: BinaryIO, chunks: Chunks, name: str, size: int) -> None:
        self._file, self._chunks, self._name, self._bytes = file, chunks, name, size

    def found(self) -> Found:
        """Raises `Unusable`, and `BadRecord` where it does not even begin well."""
        return self._contents(self._bag_header())

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

    def _contents(self, header: Record) -> Found:
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

    def _last(self, found: Found) -> int:
        return found.chunks[-1].end if found.chunks else 0

    def _by_index(self, header: Record, position: int) -> Found:
        found = Found()
        for _ in range(header.uint32("conn_count")):
            record = record_at(self._file, position)
            self._add_connection(found, self._file, record)
            position = record.end
        for _ in range(header.uint32("chunk_count")):
            record = record_at(self._file, position)
            self._add_chunk_info(found, record)
            position = record.end
        return found

    def _add_connection(self, found: Found, file: BinaryIO, record: Record) -> None:
        if record.op != records.CONNECTION:
            raise BadRecord("a connection is missing")
        data = records.data_of(file, record, records.MOST_HEADER_BYTES)
        about = records.fields_of(data)
        found.connections[record.uint32("conn")] = Connection(
            _normal(record.text("topic")),
            records.text_of(about.get("type", b"")),
            records.text_of(about.get("md5sum", b"")),
            records.text_of(about.get("message_definition", b"")),
        )

    def _add_chunk_info(self, found: Found, record: Record) -> None:
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
            found.chunks.append(self._chunks.at(position))
        except BadRecord as error:
            found.words.append(str(error))
            for connection, count in counts.items():
                found.lost[connection] += count

    # Without an index

    def _scan(self, position: int) -> Found:
        """Chunk by chunk, up to where the file ends or is damaged."""
        found = Found()
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

    def _scan_chunk(self, found: Found, position: int) -> int:
        """Keep a chunk; gives where the next record is."""
        chunk = self._chunks.at(position)
        if not chunk.data_bytes or chunk.end > self._bytes:  # being written, or cut off
            left = self._bytes - chunk.data_pos
            if chunk.compression != "none":
                raise BadRecord("the last chunk is not whole")
            chunk = Chunk(position, chunk.data_pos, left, "none", left)
        found.chunks.append(chunk)
        following = record_at(self._file, chunk.end) if chunk.end < self._bytes else None
        if following is None or following.op != records.INDEX:
            for _ in self.walk(chunk, found):
                pass
        return chunk.end

    def _scan_index(self, found: Found, position: int) -> int:
        record = record_at(self._file, position)
        number, count = record.uint32("conn"), record.uint32("count")
        if not found.chunks:
            raise BadRecord("an index of messages without any before it")
        if number not in found.connections:
            for _ in self.walk(found.chunks[-1], found):  # which holds what says so
                pass
        found.counts[number] += count
        return record.end

    def walk(self, chunk: Chunk, found: Found | None = None) -> Iterator[tuple[int, int, int]]:
        """The messages of a chunk as (connection, time, offset), without an index.

        found: takes the connections that lie in it, too.
        """
        file, base, end = self._chunks.opened(chunk)
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


def topics_of(found: Found) -> dict[str, Topic]:
    """Topics by name; that several publishers wrote one is usual, that they differ is not."""
    by_name: dict[str, list[tuple[int, Connection]]] = defaultdict(list)
    for number, connection in found.connections.items():
        by_name[connection.topic].append((number, connection))
    return {name: _topic(name, each, found) for name, each in sorted(by_name.items())}


def _topic(name: str, published: list[tuple[int, Connection]], found: Found) -> Topic:
    connections = [connection for _, connection in published]
    types = {connection.type for connection in connections}
    problem = several_types(types) if len(types) > 1 else ""
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
