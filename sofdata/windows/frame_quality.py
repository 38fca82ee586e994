"""Blur and exposure of single frames, as they are sampled: at the side of `flow.size`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sofdata.flow.opencv import load_cv2

_REACH = 9  # px, over which a frame is blurred again; that of Crete et al.

Greys = NDArray[np.uint8]  # [N,H,W]


def grey_frames(rgb: NDArray[np.uint8]) -> Greys:
    """Brightness of frames [N,H,W,3], 0 to 255: 0.299 R + 0.587 G + 0.114 B (BT.601), rounded."""
    cv2 = load_cv2()
    number, height, width = rgb.shape[:3]
    grey: Greys = cv2.cvtColor(rgb.reshape(-1, width, 3), cv2.COLOR_RGB2GRAY)
    return grey.reshape(number, height, width)


def blur(grey: Greys) -> NDArray[np.float64]:
    """How blurred each frame is, float64 [N]: 0 as sharp as can be, 1 without any edge.

    The measure of Crete et al. (2007), "The blur effect": blurring a sharp frame again takes away
    much of what neighbouring pixels differ by, blurring a blurred one hardly any. Of both
    directions the more blurred one counts, so that motion blur is blur. It is the same at any
    contrast; noise looks sharp. A frame of one colour is 1.
    """
    return np.array([max(_along_rows(frame), _along_rows(frame.T)) for frame in grey])


def dark_share(grey: Greys, at_most: int) -> NDArray[np.float64]:
    """Share of the pixels of each frame that are no brighter than this, float64 [N]."""
    return _share(grey <= at_most)


def bright_share(grey: Greys, at_least: int) -> NDArray[np.float64]:
    """Share of the pixels of each frame that are at least as bright as this, float64 [N]."""
    return _share(grey >= at_least)


def _share(pixels: NDArray[np.bool_]) -> NDArray[np.float64]:
    flat = pixels.reshape(len(pixels), -1)
    return np.asarray(np.count_nonzero(flat, axis=1) / flat.shape[1])


def _along_rows(frame: NDArray[np.uint8]) -> float:
    """How much of the differences between neighbours in a row is left by blurring rows again."""
    cv2 = load_cv2()
    sharp = np.ascontiguousarray(frame)
    again = cv2.blur(sharp.astype(np.float32), (_REACH, 1))
    there = cv2.absdiff(sharp[:, 1:], sharp[:, :-1]).astype(np.float32)
    left = cv2.absdiff(again[:, 1:], again[:, :-1])
    total = float(there.sum(dtype=np.float64))
    lost = float(np.maximum(there - left, 0).sum(dtype=np.float64))
    return (total - lost) / total if total else 1.0
