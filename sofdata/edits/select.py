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
from sofdata.loading.selection import Stored, choose, part_of
from sofdata.loading.split import Side, Sides
from sofdata.loading.where import columns_of
from sofdata.shards.schema import index_schema
from sofdata.storage.tree import Tree


@dataclass(frozen=True, slots=True)
class Selection:
    """What is kept of a dataset.

    where: a filter on the index, "" for all. side: of the split that is stored with it, None for
    both.
    """

    where: str = ""
    side: Side | None = None

    def __str__(self) -> str:
        where = f"the filter {self.where!r}" if self.where.strip() else ""
        side = f"the side '{self.side}'" if self.side else ""
        return " and ".join(filter(None, (where, side))) or "everything"

    def __bool__(self) -> bool:
        return bool(self.where.strip() or self.side)

    def options(self) -> list[str]:
        """As they are given on the command line."""
        given = {"--where": self.where, "--side": self.side}
        return [word for key, value in given.items() if value for word in (key, value)]


def selected(parent: Parent, dest: Tree, selection: Selection) -> Derivation:
    """What is to be made of a dataset by leaving out a part of it.

    Its plan and its units stay as they are. Windows that are left out are rejected, and so are
    videos of which none is left: `not_selected`.

    Raises `ConfigError` for a filter that is not understood, or selects nothing.
    """
    command = shlex.join(["sofdata", "select", parent.name, NEW, *selection.options()])
    kept, settings = None, {"where": selection.where}
    if selection:
        kept, sides = _kept(parent, selection)
        settings |= {"side": selection.side, "split_sha256": sides.sha256} if sides else {}
    lineage = lineage_of("select", command, settings, [parent])
    record = with_plan(parent.record, parent.plan).model_copy(update={"lineage": lineage})
    digest = parent.record.config_sha256
    maker = Copies(
        parents=(parent.tree,),
        digests=(digest,),
        config_sha256=digest,
        kept=(kept,),
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


def _kept(parent: Parent, selection: Selection) -> tuple[KeptWindows, Sides | None]:
    """The windows that are kept, and the split that has decided about them, if any."""
    catalog = open_catalog([parent.tree])
    where, part = selection.where, None
    columns = columns_of(where, index_schema().names) if where.strip() else []
    if selection.side:
        part = part_of(catalog, (selection.side, Stored()))
    windows = choose(catalog, where, columns, part)
    names, starts = catalog.indexes[0].shard_starts()
    kept: NDArray[np.bool_] = windows.within(0, catalog.indexes[0].num_rows)
    bits = KeptWindows(dict(zip(names, starts, strict=True)), np.packbits(kept))
    return bits, part.sides if part else None
