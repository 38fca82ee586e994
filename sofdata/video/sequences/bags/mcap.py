"""One MCAP file of a ROS 2 bag, which is read as MCAP files are everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sofdata.errors import InputError
from sofdata.video.sequences.bags.store import Index, IndexParts, Topic, joined, short_type
from sofdata.video.sequences.mcapfile import Channel, Fetcher, Recording, index_topic


class McapFile:
    """One file, on this machine. name: for messages."""

    def __init__(self, path: str, name: str = "") -> None:
        self._recording = Recording(path)
        self._recording.name = name or path
        self._fetch: tuple[Index, Fetcher] | None = None
        if self._recording.summary is None:
            for _ in self._recording.events(lambda _: True):
                pass  # which says what topics there are
        self.topics = self._topics()
        self.words: list[str] = []

    def close(self) -> None:
        """Close the file."""
        self._recording.close()

    def index(self, topics: Iterable[str]) -> dict[str, Index]:
        """As of `Bag`."""
        return {topic: self._index(topic) for topic in topics}

    def read(
        self, index: Index, numbers: Iterable[int], head_bytes: int | None = None
    ) -> Iterator[bytes | None]:
        """As of `Bag`."""
        if self._fetch is None or self._fetch[0] is not index:
            self._fetch = index, Fetcher(self._recording, index.places[:, :3])
        yield from map(self._fetch[1], numbers)

    def _index(self, topic: str) -> Index:
        parts = IndexParts()
        try:
            found = index_topic(self._recording, topic)
        except InputError as error:
            parts.words.append(str(error))
            return parts.finish()
        parts.add(found.times.log, *found.places.T)
        parts.lost, parts.words = found.damage[0], [*found.damage[1]]
        return parts.finish()

    def _topics(self) -> dict[str, Topic]:
        topics: dict[str, Topic] = {}
        for id, channel in self._recording.channels.items():
            one = _topic(channel, self._count(id))
            topics[one.name] = joined(topics[one.name], one) if one.name in topics else one
        return topics

    def _count(self, channel: int) -> int | None:
        summary = self._recording.summary
        if summary is None or summary.counts is None:
            return None
        return summary.counts.get(channel, 0)


def _topic(channel: Channel, count: int | None) -> Topic:
    text = channel.definition.decode(errors="replace")
    type = short_type(channel.type)
    return Topic(channel.topic, type, channel.encoding, definitions=frozenset({text}), count=count)
