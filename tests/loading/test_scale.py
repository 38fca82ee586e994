"""What a loader holds of many windows, and that it gives what one would that held all of them."""

from __future__ import annotations

import hashlib
import itertools
import pickle
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from torch.utils.data import DataLoader

from sofdata.errors import InputError
from sofdata.loading.loader import Loader
from sofdata.shards.record import read_dataset
from sofdata.shards.sample import sample_key
from sofdata.shards.schema import index_schema, plan_schema
from sofdata.storage.tree import Tree
from sofdata.system.digests import json_digest
from tests.loading.test_order import whole_order

WINDOWS, A_SHARD = 200_000, 500


@pytest.fixture(scope="module")
def large(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of a dataset of many windows, without its shards."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "dataset.json").write_bytes((dataset / "dataset.json").read_bytes())
    rows = np.arange(WINDOWS)
    videos = [f"video {number}" for number in range(WINDOWS // 10)]
    of_video, nothing = pa.array(rows // 10), [""] * len(videos)
    prefixes = pa.array([sample_key(video, 0)[:-6] for video in videos]).take(of_video)
    endings = pa.array([f"{number:06d}" for number in range(10)]).take(pa.array(rows % 10))
    labels = [[("split", "train" if number % 3 else "test")] for number in range(len(videos))]
    columns = {
        "shard": pa.array([f"sof-{number:06d}.tar" for number in range(WINDOWS // A_SHARD)]).take(
            pa.array(rows // A_SHARD)
        ),
        "key": pa.compute.binary_join_element_wise(prefixes, endings, ""),
        "offset": pa.array(rows % A_SHARD * 20_480),
        "source": pa.array(videos).take(of_video),
        "text": pa.array([f"a thing is put on thing {n % 900}" for n in rows[::10]]).take(of_video),
        "mean_px": pa.array(rows % 100 / 100),
        "labels": pa.array(labels, index_schema().field("labels").type).take(of_video),
    }
    for field in index_schema():
        default = pa.scalar("x" if pa.types.is_string(field.type) else 1)
        columns.setdefault(field.name, pa.repeat(default, WINDOWS))
    arrays = [columns[field.name].cast(field.type) for field in index_schema()]
    pq.write_table(
        pa.Table.from_arrays(arrays, schema=index_schema()),
        folder / "index.parquet",
        row_group_size=1 << 16,
    )
    plan: dict[str, Any] = {
        "id": videos,
        "uri": [f"{video}.mp4" for video in videos],
        "fingerprint": [json_digest(video, 32) for video in videos],
        "labels": ["{}"] * len(videos),
        "size_bytes": [1] * len(videos),
        "ordinal": [1] * len(videos),
        **dict.fromkeys(("span_start_s", "span_end_s"), [None] * len(videos)),
    }
    table = pa.table({each.name: plan.get(each.name, nothing) for each in plan_schema()})
    pq.write_table(table.cast(plan_schema()), folder / "plan.parquet")
    return folder


CHOICES: list[dict[str, Any]] = [
    {},
    {"where": "motion > 0.4 and text != ''"},
    {"where": "labels.split == 'train'"},
    {"split": ("train", 0.1)},
    {"where": "motion > 0.4", "split": ("held_out", 0.1)},
]


@pytest.mark.parametrize("choice", CHOICES)
def test_a_loader_holds_a_bit_a_window_and_what_is_different(
    large: Path, choice: dict[str, Any]
) -> None:
    loader = Loader(large, batch_size=32, **choice)
    catalog = loader._catalog
    assert catalog.windows.nbytes <= WINDOWS / 8 + 16 * (WINDOWS / A_SHARD + 2)
    assert loader.texts.nbytes < 40 * 900
    epoch = loader._order.epoch(0)
    assert len(epoch) == loader.rows
    assert len(epoch[1000:1032]) == 32
    held = [each for each in vars(epoch).values() if isinstance(each, np.ndarray)]
    assert sum(each.nbytes for each in held) < 40 * WINDOWS / A_SHARD
    # Names of files are kept with a split, of a fiftieth of the windows' number here.
    names = 0 if loader.sides is None else 24 * WINDOWS / 10
    assert len(pickle.dumps(loader)) < WINDOWS / 8 + 250 * WINDOWS / A_SHARD + names + 60_000


def test_filters_select_the_rows_that_they_hold_for(large: Path) -> None:
    index = pq.read_table(large / "index.parquet", columns=["mean_px", "source"])
    moving = index["mean_px"].to_numpy() > 0.4
    for where, expected in (
        ("motion > 0.4", moving),
        ("labels.split == 'test' and motion > 0.4", moving & _is_third(index)),
    ):
        loader = Loader(large, batch_size=32, where=where)
        assert np.flatnonzero(expected).tolist() == _rows(loader)
        assert loader.videos == len(index["source"].filter(pa.array(expected)).unique())


def _is_third(index: pa.Table) -> np.ndarray:
    found: np.ndarray = np.arange(index.num_rows) // 10 % 3 == 0
    return found


def _rows(loader: Loader) -> list[int]:
    windows = loader._catalog.windows
    rows: list[int] = np.flatnonzero(windows.within(0, windows.rows)).tolist()
    return rows


@pytest.mark.parametrize("share", [0.1, 0.35])
def test_the_held_out_files_are_those_with_the_lowest_hashes(large: Path, share: float) -> None:
    videos = [f"video {number}" for number in range(WINDOWS // 10)]
    ordered = sorted(videos, key=lambda name: hashlib.sha256(f"{name}.mp4".encode()).digest())
    kept = {*ordered[: int(share * len(videos) + 0.5)]}
    expected = [row for row in range(WINDOWS) if videos[row // 10] in kept]
    loader = Loader(large, batch_size=32, split=("held_out", share))
    assert _rows(loader) == expected
    assert loader.sides is not None
    assert loader.sides.held_out == sorted(f"{name}.mp4" for name in kept)
    train = Loader(large, batch_size=32, split=("train", loader.sides))
    assert sorted(_rows(train) + expected) == list(range(WINDOWS))


def test_a_label_that_stands_in_some_row_groups_only_is_known(large: Path, tmp_path: Path) -> None:
    index = pq.read_table(large / "index.parquet")
    place = index.schema.get_field_index("labels")
    labels = [[("late", "yes")] if row >= 150_000 else [] for row in range(WINDOWS)]
    field = index.schema.field(place)
    changed = index.set_column(place, field, pa.array(labels, field.type))
    (tmp_path / "dataset.json").write_bytes((large / "dataset.json").read_bytes())
    pq.write_table(changed, tmp_path / "index.parquet", row_group_size=1 << 16)
    loader = Loader(tmp_path, batch_size=32, where="labels.late == 'yes'")
    assert _rows(loader) == list(range(150_000, WINDOWS))


def keys_by_definition(
    dataset: Path, rows: list[dict[str, Any]], used: list[int], seed: int, epoch: int, group: int
) -> list[str]:
    """Keys of an epoch over some rows of an index, of which all are in memory."""
    names = list(dict.fromkeys(row["shard"] for row in rows))
    shards = np.array([names.index(rows[row]["shard"]) for row in used])
    return [rows[used[at]]["key"] for at in whole_order(shards, seed, epoch, group)]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("choice", "holds"),
    [
        ({}, lambda row: True),
        ({"where": "motion > 0.3 and window > 0"}, lambda row: row["mean_px"] > 0.3),
    ],
)
def test_the_order_of_an_epoch_is_that_of_the_definition(
    dataset: Path, choice: dict[str, Any], holds: Any, workers: int
) -> None:
    rows = pq.read_table(dataset / "index.parquet").to_pylist()
    used = [
        place for place, row in enumerate(rows) if holds(row) and (not choice or row["window"] > 0)
    ]
    settings = {"batch_size": 4, "seed": 11, "buffer_shards": 2, **choice}
    loader = Loader(dataset, workers=workers, **settings)
    for epoch in (0, 3):
        expected = keys_by_definition(dataset, rows, used, 11, epoch, 2)
        assert [key for batch in loader.epoch(epoch) for key in batch.keys] == expected
        middle = [key for batch in loader.epoch(epoch, 2) for key in batch.keys]
        assert middle == expected[8:]
    loader.close()
    ranks = [
        [batch.keys for batch in Loader(dataset, rank=at, world=2, **settings).epoch(3)]
        for at in range(2)
    ]
    together = [
        key
        for parts in zip(*ranks, strict=True)
        for key in itertools.chain(*zip(*parts, strict=True))
    ]
    assert together == expected[: len(expected) // 4 * 4]


def test_a_state_names_data_as_it_did_when_all_windows_were_in_memory(dataset: Path) -> None:
    """Checkpoints made before go on."""
    rows = pq.read_table(dataset / "index.parquet").to_pylist()
    rows = [row for row in rows if row["mean_px"] > 0.3]
    every = pq.read_table(dataset / "index.parquet")
    names = every["shard"].unique().to_pylist()
    digest = hashlib.sha256()
    digest.update("\n".join([*(row["key"] for row in rows), ""]).encode())
    digest.update(np.array([names.index(row["shard"]) for row in rows], "<i8").tobytes())
    digest.update(np.array([row["offset"] for row in rows], "<i8").tobytes())
    record = read_dataset(Tree(str(dataset)))
    assert record is not None
    texts = sorted({*every["text"].to_pylist()})
    state = Loader(dataset, batch_size=4, where="motion > 0.3").state_dict()["loader"]
    assert state["windows_sha256"] == digest.hexdigest()
    assert state["datasets_sha256"] == json_digest(
        [[record.config_sha256, record.flow, record.counts.windows], texts]
    )


@pytest.mark.slow  # a process that is spawned imports torch
def test_spawned_workers_read_the_index_for_themselves(dataset: Path) -> None:
    loader = Loader(dataset, batch_size=4, seed=2, where="motion > 0.1", split=("train", 0.3))
    there: Any = DataLoader(
        cast("Any", loader),
        batch_size=None,
        num_workers=2,
        multiprocessing_context="spawn",
    )
    assert [batch.keys for batch in there] == [batch.keys for batch in loader.epoch(0)]


def test_a_text_that_the_index_does_not_list_is_named(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_bytes((dataset / "dataset.json").read_bytes())
    (tmp_path / "shards").symlink_to(dataset / "shards")
    index = pq.read_table(dataset / "index.parquet")
    place = index.schema.get_field_index("text")
    other = pa.array(["another"] * index.num_rows)
    pq.write_table(
        index.set_column(place, index.schema.field(place), other), tmp_path / "index.parquet"
    )
    with pytest.raises(InputError, match="has a text that the index does not list"):
        next(Loader(tmp_path, batch_size=4).epoch(0))
