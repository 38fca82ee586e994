"""A folder of numbered pictures: frame_0000000001.jpg, frame_0000000002.jpg, ...

Options of the place: `fps`, pictures a second, or `times`, the name of a file in the folder with a
time in s in each line, one for each picture in order. The name of the place is what stands before
and behind the number, with a "*" for it: "frame_*.jpg".

A picture is shown at its number: one that is missing leaves a gap, and is counted as lost.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sofdata.video.probe import Unusable
from sofdata.video.ranges import RangeFile, Source
from sofdata.video.sequences.base import StoredImage, damaged
from sofdata.video.sequences.place import SequencePlace

MOST_TIMES_BYTES = 1 << 26


@dataclass(slots=True)
class FrameFolder:
    """The pictures of a folder, in the order of their numbers."""

    folder: Path
    names: list[str]
    times_s: NDArray[np.float64]
    codec: str
    damage: tuple[int, tuple[str, ...]]

    def images(self, numbers: Iterable[int]) -> Iterator[StoredImage]:
        for number in numbers:
            try:
                yield (self.folder / self.names[number]).read_bytes()
            except OSError:
                yield None

    def close(self) -> None:
        """Nothing stays open."""


def open_sequence(source: Source, place: SequencePlace) -> FrameFolder:
    """Raises `Unusable` where there is no such picture, or no time for it."""
    if isinstance(source, RangeFile):
        raise damaged(f"{source}: is no folder")
    folder = Path(source)
    numbered = numbered_names(os.listdir(folder), place.name)
    if not numbered:
        raise Unusable("no_frames", f"{folder}: holds no picture named {place.name}")
    numbers = np.array([number for number, _ in numbered], np.float64)
    times = place.get("times")
    damage = gaps(numbers)
    if times:
        times_s = _stated(folder / times, len(numbered))
    else:
        times_s = (numbers - numbers[0]) / place.number("fps")
    suffix = os.path.splitext(place.name)[1].lstrip(".").lower()
    return FrameFolder(folder, [name for _, name in numbered], times_s, suffix, damage)


def numbered_names(names: Iterable[str], pattern: str) -> list[tuple[int, str]]:
    """(number, name) of the names that a pattern has, by number; of equal numbers the first."""
    before, _, behind = pattern.partition("*")
    wanted = re.compile(re.escape(before) + r"(\d{1,18})" + re.escape(behind))
    found: dict[int, str] = {}
    for name in sorted(names):
        if match := wanted.fullmatch(name):
            found.setdefault(int(match[1]), name)
    return sorted(found.items())


def gaps(numbers: NDArray[np.float64]) -> tuple[int, tuple[str, ...]]:
    """How many are missing of numbers that increase, and a sentence on it."""
    steps = np.diff(numbers)
    usual = float(np.median(steps)) if len(steps) else 1.0
    lost = int(np.sum(np.maximum(0, np.round(steps / usual) - 1)))
    if not lost:
        return 0, ()
    at = int(np.argmax(steps > 1.5 * usual))
    return lost, (f"{lost} pictures are missing, the first after number {int(numbers[at])}",)


def _stated(path: Path, count: int) -> NDArray[np.float64]:
    if path.stat().st_size > MOST_TIMES_BYTES:
        raise Unusable("no_times", f"{path}: is too large for a list of times")
    try:
        times_s = np.array([float(line) for line in path.read_text().split()], np.float64)
    except ValueError as error:
        raise Unusable("no_times", f"{path}: {error}") from None
    if len(times_s) != count:
        what = f"has {len(times_s)} times for {count} pictures"
        raise Unusable("no_times", f"{path}: {what}")
    return times_s
