"""One MCAP file of a ROS 2 bag, which is read as MCAP files are everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sofdata.video.sequences.bags.store import Index, IndexParts, Topic, joined, short_type
from sofdata.video.sequences.mcaps.index import Fetcher, TopicIndex, index_topics
from sofdata.video.sequences.mcaps.recording import Channel, Recording


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
        problems = {name: self._problem_of(name) for name in topics}
        readable = [name for name, problem in problems.items() if not problem]
        found = index_topics(self._recording, readable, with_stamps=False)
        return {name: _index(found.get(name), problems[name]) for name in problems}

    def read(
        self, index: Index, numbers: Iterable[int], head_bytes: int | None = None
    ) -> Iterator[bytes | None]:
        """As of `Bag`."""
        if self._fetch is None or self._fetch[0] is not index:
            self._fetch = index, Fetcher(self._recording, index.places[:, :3])
        yield from map(self._fetch[1], numbers)

    def _problem_of(self, topic: str) -> str:
        if self._recording.kind_of(topic) is None:
            return "its type is not read"
        return self._recording.problem_of(topic)

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


def _index(found: TopicIndex | None, problem: str) -> Index:
    parts = IndexParts()
    if found is None:
        parts.words.append(problem)
        return parts.finish()
    parts.add(found.times.log, *found.places.T)
    parts.lost, parts.words = found.damage[0], [*found.damage[1]]
    return parts.finish()


def _topic(channel: Channel, count: int | None) -> Topic:
    definitions: frozenset[str | bytes] = frozenset({channel.definition})
    type = short_type(channel.type)
    return Topic(channel.topic, type, channel.encoding, definitions=definitions, count=count)
