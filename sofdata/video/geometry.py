"""From the size of a video to the square that flow is computed on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sofdata.video.config import Fit


def working_size(width: int, height: int, size: int, fit: Fit) -> tuple[int, int]:
    """(width, height) to resize a shown frame to, so that `crop_square` gives `size` x `size`."""
    if fit == "stretch":
        return size, size
    shorter = min(width, height)
    return max(size, round(width * size / shorter)), max(size, round(height * size / shorter))


def crop_square(rgb: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The middle of frames [..., H, W, 3]: [..., size, size, 3]."""
    top, left = (rgb.shape[-3] - size) // 2, (rgb.shape[-2] - size) // 2
    return rgb[..., top : top + size, left : left + size, :]
