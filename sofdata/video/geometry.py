"""From the size of a video to the square that flow is computed on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.video.config import Fit

# Whatever is stretched more is no aspect that a camera has, but a slip in the file.
MAX_PIXEL_ASPECT = 4.0


def pixel_aspect(stream: Any) -> float:
    """Width of a stored pixel over its height, 1 where it is not stated or makes no sense.

    What the container states counts before what the codec states, as in FFmpeg.
    """
    for stated in (stream.sample_aspect_ratio, stream.codec_context.sample_aspect_ratio):
        if stated and 1 / MAX_PIXEL_ASPECT <= stated <= MAX_PIXEL_ASPECT:
            return float(stated)
    return 1.0


def square_size(width: int, height: int, aspect: float) -> tuple[float, float]:
    """(width, height) of a stored frame in square pixels; the height stays."""
    return width * aspect, float(height)


def working_size(width: float, height: float, size: int, fit: Fit) -> tuple[int, int]:
    """(width, height) to resize a shown frame to, so that `crop_square` gives `size` x `size`."""
    if fit == "stretch":
        return size, size
    shorter = min(width, height)
    return max(size, round(width * size / shorter)), max(size, round(height * size / shorter))


def crop_square(rgb: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The middle of frames [..., H, W, 3]: [..., size, size, 3]."""
    top, left = (rgb.shape[-3] - size) // 2, (rgb.shape[-2] - size) // 2
    return rgb[..., top : top + size, left : left + size, :]
