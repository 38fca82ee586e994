"""`sofdata.loading.order`: epochs are permutations that mix a few shards at a time."""

from __future__ import annotations

import numpy as np
import pytest

from sofdata.loading.order import Order, RankShare

COUNTS = np.full(10, 7)
SHARDS = np.repeat(np.arange(10), COUNTS)
EPOCH_0 = [61, 59, 58, 60, 33, 28, 57, 30]
EPOCH_1 = [51, 53, 52, 54, 49, 50, 65, 66]


def test_an_epoch_holds_every_row_once_and_mixes_only_the_shards_of_a_group() -> None:
    order = Order(COUNTS, shuffle=True, seed=1, buffer_shards=3)
    rows = order.rows(0)
    assert sorted(rows.tolist()) == list(range(70))
    groups = [set(SHARDS[rows[start : start + 21]].tolist()) for start in range(0, 70, 21)]
    assert [len(group) for group in groups] == [3, 3, 3, 1]
    assert set.union(*groups) == set(range(10))
    assert len(set(SHARDS[rows[:7]].tolist())) > 1  # mixed within the group


def test_the_order_of_an_epoch_never_changes() -> None:
    """A checkpoint made today must be resumed in the same order by a later numpy."""
    order = Order(COUNTS, shuffle=True, seed=7, buffer_shards=2)
    assert order.rows(0)[:8].tolist() == EPOCH_0
    assert order.rows(1)[:8].tolist() == EPOCH_1


def test_shards_of_which_a_filter_left_nothing_are_no_matter() -> None:
    left = np.array([0, 0, 2, 0, 0, 1, 0, 0, 0, 2])
    rows = Order(left, shuffle=True, seed=0, buffer_shards=2).rows(3)
    assert sorted(rows.tolist()) == [0, 1, 2, 3, 4]


def whole_order(shards: np.ndarray, seed: int, epoch: int, group: int) -> np.ndarray:
    """The order as it is defined: all of it at once, of the shard of each row."""
    bits = np.random.Philox(np.random.SeedSequence([seed, epoch]))
    starts = np.flatnonzero(np.diff(shards, prepend=-1))
    ends = np.append(starts[1:], len(shards))
    order = np.argsort(bits.random_raw(len(starts)), kind="stable")
    groups = []
    for first in range(0, len(order), group):
        chosen = order[first : first + group]
        rows = np.concatenate([np.arange(starts[shard], ends[shard]) for shard in chosen])
        groups.append(rows[np.argsort(bits.random_raw(len(rows)), kind="stable")])
    return np.concatenate(groups)


@pytest.mark.parametrize("seed", range(8))
def test_any_stretch_of_an_epoch_is_what_the_whole_has_there(seed: int) -> None:
    random = np.random.default_rng(seed)
    counts = random.integers(0, 40, 30)
    group = int(random.integers(1, 34))
    order = Order(counts, shuffle=True, seed=seed, buffer_shards=group)
    expected = whole_order(np.repeat(np.arange(30), counts), seed, 5, group)
    assert order.rows(5).tolist() == expected.tolist()
    epoch = order.epoch(5)
    assert len(epoch) == len(expected)
    for start in [*range(0, len(expected), 7), 3, 0]:  # also back to the start
        for stop, step in ((start + 11, 1), (start, 1), (len(expected) + 9, 3)):
            assert epoch[start:stop:step].tolist() == expected[start:stop:step].tolist()


def test_a_batch_of_billions_of_rows_is_made_without_the_others() -> None:
    counts = np.full(100_000, 50_000)
    for shuffle in (True, False):
        epoch = Order(counts, shuffle, seed=0, buffer_shards=8).epoch(0)
        assert len({*epoch[3_000_000_000:3_000_000_064].tolist()}) == 64


def test_ranks_take_rows_in_turn() -> None:
    rows = np.arange(10, 22)
    shares = [RankShare(batch_size=6, batches=2, rank=rank, world=2) for rank in range(2)]
    assert shares[0].part(rows, 0).tolist() == [10, 12, 14]
    assert shares[1].part(rows, 1).tolist() == [17, 19, 21]
