"""When the messages of a recording, MCAP or bag, are said to have been.

A picture was taken, by the first rule that fits:

1.  The stamp that the message holds (`header.stamp`, `timestamp`), where every message of the topic
    has one, none goes back in the order of logging, and no more than one in ten stands still: that
    is the time of the camera's driver, without the delays of the network and the recorder.
2.  The time at which the message was logged. That of publishing is used where the log gives all
    messages one time. Where most stamps are good, it is told with the video that they do not count.

A stamp of 0 beside others that show the date was never set.

Where the lengths of the two differ by more than a factor of `MOST_OFF`, as where a recording was
converted or played slowly, that is told with the video. `clock` of the place, "stamp", "log" or
"publish", takes one without asking. Times are counted from the first picture. Messages are put into
the order of logging first, whatever the order in the file, which is told where it is another by
`MOST_APART_S` or more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ContractError
from sofdata.video.probe import Unusable

ClockName = Literal["stamp", "log", "publish"]
CLOCKS: tuple[ClockName, ...] = ("stamp", "log", "publish")
NOT_SET = int(np.iinfo(np.int64).min)  # in place of a stamp
CLOCKED_NS = 10**17  # three years: a clock beyond this shows no time since a start, but the date
MOST_STILL = 0.1  # share of stamps that may repeat the one before
MOST_ODD = 0.5  # share of stamps that go back or lack, beyond which nobody expects them to count
MOST_APART_S = 1.0  # between stamps and log, where both are said to show the same time
MOST_OFF = 2.0  # between the lengths of a recording by stamps and by the log, to be believed
NS = 1e9


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
        "stamp": _set_stamps(times.stamp[order]),
        "log": times.log[order],
        "publish": times.publish[order],
    }
    if given := next((name for name in CLOCKS if name == clock), None):
        return Clocked(order, in_order[given], given)
    chosen = _fitting(in_order)
    doubts = _doubt(in_order["stamp"], in_order["log"], chosen), set_back(times.log)
    return Clocked(order, in_order[chosen], chosen, "; ".join(filter(None, doubts)))


def set_back(log: NDArray[np.int64]) -> str:
    """What is odd about times of the log in the order of a file, "" if nothing."""
    known = log[log != NOT_SET]
    back_s = float((np.maximum.accumulate(known) - known).max(initial=0)) / NS
    if back_s < MOST_APART_S:
        return ""
    return (
        f"its messages lie in the file up to {back_s:.1f} s out of the order of the log, by which "
        "they are put; a clock that was set back while it was recorded would mix them"
    )


def as_int64(ns: int) -> int:
    """Nanoseconds as int64, of which any two have a difference: within 146 years of 1970."""
    return ns if -(1 << 62) <= ns < 1 << 62 else NOT_SET


def _set_stamps(stamp: NDArray[np.int64]) -> NDArray[np.int64]:
    """Stamps, with `NOT_SET` for those of 0 beside others that show the date.

    They are of a driver that had no time yet; where all count from 0, 0 is a time like others.
    """
    if len(stamp) and stamp.max() > CLOCKED_NS:
        return np.where(stamp == 0, NOT_SET, stamp)
    return stamp


def _doubt(stamp: NDArray[np.int64], log: NDArray[np.int64], chosen: ClockName) -> str:
    """What is odd about the clock that was chosen."""
    return _rate_doubt(stamp, log) if chosen == "stamp" else _refusal(stamp, chosen)


def _refusal(stamp: NDArray[np.int64], chosen: ClockName) -> str:
    """Why stamps do not count of which most are good."""
    unset = int((stamp == NOT_SET).sum())
    steps = np.diff(stamp[stamp != NOT_SET])
    back, still = int((steps < 0).sum()), int((steps == 0).sum())
    if not 0 < unset + back + still < MOST_ODD * len(stamp):
        return ""
    return (
        f"of its {len(stamp)} stamps {unset} are not set, {back} go back in the order of the log "
        f"and {still} repeat the one before; the {chosen}'s times count, unless sequences.clock "
        "says otherwise"
    )


def _rate_doubt(stamp: NDArray[np.int64], log: NDArray[np.int64]) -> str:
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
    known = (own.log != NOT_SET) & (own.stamp != NOT_SET)
    apart_s = float(np.median(np.abs(own.log - own.stamp)[known])) / NS if known.any() else np.inf
    if apart_s < MOST_APART_S:
        return clocked(times, "log")
    raise Unusable(
        "other_clock",
        f"the stamps of the pictures lie {apart_s:.1f} s from the times of the log, and {what} has "
        "no stamps beside them: to take the log's times for both, set sequences.clock=log",
    )


def _overlap(one: NDArray[np.int64], other: NDArray[np.int64]) -> bool:
    one, other = one[one != NOT_SET], other[other != NOT_SET]
    if not len(one) or not len(other):
        return False
    return bool(one.min() <= other.max() and other.min() <= one.max())
