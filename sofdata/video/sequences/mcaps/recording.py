"""An MCAP file: its topics, and what it holds, in order.

The summary at the end says which topics there are, how many messages each has and which chunks hold
them; it is used where it is whole, to look at a few chunks only. Without it (a recorder that was
stopped hard, a cut file) the data are walked over instead, with the same result.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterator, Mapping
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple

from sofdata.video.ranges import Source
from sofdata.video.sequences.base import opened_file
from sofdata.video.sequences.mcaps.records import (
    CHUNK,
    HEAD_BYTES,
    MAGIC,
    METADATA,
    MOST_BODY_BYTES,
    Damage,
    Record,
    check_magic,
    parsed,
    records,
    size_of,
)
from sofdata.video.sequences.mcaps.summary import read_summary
from sofdata.video.sequences.mcaps.walk import Event, walk, walk_chunk
from sofdata.video.sequences.messages import MessageType, known_type, refused_pictures
from sofdata.video.sequences.topics import several_types

_MESSAGE_INDEX = 0x07


class Channel(NamedTuple):
    """A topic as one writer fills it. kind: None for a type that is not read.

    type, encoding, definition: as the file has them. refused: why it is not read, of a type that
    holds pictures.
    """

    topic: str
    kind: MessageType | None
    type: str = ""
    refused: str = ""
    encoding: str = ""
    definition: bytes = b""
    has_schema: bool = True


class Recording:
    """An open file. `close` it.

    Raises `Unusable` where it is no MCAP file.
    """

    def __init__(self, source: Source) -> None:
        self.name = str(source)
        self.file: BinaryIO = opened_file(source)
        try:
            self.size = size_of(self.file)
            check_magic(self.file, self.name)
            found = read_summary(self.file, self.size)
        except BaseException:
            self.file.close()
            raise
        self.summary = found if found and found.names_all else None
        self.channels: dict[int, Channel] = {}
        self._schemas: dict[int, Any] = {}
        self._held = self._chunk_channels()
        if self.summary:
            self._schemas.update(self.summary.schemas)
            for id in sorted(self.summary.channels):
                self._add(self.summary.channels[id])

    def close(self) -> None:
        self.file.close()

    def ids_of(self, topic: str) -> list[int]:
        """The channels of a topic that are known so far and of a type that is read."""
        return [id for id, each in self.channels.items() if each.topic == topic and each.kind]

    def kind_of(self, topic: str) -> MessageType | None:
        """The type of a topic, None for one that is not there, or not read."""
        return next((self.channels[id].kind for id in self.ids_of(topic)), None)

    def problem_of(self, topic: str) -> str:
        """Why the messages of a topic cannot be read, "" if they can."""
        kinds = {
            (each.kind, f"{each.type} ({each.encoding})")
            for id, each in self.channels.items()
            if each.topic == topic and self._count(id) != 0
        }
        several = len({kind for kind, _ in kinds}) > 1
        return several_types(said for _, said in kinds) if several else ""

    def count_of(self, topic: str) -> int | None:
        """How many messages the summary says a topic has, None where it does not say."""
        counts = [self._count(id) for id in self.ids_of(topic)]
        return None if None in counts else sum(each or 0 for each in counts)

    def channels_in(self, chunk: int) -> set[int] | None:
        """The channels in the chunk whose body begins at a byte, None where they are not known."""
        return self._held.get(chunk)

    def events(self, is_wanted: Callable[[Collection[int] | None], bool]) -> Iterator[Event]:
        """All that the data hold, but for chunks that are not wanted; channels are taken in.

        is_wanted: asked for each chunk with the channels in it, None where they are not known.
        """
        for event in walk(self.file, self.size, lambda start: is_wanted(self.channels_in(start))):
            self._take(event)
            yield event

    def chosen_events(self, is_wanted: Callable[[Collection[int] | None], bool]) -> Iterator[Event]:
        """As `events`, but what the summary shows to be of no use is not even passed over."""
        if self.summary is None or not self.summary.chunks:
            yield from self.events(is_wanted)
            return
        for each in self.summary.chunks:
            start = each.chunk_start_offset + HEAD_BYTES
            if not is_wanted(set(each.message_index_offsets) or None):
                continue
            if (record := self._record(each.chunk_start_offset, CHUNK)) is None:
                yield Damage(f"the summary names a chunk at byte {start}, where none is")
                continue
            for event in walk_chunk(self.file, record):
                self._take(event)
                yield event

    def metadata(self) -> Iterator[Mapping[str, str]]:
        """The metadata that the summary names."""
        for each in self.summary.metadata if self.summary else ():
            if (record := self._record(each.offset, METADATA)) is not None:
                found = parsed(self.file, record)
                if not isinstance(found, Damage):
                    yield found.metadata

    def log_times_in(self, chunk: Any, ids: Collection[int]) -> list[int]:
        """Times of the log, ns, of messages in a chunk of the summary; [] where no index says."""
        from mcap.data_stream import ReadDataStream
        from mcap.exceptions import McapError
        from mcap.records import MessageIndex

        found: list[int] = []
        for id in set(ids) & set(chunk.message_index_offsets):
            record = self._record(chunk.message_index_offsets[id], _MESSAGE_INDEX)
            if record is None or record.length > MOST_BODY_BYTES:
                return []
            self.file.seek(record.start)
            try:
                body = ReadDataStream(BytesIO(self.file.read(record.length)))
                found += [time for time, _ in MessageIndex.read(body).records]
            except (McapError, struct.error, ValueError):
                return []
        return found

    def _count(self, id: int) -> int | None:
        """How many messages the summary says a channel has, None where it does not say."""
        counts = self.summary.counts if self.summary else None
        return None if counts is None else counts.get(id, 0)

    def _chunk_channels(self) -> dict[int, set[int]]:
        """The channels in each chunk, by where its body begins, as far as the summary says."""
        chunks = self.summary.chunks if self.summary else []
        return {
            each.chunk_start_offset + HEAD_BYTES: set(each.message_index_offsets)
            for each in chunks
            if each.message_index_offsets
        }

    def _record(self, offset: int, kind: int) -> Record | None:
        """The record at an offset that the summary names, None where there is no such."""
        if not len(MAGIC) <= offset < self.size:
            return None
        found = next(records(self.file, offset, self.size))
        return found if isinstance(found, Record) and found.kind == kind else None

    def _take(self, event: Event) -> None:
        from mcap import records as known

        if isinstance(event, known.Schema):
            self._schemas.setdefault(event.id, event)
        elif isinstance(event, known.Channel):
            self._add(event)

    def _add(self, channel: Any) -> None:
        known = self.channels.get(channel.id)
        if known is not None and known.has_schema:
            return
        schema = self._schemas.get(channel.schema_id)
        if schema is None:  # it may come yet, with the channel once more
            self.channels[channel.id] = Channel(channel.topic, None, has_schema=False)
            return
        said = schema.name, channel.message_encoding, schema.data
        kind, refused = known_type(*said), refused_pictures(*said)
        self.channels[channel.id] = Channel(channel.topic, kind, schema.name, refused, *said[1:])
