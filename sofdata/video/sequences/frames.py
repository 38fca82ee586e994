"""A folder of numbered pictures: frame_0000000001.jpg, frame_0000000002.jpg, ...

The name of the place is what stands before and behind the number, with a "*" for it: "frame_*.jpg".
One that ends in ".*" has pictures of several formats. Its options say when they were taken: see
`times`. What a picture is says its content, whatever its suffix is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sofdata.video.probe import Unusable
from sofdata.video.progress import PROGRESS
from sofdata.video.ranges import RangeFile, Source
from sofdata.video.sequences.base import StoredImage, damaged
from sofdata.video.sequences.images import DamagedImage, kind_of
from sofdata.video.sequences.names import Numbered, numbered
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.times import MOST_BYTES, timeline, wanted

MOST_PICTURE_BYTES = 1 << 28


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
            yield _read(self.folder / self.names[number])

    def close(self) -> None:
        """Nothing stays open."""


def open_sequence(source: Source, place: SequencePlace) -> FrameFolder:
    """Raises `Unusable` where there is no such picture, or no time for it."""
    if isinstance(source, RangeFile):
        raise damaged(f"{source}: is no folder")
    folder = Path(source)
    found = chosen(_names(folder), place, source)
    stated = _times(folder / place.get("times")) if place.get("times") else None
    times_s, lost, odd = timeline(found.numbers, place, stated)
    damage = lost, (*odd, *oddities(found))
    codec = codec_of(_read(folder / found.names[0]), found.names[0])
    return FrameFolder(folder, found.names, times_s, codec, damage)


def chosen(names: Iterable[str], place: SequencePlace, source: Source) -> Numbered:
    """The pictures of a place by number. Raises `Unusable` where there is none."""
    found = numbered(names, place.name)
    pairs = zip(found.numbers, found.names, strict=True)
    kept = [(number, name) for number, name in pairs if wanted(number, place)]
    if not kept:
        raise Unusable("no_frames", f"{source}: holds no picture named {place.name}")
    outside = len(found.names) - len(kept)
    names = [name for _, name in kept]
    return Numbered([number for number, _ in kept], names, found.twice, outside)


def oddities(found: Numbered) -> Iterator[str]:
    """What to say of pictures that are there and are not used."""
    if found.twice:
        yield f"{len(found.twice)} pictures have the number of another, as {found.twice[0]}"
    if found.outside:
        yield f"{found.outside} pictures lie outside of the numbers that there should be"


def codec_of(data: bytes | None, name: str) -> str:
    """What a picture is by its content; by its name where it cannot be read."""
    try:
        return kind_of(data or b"")
    except DamagedImage:
        return os.path.splitext(name)[1].lstrip(".").lower()


def _names(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            PROGRESS.packets += 1
            yield entry.name


def _read(path: Path) -> bytes | None:
    """A picture, None for what is no file of any sensible size: a device or a pipe, say."""
    PROGRESS.packets += 1
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            kind = os.fstat(file.fileno())
            sensible = stat.S_ISREG(kind.st_mode) and kind.st_size <= MOST_PICTURE_BYTES
            return file.read() if sensible else None
    except OSError:
        return None


def _times(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise Unusable("no_times", f"{path.name}: {error.strerror}") from None
