"""Where the messages of topics lie in an MCAP file, and their bytes."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sofdata.video.probe import Unusable
from sofdata.video.sequences.base import damaged
from sofdata.video.sequences.clocks import NOT_SET, MessageTimes, as_int64
from sofdata.video.sequences.mcaps.chunks import Content, chunk_head
from sofdata.video.sequences.mcaps.recording import Recording
from sofdata.video.sequences.mcaps.records import (
    HEAD_BYTES,
    MOST_MESSAGE_BYTES,
    Damage,
    Record,
    records,
)
from sofdata.video.sequences.mcaps.walk import ChunkEnd, Message
from sofdata.video.sequences.messages import MessageType
from sofdata.video.sequences.topics import brief, stamp_of

KEPT_CHUNKS = 4  # that are being unpacked, for messages that lie by turns in several


@dataclass(frozen=True, slots=True, eq=False)
class TopicIndex:
    """The messages of a topic, in the order of the file.

    places: int64 [n,3]; chunk, offset and length of each: see `chunks.Place`.
    damage: as of a `Sequence`.
    """

    kind: MessageType
    times: MessageTimes
    places: NDArray[np.int64]
    damage: tuple[int, tuple[str, ...]]


def index_topics(
    recording: Recording, topics: Iterable[str], with_stamps: bool = True
) -> dict[str, TopicIndex]:
    """Find all messages of some topics, in one pass. with_stamps: else none is looked for.

    Raises `Unusable` where there is no such topic, or where its messages are of several types.
    """
    found = {topic: _Collected(recording, topic) for topic in topics}
    by_id = _by_id(found)

    def is_wanted(channels: Collection[int] | None) -> bool:
        return channels is None or not by_id.keys().isdisjoint(channels)

    for event in recording.events(is_wanted):
        if isinstance(event, Message):
            if (of_topic := by_id.get(event.channel)) is not None:
                of_topic.add(event, with_stamps)
        elif isinstance(event, ChunkEnd):
            for each in found.values():
                each.end_chunk(event)
        elif isinstance(event, Damage):
            for each in found.values():
                each.sentences.append(event.what)
        else:
            by_id = _by_id(found)
    return {topic: each.index() for topic, each in found.items()}


def _by_id(found: dict[str, _Collected]) -> dict[int, _Collected]:
    return {id: each for each in found.values() for id in each.ids()}


class _Collected:
    """What is found of a topic: chunk, offset, length, log, publish and stamp of each message."""

    WIDTH = 6

    def __init__(self, recording: Recording, topic: str) -> None:
        self._recording = recording
        self._topic = topic
        self._numbers = array("q")
        self._chunk_from = 0  # where those of the chunk begin that is being read
        self._dropped = 0
        self.sentences: list[str] = []

    def __len__(self) -> int:
        return len(self._numbers) // self.WIDTH

    def ids(self) -> list[int]:
        """The channels of the topic, as far as they are known."""
        return self._recording.ids_of(self._topic)

    def add(self, message: Message, with_stamps: bool) -> None:
        stamp_ns = self._stamp_ns(message) if with_stamps else NOT_SET
        times = as_int64(message.log_ns), as_int64(message.publish_ns), stamp_ns
        self._numbers.extend((*message.place, message.length, *times))
        if not message.chunk:
            self._chunk_from = len(self._numbers)

    def end_chunk(self, end: ChunkEnd) -> None:
        """Keep what a chunk held, or drop it where something is wrong with it."""
        before = len(self)
        if end.why:
            del self._numbers[self._chunk_from :]
            held = self._recording.channels_in(end.start)
            if held is None or not held.isdisjoint(self.ids()):
                lost = before - len(self)
                self.sentences.append(f"{end.why}: {lost} messages of the topic in it")
        self._chunk_from = len(self._numbers)
        self._dropped += before - len(self)

    def index(self) -> TopicIndex:
        name, topic = self._recording.name, self._topic
        kind = self._recording.kind_of(topic)
        if kind is None:
            why = "".join(f"; {sentence}" for sentence in brief(self.sentences))
            raise damaged(f"{name}: has no topic '{topic}' of a type that is read{why}")
        if why := self._recording.problem_of(topic):
            raise Unusable("other_type", f"{name}: '{topic}': {why}")
        stated = self._recording.count_of(topic)
        lost = self._dropped if stated is None else max(0, stated - len(self))
        sentences = self.sentences
        if lost and not sentences:
            sentences = [f"{lost} messages are missing of those that the summary counts"]
        table = np.frombuffer(self._numbers, np.int64).reshape(-1, self.WIDTH)
        times = MessageTimes(table[:, 3], table[:, 4], table[:, 5])
        return TopicIndex(kind, times, table[:, :3], (lost, brief(sentences)))

    def _stamp_ns(self, message: Message) -> int:
        kind = self._recording.channels[message.channel].kind
        if kind is None or message.length > MOST_MESSAGE_BYTES:
            return NOT_SET
        wanted = kind.stamp_bytes
        return stamp_of(kind, message.read(message.length if wanted is None else wanted))


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
