"""`dedup`: which videos of a dataset are copies, and the dataset without them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from sofdata.dedup.find import Copy, find_copies
from sofdata.edits.copying import COPY, Copies, KeptWindows
from sofdata.edits.derive import Derivation, parents_libraries, with_plan
from sofdata.edits.origins import OriginTable, Places
from sofdata.edits.parents import NEW, Parent, lineage_of
from sofdata.errors import ConfigError
from sofdata.ingest.run import Summary
from sofdata.loading.catalog import Catalog, open_catalog
from sofdata.shards.copies import shards_digest, write_copies
from sofdata.storage.lock import Choice, only_driver
from sofdata.storage.tree import Tree
from sofdata.system.digests import json_digest

Follow = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Copied:
    """A video that shows what another one of its dataset does: their ids, and how it is known."""

    video: str
    kept: str
    detail: str

    @classmethod
    def of(cls, copy: Copy) -> Self:
        """From a copy within one dataset."""
        return cls(copy.video[1], copy.kept[1], copy.detail(copy.kept[1]))


@dataclass(frozen=True, slots=True)
class Deduplicated:
    """What `sofdata.dedup` found. summary: of the dataset that was made, None where none was."""

    copies: tuple[Copied, ...]
    summary: Summary | None = None


def copies_in(
    dest: Tree, near: bool = True, follow: Follow = lambda done, total: None
) -> list[Copy]:
    """The copies in one dataset; see `find_copies`, also for what is raised."""
    return find_copies(open_catalog([dest]), near, follow)


def store_copies(
    dest: Tree, near: bool, lock: Choice, follow: Follow = lambda done, total: None
) -> list[Copy]:
    """Find the copies in a dataset, and store them with it, for splits. Returns them.

    Raises as `copies_in`, and `ConfigError` where the dataset is in use or changes meanwhile.
    """
    with only_driver(dest, "dedup", lock):
        open_catalog([dest])  # refuses what is no dataset
        before = shards_digest(dest)
        copies = copies_in(dest, near, follow)
        if shards_digest(dest) != before:
            raise ConfigError(f"{dest.name} has changed while it was read; run the command again")
        write_copies(dest, _rows(copies))
    return copies


def without_copies(parent: Parent, dest: Tree, copies: Sequence[Copy], near: bool) -> Derivation:
    """What is to be made of a dataset by leaving out its copies.

    copies: as of `copies_in`. Its plan and its units stay as they are. Copies are rejected, with
    the video that is kept in their detail. Raises `ConfigError` where there are none.
    """
    if not copies:
        raise ConfigError(f"{parent.name} holds no copies: there is nothing to leave out")
    options = [] if near else ["--exact"]
    command = shlex.join(["sofdata", "dedup", parent.name, NEW, *options])
    whys = {copy.video[1]: copy.detail(copy.kept[1]) for copy in copies}
    settings = {"near": near, "copies": len(whys), "copies_sha256": json_digest(whys)}
    lineage = lineage_of("dedup", command, settings, [parent])
    digest = parent.record.config_sha256
    return Derivation(
        dest=dest,
        parents=(parent,),
        plan=parent.plan,
        record=with_plan(parent.record, parent.plan).model_copy(update={"lineage": lineage}),
        maker=Copies(
            parents=(parent.tree,),
            digests=(digest,),
            config_sha256=digest,
            kept=(_kept(open_catalog([parent.tree]), {*whys}),),
            reason=COPY,
            whys=whys,
        ),
        origins=OriginTable((parent,), Places.of(parent.plan)),
        libraries=parents_libraries([parent]),
    )


def _kept(catalog: Catalog, left: set[str]) -> KeptWindows:
    """All windows but those of some videos."""
    import pyarrow as pa
    import pyarrow.compute as pc

    index, names = catalog.indexes[0], pa.array(sorted(left), pa.string())
    kept = np.ones(index.num_rows, np.bool_)
    for first, batch in index.batches(["source"]):
        found = pc.is_in(batch["source"], value_set=names)
        kept[first : first + batch.num_rows] = ~np.asarray(found)
    shards, starts = index.shard_starts()
    return KeptWindows(dict(zip(shards, starts, strict=True)), np.packbits(kept))


def _rows(copies: Sequence[Copy]) -> Iterator[dict[str, Any]]:
    """The rows of `copies.parquet`."""
    for copy in copies:
        match = asdict(copy.match) if copy.match else {"mirrored": False}
        yield {
            "video": copy.video[1],
            "kept": copy.kept[1],
            "equal": copy.match is None,
            "detail": copy.detail(copy.kept[1]),
            **match,
        }
