"""The split of a dataset that is made of others which have one: what was held out stays so."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from sofdata.edits.origins import NOWHERE, OriginTable
from sofdata.edits.parents import Parent
from sofdata.ingest.plan import IngestPlan
from sofdata.loading.catalog import open_catalog
from sofdata.loading.split import Sides
from sofdata.loading.stored import read_split
from sofdata.shards.layout import SPLIT
from sofdata.storage.tree import Tree

_log = logging.getLogger("sofdata")


def carry_split(
    parents: Sequence[Parent], plan: IngestPlan, origins: OriginTable, dest: Tree
) -> None:
    """Store a split with a complete dataset, if all that it was made of have one, and it has none.

    A file of which any video was held out is held out. Where a side would be empty, or a parent has
    no split, none is stored, and a note says so.
    """
    having = [parent for parent in parents if parent.tree.exists(SPLIT)]
    if not having or dest.exists(SPLIT):
        return
    if len(having) < len(parents):
        others = ", ".join(parent.name for parent in parents if parent not in having)
        _log.warning("no split is stored with %s: %s has none", dest.name, others)
        return
    held = _held_out(parents, plan, origins)
    catalog = open_catalog([dest])
    files = catalog.files()
    ids = files.ids.to_pylist()
    windows = np.array([id in held for id in ids], np.bool_)[files.video]
    mask = files.with_any(windows)
    how = "; ".join(
        dict.fromkeys(sides.how for p in parents if (sides := read_split(p.tree, p.record)))
    )
    sides = Sides(how, files.names.those(~mask), files.names.those(mask))
    if sides.train and sides.held_out:
        dest.write(SPLIT, sides.to_json(by="what it was made of"))
    else:
        side = "held_out" if sides.train else "train"
        _log.warning(
            "no split is stored with %s: nothing of it was on the side %s", dest.name, side
        )


def _held_out(parents: Sequence[Parent], plan: IngestPlan, origins: OriginTable) -> set[str]:
    """The ids of the new dataset's videos that were held out in a parent."""
    found = [_held_out_of(parent) for parent in parents]
    places = origins.places
    rows = zip(
        plan.table["id"].to_pylist(),
        places.parent.tolist(),
        places.unit.tolist(),
        places.ids.to_pylist(),
        strict=True,
    )
    held = {id for id, parent, unit, own in rows if unit != NOWHERE and own in found[parent]}
    ids = plan.table["id"]
    more = origins.more.items()
    return held | {ids[row].as_py() for row, (parent, _, own) in more if own in found[parent]}


def _held_out_of(parent: Parent) -> set[str]:
    tree = parent.tree
    sides = read_split(tree, parent.record)
    assert sides is not None
    catalog = open_catalog([tree])
    files = catalog.files()
    windows = sides.on("held_out", files, tree.name)
    ids: Any = files.ids.take(np.unique(files.video[windows]))
    return {*ids.to_pylist()}
