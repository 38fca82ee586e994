"""Whether motion can be seen: between frames without texture, flow is noise.

A nearly black or plain frame still gives flow of several px, since noise matches noise somewhere.
Motion differs from it in that the picture comes along: where something textured moves, the
second frame taken back along the flow has the gradients of the first one, and as it stands it has
not. Both is asked of the pixels that move by the flow, in each cell of a grid, over all steps of a
window. With the gradients a of the first frame and b of the second one:

- coherence is 2 a b / (a a + b b + noise), b taken back along the flow: 1 for the same picture, 0.1
  to 0.3 for noise, and near 0 where all contrast lies below what a codec leaves behind;
- gain is the share of 1 - 2 a b / (a a + b b) that taking back removes. A caption that stands still
  in a noisy picture is coherent, but no flow makes it more so.

One cell that shows its motion is enough, so that a small thing which moves before a plain wall is
seen, however much noise the flow of the wall is. Frames are made grey, reduced to 64 px and
smoothed, which takes more of noise than of texture. All constants are ours, chosen on synthetic
videos of known motion by `benchmarks/texture.py`, which also measures the cost: a few hundredths of
DIS at 128 px.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from sofdata.flow.opencv import load_cv2

GRID = 8  # cells a side
MOVING = 0.15 / 64  # of the frame's side, a step: a pixel whose flow is shorter does not move
MOVING_SHARE = 0.01  # a window in which fewer pixels move claims no motion that could be wrong
GAIN = 0.3
_SIDE = 64  # px of the reduced frame
_NOISE = 0.5  # squared grey levels a px, of both frames together

Plane = NDArray[np.float32]


def step_evidence(
    first: NDArray[np.uint8], second: NDArray[np.uint8], flow: NDArray[np.float32]
) -> NDArray[np.float64]:
    """What the moving pixels of a step show, for each cell; the sum over steps is that of all.

    first, second: the two frames [H,W,3]. flow: [H,W,2], px.
    Returns float64 [5,8,8], means over the pixels of each cell: the share that moves; 2 a b and
    a a + b b of the frames as they stand; 2 a b and a a + b b with the second taken back.
    """
    cv2 = load_cv2()
    height, width = flow.shape[:2]
    side = max(min(_SIDE, height, width) // GRID, 1) * GRID
    scale = np.array([side / width, side / height], np.float32)
    vectors = cv2.resize(flow, (side, side), interpolation=cv2.INTER_AREA) * scale
    moving = vectors[..., 0] ** 2 + vectors[..., 1] ** 2 >= (MOVING * side) ** 2
    before, after = (_reduce(frame, side, cv2) for frame in (first, second))
    back = cv2.remap(
        after, _places(side) + vectors, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    a, b, b_back = (_gradients(grey, cv2) for grey in (before, after, back))
    planes = np.stack([np.ones_like(before), *_compare(a, b), *_compare(a, b_back)])
    planes *= moving
    # One above the other: a cell's height divides that of a plane, so that none reaches over two.
    below = planes.reshape(len(planes) * side, side)
    cells = cv2.resize(below, (GRID, len(planes) * GRID), interpolation=cv2.INTER_AREA)
    return np.asarray(cells.reshape(-1, GRID, GRID), np.float64)


def seen_motion(steps: Sequence[NDArray[np.float64] | None]) -> float:
    """How well the best cell shows the motion of a window, 0 to 1.

    steps: what `step_evidence` gave for each; None for one without flow. Where so few pixels move
    that the flow claims no motion, nothing can be wrong, and this is 1.
    """
    known = [step for step in steps if step is not None]
    if not known:
        return 1.0
    share, product, energy, product_back, energy_back = np.sum(known, axis=0)
    if share.mean() < MOVING_SHARE * len(steps):
        return 1.0
    # Noise of one more whole cell and step, so that a few pixels that agree by chance do not count.
    coherence = product_back / (energy_back + _NOISE * (share + 1))
    some = np.finfo(np.float64).tiny
    left = 1 - product_back / np.maximum(energy_back, some)
    gains = left <= (1 - GAIN) * (1 - product / np.maximum(energy, some))
    return float((coherence * gains).max(initial=0.0))


def _reduce(frame: NDArray[np.uint8], side: int, cv2: ModuleType) -> Plane:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    small = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (3, 3), 0), np.float32)


def _gradients(grey: Plane, cv2: ModuleType) -> tuple[Plane, Plane]:
    """Central differences, grey levels a px: along x and along y."""
    return (
        cv2.Sobel(grey, -1, 1, 0, ksize=1, scale=0.5),
        cv2.Sobel(grey, -1, 0, 1, ksize=1, scale=0.5),
    )


def _compare(a: tuple[Plane, Plane], b: tuple[Plane, Plane]) -> tuple[Plane, Plane]:
    """2 a b and a a + b b of the gradients of two frames, at each pixel."""
    (ax, ay), (bx, by) = a, b
    return 2 * (ax * bx + ay * by), ax * ax + ay * ay + bx * bx + by * by


@functools.cache
def _places(side: int) -> Plane:
    """(x, y) of each pixel, [side, side, 2]."""
    y, x = np.mgrid[:side, :side]
    return np.stack([x, y], axis=-1).astype(np.float32)
