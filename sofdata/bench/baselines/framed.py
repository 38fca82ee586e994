"""Windows with the frames between their first and their last.

A dataset stores of each window its flow, its first and its last frame. Where windows begin a step
apart, as in the benchmark, the frames between are first or last frames of other windows of the same
video.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sofdata.models.action.seen import SeenBatch
from sofdata.types import ActionBatch, Batch


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FramedBatch(Batch):
    """A batch with the frames between: uint8 [B,L-1,3,H,W], after each step but the last."""

    between: Tensor


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FramedActionBatch(ActionBatch):
    """A batch of demonstrations with the frames between, as `FramedBatch`."""

    between: Tensor


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FramedSeenBatch(SeenBatch):
    """A batch of demonstrations with what is seen beside and the frames between, as
    `FramedBatch`."""

    between: Tensor


def frames_of(batch: Batch) -> Tensor:
    """All frames of a batch's windows that there are: uint8 [B,L+1,3,H,W], or the two [B,2,...]."""
    ends = batch.first[:, None], batch.last[:, None]
    if isinstance(batch, FramedBatch | FramedActionBatch | FramedSeenBatch):
        return torch.cat([ends[0], batch.between, ends[1]], 1)
    return torch.cat(ends, 1)


def places_between(
    sources: Sequence[str],
    starts_s: NDArray[np.float64],
    ends_s: NDArray[np.float64],
    steps: NDArray[np.int64],
    most: int,
) -> NDArray[np.int64]:
    """Where the frames between lie: int64 [M,most-1], a row m of the first frames, or M + m of the
    last ones.

    sources: of each of M windows, its video. starts_s, ends_s: of its first and last frame. steps:
    how many real steps it has, `most` or fewer. After its last real step a window stays at its last
    frame; a frame that no window begins or ends with is replaced by the window's first.
    """
    number = len(sources)
    found = np.repeat(np.arange(number)[:, None], most - 1, 1)
    rows: dict[str, list[int]] = {}
    for row, source in enumerate(sources):
        rows.setdefault(source, []).append(row)
    for mine in rows.values():
        own = np.array(mine)
        times_s = np.concatenate([starts_s[own], ends_s[own]])
        order = np.argsort(times_s, kind="stable")
        known_s, known = times_s[order], np.concatenate([own, own + number])[order]
        step_s = (ends_s[own] - starts_s[own]) / steps[own]
        for step in range(1, most):
            wanted_s = starts_s[own] + step * step_s
            after = np.searchsorted(known_s, wanted_s).clip(1, len(known_s) - 1)
            nearer = np.abs(known_s[after - 1] - wanted_s) <= np.abs(known_s[after] - wanted_s)
            place = after - nearer
            there = np.abs(known_s[place] - wanted_s) < step_s / 4
            found[own[there], step - 1] = known[place[there]]
            over = step >= steps[own]
            found[own[over], step - 1] = own[over] + number
    return found
