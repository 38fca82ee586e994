"""Where two frames differ: the box outside which nothing moves, before a camera that stands still.

A pixel has changed when the grey values of the 8 x 8 px around it differ by more than a threshold
on average. The average keeps a small thing that moves and drops what a codec leaves behind; a
threshold on it is fixed, not taken from the frames, so that a scene that moves slowly everywhere
is never taken for noise. Everything depends on the two frames alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sofdata.flow.opencv import load_cv2

GRID = 8  # px: over which differences are averaged, and of which the sides of a box are multiples

Grey = NDArray[np.uint8]  # [H,W]


@dataclass(frozen=True, slots=True)
class Box:
    """The rows and columns of a part of a frame."""

    rows: slice
    columns: slice

    @property
    def area(self) -> int:
        """Pixels in it."""
        return int((self.rows.stop - self.rows.start) * (self.columns.stop - self.columns.start))


def changed_box(
    before: Grey, after: Grey, diff: float, margin_px: int, least_px: int
) -> Box | None:
    """The box around all that changed between two frames, None where nothing did.

    diff: grey levels, see above. margin_px: how far the box reaches beyond what changed.
    least_px: its sides are at least as long, as far as the frame goes.
    """
    cv2 = load_cv2()
    mean = cv2.boxFilter(cv2.absdiff(before, after), cv2.CV_32F, (GRID, GRID))
    changed = (mean > diff).view(np.uint8)
    left, top, width, height = cv2.boundingRect(changed)
    if not width:
        return None
    rows = _stretch(top, top + height, margin_px, least_px, before.shape[0])
    columns = _stretch(left, left + width, margin_px, least_px, before.shape[1])
    return Box(rows, columns)


def _stretch(start: int, stop: int, margin: int, least: int, length: int) -> slice:
    """From `start` to `stop` and a margin on both sides, on the grid, and long enough."""
    start, stop = start - margin, stop + margin
    lacking = max(least - (stop - start), 0)
    start, stop = start - lacking // 2, stop + lacking - lacking // 2
    shift = max(-start, 0) - max(stop - length, 0) if stop - start <= length else 0
    start, stop = start + shift, stop + shift
    return slice(max(start // GRID * GRID, 0), min(-(-stop // GRID) * GRID, length))
