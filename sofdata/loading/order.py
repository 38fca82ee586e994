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
_AT_ONCE = 4  # numbers that a step of Philox gives


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """The order of all epochs over a number of windows.

    counts: int64 [shards]; how many windows of each shard there are. Their rows are numbered from
        0, one shard after the other.
    shuffle: False for the order of the rows themselves, every epoch.
    buffer_shards: how many shards are mixed with each other.
    """

    counts: NDArray[np.int64]
    shuffle: bool
    seed: int
    buffer_shards: int

    def epoch(self, number: int) -> Epoch:
        """The order of one epoch, in memory of the size of the number of shards."""
        counts = self.counts[self.counts > 0]
        ends = np.cumsum(counts)
        if not self.shuffle:
            return Epoch(ends - counts, ends, 1, None)
        seed = np.random.SeedSequence([self.seed, number])
        shards = _shuffled(np.arange(len(counts)), _bits(seed, 0, len(counts)))
        return Epoch((ends - counts)[shards], ends[shards], self.buffer_shards, seed)

    def rows(self, epoch: int) -> Rows:
        """The rows of one epoch, each once, int64 [rows]."""
        return self.epoch(epoch)[:]


class Epoch:
    """The rows of one epoch in their order; those that are asked for are made then.

    starts, ends: int64 [shards]; between what rows each shard lies, in the order of the epoch.
    group: how many shards are mixed. seed: of the epoch, None where it is not shuffled.
    """

    def __init__(
        self, starts: Rows, ends: Rows, group: int, seed: np.random.SeedSequence | None
    ) -> None:
        self._starts, self._ends, self._seed = starts, ends, seed
        self._group = group
        before = np.cumsum(ends - starts)[group - 1 :: group]
        self._bounds = np.unique(np.concatenate([[0], before, [(ends - starts).sum()]]))
        self._made: tuple[int, Rows] = (-1, np.empty(0, np.int64))

    def __len__(self) -> int:
        return int(self._bounds[-1])

    def __getitem__(self, places: slice) -> Rows:
        start, stop, step = places.indices(len(self))
        if start >= stop:
            return np.empty(0, np.int64)
        first, last = np.searchsorted(self._bounds, [start, stop - 1], side="right") - 1
        parts = [self._rows(group) for group in range(int(first), int(last) + 1)]
        before = int(self._bounds[first])
        return np.concatenate(parts)[start - before : stop - before : step]

    def _rows(self, group: int) -> Rows:
        """The rows of a group of shards; those made last are kept for the next batch."""
        if self._made[0] != group:
            shards = slice(group * self._group, (group + 1) * self._group)
            pairs = zip(self._starts[shards], self._ends[shards], strict=True)
            rows = np.concatenate([np.arange(start, end) for start, end in pairs])
            if self._seed is not None:
                drawn = len(self._starts) + int(self._bounds[group])
                rows = _shuffled(rows, _bits(self._seed, drawn, len(rows)))
            self._made = group, rows
        return self._made[1]


@dataclass(frozen=True, slots=True)
class RankShare:
    """Which rows of the order one rank gets: of each batch of `batch_size`, every `world`-th.

    batches: how many batches an epoch has; the same for each rank.
    """

    batch_size: int
    batches: int
    rank: int
    world: int

    def part(self, rows: Rows | Epoch, batch: int) -> Rows:
        """This rank's rows of one batch, out of all `rows` of the epoch."""
        start = batch * self.batch_size
        return rows[start + self.rank : start + self.batch_size : self.world]


def _bits(seed: np.random.SeedSequence, start: int, number: int) -> NDArray[np.uint64]:
    """So many numbers of a stream, from `start` on.

    Numpy promises that the bits of a bit generator stay as they are in later versions, which it
    does not of `Generator.permutation`; a checkpoint may be older than the numpy in use.
    """
    generator = np.random.Philox(seed)
    generator.advance(start // _AT_ONCE)
    return generator.random_raw(start % _AT_ONCE + number)[start % _AT_ONCE :]


def _shuffled(values: Rows, bits: NDArray[np.uint64]) -> Rows:
    return values[np.argsort(bits, kind="stable")]
