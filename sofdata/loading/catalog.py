"""What a loader knows of its datasets before it reads a shard."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sofdata.bounded.files import read_small
from sofdata.bounded.jsons import parse
from sofdata.bounded.pictures import MOST_VALUES
from sofdata.config.section import differing_keys
from sofdata.errors import ConfigError, InputError
from sofdata.loading.columns import filter_columns, tables
from sofdata.loading.files import Files, files_of
from sofdata.loading.index import Index
from sofdata.loading.places import Places, Windows
from sofdata.loading.texts import Distinct, Texts
from sofdata.shards.commit import read_columns
from sofdata.shards.layout import DATASET, INDEX, SHARDS, WIDS, unit_of
from sofdata.shards.record import read_dataset
from sofdata.shards.schema import DatasetRecord
from sofdata.shards.slices import used_values
from sofdata.shards.stats import Merged
from sofdata.shards.wids import listed_shards
from sofdata.storage.tree import Tree
from sofdata.system.allocation import release_unused
from sofdata.types import SCHEMA_VERSION, STATE_NAME

if TYPE_CHECKING:
    import pyarrow as pa

Location = str | os.PathLike[str]
NEEDED = ("key", "shard", "offset", "source", "text", "start_s", "end_s")
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
    dimension: of an action as it is stored. state: how many of its last numbers are the robot's own
        state.
    """

    steps: int
    flow_px: int
    frame_px: int
    actions: int = 0
    dimension: int = 0
    state: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """One dataset, or several that fit each other: their windows, one dataset after the other.

    indexes: of each dataset, of which nothing is in memory. first_shards: the number of each one's
    first shard. windows: those that are used. texts: all different texts, whatever is used.
    """

    trees: tuple[Tree, ...]
    records: tuple[DatasetRecord, ...]
    indexes: tuple[Index, ...]
    first_shards: tuple[int, ...]
    shards: tuple[ShardFile, ...]
    windows: Windows
    texts: Texts
    geometry: Geometry

    @property
    def name(self) -> str:
        return " and ".join(tree.name for tree in self.trees)

    @property
    def column_names(self) -> list[str]:
        """The columns that a filter may read; see `sofdata.loading.columns`."""
        return filter_columns(self.indexes)

    def tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """These columns of all windows, some at a time; see `sofdata.loading.columns`."""
        return tables(self.indexes, columns)

    def files(self) -> Files:
        """The file of each window; see `sofdata.loading.files`, also for what is raised."""
        return files_of(self.indexes, [record.corpus for record in self.records])

    def places(self) -> Places:
        """Where the windows lie that are used."""
        names = [shard.rel.removeprefix(f"{SHARDS}/") for shard in self.shards]
        return Places(self.indexes, self.first_shards, names, self.windows)

    def videos(self) -> int:
        """How many videos the windows are of that are used; a pass over a column of the index."""
        found, row = Distinct(), 0
        for index in self.indexes:
            for first, batch in index.batches(["source"], encoded=True):
                used = self.windows.within(row + first, row + first + batch.num_rows)
                found.add(used_values(batch.column("source").take(np.flatnonzero(used)))[0])
            row += index.num_rows
        return len(found)

    def statistics(self) -> dict[str, Any]:
        """Statistics of all stored flow, as `dataset.json` has them: p99_px, mean_px, std_px.

        Several datasets are merged exactly, which reads the ledger record of each shard.
        """
        if len(self.records) == 1:
            return self.records[0].flow
        merged = Merged()
        for shard in self.shards:
            merged.add(read_columns(shard.tree, unit_of(shard.rel)).statistics)
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


def open_catalog(trees: Sequence[Tree]) -> Catalog:
    """Open datasets that are to be read together.

    Costs a pass over three columns of each index, and the memory of what is different in them:
    names of shards, and texts.

    Raises `ConfigError` for a dataset that does not exist, is not complete, is of another schema
    version or is empty, and for datasets that do not fit each other, with the settings that differ.
    """
    if len({_place(tree) for tree in trees}) < len(trees):
        raise ConfigError("the same dataset is given twice: its windows would count double")
    records = [open_record(tree) for tree in trees]
    for tree, record in zip(trees[1:], records[1:], strict=True):
        _check_fit(trees[0], records[0], tree, record)
    indexes = [_open_index(tree) for tree in trees]
    shards, first_shards, starts, rows = list[ShardFile](), list[int](), list[int](), 0
    for tree, index in zip(trees, indexes, strict=True):
        names, first_rows = index.shard_starts()
        first_shards.append(len(shards))
        shards += _shard_files(tree, names)
        starts += [rows + first for first in first_rows]
        rows += index.num_rows
    return Catalog(
        trees=tuple(trees),
        records=tuple(records),
        indexes=tuple(indexes),
        first_shards=tuple(first_shards),
        shards=tuple(shards),
        windows=Windows.all(np.array([*starts, rows], np.int64)),
        texts=_texts(indexes),
        geometry=_geometry(records[0], indexes),
    )


def _place(tree: Tree) -> str:
    """The same for the same folder, by whatever path it is given."""
    return os.path.realpath(tree.root) if tree.is_local else tree.root


def _texts(indexes: Sequence[Index]) -> Texts:
    found = Distinct()
    for index in indexes:
        for _, batch in index.batches(["text"], encoded=True):
            found.add(used_values(batch["text"])[0])
    texts = Texts(found.values())
    release_unused()
    return texts


def _longest_s(indexes: Sequence[Index]) -> float:
    """Of all windows; not a number where any is none."""
    longest_s = 0.0
    for index in indexes:
        for _, batch in index.batches(["start_s", "end_s"]):
            lasts_s = batch["end_s"].to_numpy() - batch["start_s"].to_numpy()
            longest_s = float(np.maximum(longest_s, lasts_s.max()))
    return longest_s


def _geometry(record: DatasetRecord, indexes: Sequence[Index]) -> Geometry:
    actions = record.actions
    longest_s = _longest_s(indexes) if actions else 0.0
    number = longest_s * actions.fps - EVEN if actions else 0.0
    if not 0 <= number <= MOST_VALUES:  # also what is no number
        raise InputError(f"{INDEX} lists a window of {longest_s} s, which no actions fill")
    found = Geometry(
        steps=record.config["windows"]["length"],
        flow_px=record.config["windows"]["size"],
        frame_px=record.config["flow"]["size"],
        actions=math.ceil(number),
        dimension=actions.dimension if actions else 0,
        state=sum(name.startswith(STATE_NAME) for name in actions.names) if actions else 0,
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


def open_record(tree: Tree) -> DatasetRecord:
    """`dataset.json` of a complete dataset. Raises `ConfigError` where there is none."""
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
            f"{tree.name} is not complete; run the same '{record.made_by}' to resume it"
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


def _open_index(tree: Tree) -> Index:
    try:
        index = Index(tree)
    except FileNotFoundError:
        raise ConfigError(
            f"{tree.name} lacks {INDEX}; 'sofdata verify --repair' writes it again"
        ) from None
    if missing := sorted({*NEEDED} - {*index.column_names}):
        raise InputError(f"{INDEX} of {tree.name} lacks the columns {', '.join(missing)}")
    if not index.num_rows:
        raise ConfigError(f"{tree.name} holds no windows: every candidate was rejected")
    return index


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
