"""`select`: a part of a dataset as a dataset of its own, in which all that was left out is told."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sofdata.edits.copying import Copies, KeptWindows
from sofdata.edits.derive import Derivation, parents_libraries, with_plan
from sofdata.edits.origins import OriginTable, Places
from sofdata.edits.parents import NEW, Parent, lineage_of
from sofdata.loading.catalog import open_catalog
from sofdata.loading.selection import choose
from sofdata.loading.where import columns_of
from sofdata.shards.schema import index_schema
from sofdata.storage.tree import Tree


@dataclass(frozen=True, slots=True)
class Selection:
    """What is kept of a dataset. where: a filter on the index, "" for all."""

    where: str = ""

    def __str__(self) -> str:
        return f"the filter {self.where!r}" if self.where else "everything"

    def options(self) -> list[str]:
        """As they are given on the command line."""
        return ["--where", self.where] if self.where else []


def selected(parent: Parent, dest: Tree, selection: Selection) -> Derivation:
    """What is to be made of a dataset by leaving out a part of it.

    Its plan and its units stay as they are. Windows that are left out are rejected, and so are
    videos of which none is left: `not_selected`.

    Raises `ConfigError` for a filter that is not understood, or selects nothing.
    """
    command = shlex.join(["sofdata", "select", parent.name, NEW, *selection.options()])
    settings = {"where": selection.where}
    lineage = lineage_of("select", command, settings, [parent])
    record = with_plan(parent.record, parent.plan).model_copy(update={"lineage": lineage})
    digest = parent.record.config_sha256
    maker = Copies(
        parents=(parent.tree,),
        digests=(digest,),
        config_sha256=digest,
        kept=(_kept(parent, selection) if selection.where.strip() else None,),
        why=f"none of its windows was selected by {selection}",
    )
    return Derivation(
        dest=dest,
        parents=(parent,),
        plan=parent.plan,
        record=record,
        maker=maker,
        origins=OriginTable((parent,), Places.of(parent.plan)),
        libraries=parents_libraries([parent]),
    )


def _kept(parent: Parent, selection: Selection) -> KeptWindows:
    catalog = open_catalog([parent.tree])
    columns = columns_of(selection.where, index_schema().names)
    windows = choose(catalog, selection.where, columns, None)
    names, starts = catalog.indexes[0].shard_starts()
    kept: NDArray[np.bool_] = windows.within(0, catalog.indexes[0].num_rows)
    return KeptWindows(dict(zip(names, starts, strict=True)), np.packbits(kept))
