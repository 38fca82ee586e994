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
videos of known motion by `benchmarks/texture.py`, which also measures the cost: about 0.1 ms a step
at 128 px.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from sofdata.flow.opencv import load_cv2

GRID = 8  # cells a side
CELLS = (5, GRID, GRID)  # of what the frames of a step show
MOVING = 0.15 / 64  # of the frame's side, a step: a pixel whose flow is shorter does not move
MOVING_SHARE = 0.01  # a window in which fewer pixels move claims no motion that could be wrong
GAIN = 0.3
_SIDE = 64  # px of the reduced frame
_TOGETHER = 8  # steps: with more, arrays leave the cache of a core
_NOISE = 0.5  # squared grey levels a px, of both frames together

# What the planes of `_evidence` lack: 2 a b and a a + b b of gradients that are twice as large.
_HALVES = np.array([1, 0.5, 0.25, 0.5, 0.25], np.float32)[:, None, None]

Planes = NDArray[np.float32]  # [..., side, side]


def evidence_side(height: int, width: int) -> int:
    """Side in px of the reduced frames for frames of this size, a multiple of `GRID`."""
    return max(min(_SIDE, height, width) // GRID, 1) * GRID


def step_evidence(rgb: NDArray[np.uint8], vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """What the moving pixels of steps show, for each cell; the sum over steps is that of all.

    rgb: [S+1,H,W,3]; the frames between which the S steps lead.
    vectors: [S,side,side,2]; flow reduced to `evidence_side`, px at that size.
    Returns float64 [S,5,8,8], means over the pixels of each cell: the share that moves; 2 a b and
    a a + b b of the frames as they stand; 2 a b and a a + b b with the second taken back. No step
    depends on the others: some are computed together because that is faster.
    """
    parts = range(0, len(vectors), _TOGETHER)
    return np.concatenate(
        [_evidence(rgb[k : k + _TOGETHER + 1], vectors[k : k + _TOGETHER]) for k in parts]
    )


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


def _evidence(rgb: NDArray[np.uint8], vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    cv2 = load_cv2()
    steps, side = vectors.shape[:2]
    grey = _reduced(rgb, side, cv2)
    frames = _look(grey)
    before, after = frames[:-1], frames[1:]
    back = _look(_taken_back(grey[1:], vectors, cv2))
    planes = np.empty((steps, 5, side, side), np.float32)
    moving = planes[:, 0]
    moving[...] = _moving(vectors)
    energy = before.xx + before.yy
    for at, other in ((1, after), (3, back)):
        product = before.x * other.x
        product += before.y * other.y
        np.multiply(product, moving, out=planes[:, at])
        both = np.add(energy, other.xx, out=product)
        both += other.yy
        np.multiply(both, moving, out=planes[:, at + 1])
    # One above the other: a cell's height divides that of a plane, so that none reaches over two.
    below = planes.reshape(-1, side)
    cells = cv2.resize(below, (GRID, len(below) // side * GRID), interpolation=cv2.INTER_AREA)
    return np.asarray(cells.reshape(steps, 5, GRID, GRID) * _HALVES, np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """Twice the gradients of frames [N,side,side] along x and y, with the squares of them.

    Twice, since a half is left out that the cells take back (`_HALVES`).
    """

    x: Planes
    y: Planes
    xx: Planes
    yy: Planes

    def __getitem__(self, which: slice) -> _Look:
        return _Look(self.x[which], self.y[which], self.xx[which], self.yy[which])


def _reduced(rgb: NDArray[np.uint8], side: int, cv2: ModuleType) -> Planes:
    """Frames [N,H,W,3], grey, reduced and smoothed: [N,side,side]."""
    count, height, width = rgb.shape[:3]
    small = np.empty((count, side, side), np.float32)
    grey = cv2.cvtColor(rgb.reshape(-1, width, 3), cv2.COLOR_RGB2GRAY).astype(np.float32)
    # As below: where whole pixels make one, all frames are reduced at once, one above the other.
    whole = height % side == 0 and width % side == 0
    parts = 1 if whole else count
    pieces = (grey.reshape(parts, -1, width), small.reshape(parts, -1, side))
    for large, into in zip(*pieces, strict=True):
        cv2.resize(large, into.shape[::-1], dst=into, interpolation=cv2.INTER_AREA)
    smooth = np.empty_like(small)
    for frame, into in zip(small, smooth, strict=True):
        cv2.GaussianBlur(frame, (3, 3), 0, dst=into)
    return smooth


def _look(grey: Planes) -> _Look:
    """Central differences; 0 at the borders, where the frame is continued by its mirror image."""
    x, y = np.empty_like(grey), np.empty_like(grey)
    x[..., 0] = x[..., -1] = y[..., 0, :] = y[..., -1, :] = 0
    np.subtract(grey[..., 2:], grey[..., :-2], out=x[..., 1:-1])
    np.subtract(grey[..., 2:, :], grey[..., :-2, :], out=y[..., 1:-1, :])
    return _Look(x, y, x * x, y * y)


def _taken_back(grey: Planes, vectors: NDArray[np.float32], cv2: ModuleType) -> Planes:
    """Frames [S,side,side], each taken back along the flow [S,side,side,2] that leads to it."""
    back = np.empty_like(grey)
    places = _places(grey.shape[-1]) + vectors
    for frame, where, out in zip(grey, places, back, strict=True):
        cv2.remap(frame, where, None, cv2.INTER_LINEAR, dst=out, borderMode=cv2.BORDER_REPLICATE)
    return back


def _moving(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    dx, dy = vectors[..., 0], vectors[..., 1]
    moving: NDArray[np.bool_] = dx * dx + dy * dy >= (MOVING * vectors.shape[1]) ** 2
    return moving


@functools.cache
def _places(side: int) -> Planes:
    """(x, y) of each pixel, [side, side, 2]."""
    y, x = np.mgrid[:side, :side]
    return np.stack([x, y], axis=-1).astype(np.float32)
