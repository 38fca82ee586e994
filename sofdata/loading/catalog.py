"""What a loader knows of its datasets before it reads a shard."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sofdata.bounded.files import read_small
from sofdata.bounded.jsons import parse
from sofdata.bounded.pictures import MOST_VALUES
from sofdata.config.section import differing_keys
from sofdata.errors import ConfigError, InputError
from sofdata.loading.planned import files_of, labels_of
from sofdata.loading.where import LABELS
from sofdata.shards.commit import read_record
from sofdata.shards.layout import DATASET, INDEX, SHARDS, WIDS, unit_of
from sofdata.shards.names import check_shards
from sofdata.shards.parquet import read_table
from sofdata.shards.record import read_dataset
from sofdata.shards.schema import DatasetRecord
from sofdata.shards.stats import Merged
from sofdata.shards.wids import listed_shards
from sofdata.storage.tree import Tree
from sofdata.types import SCHEMA_VERSION

if TYPE_CHECKING:
    import pyarrow as pa

Location = str | os.PathLike[str]
NEEDED = ("key", "shard", "offset", "source", "text", "start_s", "end_s")
FILE = "file"  # beside the columns of the index; see `open_catalog`
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
class WindowPlaces:
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

    def take(self, rows: NDArray[np.int64]) -> WindowPlaces:
        """Some of them."""
        return WindowPlaces(
            self.keys.take(rows), self.shard[rows], self.offset[rows], self.length[rows]
        )


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """One dataset, or several that fit each other: their windows, one dataset after the other.

    index: the columns of the index that were asked for, a row a window; `FILE` if that was.
    texts: all different texts, sorted.
    """

    trees: tuple[Tree, ...]
    records: tuple[DatasetRecord, ...]
    shards: tuple[ShardFile, ...]
    windows: WindowPlaces
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


def trees_of(url: Location | Sequence[Location], options: dict[str, Any]) -> list[Tree]:
    """The datasets, where they are now: a working directory may change, and workers have others."""
    given: list[Any] = [url]
    if isinstance(url, Iterable) and not isinstance(url, str | bytes):
        given = list(url)
    if not given:
        raise ConfigError("no dataset is given: expected a path or URL, or several")
    trees = []
    for each in given:
        text = os.fspath(each) if isinstance(each, str | os.PathLike) else None
        if not isinstance(text, str) or not text.strip():
            raise ConfigError(f"a dataset is given as a path or URL, not as {each!r:.60}")
        if not isinstance(each, str) and re.match(r"[A-Za-z][\w+.-]+:/[^/]", text):
            raise ConfigError(f"{text} was a URL before it was made a path: give it as text")
        tree = Tree(text, options)
        trees.append(Tree(tree.root, options) if tree.is_local else tree)
    return trees


def open_catalog(
    trees: Sequence[Tree], columns: Sequence[str] = (), by_file: bool = False
) -> Catalog:
    """Open datasets that are to be read together, with these further columns of their index.

    by_file: also the column `FILE`, what must not be divided (`sofdata.loading.planned.files_of`).

    Raises `ConfigError` for a dataset that does not exist, is not complete, is of another schema
    version or is empty, and for datasets that do not fit each other, with the settings that differ.
    """
    import pyarrow as pa

    if len({_place(tree) for tree in trees}) < len(trees):
        raise ConfigError("the same dataset is given twice: its windows would count double")
    records = [_open(tree) for tree in trees]
    for tree, record in zip(trees[1:], records[1:], strict=True):
        _check_fit(trees[0], records[0], tree, record)
    tables = [_read_index(tree, [*NEEDED, *columns]) for tree in trees]
    shards, parts = list[ShardFile](), list[WindowPlaces]()
    for tree, table in zip(trees, tables, strict=True):
        names, windows = _locate(tree, table, first_shard=len(shards))
        shards += _shard_files(tree, names)
        parts.append(windows)
    if by_file:
        corpora, sources = [each.corpus for each in records], [each["source"] for each in tables]
        files = files_of(trees, corpora, sources)
        tables = [each.append_column(FILE, file) for each, file in zip(tables, files, strict=True)]
    index = pa.concat_tables(tables, promote_options="default")
    further = [*columns, FILE] if by_file else columns
    return Catalog(
        trees=tuple(trees),
        records=tuple(records),
        shards=tuple(shards),
        windows=_joined(parts),
        index=index.select(list(dict.fromkeys(["source", "text", *further]))),
        texts=tuple(sorted(index["text"].unique().to_pylist())),
        geometry=_geometry(records[0], index),
    )


def _place(tree: Tree) -> str:
    """The same for the same folder, by whatever path it is given."""
    return os.path.realpath(tree.root) if tree.is_local else tree.root


def _geometry(record: DatasetRecord, index: pa.Table) -> Geometry:
    longest_s = float(np.max(index["end_s"].to_numpy() - index["start_s"].to_numpy()))
    actions = record.actions
    number = longest_s * actions.fps - EVEN if actions else 0.0
    if not 0 <= number <= MOST_VALUES:  # also what is no number
        raise InputError(f"{INDEX} lists a window of {longest_s} s, which no actions fill")
    found = Geometry(
        steps=record.config["windows"]["length"],
        flow_px=record.config["windows"]["size"],
        frame_px=record.config["flow"]["size"],
        actions=math.ceil(number),
        dimension=actions.dimension if actions else 0,
    )
    values = {
        "flow": 2 * found.steps * found.flow_px**2,
        "a frame": 3 * found.frame_px**2,
        "actions": found.actions * found.dimension,
    }
    for what, each in values.items():
        if each > MOST_VALUES:
            raise ConfigError(
                f"{DATASET} says that {what} of a window has {each} values, more than the "
                f"{MOST_VALUES} that are read"
            )
    return found


def _open(tree: Tree) -> DatasetRecord:
    try:
        most = DatasetRecord.MOST_BYTES
        found = parse(read_small(tree, DATASET, most), most)
    except FileNotFoundError:
        raise ConfigError(f"there is no dataset at {tree.name}: it has no {DATASET}") from None
    except (ValueError, InputError, NotADirectoryError):
        found = None  # `read_dataset` says so
    version = found.get("schema_version") if isinstance(found, dict) else SCHEMA_VERSION
    if version != SCHEMA_VERSION:
        provenance = found.get("provenance")
        maker = provenance.get("sofdata") if isinstance(provenance, dict) else None
        maker = maker if isinstance(maker, str) else "another version"
        raise ConfigError(
            f"{tree.name} has schema version {version!r:.60} and was made by sofdata {maker:.60}; "
            f"this version reads {SCHEMA_VERSION}: ingest its source again, or use that sofdata"
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
        if LABELS in columns and (LABELS not in table.column_names or table[LABELS].null_count):
            table = _with_labels(tree, table)
    except FileNotFoundError:
        raise ConfigError(
            f"{tree.name} lacks {INDEX}; 'sofdata verify --repair' writes it again"
        ) from None
    if missing := sorted({*columns} - {*table.column_names}):
        raise InputError(f"{INDEX} of {tree.name} lacks the columns {', '.join(missing)}")
    check_shards(table, f"{INDEX} of {tree.name}")
    if not table.num_rows:
        raise ConfigError(f"{tree.name} holds no windows: every candidate was rejected")
    return table


def _with_labels(tree: Tree, table: pa.Table) -> pa.Table:
    """With those of the plan, where windows were written before labels stood in the index."""
    kept = table.drop_columns(LABELS) if LABELS in table.column_names else table
    return kept.append_column(LABELS, labels_of(tree, table["source"]))


def _locate(tree: Tree, table: pa.Table, first_shard: int) -> tuple[list[str], WindowPlaces]:
    """Where each window of one dataset lies; its shards are numbered from `first_shard`."""
    names = table["shard"].combine_chunks().dictionary_encode()
    shard = names.indices.to_numpy().astype(np.int32)
    offset = table["offset"].to_numpy().astype(np.int64)
    if offset.min() < 0:
        raise InputError(f"{INDEX} of {tree.name} lists a window before the start of its shard")
    same = np.diff(shard) == 0
    length = np.append(np.where(same, np.diff(offset), TO_THE_END), TO_THE_END)
    if (np.diff(shard) < 0).any() or (length[:-1][same] <= 0).any():
        raise InputError(
            f"{INDEX} of {tree.name} does not list its windows in the order of the shards; "
            f"'sofdata verify {tree.name}' says what is wrong with it"
        )
    return names.dictionary.to_pylist(), WindowPlaces(
        table["key"], shard + first_shard, offset, length
    )


def _shard_files(tree: Tree, names: Sequence[str]) -> list[ShardFile]:
    if tree.is_local:
        return [ShardFile(tree, f"{SHARDS}/{name}") for name in names]
    try:
        listed = listed_shards(tree)
        return [
            ShardFile(tree, f"{SHARDS}/{name}", listed[name].size_bytes, listed[name].md5)
            for name in names
        ]
    except (FileNotFoundError, KeyError) as error:
        raise InputError(
            f"{WIDS} of {tree.name} does not list the shards of its index ({error!r}); "
            f"'sofdata verify --repair {tree.name}' writes it again"
        ) from None


def _joined(parts: Sequence[WindowPlaces]) -> WindowPlaces:
    import pyarrow as pa

    return WindowPlaces(
        keys=pa.chunked_array([chunk for part in parts for chunk in part.keys.chunks]),
        shard=np.concatenate([part.shard for part in parts]),
        offset=np.concatenate([part.offset for part in parts]),
        length=np.concatenate([part.length for part in parts]),
    )
