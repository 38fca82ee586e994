"""`split`: which files of a dataset are held out, decided once and stored with it.

`Loader(split="train")` and `sofdata train` then use it. Whole groups go to one side: files with all
that shows the same thing, or corpora, or all files that share a label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sofdata.corpora.recordings import corpora_of
from sofdata.errors import ConfigError
from sofdata.loading.catalog import Catalog, open_catalog
from sofdata.loading.files import Files
from sofdata.loading.planned import labels_of, plan_parts, videos_of
from sofdata.loading.split import HeldOut, Sides, by_hash, divide
from sofdata.loading.stored import read_split
from sofdata.shards.layout import PLAN, SPLIT
from sofdata.shards.parquet import StoredTable
from sofdata.storage.lock import Choice, only_driver
from sofdata.storage.tree import Tree
from sofdata.system.nearest import did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

LABEL = "label."
FILE, CORPUS = "file", "corpus"


@dataclass(frozen=True, slots=True)
class SplitBy:
    """How a dataset is split. by: "file", "corpus" or "label.NAME". held_out: how much, or what."""

    by: str
    held_out: HeldOut

    def __post_init__(self) -> None:
        if self.by not in (FILE, CORPUS) and self.by.removeprefix(LABEL) in (self.by, ""):
            raise ConfigError(
                f"a split is by {FILE}, {CORPUS} or {LABEL}NAME, a label of the corpus, not by "
                f"{self.by!r}{did_you_mean(self.by, [FILE, CORPUS])}"
            )
        if self.by != FILE and (self.held_out.listed or self.held_out.where):
            raise ConfigError("a list or a filter says what is held out: leave out --by")

    def __str__(self) -> str:
        if self.held_out.listed or self.held_out.where or self.by == FILE:
            return str(self.held_out)
        return f"{self.held_out.share:g} of the values of {self.by}, by their hash"


@dataclass(frozen=True, slots=True)
class StoredSplit:
    """What was stored, or was there. files, windows: of each side. changed: whether it is new."""

    how: str
    files: dict[str, int]
    windows: dict[str, int]
    changed: bool


def split(dest: Tree, how: SplitBy, *, again: bool = False, lock: Choice = "auto") -> StoredSplit:
    """Store with a dataset which files are held out.

    Where it has a split, decided in the same way, files that came later get a side, and all others
    keep theirs. again: decide anew, whatever was stored.

    Raises `ConfigError` where another split is stored, unless `again`; for a list or filter that
    names what is not there or divides a file; and where a side would be empty.
    """
    with only_driver(dest, "split", lock):
        catalog = open_catalog([dest])
        files = catalog.files()
        before = None if again else read_split(dest, catalog.records[0])
        if before is not None and before.how != str(how):
            raise ConfigError(
                f"{dest.name} has a split already, {before.how}, by which models may have been "
                "trained; --again decides anew"
            )
        sides = _decided(catalog, files, how, before)
        held_out = sides.on("held_out", files, dest.name)
        numbers = {
            "files": {"train": len(sides.train), "held_out": len(sides.held_out)},
            "windows": {"train": int((~held_out).sum()), "held_out": int(held_out.sum())},
        }
        changed = before is None or before.sha256 != sides.sha256
        if changed:
            dest.write(SPLIT, sides.to_json(by=how.by, **numbers))
    return StoredSplit(sides.how, numbers["files"], numbers["windows"], changed)


def _decided(catalog: Catalog, files: Files, how: SplitBy, before: Sides | None) -> Sides:
    if how.held_out.listed or how.held_out.where:
        sides = divide(catalog, files, how.held_out)
        _check_kept(sides, before, catalog)
        return sides
    group, names = _groups(catalog, files, how.by)
    kept = _held_out(names, how, _sides_of(files, group, len(names), before, catalog))
    mask = kept[group]
    sides = Sides(str(how), files.names.those(~mask), files.names.those(mask))
    if not sides.train or not sides.held_out:
        raise ConfigError(
            f"{catalog.name} has {len(names)} {how.by}s that can be told apart, and one side of a "
            f"split by {how.by} would be empty: split by something else, or ingest more"
        )
    return sides


def _check_kept(sides: Sides, before: Sides | None, catalog: Catalog) -> None:
    if before is None:
        return
    moved = {*sides.train} & {*before.held_out} | {*sides.held_out} & {*before.train}
    if moved:
        raise ConfigError(
            f"{len(moved)} files of {catalog.name} would change sides ({min(moved)}): --again "
            "decides anew"
        )


def _sides_of(
    files: Files, group: NDArray[np.int64], groups: int, before: Sides | None, catalog: Catalog
) -> NDArray[np.int8]:
    """The side that each group has already: 0 none, 1 train, 2 held out."""
    sides = np.zeros(groups, np.int8)
    if before is None:
        return sides
    for number, names in ((1, before.train), (2, before.held_out)):
        mine = np.unique(group[files.names.among(names)])
        if (both := mine[(sides[mine] != 0) & (sides[mine] != number)]).size:
            raise ConfigError(
                f"{len(both)} groups of {catalog.name} have files on both sides of its split, "
                "since what came later belongs to both: --again decides anew"
            )
        sides[mine] = number
    return sides


def _held_out(names: Sequence[str], how: SplitBy, sides: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Which groups are held out: those that were, and of new ones as many as the share lacks."""
    wanted = max(1, min(int(how.held_out.share * len(names) + 0.5), len(names) - 1))
    kept: NDArray[np.bool_] = sides == 2
    order = by_hash(names)
    new = order[sides[order] == 0]
    kept[new[: max(0, wanted - int(kept.sum()))]] = True
    return kept


def _groups(catalog: Catalog, files: Files, by: str) -> tuple[NDArray[np.int64], list[str]]:
    """The group of each file, int64 [names], and the name of each group.

    Files that share a value are one group, and so are values that share a file. A file without a
    value is a group of its own.
    """
    names = [files.names[number] for number in range(len(files.names))]
    if by == FILE:
        return np.arange(len(names)), names
    values = _values(catalog, by)
    texts = values.dictionary.to_pylist()
    codes = np.asarray(values.indices.fill_null(-1), np.int64)
    pairs = np.unique(np.stack([files.file.astype(np.int64), codes])[:, codes >= 0], axis=1)
    parent = list(range(len(names) + len(texts)))
    for file, code in pairs.T.tolist():
        one, other = _root(parent, file), _root(parent, len(names) + code)
        parent[max(one, other)] = min(one, other)
    roots = [_root(parent, number) for number in range(len(parent))]
    called: dict[int, str] = {}
    for code, text in sorted(enumerate(texts), key=lambda pair: pair[1]):
        called.setdefault(roots[len(names) + code], f"{by} {text}")
    found = sorted({roots[number] for number in range(len(names))})
    place = {root: number for number, root in enumerate(found)}
    group = np.array([place[roots[number]] for number in range(len(names))], np.int64)
    return group, [called.get(root) or names[root] for root in found]


def _root(parent: list[int], at: int) -> int:
    while parent[at] != at:
        parent[at] = at = parent[parent[at]]
    return at


def _values(catalog: Catalog, by: str) -> pa.DictionaryArray:
    """What each window has of what is split by; null where it has nothing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    (index,) = catalog.indexes
    if by == CORPUS:
        ids, corpora = _corpora(catalog)
        rows = np.empty(index.num_rows, np.int32)
        videos_of(index, ids, rows)
        values = corpora.take(pa.array(rows))
    else:
        name = by.removeprefix(LABEL)
        labels, rows = labels_of(index)
        values = pc.map_lookup(labels, name, "first").take(pa.array(rows))
        if values.null_count == len(values):
            there = sorted(
                {key for part in labels.chunks for key in part.keys.unique().to_pylist()}
            )
            raise ConfigError(
                f"no window of {catalog.name} has the label '{name}'{did_you_mean(name, there)} "
                f"(labels: {', '.join(there) or 'none'})"
            )
    return pa.chunked_array(values).combine_chunks().dictionary_encode()


def _corpora(catalog: Catalog) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """The ids of all planned videos, and the corpus of each."""
    import pyarrow as pa
    import pyarrow.compute as pc

    (tree,), (record,) = catalog.trees, catalog.records
    with StoredTable.open(tree, PLAN, ["id"]) as stored:
        several = "corpus" in stored.schema.names
    if not several:
        raise ConfigError(
            f"all of {tree.name} is of one corpus ({corpora_of(record.corpus)[0]}): split it by "
            f"{FILE} or {LABEL}NAME"
        )
    parts = [*plan_parts(tree, ["id", "corpus"], "corpus of a video")]
    table = pa.concat_tables(parts)
    return table["id"], pc.fill_null(table["corpus"], record.corpus)
