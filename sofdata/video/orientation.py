"""How a stored picture has to be turned and mirrored to be upright, from its display matrix.

The matrix is that of QuickTime and of ISO/IEC 14496-12, 6.2.2: a point (x, y) of the stored picture
is shown at (a x + c y, b x + d y). Cameras that are held upside down write turns, front cameras and
some editors reflections, H.264 its own message (display orientation SEI), which FFmpeg hands on as
a matrix as well. Turns that are no quarters are rounded to one: frames have no skewed edges.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.video.side_data import display_matrix

_MATRIX = struct.Struct("=9i")  # a b u, c d v, x y w
SINGULAR_SHARE = 1e-3


@dataclass(frozen=True, slots=True)
class Orientation:
    """What makes a stored picture upright: first transpose, then mirror along x, along y."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @property
    def is_mirrored(self) -> bool:
        """Whether it takes a reflection, rather than turns alone."""
        return (self.transpose + self.flip_x + self.flip_y) % 2 == 1

    def shown_size(self, width: float, height: float) -> tuple[float, float]:
        """(width, height) as shown of a stored picture."""
        return (height, width) if self.transpose else (width, height)

    def then(self, flip_x: bool, flip_y: bool) -> Orientation:
        """This, and what is upright by it mirrored further along x, along y."""
        return Orientation(self.transpose, self.flip_x != flip_x, self.flip_y != flip_y)

    def apply(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A stored picture [H,W,3], upright: a view of it."""
        upright = rgb.swapaxes(0, 1) if self.transpose else rgb
        return upright[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]


UPRIGHT = Orientation()


def orientation_of(frame: Any) -> Orientation | None:
    """How a decoded frame (of PyAV) has to be turned; None where it says nothing."""
    data = display_matrix(frame)
    return None if data is None else from_matrix(data)


def from_matrix(data: bytes) -> Orientation:
    """Read a display matrix as FFmpeg keeps it: nine int32 in the order of the machine.

    A matrix that turns a picture into a line or a point has no meaning, and is no turn: zeros are
    what some writers leave.
    """
    if len(data) < _MATRIX.size:
        return UPRIGHT
    a, b, _, c, d, *_ = _MATRIX.unpack_from(data)
    if abs(a * d - b * c) <= SINGULAR_SHARE * (a * a + b * b + c * c + d * d):
        return UPRIGHT
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, flip_x=a < 0, flip_y=d < 0)
    return Orientation(True, flip_x=c < 0, flip_y=b < 0)
