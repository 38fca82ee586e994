"""Which arrays hold pictures, and a row of one as uint8 [H,W,3].

uint8 is RGB as it stands. Floats are 0..255, as Diffusion Policy stores them, 0..1 or -1..1, and
nothing in a store says which. Numbers beyond 2 are of the first kind alone; of all others the user
has to say it. Whatever is said, a picture with a number outside of its range is refused, so that
none is read as another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sofdata.video.probe import Unusable
from sofdata.video.sequences.kinds import is_bgr, is_later, other_kind
from sofdata.video.sequences.zarrs.metadata import Array

BYTES, UNIT, SIGNED = "0..255", "0..1", "-1..1"
RANGES = {BYTES: (0.0, 255.0), UNIT: (0.0, 1.0), SIGNED: (-1.0, 1.0)}
SURELY_BYTES = 2.0  # above what is left of 0..1 and -1..1 by whatever resampling
_SLACK = 0.01  # of the range, for resampling and half precision
SMALLEST = 8  # px, of a side


@dataclass(frozen=True, slots=True)
class Layout:
    """How a row of an array is a picture. height, width: px. first: channels come first.

    is_bgr: its name says so.
    """

    height: int
    width: int
    first: bool
    is_float: bool
    is_bgr: bool

    @classmethod
    def of(cls, array: Array) -> Layout | str:
        """That of an array, or why it holds none, "" where it does not look like pictures."""
        if kind := other_kind(array.path):
            return f"shows {kind}" if len(array.shape) >= 3 else ""
        if len(array.shape) < 3 or min(array.shape[1:]) == 0:
            return ""
        first, last = array.shape[1] == 3, array.shape[-1] == 3
        sides = array.shape[2:] if first else array.shape[1:-1]
        if len(array.shape) != 4 or first == last or min(sides) < SMALLEST:
            looks = max(array.shape[1:]) >= 4 * SMALLEST
            return f"is {array.dtype} {list(array.shape)}, no pictures of colours" if looks else ""
        if array.dtype != np.uint8 and array.dtype.kind != "f":
            return f"is {array.dtype}, which is no type of pictures that are read"
        if is_later(array.path):
            return "shows the same pictures as another, a step later"
        return cls(sides[0], sides[1], first, array.dtype.kind == "f", is_bgr(array.path))

    def picture(self, row: NDArray[np.generic], values: str) -> NDArray[np.uint8]:
        """A row as it is stored, in bytes. values: one of `RANGES`, of floats.

        Raises `Unusable` for floats out of their range.
        """
        if self.is_float:
            row = _scaled(np.asarray(row, np.float32), values)
        if self.first:
            row = np.moveaxis(row, 0, -1)
        return np.ascontiguousarray(row, np.uint8)


def range_of(pictures: NDArray[np.generic]) -> str:
    """The range that floats can only be of, "" where they may be of several."""
    finite = pictures[np.isfinite(pictures)].astype(np.float32)
    if not finite.size or finite.max() <= SURELY_BYTES:
        return ""
    return BYTES if finite.min() >= 0 else ""


def _scaled(row: NDArray[np.float32], values: str) -> NDArray[np.uint8]:
    low, high = RANGES[values]
    slack = _SLACK * (high - low)
    if not (np.isfinite(row).all() and low - slack <= row.min() and row.max() <= high + slack):
        found = f"{np.nanmin(row):g} to {np.nanmax(row):g}" if np.isfinite(row).any() else "none"
        raise Unusable(
            "other_range",
            f"a picture has numbers of {found}, where {values} is taken for their range; "
            "sequences.range says which it is",
        )
    scaled = (row - low) * (255.0 / (high - low))
    rounded: NDArray[np.uint8] = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
    return rounded
