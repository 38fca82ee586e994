"""What a loader knows of its datasets before it reads a shard."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sofdata.config import differing_keys
from sofdata.errors import ConfigError, InputError
from sofdata.ingest.destination import read_dataset
from sofdata.shards.commit import read_record
from sofdata.shards.layout import DATASET, INDEX, SHARDS, WIDS, unit_of
from sofdata.shards.parquet import read_table
from sofdata.shards.schema import DatasetRecord
from sofdata.shards.stats import Merged
from sofdata.storage import Tree
from sofdata.types import SCHEMA_VERSION

if TYPE_CHECKING:
    import pyarrow as pa

NEEDED = ("key", "shard", "offset", "source", "text", "start_s", "end_s")
TO_THE_END = -1
EVEN = 1e-3  # of the time between two actions
# What batches of one model must have in common. Thresholds, the estimator and the codec may differ.
SHARED_KEYS = {
    "flow": ("size", "step_s"),
    "video": ("fit",),
    "windows": ("length", "size", "camera"),
}


@dataclass(frozen=True, slots=True)
class ShardFile:
    """A shard: the dataset that it belongs to, its path in there, and what a copy of it must be.

    size_bytes, md5: known of remote shards only.
    """

    tree: Tree
    rel: str
    size_bytes: int = 0
    md5: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """The sizes that all samples of a dataset keep to.

    steps: of flow in a window, at most; flow_px, frame_px: sides of the square flow and frames.
    actions: in a window, at most, as far as clocks are even; 0 in a dataset without actions.
    dimension: of an action.
    """

    steps: int
    flow_px: int
    frame_px: int
    actions: int = 0
    dimension: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Where some windows lie.

    keys: their keys, an Arrow column of strings.
    shard: int32 [rows]; the number of each one's shard, never decreasing.
    offset, length: int64 [rows]; bytes in the shard; `TO_THE_END` is the length of its last sample.
    """

    keys: pa.ChunkedArray
    shard: NDArray[np.int32]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.shard)

    def take(self, rows: NDArray[np.int64]) -> Windows:
        """Some of them."""
        return Windows(self.keys.take(rows), self.shard[rows], self.offset[rows], self.length[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """One dataset, or several that fit each other: their windows, one dataset after the other.

    index: the columns of the index that were asked for, a row a window.
    texts: all different texts, sorted.
    """

    trees: tuple[Tree, ...]
    records: tuple[DatasetRecord, ...]
    shards: tuple[ShardFile, ...]
    windows: Windows
    index: pa.Table
    texts: tuple[str, ...]
    geometry: Geometry

    @property
    def name(self) -> str:
        return " and ".join(tree.name for tree in self.trees)

    def statistics(self) -> dict[str, Any]:
        """Statistics of all stored flow, as `dataset.json` has them: p99_px, mean_px, std_px.

        Several datasets are merged exactly, which reads the ledger record of each shard.
        """
        if len(self.records) == 1:
            return self.records[0].flow
        merged = Merged()
        for shard in self.shards:
            merged.add(read_record(shard.tree, unit_of(shard.rel)).statistics)
        return merged.summary()


def open_catalog(trees: Sequence[Tree], columns: Sequence[str] = ()) -> Catalog:
    """Open datasets that are to be read together, with these further columns of their index.

    Raises `ConfigError` for a dataset that does not exist, is not complete, is of another schema
    version or is empty, and for datasets that do not fit each other, with the settings that differ.
    """
    import pyarrow as pa

    if len({tree.root for tree in trees}) < len(trees):
        raise ConfigError("the same dataset is given twice: its windows would count double")
    records = [_open(tree) for tree in trees]
    for tree, record in zip(trees[1:], records[1:], strict=True):
        _check_fit(trees[0], records[0], tree, record)
    tables = [_read_index(tree, [*NEEDED, *columns]) for tree in trees]
    shards, parts = list[ShardFile](), list[Windows]()
    for tree, table in zip(trees, tables, strict=True):
        names, windows = _locate(tree, table, first_shard=len(shards))
        shards += _shard_files(tree, names)
        parts.append(windows)
    index = pa.concat_tables(tables, promote_options="default")
    return Catalog(
        trees=tuple(trees),
        records=tuple(records),
        shards=tuple(shards),
        windows=_joined(parts),
        index=index.select(list(dict.fromkeys(["source", "text", *columns]))),
        texts=tuple(sorted(index["text"].unique().to_pylist())),
        geometry=_geometry(records[0], index),
    )


def _geometry(record: DatasetRecord, index: pa.Table) -> Geometry:
    longest_s = np.max(index["end_s"].to_numpy() - index["start_s"].to_numpy())
    actions = record.actions
    return Geometry(
        steps=record.config["windows"]["length"],
        flow_px=record.config["windows"]["size"],
        frame_px=record.config["flow"]["size"],
        actions=math.ceil(longest_s * actions.fps - EVEN) if actions else 0,
        dimension=actions.dimension if actions else 0,
    )


def _open(tree: Tree) -> DatasetRecord:
    try:
        found = json.loads(tree.read(DATASET))
    except FileNotFoundError:
        raise ConfigError(f"there is no dataset at {tree.name}: it has no {DATASET}") from None
    except ValueError:
        found = None  # `read_dataset` says so
    version = found.get("schema_version") if isinstance(found, dict) else SCHEMA_VERSION
    if version != SCHEMA_VERSION:
        maker = found.get("provenance", {}).get("sofdata", "another version")
        raise ConfigError(
            f"{tree.name} has schema version {version} and was made by sofdata {maker}; this "
            f"version reads {SCHEMA_VERSION}: ingest its source again, or use that sofdata"
        )
    record = read_dataset(tree)
    assert record is not None
    if not record.complete:
        raise ConfigError(
            f"the ingest of {tree.name} is not complete; run the same 'sofdata ingest' to resume it"
        )
    return record


def _check_fit(first: Tree, ours: DatasetRecord, other: Tree, theirs: DatasetRecord) -> None:
    different = list(differing_keys(_shared(ours), _shared(theirs)))
    if different:
        raise ConfigError(
            f"{first.name} and {other.name} do not fit each other: {'; '.join(different)}. "
            "Ingest one of them again with the settings of the other"
        )


def _shared(record: DatasetRecord) -> dict[str, Any]:
    shared: dict[str, Any] = {
        section: {key: record.config.get(section, {}).get(key) for key in keys}
        for section, keys in SHARED_KEYS.items()
    }
    if shared["windows"]["camera"] == "off":
        shared["windows"]["camera"] = "record"  # which changes no flow either
    return {**shared, "actions": record.actions.model_dump() if record.actions else "absent"}


def _read_index(tree: Tree, columns: Sequence[str]) -> pa.Table:
    try:
        table = read_table(tree, INDEX, columns)
    except FileNotFoundError:
        raise ConfigError(
            f"{tree.name} lacks {INDEX}; 'sofdata verify --repair' writes it anew"
        ) from None
    if missing := sorted({*columns} - {*table.column_names}):
        raise InputError(f"{INDEX} of {tree.name} lacks the columns {', '.join(missing)}")
    if not table.num_rows:
        raise ConfigError(f"{tree.name} holds no windows: every candidate was rejected")
    return table


def _locate(tree: Tree, table: pa.Table, first_shard: int) -> tuple[list[str], Windows]:
    """Where each window of one dataset lies; its shards are numbered from `first_shard`."""
    names = table["shard"].combine_chunks().dictionary_encode()
    shard = names.indices.to_numpy().astype(np.int32)
    offset = table["offset"].to_numpy().astype(np.int64)
    same = np.diff(shard) == 0
    length = np.append(np.where(same, np.diff(offset), TO_THE_END), TO_THE_END)
    if (np.diff(shard) < 0).any() or (length[:-1][same] <= 0).any():
        raise InputError(
            f"{INDEX} of {tree.name} does not list its windows in the order of the shards; "
            f"'sofdata verify {tree.name}' tells what is wrong with it"
        )
    return names.dictionary.to_pylist(), Windows(table["key"], shard + first_shard, offset, length)


def _shard_files(tree: Tree, names: Sequence[str]) -> list[ShardFile]:
    if tree.is_local:
        return [ShardFile(tree, f"{SHARDS}/{name}") for name in names]
    try:
        listed = {shard["url"]: shard for shard in json.loads(tree.read(WIDS))["shardlist"]}
        return [
            ShardFile(tree, f"{SHARDS}/{name}", listed[name]["filesize"], listed[name]["md5sum"])
            for name in names
        ]
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{WIDS} of {tree.name} does not list the shards of its index ({error!r}); "
            f"'sofdata verify --repair {tree.name}' writes it anew"
        ) from None


def _joined(parts: Sequence[Windows]) -> Windows:
    import pyarrow as pa

    return Windows(
        keys=pa.chunked_array([chunk for part in parts for chunk in part.keys.chunks]),
        shard=np.concatenate([part.shard for part in parts]),
        offset=np.concatenate([part.offset for part in parts]),
        length=np.concatenate([part.length for part in parts]),
    )
