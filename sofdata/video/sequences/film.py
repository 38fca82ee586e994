"""A video file whose own clock is wrong: its frames in order, with times that lie elsewhere.

Robots' recorders write a frame whenever the robot takes a step, and a nominal rate of the camera
into the file: MP4s of DROID say 60 frames a second, and hold about 15. A place states the times:

    film:?step_ms=66&times=AB-.1300.A     ms between frames, as `times_text` writes them
    film:?fps=15                          a constant rate

Where the file holds more or fewer frames than there are times, the first ones belong together, and
what is over is left out and told.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ContractError
from sofdata.video.probe import VideoInfo, probe
from sofdata.video.pyav_reader import pictures
from sofdata.video.ranges import Source
from sofdata.video.sequences.base import StoredImage, at_rate
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.tally import DecodeTally

MOST_PIXELS = 1 << 28  # of a frame; what is used is bounded by `video.max_pixels`
_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_ZERO = len(_DIGITS) // 2
_TOKEN = re.compile(r"\.(-?\d{1,15})\.|([A-Za-z0-9_-])")


@dataclass(slots=True)
class Film:
    """The frames of a video, by their number."""

    source: Source
    info: VideoInfo
    times_s: NDArray[np.float64]
    codec: str
    damage: tuple[int, tuple[str, ...]]

    def images(self, numbers: Iterable[int]) -> Iterator[StoredImage]:
        coming = deque(numbers)
        wanted = self.info.pts[np.array(coming, np.int64)]
        for picture in pictures(self.source, self.info, wanted, DecodeTally()):
            number = self._number(picture.pts)
            while coming and number is not None and coming[0] < number:
                coming.popleft()
                yield None  # it did not come out of the decoder
            if coming and coming[0] == number:
                coming.popleft()
                yield picture.frame
            if not coming:
                return
        yield from [None] * len(coming)

    def close(self) -> None:
        """Nothing stays open."""

    def _number(self, pts: int | None) -> int | None:
        """The number of the frame of a presentation time, None where it is not one of the file."""
        if pts is None:
            return None
        place = int(np.searchsorted(self.info.pts, pts))
        return place if place < len(self.info.pts) and self.info.pts[place] == pts else None


def open_sequence(source: Source, place: SequencePlace) -> Film:
    """Raises `Unusable` where there is no video, and `DecodeError` for one that is damaged."""
    info = probe(source, max_pixels=MOST_PIXELS)
    count = len(info.pts)
    if place.get("times") or place.get("step_ms"):
        stated = read_times_ms(int(place.number("step_ms")), place.get("times")) / 1000
    else:
        stated = at_rate(count, place.number("fps"))
    damage: tuple[int, tuple[str, ...]] = 0, ()
    if count != len(stated):
        what = f"{count} frames, and times of {len(stated)}: the first of both belong together"
        damage = max(0, len(stated) - count), (what,)
    return Film(source, info, stated[:count], info.codec, damage)


def times_text(times_ms: NDArray[np.int64]) -> tuple[int, str]:
    """Times in ms as (usual step, text), a letter for nearly each step: for a place.

    >>> times_text(np.array([0, 66, 131, 197, 1500]))
    (66, 'gfg.1237.')
    """
    steps = np.diff(times_ms)
    usual = int(np.median(steps)) if len(steps) else 0
    return usual, "".join(_token(int(step) - usual) for step in steps)


def read_times_ms(usual: int, text: str) -> NDArray[np.float64]:
    """The times that `times_text` wrote, from 0 on, in ms. Raises `ContractError` for another."""
    tokens = [*_TOKEN.finditer(text)]
    if sum(len(token[0]) for token in tokens) != len(text):
        raise ContractError(f"'{text:.40}' is no text of times")
    steps = [int(one[1]) if one[1] else _DIGITS.index(one[2]) - _ZERO for one in tokens]
    return np.cumsum([0, *(usual + step for step in steps)]).astype(np.float64)


def _token(step: int) -> str:
    return _DIGITS[step + _ZERO] if -_ZERO <= step < _ZERO else f".{step}."
