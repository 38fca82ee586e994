"""Bags of ROS 1 and ROS 2: each topic of pictures is a sequence, named by the topic.

How messages lie in bags say the modules of `bags`; what they hold says `messages`; which clock
counts says `clocks`. Only types that are known by their fields are read: what a bag says of its
own types is compared, its definitions are never turned into code. Where a bag states a hash of a
type (MD5 of ROS 1, RIHS01 of ROS 2 since Iron) another one is another type.

Options of the place: `clock`, "stamp" or "log", where one is asked for. For rows the name is the
topic of the pictures, too, since the rows are put on their clock; `actions` is the topic of the
rows, and `rows` how many messages the listing counted.

Options of a look: `actions`, a topic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sofdata.video.probe import Unusable
from sofdata.video.ranges import RangeFile, Source
from sofdata.video.sequences.bags.bag1 import Bag1
from sofdata.video.sequences.bags.bag2 import SUFFIXES, Bag2
from sofdata.video.sequences.bags.spool import ZSTD
from sofdata.video.sequences.bags.store import Bag, Index, Topic
from sofdata.video.sequences.base import Rows, damaged
from sofdata.video.sequences.clocks import NOT_SET, MessageTimes
from sofdata.video.sequences.messages import MessageType, known_type, refused_pictures
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.recorded import RecordedPictures
from sofdata.video.sequences.topics import (
    MOST_NAMED,
    MOST_TEXT_BYTES,
    MOST_TRIES,
    TEXT_TOPICS,
    TextsSaid,
    TopicLook,
    TopicMessages,
    brief,
    rate_of,
    refused_topic,
    rows_beside,
    stamp_of,
)
from sofdata.video.sequences.wire import digest

_PACKAGES = ("std_msgs/", "sensor_msgs/", "geometry_msgs/")  # whose types never changed


def open_bag(source: Source) -> Bag:
    """A bag by its name: a folder or a file of ROS 2, else one of ROS 1. Raises `Unusable`."""
    name = str(source)
    is_folder = not isinstance(source, RangeFile) and name.endswith("/")
    if is_folder or name.removesuffix(ZSTD).endswith(SUFFIXES):
        return Bag2(source)
    return Bag1(source)


def open_sequence(source: Source, place: SequencePlace) -> RecordedPictures:
    """The pictures of a topic. Raises as `RecordedPictures`, and where there is no such topic."""
    bag = open_bag(source)
    try:
        (found,) = _messages(bag, str(source), place, {place.name: "picture"})
        return found.pictures(place, bag.close)
    except BaseException:
        bag.close()
        raise


def read_rows(source: Source, place: SequencePlace) -> Rows:
    """The numbers of another topic, on the clock of the pictures. Raises as `rows_beside`."""
    bag = open_bag(source)
    try:
        wanted = {place.name: "picture", place.get("actions"): "numbers"}
        pictures, actions = _messages(bag, str(source), place, wanted)
        return rows_beside(pictures, actions, place, str(source))
    finally:
        bag.close()


# Topics


@dataclass(frozen=True, slots=True)
class _Indexed:
    """A topic of an open bag, and where its messages lie."""

    bag: Bag
    kind: MessageType
    index: Index

    def fetch(self, number: int) -> bytes | None:
        """A message by its number."""
        return next(self.bag.read(self.index, (number,)))


def _messages(
    bag: Bag, name: str, place: SequencePlace, wanted: Mapping[str, str]
) -> list[TopicMessages]:
    """All messages of some topics. name: of the bag; wanted: what each topic has to hold."""
    kinds = {topic: _usable(bag, name, topic, use) for topic, use in wanted.items()}
    found = []
    for topic, index in bag.index(kinds).items():
        one = _Indexed(bag, kinds[topic], index)
        damage = index.lost, brief(index.words)
        found.append(TopicMessages(one.kind, _times(one, place.get("clock")), one.fetch, damage))
    return found


def _usable(bag: Bag, source: str, name: str, use: str) -> MessageType:
    topic = bag.topics.get(name)
    if topic is None:
        raise damaged(f"{source}: has no topic '{name}'")
    if why := difference(topic):
        raise Unusable("other_type", f"{source}: '{name}': {why}")
    kind = _kind(topic)
    if kind is None or kind.use != use:
        raise Unusable("other_type", f"{source}: '{name}' holds no {use}: its type is {topic.type}")
    return kind


def _kind(topic: Topic) -> MessageType | None:
    """The type of a topic, None for one that is not read."""
    return known_type(topic.type, topic.encoding)


def difference(topic: Topic) -> str:
    """Why messages of a type that is read by its name cannot be read, "" if they can."""
    kind = _kind(topic)
    if topic.problem or kind is None:
        return topic.problem
    for definition in topic.definitions:
        if known_type(topic.type, topic.encoding, definition) is None:
            return f"{topic.type} has other fields in this bag than the type of that name"
    stated = {each for each in topic.digests if topic.encoding == "ros1" or "RIHS01_" in each}
    known = digest(kind.name, kind.form) if kind.name.startswith(_PACKAGES) else ""
    if known and stated - {known}:
        other = min(stated - {known})
        return f"{topic.type} has the hash {other:.80} in this bag, where that type has {known}"
    return ""


def _times(found: _Indexed, clock: str) -> MessageTimes:
    """When the messages were recorded, and what their stamps say. A bag knows no publishing."""
    log = found.index.times_ns
    stamps = np.full(len(log), NOT_SET, np.int64)
    if clock not in ("log", "publish"):
        heads = found.bag.read(found.index, range(len(log)), found.kind.stamp_bytes)
        for number, head in enumerate(heads):
            stamps[number] = stamp_of(found.kind, head)
    return MessageTimes(log, log, stamps)


# Looking


def look(source: Source, options: Mapping[str, Any]) -> dict[str, Any]:
    """What a bag holds: topics of pictures, texts, and the actions of a topic that is asked for.

    Reads where messages lie, and the first ones of each topic.
    """
    bag = open_bag(source)
    try:
        return _look(bag, str(options.get("actions", "")))
    finally:
        bag.close()


def _look(bag: Bag, actions: str) -> dict[str, Any]:
    if bag.words and not bag.topics:
        raise damaged(f"no topic can be found: {'; '.join(brief(bag.words))}")
    kinds = {name: kind for name, topic in bag.topics.items() if (kind := _kind(topic)) is not None}
    wanted = [name for name, kind in kinds.items() if _is_wanted(name, kind, actions)]
    indexes = bag.index(wanted)
    texts = TextsSaid()
    looked: dict[str, TopicLook] = {}
    for name, index in indexes.items():
        found = _Indexed(bag, kinds[name], index)
        if found.kind.use == "text":
            _say(texts, name, found)
        elif len(index.times_ns) or index.lost or bag.topics[name].problem:
            looked[name] = _learned(found, bag.topics[name])
    damage = [*bag.words, *(word for index in indexes.values() for word in index.words)]
    return {
        "topics": [
            *(each.told() for name, each in looked.items() if name != actions),
            *(refused_topic(name, topic.type, why) for name, topic, why in _refused(bag)),
        ],
        "texts": texts.told,
        "metadata": [],
        "actions": _told_actions(looked.get(actions), indexes.get(actions)),
        "numbers": [name for name, kind in kinds.items() if kind.use == "numbers"][:MOST_NAMED],
        "damage": list(brief(dict.fromkeys([*damage, *texts.wrong]))),
        "span_ns": _span(indexes.values()),
    }


def _refused(bag: Bag) -> Iterator[tuple[str, Topic, str]]:
    """Topics of pictures of types that are not read, with why."""
    for name, topic in bag.topics.items():
        if _kind(topic) is None and (why := refused_pictures(topic.type, topic.encoding)):
            yield name, topic, why


def _is_wanted(name: str, kind: MessageType, actions: str) -> bool:
    if kind.use == "text":
        return name in TEXT_TOPICS
    return kind.use == "picture" or name == actions


def _learned(found: _Indexed, topic: Topic) -> TopicLook:
    count = len(found.index.times_ns)
    one = TopicLook(found.kind, topic.name, count)
    if why := difference(topic):
        one.why = why
        return one
    for number in range(min(count, MOST_TRIES)):
        log_ns = int(found.index.times_ns[number])
        if (data := found.fetch(number)) is not None:
            one.learn(log_ns, data)
        else:  # so the log's times will count, from that of this one
            one.why, one.first_ns = "a message cannot be had", one.first_ns or (log_ns, None)
        if one.is_known:
            break
    if not count:
        one.why = "; ".join(brief(found.index.words)) or "none of its messages can be found"
    return one


def _say(texts: TextsSaid, name: str, found: _Indexed) -> None:
    for number, log_ns in enumerate(found.index.times_ns.tolist()):
        data = found.fetch(number)
        if data is None or len(data) > MOST_TEXT_BYTES:
            texts.wrong.append(f"{name}: message {number} cannot be read")
        else:
            texts.take(name, found.kind, log_ns, data)


def _told_actions(found: TopicLook | None, index: Index | None) -> dict[str, Any] | None:
    if found is None or index is None or found.kind.use != "numbers":
        return None
    return found.told_actions(rate_of([index.times_ns]))


def _span(indexes: Any) -> tuple[int, int] | None:
    """From the first message that is of use to the last, by the log, ns."""
    ends = [int(each.times_ns[end]) for each in indexes if len(each.times_ns) for end in (0, -1)]
    return (min(ends), max(ends)) if ends else None
