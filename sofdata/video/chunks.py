"""Sampled frames in chunks, each of which begins with the last frame of the one before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from sofdata.types import Frames

Sample = tuple[float, NDArray[np.uint8]]


def chunks(samples: Iterable[Sample], size: int, begun: bool = False) -> Iterator[Frames]:
    """Group the samples (pts_s, rgb [H,W,3]) of a video by `size`.

    begun: whether the first sample ended the chunk before, and only leads to the next one.
    """
    held: list[Sample] = []
    count = -1 if begun else 0
    for sample in samples:
        held.append(sample)
        count += 1
        if count and count % size == 0:
            yield _frames(held)
            held = held[-1:]
    if count > 0 and count % size:
        yield _frames(held)


def _frames(samples: list[Sample]) -> Frames:
    return Frames(
        rgb=np.stack([rgb for _, rgb in samples]),
        pts_s=np.array([pts_s for pts_s, _ in samples], dtype=np.float64),
    )
