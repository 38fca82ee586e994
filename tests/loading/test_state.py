"""`state_dict` of a loader: after a restart exactly the batches come that had not come."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sofdata.errors import ConfigError, ContractError
from sofdata.loading.loader import Loader
from sofdata.loading.state import Beginning, NextBatch
from sofdata.types import Batch
from tests.helpers import ingest


def make(dataset: Path, **more: Any) -> Loader:
    return Loader(str(dataset), **{"batch_size": 4, "seed": 3, "drop_last": True, **more})


def rest_of(loader: Loader, state: dict[str, Any], epochs: int) -> Iterator[Batch]:
    """What a loop over epochs gets that begins again with a state."""
    loader.load_state_dict(state)
    for number in range(state["epoch"], epochs):
        loader.set_epoch(number)
        yield from loader


def assert_same(ours: list[Batch], theirs: list[Batch]) -> None:
    assert [batch.keys for batch in ours] == [batch.keys for batch in theirs]
    for one, other in zip(ours, theirs, strict=True):
        for name in ("flow", "first", "last", "mask", "text_ids"):
            assert torch.equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"shuffle": False, "drop_last": False},
        {"where": "motion > 0.2"},
        {"split": ("train", 0.3), "batch_size": 3},
    ],
)
def test_a_restart_after_any_batch_gives_the_rest_of_the_stream(
    dataset: Path, settings: dict[str, Any], workers: int
) -> None:
    loader, states, given = make(dataset, workers=workers, **settings), [], list[Batch]()
    states.append(loader.state_dict())
    for number in range(2):
        loader.set_epoch(number)
        for batch in loader:
            given.append(batch)
            states.append(json.loads(json.dumps(loader.state_dict())))
    assert len(states) == 2 * loader.batches + 1 > 4
    for count in {0, 1, loader.batches - 1, loader.batches, loader.batches + 1, len(given)}:
        other = make(dataset, workers=0 if workers else 1, **settings)
        assert_same(list(rest_of(other, states[count], 2)), given[count:])
        other.close()


def test_a_state_in_the_middle_counts_what_was_given_and_not_what_was_read_ahead(
    dataset: Path,
) -> None:
    loader = make(dataset, workers=2)
    stream = loader.epoch(5, start=1)
    assert (loader.state_dict()["epoch"], loader.state_dict()["batch"]) == (5, 1)
    next(stream)
    assert (loader.state_dict()["epoch"], loader.state_dict()["batch"]) == (5, 2)


def test_the_state_of_one_rank_goes_on_on_all_ranks_and_on_another_number_of_them(
    dataset: Path,
) -> None:
    whole = [batch.keys for batch in make(dataset, rank=0, world=1).epoch(0)]
    first = make(dataset, rank=0, world=2)
    next(iter(first))
    state = first.state_dict()
    for world in (1, 2, 4):
        parts = []
        for rank in range(world):
            loader = make(dataset, rank=rank, world=world)
            loader.load_state_dict(state)
            parts.append([batch.keys for batch in loader])
        rows = [
            tuple(itertools.chain(*zip(*keys, strict=True))) for keys in zip(*parts, strict=True)
        ]
        assert rows == whole[1:]


def test_the_rest_comes_once_and_then_the_whole_epoch(dataset: Path) -> None:
    loader = make(dataset)
    next(iter(loader))
    state = loader.state_dict()
    loader.load_state_dict(state)
    assert loader.state_dict() == state
    assert len(list(loader)) == loader.batches - 1
    assert len(list(loader)) == loader.batches


def test_at_the_end_of_an_epoch_nothing_is_left_and_the_next_is_whole(dataset: Path) -> None:
    loader = make(dataset)
    assert len(list(loader)) == loader.batches
    state = loader.state_dict()
    assert state["batch"] == loader.batches
    other = make(dataset)
    other.load_state_dict(state)
    assert list(other) == []
    other.set_epoch(1)
    assert len(list(other)) == other.batches


def test_another_epoch_that_is_set_begins_at_its_start(dataset: Path) -> None:
    loader = make(dataset)
    next(iter(loader))
    state = loader.state_dict()
    loader.load_state_dict(state)
    loader.set_epoch(1)
    assert (loader.state_dict()["epoch"], loader.state_dict()["batch"]) == (1, 0)
    assert len(list(loader)) == loader.batches
    loader.set_epoch(1)  # the same once more
    assert loader.state_dict()["batch"] == 0


def test_loading_a_state_ends_the_epoch_that_is_under_way(dataset: Path) -> None:
    loader = make(dataset)
    stream = iter(loader)
    next(stream)
    loader.load_state_dict(loader.state_dict())
    with pytest.raises(ContractError, match="was ended"):
        next(stream)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"batch_size": 5}, "batch_size is 5, there 4"),
        ({"seed": 4}, "seed is 4, there 3"),
        ({"shuffle": False}, "shuffle is False, there True"),
        ({"drop_last": False}, "drop_last is False, there True"),
        ({"buffer_shards": 2}, "buffer_shards is 2, there 8"),
        ({"where": "motion > 0.5"}, "other windows are selected"),
        ({"split": ("train", 0.3)}, "other windows are selected"),
    ],
)
def test_a_state_of_other_settings_is_refused_with_what_differs(
    dataset: Path, settings: dict[str, Any], named: str
) -> None:
    state = make(dataset).state_dict()
    with pytest.raises(ConfigError, match=named):
        make(dataset, **settings).load_state_dict(state)


def test_a_state_of_a_dataset_that_has_changed_is_refused(corpus: Path, tmp_path: Path) -> None:
    source, dest = tmp_path / "source", tmp_path / "dest"
    shutil.copytree(corpus, source)
    ingest(source, dest)
    moved = shutil.copytree(dest, tmp_path / "moved")
    state = make(dest).state_dict()
    make(moved).load_state_dict(state)  # where it lies is of no matter
    other = tmp_path / "other"
    ingest(source, other, "flow.estimator=farneback")
    with pytest.raises(ConfigError, match=r"of .*dest: .*the datasets are others, or have changed"):
        make(other).load_state_dict(state)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"format": 2}, "format 2"),
        ({"batch": 10_000}, "damaged: batch 10000 of epoch 0"),
        ({"epoch": "1"}, "damaged: batch 0 of epoch '1'"),
        ({"epoch": 1 << 63}, "damaged: batch 0 of epoch 9223372036854775808"),
        ({"loader": None}, "does not say of which"),
        ({"loader": {1: 2}}, "1 is None, there 2"),
        ({"loader": {"batch_size": "x" * 5000}}, "batch_size is 4, there 'x{270,280};"),
    ],
)
def test_a_damaged_state_is_refused(dataset: Path, change: dict[str, Any], named: str) -> None:
    loader = make(dataset)
    with pytest.raises(ConfigError, match=named):
        loader.load_state_dict({**loader.state_dict(), **change})
    with pytest.raises(ConfigError, match="no state of a Loader"):
        loader.load_state_dict({"epoch": 0})


def test_numbers_of_numpy_are_plain_in_a_state(dataset: Path) -> None:
    state = make(dataset, batch_size=np.int64(4), seed=np.int64(3), shuffle=np.True_).state_dict()
    assert json.loads(json.dumps(state)) == make(dataset).state_dict()


@pytest.mark.parametrize("number", [-1, 1.5, 1 << 63, "1", None])
def test_what_is_no_epoch_is_refused(dataset: Path, number: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"no epoch -1|no epoch 92|the number of an epoch has to be"
    ):
        make(dataset).set_epoch(number)


@pytest.mark.parametrize(
    ("context", "stay"),
    [("fork", False), ("fork", True), pytest.param("spawn", True, marks=pytest.mark.slow)],
)
def test_the_workers_of_a_dataloader_go_on_where_the_loop_says(
    dataset: Path, context: str, stay: bool
) -> None:
    def wrapped(loader: Any) -> Any:
        return DataLoader(
            cast("Any", loader),
            batch_size=None,
            num_workers=2,
            persistent_workers=stay,
            multiprocessing_context=context,
        )

    whole = [batch.keys for batch in make(dataset)]
    first = make(dataset)
    taken = next(iter(wrapped(first)))
    assert taken.keys == whole[0]
    with pytest.raises(ConfigError, match="give their number"):
        first.state_dict()
    loader = make(dataset)
    loader.load_state_dict(first.state_dict(batch=1))
    batches = wrapped(loader)
    assert [batch.keys for batch in batches] == whole[1:]
    assert [batch.keys for batch in batches] == whole  # also where the workers are new ones


def test_each_worker_takes_the_batch_to_begin_at_once() -> None:
    beginning = Beginning()
    beginning.set(NextBatch(2, 5))
    assert beginning.position == NextBatch(2, 5)
    assert [beginning.take(worker) for worker in (0, 1, 0, 1)] == [
        NextBatch(2, 5),
        NextBatch(2, 5),
        NextBatch(2, 0),
        NextBatch(2, 0),
    ]
    assert beginning.is_read_by_workers
    beginning.set(NextBatch(3, 1))
    assert beginning.take(None) == NextBatch(3, 1)
    assert not beginning.is_read_by_workers
