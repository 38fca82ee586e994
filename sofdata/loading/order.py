"""Which windows an epoch gives, in which order, and to whom: all of it known before any is read.

Shards are shuffled, then taken in groups of a few; the windows of a group are shuffled among each
other. A reader so has a few shards open at a time, and neighbours in a video are far apart. The
order of an epoch follows from the seed and the epoch's number alone, so that it is the same for
any number of workers and ranks, and can be entered anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """The order of all epochs over a number of windows.

    shards: int32 [rows]; the number of the shard that holds each row, never decreasing.
    shuffle: False for the order of the rows themselves, every epoch.
    buffer_shards: how many shards are mixed with each other.
    """

    shards: NDArray[np.int32]
    shuffle: bool
    seed: int
    buffer_shards: int

    def rows(self, epoch: int) -> Rows:
        """The rows of one epoch, each once, int64 [rows]."""
        if not self.shuffle:
            return np.arange(len(self.shards))
        # Numpy promises that the bits of a bit generator stay as they are in later versions, which
        # it does not of `Generator.permutation`; a checkpoint may be older than the numpy in use.
        bits = np.random.Philox(np.random.SeedSequence([self.seed, epoch]))
        starts = np.flatnonzero(np.diff(self.shards, prepend=-1))
        ends = np.append(starts[1:], len(self.shards))
        shards = _shuffled(np.arange(len(starts)), bits)
        groups = []
        for first in range(0, len(shards), self.buffer_shards):
            group = shards[first : first + self.buffer_shards]
            rows = np.concatenate([np.arange(starts[shard], ends[shard]) for shard in group])
            groups.append(_shuffled(rows, bits))
        return np.concatenate(groups)


@dataclass(frozen=True, slots=True)
class RankShare:
    """Which rows of the order one rank gets: of each batch of `batch_size`, every `world`-th.

    batches: how many batches an epoch has; the same for each rank.
    """

    batch_size: int
    batches: int
    rank: int
    world: int

    def part(self, rows: Rows, batch: int) -> Rows:
        """This rank's rows of one batch, out of all `rows` of the epoch."""
        start = batch * self.batch_size
        return rows[start + self.rank : start + self.batch_size : self.world]


def _shuffled(values: Rows, bits: np.random.Philox) -> Rows:
    return values[np.argsort(bits.random_raw(len(values)), kind="stable")]
