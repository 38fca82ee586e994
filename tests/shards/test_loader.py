"""`sofdata.shards.loader`: batches hold every window once, in an order that repeats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from sofdata.errors import ConfigError
from sofdata.shards.loader import load
from sofdata.types import Batch


def keys(dataset: Path, **options: Any) -> list[str]:
    return [key for batch in load(str(dataset), batch_size=4, **options) for key in batch.keys]


def test_every_window_comes_once_in_the_order_of_the_index(dataset: Path) -> None:
    index = pq.read_table(dataset / "index.parquet")["key"].to_pylist()
    assert keys(dataset) == index
    assert sorted(keys(dataset, workers=2)) == sorted(index)


def test_a_shuffle_is_another_order_and_the_same_for_the_same_seed(dataset: Path) -> None:
    plain = keys(dataset)
    shuffled = keys(dataset, shuffle=64, seed=3)
    assert shuffled != plain
    assert sorted(shuffled) == sorted(plain)
    assert keys(dataset, shuffle=64, seed=3) == shuffled
    assert keys(dataset, shuffle=64, seed=4) != shuffled


def test_batches_are_padded_and_masked(dataset: Path) -> None:
    index = {row["key"]: row for row in pq.read_table(dataset / "index.parquet").to_pylist()}
    loader = load(str(dataset), batch_size=16)
    texts = loader.dataset.texts  # type: ignore[attr-defined]
    short = 0
    for batch in loader:
        assert isinstance(batch, Batch)
        assert (batch.flow.dtype, batch.first.dtype) == (torch.float32, torch.uint8)
        assert batch.flow.shape[1:] == (batch.mask.shape[1], 2, 64, 64)
        assert batch.first.shape[1:] == (3, 128, 128)
        assert not batch.flow[~batch.mask].any()
        for row, key in enumerate(batch.keys):
            assert int(batch.mask[row].sum()) == index[key]["steps"]
            assert texts[int(batch.text_ids[row])] == index[key]["text"]
            short += index[key]["steps"] < batch.mask.shape[1]
    assert short > 0  # the clip with a shot change has short windows


def test_what_is_no_complete_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no dataset"):
        load(str(tmp_path))
