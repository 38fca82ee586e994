"""When numbered pictures were taken: by their numbers and a rate, or by a list of times.

Options of a place:

    fps            pictures a second
    times, unit    the name of a text file beside the pictures, with a time in each line, in order;
                   in s, or in "ms", "us" or "ns"
    first          the number that is shown at 0 s, where it is not the least one that is there
    count          how many pictures there should be from there on, where that is known
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sofdata.video.probe import Unusable
from sofdata.video.sequences import paces
from sofdata.video.sequences.place import SequencePlace

UNITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}  # decimal places
MOST_BYTES = 1 << 26  # of a list of times
# Between two pictures; what is slower or faster is no film, and mostly in another unit.
SLOWEST_S, FASTEST_S = 5.0, 1e-4
EPOCH_S = 1e6  # times beyond count from another day than that of the recording
UNEVEN = 0.1  # share of the usual step by which numbers may miss a multiple of it
_NUMBER = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,2})?")


class Timeline(NamedTuple):
    """Times float64 [n] of pictures, s; how many are missing among them; what is odd, in words."""

    times_s: NDArray[np.float64]
    lost: int
    odd: tuple[str, ...] = ()


def timeline(numbers: list[int], place: SequencePlace, stated: bytes | None) -> Timeline:
    """Times of the pictures of these numbers, which increase. stated: the list of times.

    A picture is shown at its number: one that is missing leaves a gap. Where numbers go up by more
    than one, as where every fifth frame was kept, the pictures are one step apart.

    Raises `Unusable` where they are at no multiples of a step, and for a list that does not fit.
    """
    at = np.array(numbers, np.int64)
    if place.get("first"):
        first = int(place.number("first"))
        count = int(place.number("count", float(at[-1]) - first + 1))
        lost = count - len(at)
        odd = (f"{lost} of {count} pictures are missing",) if lost else ()
        return Timeline((at - first) / place.number("fps"), lost, odd)
    if stated is not None:
        return _stated(at, stated, place)
    return _at_rate(at, place.number("fps"))


def wanted(number: int, place: SequencePlace) -> bool:
    """Whether a number is one of those that there should be, as far as that is known."""
    if not place.get("first"):
        return True
    first = int(place.number("first"))
    return first <= number < first + place.number("count", 1e18)


def read_times(data: bytes, unit: str = "s") -> NDArray[np.float64]:
    """The times of a list, in s. Raises `Unusable` for what is no list of numbers.

    A clock that counts from 1970 or the like counts from the first picture here.
    """
    try:
        lines = [line.strip() for line in data.decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise Unusable("no_times", "the list of times is no text in UTF-8") from None
    found = []
    for number, line in enumerate(lines, 1):
        if line.lower() == "nan":  # a picture whose time is not known
            found.append(Decimal("nan"))
        elif line and not _NUMBER.fullmatch(line):
            raise Unusable(
                "no_times",
                f"line {number} of the list of times is {line[:60]!r}; it has to be one number, "
                "the time of a picture, without a heading or further columns",
            )
        elif line:
            found.append(Decimal(line).scaleb(-UNITS[unit]))
    first = next((each for each in found if each.is_finite()), Decimal(0))
    begin = first if abs(first) > EPOCH_S else Decimal(0)
    times_s = np.array([float(each - begin) for each in found], np.float64)
    _check_pace(times_s, unit)
    return times_s


def _check_pace(times_s: NDArray[np.float64], unit: str) -> None:
    usual_s = paces.usual_s([times_s])
    if usual_s and not FASTEST_S <= usual_s <= SLOWEST_S:
        raise Unusable(
            "no_times",
            f"the times are {usual_s:g} s apart, which is no film; if they are in ms, us or ns, "
            "say so, as by --set sequences.unit=ms",
        )
    if odd := paces.doubt([times_s]):
        raise Unusable("no_times", f"the times in the list {odd}")


def _at_rate(numbers: NDArray[np.int64], fps: float) -> Timeline:
    steps, usual = np.diff(numbers), _usual(numbers)
    places = (numbers - numbers[0]) / usual
    off = np.abs(np.diff(places) - np.round(np.diff(places)))
    if usual > 1 and np.any(off > UNEVEN):
        at = int(np.argmax(off > UNEVEN))
        raise Unusable(
            "no_times",
            f"the numbers of the pictures go up by {usual} mostly, and by {steps[at]} after "
            f"{numbers[at]}: they do not say when each was taken; give a list of times, as by "
            "--set sequences.times=times.txt",
        )
    lost, odd = gaps(numbers)
    if usual > 1:
        odd = (*odd, f"numbers go up by {usual}; the pictures are taken to be 1/{fps:g} s apart")
    return Timeline(np.round(places) / fps, lost, odd)


def _usual(numbers: NDArray[np.int64]) -> int:
    """By how much numbers go up mostly: the lower median."""
    steps = np.sort(np.diff(numbers))
    return int(steps[(len(steps) - 1) // 2]) if len(steps) else 1


def gaps(numbers: NDArray[np.int64]) -> tuple[int, tuple[str, ...]]:
    """How many are missing of numbers that increase, and a sentence on it."""
    steps, usual = np.diff(numbers), _usual(numbers)
    lost = int(np.sum(np.maximum(0, np.round(steps / usual) - 1)))
    if not lost:
        return 0, ()
    at = int(np.argmax(steps > 1.5 * usual))
    return lost, (f"{lost} pictures are missing, the first after number {int(numbers[at])}",)


def reach(numbers: list[int]) -> int:
    """How many pictures there should be from the first of these numbers, which increase, on."""
    at = np.array(numbers, np.int64)
    return round(int(at[-1] - at[0]) / _usual(at)) + 1


def _stated(numbers: NDArray[np.int64], data: bytes, place: SequencePlace) -> Timeline:
    if len(data) > MOST_BYTES:
        raise Unusable("no_times", f"the list of times has more than {MOST_BYTES} bytes")
    times_s = read_times(data, place.get("unit", "s"))
    reach = int(numbers[-1] - numbers[0]) + 1
    if len(times_s) == len(numbers):
        return Timeline(times_s, 0)
    if len(times_s) == reach:  # the list has those that are missing, too
        lost = reach - len(numbers)
        return Timeline(
            times_s[numbers - numbers[0]], lost, (f"{lost} of {reach} pictures are missing",)
        )
    what = f"has {len(times_s)} times for {len(numbers)} pictures"
    raise Unusable("no_times", f"the list of times {what}")
