"""Which windows of a catalog are used, in a bit for each, and where they lie."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sofdata.loading.index import Index, ShardRows


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Some windows of some shards, in the order of the index, in which each shard's are together.

    starts: int64 [shards + 1]; the number of the first row of each shard among all rows.
    ends: int64 [shards]; how many windows are used up to the end of each shard.
    kept: uint8; a bit for each row, the lowest of a byte first; None where all are used.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    kept: NDArray[np.uint8] | None = None

    @classmethod
    def all(cls, starts: NDArray[np.int64]) -> Windows:
        """All windows of the shards that begin there."""
        return cls(starts, starts[1:])

    def __len__(self) -> int:
        return int(self.ends[-1])

    @property
    def rows(self) -> int:
        """How many there are in the shards, used or not."""
        return int(self.starts[-1])

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many are used of each shard, int64 [shards]."""
        return np.diff(self.ends, prepend=0)

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        kept = 0 if self.kept is None else self.kept.nbytes
        return self.starts.nbytes + self.ends.nbytes + kept

    def select(self, chosen: NDArray[np.bool_]) -> Windows:
        """Those of all rows that are chosen, bool [rows]."""
        if chosen.all():
            return Windows.all(self.starts)
        counts = np.add.reduceat(chosen, self.starts[:-1], dtype=np.int64)
        return replace(self, ends=np.cumsum(counts), kept=np.packbits(chosen, bitorder="little"))

    def find(
        self, numbers: Sequence[int] | NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The shard of each of these windows, and which one it is among those used of the shard."""
        wanted = np.asarray(numbers, np.int64)
        shards = np.searchsorted(self.ends, wanted, side="right")
        before = np.where(shards > 0, self.ends[shards - 1], 0)
        return shards, wanted - before

    def within(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Which of the rows from `start` to `stop` are used."""
        if self.kept is None:
            return np.ones(stop - start, np.bool_)
        first = start // 8
        bits = np.unpackbits(self.kept[first : -(-stop // 8)], bitorder="little")
        return bits[start - 8 * first : stop - 8 * first].view(np.bool_)


class Places:
    """Where the used windows of a catalog lie, read from its indexes shard by shard.

    indexes: of each dataset, one after the other. first_shards: the number of each one's first
    shard. names: the file names of all shards.
    """

    def __init__(
        self,
        indexes: Sequence[Index],
        first_shards: Sequence[int],
        names: Sequence[str],
        windows: Windows,
    ) -> None:
        self._indexes, self._first_shards = indexes, first_shards
        self._names, self._windows = names, windows

    def of(self, shard: int) -> ShardRows:
        """The used windows of a shard. Raises as `Index.rows_of`."""
        number = bisect_right(self._first_shards, shard) - 1
        starts = self._windows.starts
        start, stop = int(starts[shard]), int(starts[shard + 1])
        before = int(starts[self._first_shards[number]])
        places = np.flatnonzero(self._windows.within(start, stop))
        return self._indexes[number].rows_of(
            self._names[shard], start - before, places, stop - before
        )
