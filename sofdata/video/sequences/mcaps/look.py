"""What an MCAP file holds: its topics of pictures, texts, and the actions of a topic."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sofdata.video.sequences.mcaps.index import index_topics
from sofdata.video.sequences.mcaps.recording import Channel, Recording
from sofdata.video.sequences.mcaps.records import MOST_MESSAGE_BYTES, Damage
from sofdata.video.sequences.mcaps.walk import ChunkEnd, Event, Message
from sofdata.video.sequences.messages import MessageType
from sofdata.video.sequences.topics import (
    MOST_CHARACTERS,
    MOST_NAMED,
    MOST_TEXT_BYTES,
    MOST_TEXTS,
    TEXT_TOPICS,
    TextsSaid,
    TopicLook,
    brief,
    rate_of,
    refused_topic,
)

# Keys of metadata that say what is done.
TEXT_KEYS = ("instruction", "language_instruction", "task", "task_description", "prompt")
LOOKED_AT_CHUNKS = 32  # for the rate of actions


@dataclass(slots=True)
class _Found:
    """What a look has found so far. seen: topics of which a message came; lost: in bad chunks.

    before: as it was before the chunk whose body begins at byte `chunk`, to be taken up again where
    something is wrong with that.
    """

    topics: dict[str, TopicLook] = field(default_factory=dict)
    texts: TextsSaid = field(default_factory=TextsSaid)
    metadata: list[str] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    span_ns: tuple[int, int] | None = None
    seen: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    chunk: int = 0
    before: Callable[[], None] = lambda: None

    def begin_chunk(self, chunk: int) -> None:
        """Note how things are."""
        looks = {topic: (replace(each), len(each.log_ns)) for topic, each in self.topics.items()}
        told, last, span_ns = len(self.texts.told), dict(self.texts.last), self.span_ns
        seen = set(self.seen)

        def take_up() -> None:
            self.topics = {topic: each for topic, (each, _) in looks.items()}
            for each, count in looks.values():
                del each.log_ns[count:]
            del self.texts.told[told:]
            self.texts.last, self.span_ns = last, span_ns
            self.lost |= self.seen - seen
            self.seen = seen

        self.chunk, self.before = chunk, take_up

    def end_chunk(self, end: ChunkEnd) -> None:
        """Forget what a chunk held of which something is wrong."""
        if end.why:
            self.damage.append(end.why)
            if end.start == self.chunk:
                self.before()


def told(recording: Recording, actions: str) -> dict[str, Any]:
    """As JSON. actions: a topic, "" for none that is asked for."""
    found = _Found()
    summary = recording.summary
    whole = (
        summary is None or summary.counts is None or summary.metadata_count > len(summary.metadata)
    )
    _survey(recording, found, actions, whole)
    if not whole and _unseen(recording, found, actions):  # they may lie in no chunk
        found, whole = _Found(), True
        _survey(recording, found, actions, whole)
    for mapping in recording.metadata():
        _take_metadata(found, mapping)
    if recording.summary and recording.summary.span_ns:
        found.span_ns = recording.summary.span_ns
    for topic in _unseen(recording, found, actions):
        _add_unread(recording, found, topic)
    for topic, each in found.topics.items():
        each.count = (0 if whole else recording.count_of(topic)) or each.count
        if why := recording.problem_of(topic):
            found.topics[topic] = TopicLook(each.kind, topic, each.count, why=why)
    return {
        "topics": [
            *(each.told() for topic, each in found.topics.items() if topic != actions),
            *_refused(recording, found),
        ],
        "texts": found.texts.told,
        "metadata": found.metadata,
        "actions": _told_actions(recording, actions, found, whole) if actions else None,
        "numbers": sorted(
            channel.topic
            for channel in recording.channels.values()
            if channel.kind is not None and channel.kind.use == "numbers"
        )[:MOST_NAMED],
        "damage": list(brief([*found.damage, *found.texts.wrong])),
        "span_ns": found.span_ns,
    }


def _refused(recording: Recording, found: _Found) -> list[dict[str, Any]]:
    """Topics of pictures of types that are not read."""
    refused = {
        channel.topic: refused_topic(channel.topic, channel.type, channel.refused)
        for channel in recording.channels.values()
        if channel.refused and channel.topic not in found.topics
    }
    return list(refused.values())


def _survey(recording: Recording, found: _Found, actions: str, whole: bool) -> None:
    """Walk over what tells of the topics. whole: over everything."""

    def is_open(id: int) -> bool:
        channel = recording.channels.get(id)
        if channel is None or channel.kind is None:
            return channel is None  # not seen yet, it may be anything
        if not _is_wanted(channel, channel.kind, actions):
            return False
        if not whole and not recording.count_of(channel.topic):
            return False  # it has no messages at all
        return (
            channel.kind.use == "text"
            or channel.topic not in found.topics
            or not found.topics[channel.topic].is_known
        )

    def is_wanted(channels: Collection[int] | None) -> bool:
        ids = recording.channels if channels is None else channels
        return whole or any(is_open(id) for id in ids)

    events = recording.events if whole else recording.chosen_events
    for event in events(is_wanted):
        _take(recording, found, event, actions)
        if isinstance(event, ChunkEnd) and not (whole or any(map(is_open, recording.channels))):
            return


def _unseen(recording: Recording, found: _Found, actions: str) -> list[str]:
    """Topics of which no message has come, though the summary counts some, or a bad chunk had."""
    topics = {
        channel.topic
        for channel in recording.channels.values()
        if channel.kind is not None and _is_wanted(channel, channel.kind, actions)
    }
    unseen = topics - found.seen
    return sorted(each for each in unseen if each in found.lost or recording.count_of(each))


def _is_wanted(channel: Channel, kind: MessageType, actions: str) -> bool:
    """Whether a look has to know what a channel holds."""
    if kind.use == "text":
        return channel.topic in TEXT_TOPICS
    return kind.use == "picture" or channel.topic == actions


def _add_unread(recording: Recording, found: _Found, topic: str) -> None:
    """Tell of a topic of which no message can be read, though there are some."""
    kind = recording.kind_of(topic)
    why = "; ".join(brief(found.damage)) or "none of its messages can be found"
    if kind is not None and kind.use != "text":
        found.topics[topic] = TopicLook(kind, topic, recording.count_of(topic) or 0, why=why)
    else:
        found.texts.wrong.append(f"{topic}: {why}")


def _take(recording: Recording, found: _Found, event: Event, actions: str) -> None:
    if isinstance(event, Message):
        if event.chunk != found.chunk:
            found.begin_chunk(event.chunk)
        channel = recording.channels.get(event.channel)
        _stretch(found, event.log_ns)
        if channel is not None and channel.kind is not None:
            _take_message(found, channel, channel.kind, event, actions)
    elif isinstance(event, ChunkEnd):
        found.end_chunk(event)
    elif isinstance(event, Damage):
        found.damage.append(event.what)
    elif hasattr(event, "metadata") and not hasattr(event, "topic"):
        _take_metadata(found, event.metadata)


def _stretch(found: _Found, log_ns: int) -> None:
    first, last = found.span_ns or (log_ns, log_ns)
    found.span_ns = min(first, log_ns), max(last, log_ns)


def _take_message(
    found: _Found, channel: Channel, kind: MessageType, message: Message, actions: str
) -> None:
    if not _is_wanted(channel, kind, actions):
        return
    found.seen.add(channel.topic)
    if kind.use == "text":
        data = message.read(min(message.length, MOST_TEXT_BYTES))
        found.texts.take(channel.topic, kind, message.log_ns, data)
        return
    each = found.topics.setdefault(channel.topic, TopicLook(kind, channel.topic))
    if kind != each.kind:
        return
    each.count += 1
    if kind.use == "numbers":
        each.log_ns.append(message.log_ns)
    if each.is_known or message.length > MOST_MESSAGE_BYTES:
        return
    each.learn(message.log_ns, message.read(message.length))


def _take_metadata(found: _Found, mapping: Mapping[str, str]) -> None:
    for key in TEXT_KEYS:
        text = mapping.get(key, "").strip()[:MOST_CHARACTERS]
        if text and text not in found.metadata and len(found.metadata) < MOST_TEXTS:
            found.metadata.append(text)


def _told_actions(
    recording: Recording, topic: str, found: _Found, whole: bool
) -> dict[str, Any] | None:
    """Names, number and rate of the actions, None where there are none."""
    each = found.topics.get(topic)
    if each is None or each.kind.use != "numbers":
        return None
    rate = rate_of([each.log_ns] if whole else _some_times(recording, topic))
    if not rate:  # the file keeps no index of its messages
        rate = rate_of([index_topics(recording, [topic])[topic].times.log])
    return each.told_actions(rate)


def _some_times(recording: Recording, topic: str) -> list[list[int]]:
    """Times of the log of messages of a topic: stretches from all over the file."""
    assert recording.summary is not None
    ids = recording.ids_of(topic)
    chunks = [
        each for each in recording.summary.chunks if set(ids) & set(each.message_index_offsets)
    ]
    length = LOOKED_AT_CHUNKS // 4
    firsts = sorted({len(chunks) * quarter // 4 for quarter in range(4)})
    stretches = []
    for place, first in enumerate(firsts):
        end = min(first + length, firsts[place + 1] if place + 1 < len(firsts) else len(chunks))
        several = [recording.log_times_in(chunk, ids) for chunk in chunks[first:end]]
        stretches.append([time for times in several for time in times])
    return stretches
