"""Shot changes: which steps of a video join two different shots.

A step is scored from its two frames alone, so the answer does not depend on how the video was
split into chunks. Both frames are reduced to 24 x 24. The score adds

- what motion cannot explain: every block of 6 x 6 is looked for in the other frame, up to a third
  of the frame away, and the mean rms difference of the best matches is taken, both ways round;
- how far the colours differ: half the L1 distance of the two joint colour histograms, 0 to 1.

It is taken twice, and the lower one counts: once with each frame freed of its own brightness,
colour cast and contrast, so that a change of exposure, a fade or a mild flash is no cut; once with
both frames on one scale, so that a large thing which comes into view, and with it changes the mean
of the frame, is none, nor is the noise of dark frames.

A fast camera keeps the colours and mostly matches; across a cut both terms are large. A flash that
saturates most of the frame is a cut. Dissolves, fades and wipes take many steps:
`sofdata.windows.gradual` finds those.

Most steps change so little that they cannot be shot changes, which bounds on the score show for all
of them at once: these take less than 0.1 ms. The score itself takes 0.3 ms, and 3 ms where the
frames differ so much that blocks must be looked for.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ContractError
from sofdata.flow.opencv import load_cv2

SMALL_SIDE = 24  # of the reduced frame
_BLOCK = 6
_REACH = 8  # how far a block is looked for, in px of the reduced frame
_CONTRAST = 16.0  # grey levels (standard deviation); frames with less count for less
_BINS = 8
_RANGE = 2.5  # colours beyond so many standard deviations fall into the outermost bins

_BINS_A_UNIT = (_BINS - 1) / (2 * _RANGE)
_ROUNDING = 1e-3  # far more than single precision takes from a score


def shot_changes(rgb: NDArray[np.uint8], threshold: float) -> NDArray[np.bool_]:
    """Find the steps of frames [T,H,W,3] that join two shots; returns bool [T-1].

    threshold: the least score of a shot change (`WindowConfig.shot_threshold`).
    """
    return shot_scores(rgb, at_least=threshold) >= threshold


def shot_scores(rgb: NDArray[np.uint8], at_least: float = 0.0) -> NDArray[np.float64]:
    """Score each step of frames [T,H,W,3]: 0 for identical frames; returns float64 [T-1].

    at_least: a score below this may be given as 0, which saves most of the work.
    """
    return small_scores(small_frames(rgb), at_least)


def small_frames(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames [T,H,W,3] as far as shot changes are looked for in them: uint8 [T,24,24,3]."""
    if rgb.dtype != np.uint8 or rgb.ndim != 4 or rgb.shape[-1] != 3:
        raise ContractError(f"frames must be uint8 [T,H,W,3], got {rgb.dtype} {list(rgb.shape)}")
    cv2 = load_cv2()
    reduced = np.zeros((len(rgb), SMALL_SIDE, SMALL_SIDE, 3), np.uint8)
    for frame, small in zip(rgb, reduced, strict=True):
        small[...] = cv2.resize(frame, (SMALL_SIDE, SMALL_SIDE), interpolation=cv2.INTER_AREA)
    return reduced


def small_scores(small: NDArray[np.uint8], at_least: float = 0.0) -> NDArray[np.float64]:
    """`shot_scores` of what `small_frames` gives [T,24,24,3]."""
    reduced = small.astype(np.float32)
    scores = np.zeros(max(len(reduced) - 1, 0))
    own = functools.cache(lambda frame: _on_own_scale(reduced[frame]))
    for step in np.flatnonzero(bounds(reduced[:-1], reduced[1:]) >= at_least).tolist():
        score = _difference(own(step), own(step + 1), at_least)
        if score > 0:
            score = min(score, _on_one_scale(reduced[step], reduced[step + 1], at_least))
        scores[step] = score
    return scores


def shot_difference(a: NDArray[np.float32], b: NDArray[np.float32], at_least: float) -> float:
    """Score two small frames [24,24,3], however far apart, as `small_scores` does neighbours."""
    score = _difference(_on_own_scale(a), _on_own_scale(b), at_least)
    return min(score, _on_one_scale(a, b, at_least)) if score > 0 else score


def unexplained(picture: NDArray[np.float32], others: Sequence[NDArray[np.float32]]) -> float:
    """What of a small frame is found in no other one: the sum of squared differences of its blocks
    from their best matches in any of the others."""
    best = np.min([_best_squares(picture, other) for other in others], axis=0)
    return float(best.sum())


def bounds(before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the `shot_difference` of small frames [N,24,24,3] and others does not reach: [N].

    This is a bound on the score with both frames on one scale, which is not above it. The best
    match of a block is no worse than the block in its own place. And a colour that moves by one bin
    along a channel moves at most the weight of its pixel.
    """
    contrasts = before.std(axis=(1, 2, 3)), after.std(axis=(1, 2, 3))
    scale = np.maximum((contrasts[0] + contrasts[1]) / 2, _CONTRAST)
    off = after - before
    count = SMALL_SIDE // _BLOCK
    squares = (off * off).reshape(-1, count, _BLOCK, count, _BLOCK * 3).mean(axis=(2, 4))
    unmoved = np.sqrt(squares).mean(axis=(1, 2)) / scale
    moved = np.abs(off).sum(axis=3) * (_BINS_A_UNIT / scale)[:, None, None]
    return np.asarray(unmoved + np.minimum(moved, 1).mean(axis=(1, 2)) + _ROUNDING, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """A reduced frame [24,24,3] on some scale, and the histogram of its colours."""

    picture: NDArray[np.float32]
    colours: NDArray[np.float64]


def _on_own_scale(small: NDArray[np.float32]) -> _Look:
    return _look((small - small.mean(axis=(0, 1))) / max(float(small.std()), 1.0))


def _on_one_scale(a: NDArray[np.float32], b: NDArray[np.float32], at_least: float) -> float:
    """The difference of two reduced frames, less where both hardly hold any contrast."""
    contrasts = float(a.std()), float(b.std())
    middle = (a.mean(axis=(0, 1)) + b.mean(axis=(0, 1))) / 2
    scale = max(sum(contrasts) / 2, _CONTRAST)
    difference = _difference(_look((a - middle) / scale), _look((b - middle) / scale), at_least)
    return difference * min(1.0, max(contrasts) / _CONTRAST)


def _look(picture: NDArray[np.float32]) -> _Look:
    return _Look(picture, _colours(picture))


def _colours(picture: NDArray[np.float32]) -> NDArray[np.float64]:
    """Joint histogram over three channels; a pixel counts for the bins around its value."""
    place = (picture.reshape(-1, 3) / (2 * _RANGE) + 0.5) * (_BINS - 1)
    place = place.clip(0, _BINS - 1.001)
    low = place.astype(np.int64)
    near = np.stack([low, low + 1])  # the bins below and above, [2, N, 3]
    share = np.stack([1 + low - place, place - low])
    first, second, third = (near * (_BINS * _BINS, _BINS, 1)).transpose(2, 0, 1)  # each [2, N]
    cells = first[:, None, None] + second[:, None] + third  # [2, 2, 2, N]
    first, second, third = share.transpose(2, 0, 1)
    weights = first[:, None, None] * second[:, None] * third
    counts = np.bincount(cells.ravel(), weights.ravel(), minlength=_BINS**3)
    return counts / len(place)


def _difference(a: _Look, b: _Look, at_least: float) -> float:
    colour = float(np.abs(a.colours - b.colours).sum()) / 2
    unmoved = float(np.sqrt((_blocks(a.picture - b.picture) ** 2).mean(axis=1)).mean())
    if unmoved + colour < at_least:  # the best match is no worse than the block in its own place
        return 0.0
    one_way = _unmatched(a.picture, b.picture)
    if colour + (one_way + unmoved) / 2 + _ROUNDING < at_least:  # nor is it the other way round
        return 0.0
    return colour + (one_way + _unmatched(b.picture, a.picture)) / 2


def _unmatched(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Mean over the blocks of `a` of the rms difference from their best match in `b`."""
    return float(np.sqrt(_best_squares(a, b) / (_BLOCK * _BLOCK * 3)).mean())


def _best_squares(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of each block of `a` the sum of squared differences from its best match in `b`: [16]."""
    blocks = _blocks(a).astype(np.float64)  # [16, 108]
    places = np.lib.stride_tricks.sliding_window_view(b, (_BLOCK, _BLOCK), axis=(0, 1))
    patches = places.transpose(0, 1, 3, 4, 2).reshape(-1, blocks.shape[1]).astype(np.float64)
    # einsum, not a matrix product: that would start BLAS threads, which harm beside other workers.
    products = np.einsum("ik,jk->ij", blocks, patches)
    squares = (blocks**2).sum(axis=1)[:, None] + (patches**2).sum(axis=1) - 2 * products
    best: NDArray[np.float64] = np.where(_within_reach(), squares, np.inf).min(axis=1).clip(min=0)
    return best


def _blocks(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """The 16 blocks of a picture [24,24,3], row by row, as [16, 108]."""
    count = SMALL_SIDE // _BLOCK
    cut = picture.reshape(count, _BLOCK, count, _BLOCK, 3).transpose(0, 2, 1, 3, 4)
    return cut.reshape(count * count, -1)


@functools.cache
def _within_reach() -> NDArray[np.bool_]:
    """Which of the 19 x 19 places of a patch each of the 16 blocks may match: bool [16, 361]."""
    start = np.arange(0, SMALL_SIDE, _BLOCK)
    near = np.abs(start[:, None] - np.arange(SMALL_SIDE - _BLOCK + 1)) <= _REACH  # [4, 19]
    both: NDArray[np.bool_] = near[:, None, :, None] & near[None, :, None, :]
    return both.reshape(len(start) ** 2, -1)
