"""The split that is stored with a dataset, in `split.json`; `sofdata split` writes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sofdata.bounded.files import read_small
from sofdata.errors import ConfigError
from sofdata.loading.catalog import Catalog
from sofdata.loading.files import Files, files_of
from sofdata.loading.split import Sides, divided
from sofdata.shards.layout import SPLIT
from sofdata.shards.schema import DatasetRecord, LineageStep
from sofdata.storage.uris import from_root

if TYPE_CHECKING:
    from sofdata.storage.tree import Tree

MOST_BYTES = 1 << 28  # of the names of a million files


def read_split(tree: Tree, record: DatasetRecord) -> Sides | None:
    """The stored split of a dataset, None if there is none. Raises `ConfigError` if damaged.

    Files of which the uris were written as they are for one source have the names, too, that they
    got when a corpus was appended.
    """
    try:
        data = read_small(tree, SPLIT, MOST_BYTES)
    except FileNotFoundError:
        return None
    advice = "restore it, or decide anew: 'sofdata split DEST --again'"
    sides = Sides.from_json(data, f"{SPLIT} of {tree.name}", advice)
    roots = [step.settings["first"]["source"] for step in record.lineage or () if _begins(step)]
    return _also_from(sides, roots[0]) if roots else sides


def _begins(step: LineageStep) -> bool:
    return isinstance(step.settings.get("first"), dict)


def _also_from(sides: Sides, root: str) -> Sides:
    """The same sides, in which each file has its name from a root, too."""
    roots = [root] if "://" in root else [root, f"file://{root}"]

    def names(side: Sequence[str]) -> list[str]:
        return sorted({*side, *(from_root(name, each) for each in roots for name in side)})

    return Sides(sides.how, names(sides.train), names(sides.held_out))


def split_stored(trees: Sequence[Tree]) -> bool:
    """Whether datasets that are read together have stored splits.

    Raises `ConfigError` where some have one and others have none.
    """
    lacking = [tree.name for tree in trees if not tree.exists(SPLIT)]
    if lacking and len(lacking) < len(trees):
        raise ConfigError(
            f"{lacking[0]} has no stored split, and others that it is read with have one: store "
            "one ('sofdata split'), or say what is held out (Loader: split=('train', 0.1); "
            "training: data.stored_split=false)"
        )
    return not lacking


def stored_sides(catalog: Catalog, files: Files) -> Sides:
    """The sides as they are stored with each of the datasets.

    Raises `ConfigError` where one has none, where files came later, and where what is the same in
    two datasets is on one side here and on the other there.
    """
    kept, how = list[np.ndarray](), list[str]()
    for tree, index, record in zip(catalog.trees, catalog.indexes, catalog.records, strict=True):
        if (sides := read_split(tree, record)) is None:
            raise ConfigError(f"{tree.name} has no stored split: 'sofdata split' makes one")
        own = files if len(catalog.trees) == 1 else files_of([index], [record.corpus])
        advice = f"'sofdata split {tree.name}' gives them one, and leaves the others where they are"
        kept.append(sides.on("held_out", own, tree.name, advice))
        how.append(sides.how)
    words = f"as stored: {'; '.join(dict.fromkeys(how))}"
    mask = divided(catalog, files, np.concatenate(kept), words)
    return Sides(words, files.names.those(~mask), files.names.those(mask))
