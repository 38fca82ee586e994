"""`sofdata.loading.catalog`: datasets that cannot be read, or not together, are told apart."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sofdata.errors import ConfigError, InputError
from sofdata.loading.loader import Loader
from sofdata.shards.schema import DatasetActions


def copy_of(dataset: Path, place: Path, **changes: Any) -> Path:
    """A copy whose `dataset.json` has other values; a dotted path is written with two `_`."""
    shutil.copytree(dataset, place)
    record = json.loads((place / "dataset.json").read_text())
    for path, value in changes.items():
        *sections, key = path.split("__")
        inner = record
        for section in sections:
            inner = inner[section]
        inner[key] = value
    (place / "dataset.json").write_text(json.dumps(record))
    return place


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"schema_version": 2}, "schema version 2 .* reads 1: ingest its source again"),
        ({"schema_version": 2, "counts": 0}, "schema version 2"),
        ({"complete": False}, "not complete; run the same 'sofdata ingest'"),
        ({"counts": 0}, "does not fit schema version 1"),
    ],
)
def test_a_dataset_that_cannot_be_read_is_told(
    dataset: Path, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        Loader(str(copy_of(dataset, tmp_path / "d", **changes)), batch_size=4)


def test_what_is_no_dataset_is_told(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no dataset at"):
        Loader(str(tmp_path), batch_size=4)
    copy = copy_of(dataset, tmp_path / "d")
    (copy / "index.parquet").unlink()
    with pytest.raises(ConfigError, match=r"lacks index\.parquet"):
        Loader(str(copy), batch_size=4)


def test_an_index_out_of_order_is_told(dataset: Path, tmp_path: Path) -> None:
    copy = copy_of(dataset, tmp_path / "d")
    table = pq.read_table(copy / "index.parquet")
    pq.write_table(table.take(list(reversed(range(len(table))))), copy / "index.parquet")
    with pytest.raises(InputError, match="order of the shards"):
        Loader(str(copy), batch_size=4)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"config__windows__size": 32}, "windows.size is 64, there 32"),
        ({"config__flow__step_s": 0.2}, "flow.step_s is 0.13, there 0.2"),
        ({"config__windows__camera": "subtract"}, "windows.camera"),
        ({"config__video__fit": "crop"}, "video.fit"),
        ({"actions": DatasetActions(names=["x"], dimension=1, fps=10).model_dump()}, "actions"),
    ],
)
def test_datasets_that_do_not_fit_are_refused_with_what_differs(
    dataset: Path, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    other = copy_of(dataset, tmp_path / "d", **changes)
    with pytest.raises(ConfigError, match=f"do not fit each other: .*{told}"):
        Loader([str(dataset), str(other)], batch_size=4)


def test_the_same_dataset_twice_is_refused(dataset: Path) -> None:
    with pytest.raises(ConfigError, match="given twice"):
        Loader([str(dataset), f"{dataset}/"], batch_size=4)


def test_two_halves_are_read_as_the_whole_with_its_exact_statistics(
    dataset: Path, tmp_path: Path
) -> None:
    """Datasets may differ in what does not change a sample's shape, such as the codec."""
    table = pq.read_table(dataset / "index.parquet")
    shards = table["shard"].to_pylist()
    middle = shards.index(shards[len(shards) // 2])
    halves = [copy_of(dataset, tmp_path / name, config__codec__quantiser=5) for name in "ab"]
    for half, part in zip(halves, (table[:middle], table[middle:]), strict=True):
        pq.write_table(part, half / "index.parquet")
    whole = Loader(str(dataset), batch_size=4, shuffle=False)
    loader = Loader([str(half) for half in halves], batch_size=4, shuffle=False)
    assert [batch.keys for batch in loader] == [batch.keys for batch in whole]
    assert loader.texts == whole.texts
    stored = json.loads((dataset / "dataset.json").read_text())["flow"]
    assert loader.statistics == whole.statistics == stored
