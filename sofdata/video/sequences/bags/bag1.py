"""Bags of ROS 1 (.bag), also those that were cut off or never closed (.bag.active).

Messages lie in chunks, each followed by an index of the messages in it; at the end of the file
lies an index of the chunks. Where that is missing, the chunks are gone through one after the other,
which needs no more than their own indexes: only those of the topics that are asked for are kept.
rosbags' own `Reader` refuses such bags, and keeps a tuple for every message of every topic.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from sofdata.video.progress import PROGRESS
from sofdata.video.ranges import RangeFile, Source
from sofdata.video.sequences.bags import records
from sofdata.video.sequences.bags.chunks import Chunk, Chunks
from sofdata.video.sequences.bags.contents import Contents, topics_of
from sofdata.video.sequences.bags.records import BadRecord, Record, record_at
from sofdata.video.sequences.bags.store import MOST_MESSAGE_BYTES, Index, IndexParts
from sofdata.video.sequences.base import damaged, opened_file

# A connection, and the times and offsets of its messages in a chunk.
_Rows = tuple[int, NDArray[np.int64], NDArray[np.int64]]


class Bag1:
    """A bag of ROS 1, local or remote."""

    def __init__(self, source: Source) -> None:
        self._name = str(source)
        self._file = opened_file(source)
        self._bytes = source.size if isinstance(source, RangeFile) else self._file.seek(0, 2)
        self._chunks = Chunks(self._file)
        self._contents = Contents(self._file, self._chunks, self._name, self._bytes)
        try:
            self._found = self._contents.found()
        except BadRecord as error:
            raise damaged(f"{self._name}: {error}") from None
        self.topics = topics_of(self._found)
        self.words = self._found.words

    def close(self) -> None:
        """Close the file."""
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

    def _add_chunk(
        self, number: int, chunk: Chunk, wanted: dict[int, IndexParts], counts: dict[int, int]
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

    def _chunk_index(self, chunk: Chunk, wanted: set[int]) -> Iterator[_Rows]:
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

    def _walked(self, chunk: Chunk, wanted: set[int]) -> Iterator[_Rows]:
        rows: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for connection, time_ns, offset in self._contents.walk(chunk):
            if connection in wanted:
                rows[connection].append((time_ns, offset))
        for connection, each in rows.items():
            table = np.array(each, np.int64)
            yield connection, table[:, 0], table[:, 1]

    def _message(self, chunk: Chunk, offset: int, head_bytes: int | None) -> bytes:
        """Raises `BadRecord`."""
        file, base, _ = self._chunks.opened(chunk)
        record = record_at(file, base + offset)
        while record.op == records.CONNECTION:  # an index may point to what lies before it
            record = record_at(file, record.end)
        if record.op != records.MESSAGE:
            raise BadRecord("no message lies where the index says")
        if head_bytes is not None and head_bytes < record.data_bytes:
            record = Record(record.fields, record.data_pos, head_bytes)
        return records.data_of(file, record, MOST_MESSAGE_BYTES)
