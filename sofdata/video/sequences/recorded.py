"""Pictures of one topic of a recording of messages, MCAP or bag, as a `Sequence`.

When a picture was taken, by the first rule that fits:

1.  The stamp that the message holds (`header.stamp`, `timestamp`), where every message of the topic
    has one, none goes back in the order of logging, and no more than one in ten stands still: that
    is the time of the camera's driver, without the delays of the network and the recorder.
2.  The time at which the message was logged. That of publishing is used where the log gives all
    messages one time.

Where the lengths of the two differ by more than a factor of `MOST_OFF`, as where a recording was
converted or played slowly, that is told with the video. `clock` of the place, "stamp", "log" or
"publish", takes one without asking. Times are counted from the first picture. Messages are put into
the order of logging first, whatever the order in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ContractError, DecodeError
from sofdata.video.probe import Unusable
from sofdata.video.sequences.base import StoredImage
from sofdata.video.sequences.images import DamagedImage
from sofdata.video.sequences.messages import MessageType, Packet
from sofdata.video.sequences.packets import PacketPictures

ClockName = Literal["stamp", "log", "publish"]
CLOCKS: tuple[ClockName, ...] = ("stamp", "log", "publish")
NOT_SET = np.iinfo(np.int64).min  # in place of a stamp
MOST_STILL = 0.1  # share of stamps that may repeat the one before
MOST_APART_S = 1.0  # between stamps and log, where both are said to show the same time
FIRST_TRIES = 100  # messages to look at for what the pictures are
MOST_OFF = 2.0  # between the lengths of a recording by stamps and by the log, to be believed
NS = 1e9
# The bytes of a message by its number in the file; None where it cannot be had.
Fetch = Callable[[int], bytes | None]


@dataclass(frozen=True, slots=True, eq=False)
class MessageTimes:
    """When the messages of a topic are said to have been, ns, in the order of the file.

    log, publish, stamp: int64 [n]; `NOT_SET` where there is no stamp.
    """

    log: NDArray[np.int64]
    publish: NDArray[np.int64]
    stamp: NDArray[np.int64]

    def __post_init__(self) -> None:
        for each in (self.log, self.publish, self.stamp):
            if each.dtype != np.int64 or each.shape != self.log.shape:
                raise ContractError("messages have three times each, int64")

    def __len__(self) -> int:
        return len(self.log)


@dataclass(frozen=True, slots=True, eq=False)
class Clocked:
    """Messages in order. order: int64 [n], numbers in the file. ns: int64 [n], when each was.

    doubt: why the clock may not be the right one, in words; "" where nothing says so.
    """

    order: NDArray[np.int64]
    ns: NDArray[np.int64]
    clock: ClockName
    doubt: str = ""

    def times_s(self, zero_ns: int | None = None) -> NDArray[np.float64]:
        """float64 [n]; from the first message, or from `zero_ns`; NaN where it is not known."""
        known = self.ns != NOT_SET
        if zero_ns is None:
            zero_ns = self.zero_ns
        times_s = np.full(len(self.ns), np.nan)
        times_s[known] = (self.ns[known] - zero_ns) / NS
        return times_s

    @property
    def zero_ns(self) -> int:
        """Of the first message whose time is known; 0 for none."""
        known = self.ns[self.ns != NOT_SET]
        return int(known[0]) if len(known) else 0


def clocked(times: MessageTimes, clock: str = "") -> Clocked:
    """Messages in order, by the rule above, or by the clock that is asked for.

    Raises `Unusable` where no clock moves, and `ContractError` for an unknown one.
    """
    if clock and clock not in CLOCKS:
        raise ContractError(f"there is no clock '{clock:.20}' of messages")
    order = np.argsort(times.log, kind="stable").astype(np.int64)
    in_order: dict[ClockName, NDArray[np.int64]] = {
        name: getattr(times, name)[order] for name in CLOCKS
    }
    if given := next((name for name in CLOCKS if name == clock), None):
        return Clocked(order, in_order[given], given)
    chosen = _fitting(in_order)
    doubt = _doubt(in_order["stamp"], in_order["log"]) if chosen == "stamp" else ""
    return Clocked(order, in_order[chosen], chosen, doubt)


def _doubt(stamp: NDArray[np.int64], log: NDArray[np.int64]) -> str:
    """What is odd where stamps and log run at quite different rates."""
    by_stamp_s, by_log_s = (float(each[-1] - each[0]) / NS for each in (stamp, log))
    if by_log_s <= 0 or 1 / MOST_OFF <= by_stamp_s / by_log_s <= MOST_OFF:
        return ""
    return (
        f"its stamps cover {by_stamp_s:.1f} s and the log {by_log_s:.1f} s; the stamps count, "
        "unless sequences.clock says otherwise"
    )


def _fitting(ns: dict[ClockName, NDArray[np.int64]]) -> ClockName:
    if moves(ns["stamp"]):
        return "stamp"
    if len(ns["log"]) < 2 or ns["log"][-1] > ns["log"][0]:
        return "log"
    if moves(ns["publish"]):
        return "publish"
    raise Unusable("no_times", "its messages were all logged at one time, and have no stamps")


def moves(ns: NDArray[np.int64]) -> bool:
    """Whether times are all there, never go back, and seldom stand still."""
    if not len(ns) or (ns == NOT_SET).any():
        return False
    steps = np.diff(ns)
    return not (steps < 0).any() and float((steps == 0).sum()) <= MOST_STILL * len(steps)


def on_clock_of(pictures: Clocked, times: MessageTimes, own: MessageTimes, what: str) -> Clocked:
    """Messages of another topic on the clock of the pictures.

    own: the times of the pictures. Stamps of both are taken to be of one clock where they overlap.
    A topic without stamps has the time of its log, which is that of stamps only where those of the
    pictures lie less than `MOST_APART_S` from it. what: the topic, for the error.

    Raises `Unusable` where the two have no clock in common.
    """
    if pictures.clock != "stamp":
        return clocked(times, pictures.clock)
    found = clocked(times)
    if found.clock == "stamp" and _overlap(found.ns, pictures.ns):
        return found
    apart_s = float(np.median(np.abs(own.log - own.stamp))) / NS
    if apart_s < MOST_APART_S:
        return clocked(times, "log")
    raise Unusable(
        "other_clock",
        f"the stamps of the pictures lie {apart_s:.1f} s from the times of the log, and {what} has "
        "no stamps beside them: to take the log's times for both, set sequences.clock=log",
    )


def _overlap(one: NDArray[np.int64], other: NDArray[np.int64]) -> bool:
    return bool(one.min() <= other.max() and other.min() <= one.max())


class RecordedPictures:
    """The pictures of a topic.

    fetch: gives the bytes of a message by its number in the file; called with numbers that mostly
    increase. damage: as of a `Sequence`.

    Raises `Unusable` for B-frames, and `DecodeError` where no picture can be read.
    """

    def __init__(
        self,
        kind: MessageType,
        ordered: Clocked,
        fetch: Fetch,
        damage: tuple[int, tuple[str, ...]],
        close: Callable[[], None],
    ) -> None:
        self._kind, self._fetch, self._order = kind, fetch, ordered.order
        lost, sentences = damage
        self.damage = lost, (*sentences, ordered.doubt) if ordered.doubt else sentences
        self.close = close
        self.times_s = ordered.times_s()
        codec, is_video = self._looked() if len(self.times_s) else ("", False)
        self.codec = f"{codec} by {ordered.clock} times"
        self._skipped = 0
        self._packets: PacketPictures | None = None
        if is_video:
            self._packets = PacketPictures(self._packet, len(self.times_s))
            self._skip_to_key(self._packets)

    def images(self, numbers: Iterable[int]) -> Iterator[StoredImage]:
        if self._packets is not None:
            yield from self._packets.images(number + self._skipped for number in numbers)
            return
        for number in numbers:
            found = self._message(number)
            is_packet = isinstance(found, Packet)
            yield DamagedImage("a packet of video between pictures") if is_packet else found

    def _looked(self) -> tuple[str, bool]:
        """What the pictures are, by the first that can be read, and whether they are packets."""
        why = ""
        for number in range(min(FIRST_TRIES, len(self.times_s))):
            found = self._message(number)
            if found is None or isinstance(found, DamagedImage):
                why = str(found or "it is missing")
                continue
            data = self._fetch(int(self._order[number]))
            return self._kind.codec(data or b""), isinstance(found, Packet)
        raise DecodeError(f"none of the first pictures can be read: {why}")

    def _skip_to_key(self, packets: PacketPictures) -> None:
        """Leave out what comes before the first picture that can be decoded."""
        count = len(self.times_s)
        self._skipped = packets.first_shown()
        if self._skipped == count:
            raise DecodeError(f"none of {count} packets can be decoded: {packets.why(0)}")
        if self._skipped:
            lost, sentences = self.damage
            what = f"{self._skipped} pictures before the first key frame cannot be decoded"
            self.damage = lost + self._skipped, (*sentences, what)
            self.times_s = self.times_s[self._skipped :]

    def _packet(self, number: int) -> Packet | DamagedImage | None:
        found = self._message(number)
        if found is None or isinstance(found, Packet | DamagedImage):
            return found
        return DamagedImage("a picture that is no packet of video")

    def _message(self, number: int) -> StoredImage | Packet:
        data = self._fetch(int(self._order[number]))
        if data is None:
            return None
        try:
            return self._kind.image(data)
        except DamagedImage as error:
            return error
