"""Whether flow backwards undoes flow forwards: where it does not, one of the two is wrong.

Where a thing is hidden in one of the frames, or nothing but noise is to be seen, the two have
nothing to do with each other. The flow backwards is always that of DIS, whatever estimated the
flow, and on small frames: an opinion of its own, at a ninth of the price.
"""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sofdata.flow.dis import Dis
from sofdata.flow.opencv import load_cv2
from sofdata.flow.quality import QUALITIES
from sofdata.windows.motion import magnitudes, means

Flow = NDArray[np.float32]  # [S,side,side,2]
# A ninth of the time of flow.quality=fine at 128 px, and hardly less able to tell right flow from
# that of another video (`benchmarks/quality.py`): refining it takes half as long again.
_BACKWARDS = replace(
    QUALITIES["fast"],
    finest_scale=0,
    gradient_descent_iterations=8,
    variational_refinement_iterations=0,
)


def backward_flow(rgb: NDArray[np.uint8], side: int) -> Flow:
    """Flow from each frame of [S+1,H,W,3] back to the one before, px a step at side x side."""
    cv2 = load_cv2()
    small = np.empty((len(rgb), side, side, 3), np.uint8)
    for frame, into in zip(rgb, small, strict=True):
        cv2.resize(frame, (side, side), dst=into, interpolation=cv2.INTER_AREA)
    return Dis(_BACKWARDS).estimate(small[1:], small[:-1])


def disagreement(forward: Flow, backward: Flow) -> NDArray[np.float64]:
    """How far the two are from undoing each other, of each step, float64 [S,2], px.

    First the mean of |f + b|, second that of |f| + |b|, which the first never exceeds; f is a
    vector of the flow forwards, b the flow backwards at the place that it leads to. A vector that
    leads out of the frame counts as zero in both.
    """
    cv2 = load_cv2()
    side = forward.shape[1]
    places = _places(side) + forward
    back = np.empty_like(backward)
    for field, where, into in zip(backward, places, back, strict=True):
        cv2.remap(field, where, None, cv2.INTER_LINEAR, dst=into, borderMode=cv2.BORDER_REPLICATE)
    inside = ((places >= 0) & (places <= side - 1)).all(axis=-1)
    apart = magnitudes(forward + back) * inside
    moved = (magnitudes(forward) + magnitudes(back)) * inside
    return np.stack([means(apart), means(moved)], axis=1)


@functools.cache
def _places(side: int) -> NDArray[np.float32]:
    """(x, y) of each pixel, [side, side, 2]."""
    y, x = np.mgrid[:side, :side]
    return np.stack([x, y], axis=-1).astype(np.float32)
