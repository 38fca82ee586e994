"""Topics of a recording, MCAP or bag: what some messages tell of them, and all messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.video.probe import Unusable
from sofdata.video.sequences.base import Rows, damaged
from sofdata.video.sequences.clocks import (
    NOT_SET,
    Clocked,
    MessageTimes,
    as_int64,
    clocked,
    on_clock_of,
)
from sofdata.video.sequences.messages import MessageType
from sofdata.video.sequences.numbers import UnfitMessage
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.recorded import Fetch, RecordedPictures
from sofdata.video.sequences.wire import DamagedMessage

# Topics of std_msgs/String that say what is done.
TEXT_TOPICS = (
    "/instruction",
    "/language_instruction",
    "/task",
    "/task_description",
    "/prompt",
)
MOST_TRIES = 20  # messages of a topic that may be damaged before it is given up
MOST_TEXTS = 4096
MOST_CHARACTERS = 4096
MOST_TEXT_BYTES = 1 << 20
MOST_NAMED = 64  # topics that may be actions
RATE_STEPS = 8
NS = 1e9
_MOST_SENTENCES = 5


@dataclass(slots=True)
class TopicLook:
    """What is known of a topic of pictures or actions. topic: its name.

    first_ns: (time of the log, stamp or None) of its first message. numbers: of its first action.
    """

    kind: MessageType
    topic: str = ""
    count: int = 0
    tries: int = 0
    codec: str = ""
    left_out: str = ""
    why: str = ""
    first_ns: tuple[int, int | None] | None = None
    numbers: tuple[str, ...] = ()
    log_ns: list[int] = field(default_factory=list)

    @property
    def is_known(self) -> bool:
        """Whether nothing more is to be learned of it."""
        return bool(self.codec or self.left_out or self.numbers) or self.tries >= MOST_TRIES

    def learn(self, log_ns: int, data: bytes) -> None:
        """Look into a message, the first or the next after damaged ones."""
        self.tries += 1
        try:
            if self.first_ns is None:
                self.first_ns = log_ns, self.kind.stamp_ns(data)
            if self.kind.use == "numbers":
                self.numbers = self.kind.numbers(data).names
                return
            self.left_out = self.kind.left_out(data, self.topic)
            self.codec = "" if self.left_out else self.kind.codec(data)
        except (DamagedMessage, UnfitMessage) as error:
            self.why = str(error)

    def told(self) -> dict[str, Any]:
        """As JSON, of a topic of pictures."""
        return {
            "topic": self.topic,
            "type": self.kind.name,
            "count": self.count,
            "codec": self.codec,
            "left_out": self.left_out,
            "why": self.why,
            "first_ns": self.first_ns,
        }

    def told_actions(self, fps: float) -> dict[str, Any]:
        """As JSON, of a topic of actions."""
        return {
            "type": self.kind.name,
            "names": self.numbers,
            "count": self.count,
            "fps": fps,
            "why": self.why,
        }


def refused_topic(topic: str, type: str, why: str) -> dict[str, Any]:
    """A topic of pictures of a type that is not read, as JSON."""
    none = {"count": 0, "codec": "", "why": "", "first_ns": None}
    return {"topic": topic, "type": type, "left_out": why, **none}


@dataclass(slots=True)
class TextsSaid:
    """What the topics of texts say. told: as JSON. wrong: sentences on what cannot be read.

    last: what each topic said last.
    """

    told: list[dict[str, Any]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    last: dict[str, str] = field(default_factory=dict)

    def take(self, topic: str, kind: MessageType, log_ns: int, data: bytes) -> None:
        """Add a message, unless its topic says again what it said last.

        Raises `Unusable` for more than `MOST_TEXTS`.
        """
        try:
            text = kind.text(data).strip()
        except DamagedMessage as error:
            self.wrong.append(f"{topic}: {error}")
            return
        text = text[:MOST_CHARACTERS]
        if text and self.last.get(topic) != text:
            if len(self.told) >= MOST_TEXTS:
                raise damaged(f"{topic}: has more than {MOST_TEXTS} texts")
            self.told.append({"log_ns": log_ns, "topic": topic, "text": text})
            self.last[topic] = text


def rate_of(stretches: Iterable[Any]) -> float:
    """Messages a second by the median of the steps between them, 0 where there are none.

    A step is the mean of `RATE_STEPS`: a network brings messages in bursts. stretches: times of the
    log, ns; those of one time count once.
    """
    steps = np.concatenate([_steps(np.unique(np.array(each, np.float64))) for each in stretches])
    return round(NS / float(np.median(steps)), 3) if len(steps) else 0.0


def _steps(times: NDArray[np.float64]) -> NDArray[np.float64]:
    count = min(RATE_STEPS, len(times) - 1)
    return (times[count:] - times[:-count]) / count if count > 0 else times[:0]


@dataclass(frozen=True, slots=True, eq=False)
class TopicMessages:
    """All messages of a topic of an open recording. damage: as of a `Sequence`."""

    kind: MessageType
    times: MessageTimes
    fetch: Fetch
    damage: tuple[int, tuple[str, ...]]

    def pictures(self, place: SequencePlace, close: Callable[[], None]) -> RecordedPictures:
        """As a sequence, by the clock that the place asks for. Raises as that does."""
        ordered = clocked(self.times, place.get("clock"))
        return RecordedPictures(self.kind, ordered, self.fetch, self.damage, close)


def rows_beside(
    pictures: TopicMessages, actions: TopicMessages, place: SequencePlace, name: str
) -> Rows:
    """The numbers of the topic `actions` of a place, on the clock of its pictures.

    name: of the recording. Raises `Unusable` where they are not as many as the place says, or not
    the same throughout, and where the two topics have no clock in common.
    """
    topic, count = place.get("actions"), len(actions.times)
    if count != (wanted := round(place.number("rows", count))):
        what = f"{count} messages of '{topic}', where {wanted} were counted"
        raise damaged(f"{name}: {what}: {'; '.join(actions.damage[1])}")
    ordered = clocked(pictures.times, place.get("clock"))
    found = on_clock_of(ordered, actions.times, pictures.times, f"'{topic}'")
    return _rows(actions.fetch, actions.kind, count, found, ordered)


def stamp_of(kind: MessageType, data: bytes | None) -> int:
    """The stamp of a message, ns; `NOT_SET` where it has none, or cannot be read."""
    try:
        found = None if data is None else kind.stamp_ns(data)
    except DamagedMessage:
        return NOT_SET
    return NOT_SET if found is None else as_int64(found)


def several_types(types: Iterable[str]) -> str:
    """What is wrong with a topic of more than one type."""
    return f"messages of several types lie on this topic: {', '.join(sorted(types))}"


def _rows(fetch: Fetch, kind: MessageType, count: int, found: Clocked, pictures: Clocked) -> Rows:
    """The numbers of all messages of a topic, in order of time; of several at one time the last.

    Raises `Unusable` where one cannot be read, has others than the first, or no time.
    """
    values: list[Any] = [None] * count
    names: tuple[str, ...] = ()
    for number in range(count):
        data = fetch(number)
        if data is None:
            raise damaged(f"message {number} of {kind.name} cannot be had")
        try:
            numbers = kind.numbers(data)
        except (DamagedMessage, UnfitMessage) as error:
            raise damaged(f"message {number} of {kind.name}: {error}") from None
        names = names or numbers.names
        values[number] = _in_order(names, numbers.names, numbers.values, number)
    times_s = found.times_s(pictures.zero_ns)
    if np.isnan(times_s).any():
        raise Unusable("no_times", f"some messages of {kind.name} have no time")
    table = np.array(values, np.float32).reshape(len(values), len(names))[found.order]
    last = np.append(np.diff(times_s) > 0, True)[: len(times_s)]
    return Rows(table[last], times_s[last])


def _in_order(names: tuple[str, ...], own: tuple[str, ...], values: Any, number: int) -> Any:
    """The numbers of a message in the order of the first one: joints may come in any."""
    if own == names:
        return values
    if sorted(own) != sorted(names):
        raise damaged(
            f"message {number} has the numbers {', '.join(own):.80}, where the first one has "
            f"{', '.join(names):.80}"
        )
    return values[[own.index(name) for name in names]]


def brief(sentences: Iterable[str], most: int = _MOST_SENTENCES) -> tuple[str, ...]:
    """The first few sentences, and how many there are."""
    found = list(sentences)
    more = (f"and {len(found) - most} more like these",) if len(found) > most else ()
    return (*found[:most], *more)
