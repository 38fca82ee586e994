"""What the kinds of bags have in common: topics, an index of messages, and reading by it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sofdata.video.sequences.clocks import set_back
from sofdata.video.sequences.topics import several_types

# A picture of 100 megapixels in three bytes each has 286 MiB; a length beyond this is no message.
MOST_MESSAGE_BYTES = 1 << 29
WIDTH = 4  # numbers that say where a message lies


@dataclass(frozen=True, slots=True)
class Topic:
    """A stream of messages of one type.

    type: as ROS 1 writes it, "sensor_msgs/Image". encoding: "ros1" or "cdr".
    digests: what the bag states of the layout of the messages: an MD5 of ROS 1, a hash of ROS 2
        that begins with RIHS01_; none where it states nothing.
    definitions: texts of that layout, as far as the bag has them.
    count: messages, as the bag says, None where it does not.
    problem: "", or why its messages cannot be read at all, in words.
    """

    name: str
    type: str
    encoding: str
    digests: frozenset[str] = frozenset()
    definitions: frozenset[str | bytes] = frozenset()
    count: int | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """Where the messages of a topic lie, in the order in which they were recorded.

    times_ns: int64 [n]; when each was recorded. places: int64 [n,4]; meant for the bag alone.
    lost: messages that should be there and are not. words: sentences on what is wrong.
    """

    times_ns: NDArray[np.int64]
    places: NDArray[np.int64]
    lost: int = 0
    words: tuple[str, ...] = ()


class Bag(Protocol):
    """A bag that is open. Raises `Unusable` where it is made of a file that is none."""

    @property
    def topics(self) -> Mapping[str, Topic]:
        """By name."""

    @property
    def words(self) -> Sequence[str]:
        """What is wrong with the bag as a whole, in sentences; every index has them, too."""

    def index(self, topics: Iterable[str]) -> dict[str, Index]:
        """Of these topics; memory is 40 bytes for each of their messages."""

    def read(
        self, index: Index, numbers: Iterable[int], head_bytes: int | None = None
    ) -> Iterator[bytes | None]:
        """Messages by their numbers, which increase; None for one that cannot be had.

        head_bytes: how many bytes are enough; more may come.
        """

    def close(self) -> None:
        """Close all files."""


@dataclass(slots=True)
class IndexParts:
    """What is gathered of an index, piece by piece."""

    times_ns: list[NDArray[np.int64]] = field(default_factory=list)
    places: list[NDArray[np.int64]] = field(default_factory=list)
    lost: int = 0
    words: list[str] = field(default_factory=list)

    def add(self, times_ns: NDArray[np.int64], *places: int | NDArray[np.int64]) -> None:
        """places: columns, each a number for all or an array; what lacks of `WIDTH` is 0."""
        given = [*places, *[0] * (WIDTH - len(places))]
        columns = [np.broadcast_to(np.asarray(each, np.int64), times_ns.shape) for each in given]
        self.times_ns.append(times_ns.astype(np.int64))
        self.places.append(np.stack(columns, axis=1))

    def finish(self) -> Index:
        """All in the order of time; of equal times in the order in which they lie."""
        if not self.times_ns:
            nothing = np.zeros(0, np.int64)
            return Index(nothing, nothing.reshape(0, WIDTH), self.lost, tuple(self.words))
        times_ns, places = np.concatenate(self.times_ns), np.concatenate(self.places)
        order = np.argsort(times_ns, kind="stable")
        words = tuple(dict.fromkeys(filter(None, [*self.words, set_back(times_ns)])))
        return Index(times_ns[order], places[order], self.lost, words)


def short_type(type: str) -> str:
    """A type as ROS 1 writes it: sensor_msgs/msg/Image is sensor_msgs/Image."""
    return type.replace("/msg/", "/", 1)


def joined(one: Topic, other: Topic) -> Topic:
    """What two files of a bag, or two rows of one, say of a topic."""
    problem = one.problem or other.problem
    if (one.type, one.encoding) != (other.type, other.encoding):
        problem = several_types({one.type, other.type})
    counts = None if None in (one.count, other.count) else (one.count or 0) + (other.count or 0)
    return Topic(
        one.name,
        one.type,
        one.encoding,
        one.digests | other.digests,
        one.definitions | other.definitions,
        counts,
        problem,
    )
