"""`sofdata.loading.places`: a bit a window says which are used, and where they are follows."""

from __future__ import annotations

import numpy as np
import pytest

from sofdata.loading.places import Windows

COUNTS = np.array([3, 1, 9, 20, 1, 7])
STARTS = np.concatenate([[0], np.cumsum(COUNTS)])
SHARD = np.repeat(np.arange(len(COUNTS)), COUNTS)


def chosen(seed: int) -> np.ndarray:
    found = np.random.default_rng(seed).random(len(SHARD)) < 0.4
    found[SHARD == 3] = seed % 2 == 0
    return found


@pytest.mark.parametrize("seed", range(6))
def test_the_used_windows_are_found_where_they_are(seed: int) -> None:
    used = chosen(seed)
    windows, rows = Windows.all(STARTS).select(used), np.flatnonzero(used)
    assert len(windows) == len(rows)
    assert windows.counts.tolist() == np.bincount(SHARD[rows], minlength=len(COUNTS)).tolist()
    shards, places = windows.find(range(len(rows)))
    assert shards.tolist() == SHARD[rows].tolist()
    for row, shard, place in zip(rows, shards, places, strict=True):
        inside = np.flatnonzero(windows.within(int(STARTS[shard]), int(STARTS[shard + 1])))
        assert STARTS[shard] + inside[place] == row
    for start in range(0, len(SHARD), 5):
        for stop in range(start, len(SHARD) + 1, 3):
            assert windows.within(start, stop).tolist() == used[start:stop].tolist()


def test_all_windows_take_no_memory_and_some_a_bit_each() -> None:
    starts = np.arange(0, 1_000_001, 500)
    whole = Windows.all(starts)
    assert whole.select(np.ones(1_000_000, np.bool_)).nbytes == whole.nbytes < 33_000
    some = whole.select(np.arange(1_000_000) % 3 > 0)
    assert (some.rows, len(some)) == (1_000_000, 666_666)
    assert some.nbytes < 160_000
