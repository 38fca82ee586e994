"""An MCAP file: its topics, the messages of one of them, and where those lie.

The summary at the end says which topics there are, how many messages each has and which chunks hold
them; it is used where it is whole, to look at a few chunks only. Without it (a recorder that was
stopped hard, a cut file) the data are walked over instead, with the same result.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sofdata.video.ranges import Source
from sofdata.video.sequences.base import damaged, opened_file
from sofdata.video.sequences.mcaprecords import (
    CHUNK,
    FOOTER,
    HEAD_BYTES,
    MAGIC,
    METADATA,
    MOST_BODY_BYTES,
    MOST_MESSAGE_BYTES,
    PIECE_BYTES,
    ChunkEnd,
    Content,
    Damage,
    Event,
    Message,
    Record,
    check_magic,
    chunk_head,
    parsed,
    records,
    size_of,
    walk,
    walk_chunk,
)
from sofdata.video.sequences.messages import MessageType, known_type, refused_pictures
from sofdata.video.sequences.recorded import NOT_SET, MessageTimes
from sofdata.video.sequences.topics import brief
from sofdata.video.sequences.wire import DamagedMessage

MOST_SUMMARY_BYTES = 1 << 29
FOOTER_BYTES = HEAD_BYTES + 20
KEPT_CHUNKS = 4  # that are being unpacked, for messages that lie by turns in several
_MESSAGE_INDEX = 0x07


@dataclass(slots=True)
class Summary:
    """What the end of a file says of it. counts: messages by channel, None where it does not say.

    span_ns: (first, last) time of the log. metadata_count: that there are, whether named or not.
    """

    schemas: dict[int, Any] = field(default_factory=dict)
    channels: dict[int, Any] = field(default_factory=dict)
    chunks: list[Any] = field(default_factory=list)
    metadata: list[Any] = field(default_factory=list)
    counts: Mapping[int, int] | None = None
    span_ns: tuple[int, int] | None = None
    metadata_count: int = 0

    @property
    def names_all(self) -> bool:
        """Whether it says of every channel what it holds."""
        schemas = {channel.schema_id for channel in self.channels.values()} - {0}
        return bool(self.channels) and schemas <= set(self.schemas)


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
        if self.summary:
            self._schemas.update(self.summary.schemas)
            for id in sorted(self.summary.channels):
                self._add(self.summary.channels[id])

    def close(self) -> None:
        self.file.close()

    def ids_of(self, topic: str) -> list[int]:
        """The channels of a topic that are known so far and of the type of its first one."""
        found = {
            id: channel.kind
            for id, channel in self.channels.items()
            if channel.topic == topic and channel.kind
        }
        first = next(iter(found.values()), None)
        return [id for id, kind in found.items() if kind == first]

    def count_of(self, topic: str) -> int | None:
        """How many messages the summary says a topic has, None where it does not say."""
        if self.summary is None or self.summary.counts is None:
            return None
        return sum(self.summary.counts.get(id, 0) for id in self.ids_of(topic))

    def events(self, is_wanted: Callable[[Collection[int] | None], bool]) -> Iterator[Event]:
        """All that the data hold, but for chunks that are not wanted; channels are taken in.

        is_wanted: asked for each chunk with the channels in it, None where they are not known.
        """
        known = self._chunk_channels()
        for event in walk(self.file, self.size, lambda start: is_wanted(known.get(start))):
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
        if channel.id in self.channels:
            return
        schema = self._schemas.get(channel.schema_id)
        if schema is None:
            self.channels[channel.id] = Channel(channel.topic, None)
            return
        said = schema.name, channel.message_encoding, schema.data
        kind, refused = known_type(*said), refused_pictures(*said)
        self.channels[channel.id] = Channel(channel.topic, kind, schema.name, refused, *said[1:])


def read_summary(file: BinaryIO, size: int) -> Summary | None:
    """The summary of a file, None where it has none that is whole."""
    end = size - len(MAGIC) - FOOTER_BYTES
    file.seek(max(0, end))
    tail = file.read(FOOTER_BYTES + len(MAGIC))
    if end < len(MAGIC) or not tail.endswith(MAGIC):
        return None
    kind, length, start, _, crc = struct.unpack("<BQQQI", tail[:FOOTER_BYTES])
    if (kind, length) != (FOOTER, 20) or not len(MAGIC) < start < end:
        return None
    if end - start > MOST_SUMMARY_BYTES or (crc and crc != _crc(file, start, end + 25)):
        return None
    return _summary(file, start, size)


def _crc(file: BinaryIO, start: int, end: int) -> int:
    file.seek(start)
    crc, left = 0, end - start
    while left > 0 and (piece := file.read(min(PIECE_BYTES, left))):
        crc, left = zlib.crc32(piece, crc), left - len(piece)
    return crc


def _summary(file: BinaryIO, start: int, size: int) -> Summary | None:
    from mcap import records as known
    from mcap.data_stream import ReadDataStream
    from mcap.exceptions import McapError

    kinds: dict[int, Any] = {0x03: known.Schema, 0x04: known.Channel, 0x08: known.ChunkIndex}
    kinds |= {0x0B: known.Statistics, 0x0D: known.MetadataIndex}
    summary = Summary()
    try:
        for record in records(file, start, size):
            if isinstance(record, Damage) or record.is_cut or record.length > MOST_BODY_BYTES:
                return None
            if record.kind in kinds:
                file.seek(record.start)
                body = ReadDataStream(BytesIO(file.read(record.length)))
                _put(summary, kinds[record.kind].read(body))
    except (McapError, struct.error, ValueError):
        return None
    summary.chunks.sort(key=lambda each: int(each.chunk_start_offset))
    return summary


def _put(summary: Summary, record: Any) -> None:
    kind = type(record).__name__
    if kind == "Schema":
        summary.schemas[record.id] = record
    elif kind == "Channel":
        summary.channels[record.id] = record
    elif kind == "ChunkIndex":
        summary.chunks.append(record)
    elif kind == "MetadataIndex":
        summary.metadata.append(record)
    else:
        summary.counts = dict(record.channel_message_counts)
        summary.metadata_count = record.metadata_count
        if record.message_count:
            summary.span_ns = (record.message_start_time, record.message_end_time)


@dataclass(frozen=True, slots=True, eq=False)
class TopicIndex:
    """The messages of a topic, in the order of the file.

    places: int64 [n,3]; chunk, offset and length of each: see `mcaprecords.Place`.
    damage: as of a `Sequence`.
    """

    kind: MessageType
    times: MessageTimes
    places: NDArray[np.int64]
    damage: tuple[int, tuple[str, ...]]


class _Collected:
    """Numbers of messages as they are found: chunk, offset, length, log, publish, stamp."""

    WIDTH = 6

    def __init__(self) -> None:
        self.numbers = array("q")
        self.chunk_from = 0  # where those of the chunk begin that is being read

    def __len__(self) -> int:
        return len(self.numbers) // self.WIDTH

    def end_chunk(self, is_good: bool) -> int:
        """Keep what a chunk held, or not; how many messages are not kept."""
        before = len(self)
        if not is_good:
            del self.numbers[self.chunk_from :]
        self.chunk_from = len(self.numbers)
        return before - len(self)

    def add(self, message: Message, stamp_ns: int) -> None:
        times = (_signed(message.log_ns), _signed(message.publish_ns), _signed(stamp_ns))
        self.numbers.extend((*message.place, message.length, *times))
        if not message.chunk:
            self.chunk_from = len(self.numbers)


def index_topic(recording: Recording, topic: str) -> TopicIndex:
    """Find all messages of a topic. Raises `Unusable` where there is no such topic."""
    found, dropped, sentences = _Collected(), 0, []
    ids: set[int] = set(recording.ids_of(topic))

    def is_wanted(channels: Collection[int] | None) -> bool:
        return channels is None or not ids.isdisjoint(channels)

    for event in recording.events(is_wanted):
        if isinstance(event, Message):
            if event.channel in ids:
                found.add(event, _stamp_ns(recording, event))
        elif isinstance(event, ChunkEnd):
            dropped += (lost := found.end_chunk(not event.why))
            sentences += [f"{event.why}: {lost} messages of the topic in it"] if event.why else []
        elif isinstance(event, Damage):
            sentences.append(event.what)
        else:
            ids = set(recording.ids_of(topic))
    if not ids:
        why = "".join(f"; {sentence}" for sentence in brief(sentences))
        raise damaged(f"{recording.name}: has no topic '{topic}' of a type that is read{why}")
    kind = recording.channels[min(ids)].kind
    assert kind is not None
    stated = recording.count_of(topic)
    lost = dropped if stated is None else max(0, stated - len(found))
    if lost and not sentences:
        sentences = [f"{lost} messages are missing of those that the summary counts"]
    table = np.array(found.numbers, np.int64).reshape(-1, _Collected.WIDTH)
    times = MessageTimes(table[:, 3].copy(), table[:, 4].copy(), table[:, 5].copy())
    return TopicIndex(kind, times, table[:, :3].copy(), (lost, brief(sentences)))


def _stamp_ns(recording: Recording, message: Message) -> int:
    kind = recording.channels[message.channel].kind
    assert kind is not None
    if message.length > MOST_MESSAGE_BYTES:
        return NOT_SET
    wanted = kind.stamp_bytes
    try:
        found = kind.stamp_ns(message.read(message.length if wanted is None else wanted))
    except DamagedMessage:
        return NOT_SET
    return NOT_SET if found is None else found


def _signed(ns: int) -> int:
    """Nanoseconds as int64, of which any two have a difference: within 146 years of 1970."""
    return ns if -(1 << 62) <= ns < 1 << 62 else NOT_SET


class Fetcher:
    """Gives the bytes of messages. Chunks are unpacked as far as it takes, a few at a time."""

    def __init__(self, recording: Recording, places: NDArray[np.int64]) -> None:
        self._recording = recording
        self._places = places
        self._open: OrderedDict[int, Content] = OrderedDict()

    def __call__(self, number: int) -> bytes | None:
        """The bytes of a message, None where they cannot be had."""
        chunk, offset, length = (int(each) for each in self._places[number])
        if length > MOST_MESSAGE_BYTES:
            return None
        if not chunk:
            self._recording.file.seek(offset)
            data = self._recording.file.read(length)
        else:
            try:
                content = self._content(chunk, offset)
                content.skip(offset - content.position)
                data = content.read(length)
            except ValueError:
                return None
        return data if len(data) == length else None

    def _content(self, chunk: int, offset: int) -> Content:
        content = self._open.pop(chunk, None)
        if content is None or content.position > offset:
            file, size = self._recording.file, self._recording.size
            record = next(records(file, chunk - HEAD_BYTES, size))
            if not isinstance(record, Record):
                raise ValueError(record.what)
            content = Content(file, chunk_head(file, record))
        self._open[chunk] = content
        if len(self._open) > KEPT_CHUNKS:
            self._open.popitem(last=False)
        return content
