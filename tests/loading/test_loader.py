"""`sofdata.loading.loader`: the same batches however they are read, shared, or entered half-way."""

from __future__ import annotations

import gc
import itertools
import json
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from sofdata import load
from sofdata.errors import ConfigError, ContractError, InputError, TransientError
from sofdata.loading.loader import Loader
from sofdata.storage.tree import Tree
from sofdata.types import Batch

Keys = list[tuple[str, ...]]


def keys(batches: Iterable[Batch]) -> Keys:
    return [batch.keys for batch in batches]


def flat(batches: Iterable[Batch]) -> list[str]:
    return [key for batch in batches for key in batch.keys]


def index_of(dataset: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(dataset / "index.parquet").to_pylist()
    return rows


def assert_same(ours: Batch, theirs: Batch) -> None:
    assert ours.keys == theirs.keys
    for name in ("flow", "first", "last", "mask", "text_ids"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name))


def test_every_window_comes_once_in_the_order_of_the_index(dataset: Path) -> None:
    assert flat(load(str(dataset), batch_size=4)) == [row["key"] for row in index_of(dataset)]


def test_the_batches_are_the_same_for_any_number_of_workers(dataset: Path) -> None:
    loaders = [Loader(str(dataset), batch_size=5, seed=1, workers=number) for number in (0, 1, 2)]
    for epoch, start in ((3, 0), (4, 0), (9, 2)):  # as it goes on by itself, and after a jump
        epochs = [list(loader.epoch(epoch, start)) for loader in loaders]
        assert len(epochs[0]) == loaders[0].batches - start
        for others in epochs[1:]:
            for ours, theirs in zip(epochs[0], others, strict=True):
                assert_same(ours, theirs)


def test_each_epoch_has_an_order_of_its_own_that_follows_from_the_seed(dataset: Path) -> None:
    plain = sorted(flat(load(str(dataset), batch_size=4)))
    loader = Loader(str(dataset), batch_size=4, seed=3)
    orders = [flat(loader.epoch(number)) for number in range(3)]
    assert all(sorted(order) == plain for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert flat(Loader(str(dataset), batch_size=4, seed=3).epoch(1)) == orders[1]
    assert flat(Loader(str(dataset), batch_size=4, seed=4).epoch(1)) != orders[1]


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_each_batch_without_loss_or_repetition(dataset: Path, world: int) -> None:
    alone = Loader(str(dataset), batch_size=6, seed=1, drop_last=True)
    ranks = [Loader(str(dataset), batch_size=6, seed=1, rank=r, world=world) for r in range(world)]
    assert {rank.batches for rank in ranks} == {alone.batches}
    assert alone.batches * 6 + alone.dropped == alone.rows
    together = [keys(rank.epoch(2)) for rank in ranks]
    for whole, *parts in zip(keys(alone.epoch(2)), *together, strict=True):
        assert {len(part) for part in parts} == {6 // world}
        assert tuple(key for row in zip(*parts, strict=True) for key in row) == whole


def test_an_epoch_entered_at_any_batch_goes_on_as_if_undisturbed(dataset: Path) -> None:
    whole = keys(Loader(str(dataset), batch_size=4, seed=2).epoch(5))
    loader = Loader(str(dataset), batch_size=4, seed=2)
    for start in range(loader.batches + 1):
        assert keys(loader.epoch(5, start)) == whole[start:]


def test_what_was_consumed_is_not_read_again_and_a_damaged_sample_is_named(
    dataset: Path, tmp_path: Path
) -> None:
    copy, row = damaged(dataset, tmp_path, number=2)
    loader = Loader(str(copy), batch_size=4, shuffle=False)
    with pytest.raises(InputError) as error:
        list(loader.epoch(0))
    assert row["key"] in str(error.value)
    assert row["shard"] in str(error.value)
    assert "sofdata verify" in str(error.value)
    assert len(list(loader.epoch(0, start=1))) == loader.batches - 1


def test_an_error_in_a_worker_process_arrives_as_it_is(dataset: Path, tmp_path: Path) -> None:
    copy, row = damaged(dataset, tmp_path, number=6)
    batches = Loader(str(copy), batch_size=4, shuffle=False, workers=1).epoch(0)
    assert len(next(batches).keys) == 4
    with pytest.raises(InputError, match=row["key"]) as error:
        next(batches)
    assert "Traceback" not in str(error.value)


def test_an_index_that_points_to_another_sample_is_told(dataset: Path, tmp_path: Path) -> None:
    copy, rows = copy_of(dataset, tmp_path), index_of(dataset)
    first, second = next(
        pair for pair in itertools.pairwise(rows) if pair[0]["shard"] == pair[1]["shard"]
    )
    first["key"], second["key"] = second["key"], first["key"]
    write_index(copy, rows)
    with pytest.raises(InputError, match=f"sample {first['key']} .* stands {second['key']}"):
        list(load(str(copy), batch_size=64))


def test_batches_are_padded_and_masked(dataset: Path) -> None:
    index = {row["key"]: row for row in index_of(dataset)}
    loader = load(str(dataset), batch_size=3)
    short = 0
    for batch in loader:
        assert isinstance(batch, Batch)
        assert (batch.flow.dtype, batch.first.dtype) == (torch.float32, torch.uint8)
        assert batch.flow.shape[1:] == (8, 2, 64, 64)
        assert batch.first.shape[1:] == batch.last.shape[1:] == (3, 128, 128)
        assert not batch.flow[~batch.mask].any()
        for row, key in enumerate(batch.keys):
            assert int(batch.mask[row].sum()) == index[key]["steps"]
            assert loader.texts[int(batch.text_ids[row])] == index[key]["text"]
            short += index[key]["steps"] < batch.mask.shape[1]
    assert short > 0  # the clip with a shot change has short windows


def test_filter_and_split_select_and_text_ids_stay(dataset: Path) -> None:
    rows = index_of(dataset)
    middle = sorted(row["mean_px"] for row in rows)[len(rows) // 2]
    wanted = {row["key"] for row in rows if row["mean_px"] > middle}
    moving = Loader(str(dataset), batch_size=4, where=f"motion > {middle}")
    assert set(flat(moving)) == wanted
    assert moving.texts == load(str(dataset)).texts
    sides = [
        Loader(str(dataset), batch_size=4, where=f"motion > {middle}", split=(side, 0.5))
        for side in ("train", "held_out")
    ]
    train, held_out = (set(flat(side)) for side in sides)
    assert train | held_out == wanted
    assert not train & held_out
    assert sum(side.videos for side in sides) == moving.videos  # none on both sides


def test_loading_draws_nothing_from_the_global_generators(dataset: Path) -> None:
    before = torch.get_rng_state()
    for workers in (0, 1):
        next(Loader(str(dataset), batch_size=4, workers=workers).epoch(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_thread_ends_with_the_loader_in_the_middle_of_an_epoch(dataset: Path) -> None:
    def threads() -> set[str]:
        return {thread.name.rpartition("_")[0] for thread in threading.enumerate()}

    loader = Loader(str(dataset), batch_size=2)
    batches = loader.epoch(0)
    next(batches)
    assert "sofdata-ahead" in threads()
    del batches, loader
    gc.collect()
    for thread in threading.enumerate():
        if thread.name.startswith("sofdata-ahead"):
            thread.join(60)
    assert "sofdata-ahead" not in threads()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_closed_loader_can_begin_again(dataset: Path, workers: int) -> None:
    loader = Loader(str(dataset), batch_size=4, workers=workers)
    others = set(torch.multiprocessing.active_children())
    before = keys(loader.epoch(1))
    next(loader.epoch(1))
    loader.close()
    assert set(torch.multiprocessing.active_children()) <= others
    assert keys(loader.epoch(1)) == before


@pytest.mark.slow  # torch takes five seconds to be sure
def test_a_loading_process_that_was_killed_is_told_and_the_next_epoch_has_a_new_one(
    dataset: Path,
) -> None:
    others = torch.multiprocessing.active_children()
    loader = Loader(str(dataset), batch_size=2, workers=1)
    batches = loader.epoch(0)
    first = next(batches)
    (process,) = set(torch.multiprocessing.active_children()) - set(others)
    process.kill()
    with pytest.raises(TransientError, match="a loading process died"):
        list(batches)
    assert_same(next(loader.epoch(0)), first)


def test_an_epoch_that_another_one_ended_says_so(dataset: Path) -> None:
    loader = Loader(str(dataset), batch_size=2)
    first = loader.epoch(0)
    next(first)
    next(loader.epoch(1))
    with pytest.raises(ContractError, match="ended by the next"):
        next(first)


def test_a_remote_dataset_is_copied_once_and_gives_the_same_batches(
    dataset: Path, tmp_path: Path
) -> None:
    remote = Tree("memory://loader-test")
    for path in (path for path in dataset.rglob("*") if path.is_file()):
        remote.write(path.relative_to(dataset).as_posix(), path.read_bytes())
    cache = tmp_path / "cache"
    for workers in (0, 2):
        there = Loader(remote.url, batch_size=4, workers=workers, cache_dir=str(cache))
        here = Loader(str(dataset), batch_size=4)
        for ours, theirs in zip(here.epoch(1), there.epoch(1), strict=True):
            assert_same(ours, theirs)
    copies = sorted(path.read_bytes() for path in cache.glob("*.tar"))
    assert copies == sorted(path.read_bytes() for path in dataset.glob("shards/*.tar"))
    assert not list(cache.glob(".partial-*"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"where": "motoin > 1"}, "did you mean 'motion'"),
        ({"where": "motion > 1e6"}, "selects none of the .* mean_px runs from"),
        ({"batch_size": 5, "world": 2}, "divisible by 2: take 4"),
        ({"rank": 2, "world": 2}, "rank 2 must be"),
        ({"batch_size": 0}, "at least 1"),
        ({"batch_size": 1000, "drop_last": True}, "do not fill a batch of 1000"),
        ({"split": ("test", 0.1)}, "'train', share"),
        ({"split": ("train", 1.5)}, "between 0 and 1"),
        ({"split": "train"}, r"has no stored split: 'sofdata split' makes one"),
        ({"split": "test"}, r"\('held_out', share\), or a side .* got 'test'"),
        ({"batch_size": 2.5}, "batch_size has to be a whole number, got 2.5"),
        ({"workers": "2"}, "workers has to be a whole number, got '2'"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_read(
    dataset: Path, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        Loader(str(dataset), **({"batch_size": 4} | options))


def test_a_batch_that_does_not_exist_is_refused(dataset: Path) -> None:
    loader = Loader(str(dataset), batch_size=4)
    with pytest.raises(ConfigError, match="an epoch has"):
        loader.epoch(0, loader.batches + 1)


def copy_of(dataset: Path, folder: Path) -> Path:
    return Path(shutil.copytree(dataset, folder / "copy"))


def write_index(dataset: Path, rows: list[dict[str, Any]]) -> None:
    path = dataset / "index.parquet"
    pq.write_table(pa.Table.from_pylist(rows, pq.read_schema(path)), path)


def damaged(dataset: Path, folder: Path, number: int) -> tuple[Path, dict[str, Any]]:
    """A copy with a window whose first tar header is overwritten; and its row."""
    copy, row = copy_of(dataset, folder), index_of(dataset)[number]
    with open(copy / "shards" / row["shard"], "r+b") as shard:
        shard.seek(row["offset"])
        shard.write(b"x" * 512)
    assert json.loads((copy / "dataset.json").read_text())["complete"]
    return copy, row
