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

if TYPE_CHECKING:
    from sofdata.storage.tree import Tree

MOST_BYTES = 1 << 28  # of the names of a million files


def read_split(tree: Tree) -> Sides | None:
    """The stored split of a dataset, None if there is none. Raises `ConfigError` if damaged."""
    try:
        data = read_small(tree, SPLIT, MOST_BYTES)
    except FileNotFoundError:
        return None
    return Sides.from_json(
        data, f"{SPLIT} of {tree.name}", "restore it, or decide anew: 'sofdata split DEST --again'"
    )


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
        if (sides := read_split(tree)) is None:
            raise ConfigError(f"{tree.name} has no stored split: 'sofdata split' makes one")
        own = files if len(catalog.trees) == 1 else files_of([index], [record.corpus])
        advice = f"'sofdata split {tree.name}' gives them one, and leaves the others where they are"
        kept.append(sides.on("held_out", own, tree.name, advice))
        how.append(sides.how)
    words = f"as stored: {'; '.join(dict.fromkeys(how))}"
    mask = divided(catalog, files, np.concatenate(kept), words)
    return Sides(words, files.names.those(~mask), files.names.those(mask))
