"""MCAP recordings: each topic of pictures is a sequence, named by the topic.

https://mcap.dev/spec. Messages are those of `sofdata.video.sequences.messages`; which clock counts
says `sofdata.video.sequences.recorded`.

Options of the place: `clock`, "stamp", "log" or "publish", where one is asked for. For rows the
name is the topic of the pictures, too, since the rows are put on their clock; `actions` is the
topic of the rows, and `rows` how many messages the listing counted.

Options of a look: `actions`, a topic.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sofdata.video.ranges import Source
from sofdata.video.sequences.base import Rows, damaged
from sofdata.video.sequences.mcapfile import Channel, Fetcher, Recording, index_topic
from sofdata.video.sequences.mcaprecords import (
    MOST_MESSAGE_BYTES,
    ChunkEnd,
    Damage,
    Event,
    Message,
)
from sofdata.video.sequences.messages import MessageType
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.recorded import RecordedPictures, clocked, on_clock_of
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
    rows_of,
)

# Keys of metadata that say what is done.
TEXT_KEYS = ("instruction", "language_instruction", "task", "task_description", "prompt")
LOOKED_AT_CHUNKS = 32  # for the rate of actions


def open_sequence(source: Source, place: SequencePlace) -> RecordedPictures:
    """The pictures of a topic. Raises as `RecordedPictures`, and where there is no such topic."""
    recording = Recording(source)
    try:
        index = index_topic(recording, place.name)
        if index.kind.use != "picture":
            raise damaged(f"{recording.name}: '{place.name}' is no topic of pictures")
        ordered = clocked(index.times, place.get("clock"))
        fetch = Fetcher(recording, index.places)
        return RecordedPictures(index.kind, ordered, fetch, index.damage, recording.close)
    except BaseException:
        recording.close()
        raise


def read_rows(source: Source, place: SequencePlace) -> Rows:
    """The numbers of another topic, on the clock of the pictures.

    Raises `Unusable` where they are not as many as were counted, or not the same throughout, and
    where the two topics have no clock in common.
    """
    recording = Recording(source)
    try:
        topic = place.get("actions")
        pictures, actions = index_topic(recording, place.name), index_topic(recording, topic)
        wanted = round(place.number("rows", len(actions.times)))
        if len(actions.times) != wanted:
            what = f"{len(actions.times)} messages of '{topic}', where {wanted} were counted"
            raise damaged(f"{recording.name}: {what}: {'; '.join(actions.damage[1])}")
        of_pictures = clocked(pictures.times, place.get("clock"))
        found = on_clock_of(of_pictures, actions.times, pictures.times, f"'{topic}'")
        fetch = Fetcher(recording, actions.places)
        return rows_of(fetch, actions.kind, len(actions.times), found, of_pictures)
    finally:
        recording.close()


# Looking


@dataclass(slots=True)
class _Found:
    """What a look has found so far."""

    topics: dict[str, TopicLook] = field(default_factory=dict)
    texts: TextsSaid = field(default_factory=TextsSaid)
    metadata: list[str] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    span_ns: tuple[int, int] | None = None


def look(source: Source, options: Mapping[str, Any]) -> dict[str, Any]:
    """What a file holds: topics of pictures, texts, and the actions of a topic that is asked for.

    Reads a few chunks where the summary is whole, else all of the file.
    """
    recording = Recording(source)
    try:
        return _look(recording, str(options.get("actions", "")))
    finally:
        recording.close()


def _look(recording: Recording, actions: str) -> dict[str, Any]:
    found = _Found()
    summary = recording.summary
    whole = (
        summary is None or summary.counts is None or summary.metadata_count > len(summary.metadata)
    )
    _survey(recording, found, actions, whole)
    for mapping in recording.metadata():
        _take_metadata(found, mapping)
    if recording.summary and recording.summary.span_ns:
        found.span_ns = recording.summary.span_ns
    if not whole:
        _add_unread(recording, found)
        for topic, each in found.topics.items():
            each.count = recording.count_of(topic) or 0
    return {
        "topics": [
            *(each.told(topic) for topic, each in found.topics.items() if topic != actions),
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
        if channel.kind.use == "text":
            return channel.topic in TEXT_TOPICS
        if channel.kind.use == "numbers" and channel.topic != actions:
            return False
        if not whole and not recording.count_of(channel.topic):
            return False  # it has no messages at all
        return channel.topic not in found.topics or not found.topics[channel.topic].is_known

    def is_wanted(channels: Collection[int] | None) -> bool:
        ids = recording.channels if channels is None else channels
        return whole or any(is_open(id) for id in ids)

    events = recording.events if whole else recording.chosen_events
    for event in events(is_wanted):
        _take(recording, found, event, actions)
        if isinstance(event, ChunkEnd) and not (whole or any(map(is_open, recording.channels))):
            return


def _add_unread(recording: Recording, found: _Found) -> None:
    """Topics of which no message can be read, though there are some."""
    for channel in recording.channels.values():
        is_picture = channel.kind is not None and channel.kind.use == "picture"
        if is_picture and channel.topic not in found.topics and recording.count_of(channel.topic):
            assert channel.kind is not None
            why = "; ".join(found.damage) or "none of its messages can be found"
            found.topics[channel.topic] = TopicLook(channel.kind, why=why)


def _take(recording: Recording, found: _Found, event: Event, actions: str) -> None:
    if isinstance(event, Message):
        channel = recording.channels.get(event.channel)
        _stretch(found, event.log_ns)
        if channel is not None and channel.kind is not None:
            _take_message(found, channel, channel.kind, event, actions)
    elif isinstance(event, ChunkEnd):
        found.damage += [event.why] if event.why else []
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
    if kind.use == "text":
        if channel.topic in TEXT_TOPICS:
            data = message.read(min(message.length, MOST_TEXT_BYTES))
            found.texts.take(channel.topic, kind, message.log_ns, data)
        return
    if kind.use == "numbers" and channel.topic != actions:
        return
    each = found.topics.setdefault(channel.topic, TopicLook(kind))
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
        log_ns = index_topic(recording, topic).times.log
        rate = rate_of([log_ns])
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
