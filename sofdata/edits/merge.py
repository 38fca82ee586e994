"""`merge`: several datasets as one. What is in two of them is kept once, and told."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sofdata.config.section import differing_keys
from sofdata.corpora.recordings import SEVERAL
from sofdata.edits.copying import Copies
from sofdata.edits.derive import Derivation, parents_libraries, with_plan
from sofdata.edits.joining import Joined, Part, joined
from sofdata.edits.origins import OriginTable
from sofdata.edits.parents import NEW, Parent, lineage_of
from sofdata.edits.sources import source_of
from sofdata.errors import ConfigError
from sofdata.ingest.config import completed, stored_config
from sofdata.ingest.plan import IngestPlan
from sofdata.ingest.units import Units, cut
from sofdata.shards.schema import Counts, DatasetRecord
from sofdata.storage.tree import Tree

# What decides units, or how a table of videos is read: no sample depends on it.
OF_NO_SAMPLE = ("units", "manifest", "sequences")
LISTED = ("ignored_files", "unused_rows")


@dataclass(frozen=True, slots=True)
class Names:
    """What the parts of a merged dataset are called: in ids that would be there twice, and where
    corpora are told apart."""

    given: tuple[str, ...]

    @classmethod
    def of(cls, parents: Sequence[Parent]) -> Names:
        """The last part of each place, with a number where two are the same."""
        names = [parent.name.rstrip("/").rpartition("/")[2] or "dataset" for parent in parents]
        twice = {name for name in names if names.count(name) > 1}
        numbered = enumerate(names, 1)
        return cls(tuple(f"{name}-{at}" if name in twice else name for at, name in numbered))


def merged(parents: Sequence[Parent], dest: Tree) -> Derivation:
    """What is to be made of several datasets together.

    Their units are cut anew from all videos, as an ingest of all would have cut them, with the
    settings for units that the first has. Raises `ConfigError` where the datasets do not fit, or
    are one.
    """
    check_fit(parents)
    first, names = parents[0], Names.of(parents)
    found = joined([*_parts(parents, names)])
    digest = first.record.config_sha256
    units = stored_config(first.record.config).units
    plan = IngestPlan(found.table, Units(found.table, lambda: cut(found.table, units, digest)))
    command = shlex.join(["sofdata", "merge", *(parent.name for parent in parents), NEW])
    record = with_plan(_record(parents, found), plan).model_copy(
        update={"lineage": lineage_of("merge", command, {"names": list(names.given)}, parents)}
    )
    maker = Copies(
        parents=tuple(parent.tree for parent in parents),
        digests=tuple(parent.record.config_sha256 for parent in parents),
        config_sha256=digest,
        kept=(None,) * len(parents),
    )
    return Derivation(
        dest=dest,
        parents=tuple(parents),
        plan=plan,
        record=record,
        maker=maker,
        origins=OriginTable(tuple(parents), found.places, found.more),
        libraries=parents_libraries(parents),
    )


def check_fit(parents: Sequence[Parent]) -> None:
    """Raise `ConfigError` for fewer than two datasets, the same one twice, and settings that
    differ in what decides samples, each with both values.
    """
    if len(parents) < 2:
        raise ConfigError("merge takes two datasets or more, and the place of the new one")
    for at, parent in enumerate(parents):
        if any(parent.identity == other.identity for other in parents[:at]):
            raise ConfigError(f"{parent.name} is given twice, or is a copy of another one given")
    first = parents[0]
    for other in parents[1:]:
        different = list(differing_keys(_settings(first.record), _settings(other.record)))
        if not different:
            continue
        windows = all(each.startswith(("windows.", "codec.")) for each in different)
        how = "other windows of a dataset with kept flow by 'sofdata rewindow', or " * windows
        raise ConfigError(
            f"{first.name} and {other.name} cannot be one dataset: {'; '.join(different)}. Make "
            f"{how}ingest one of them again with the settings of the other"
        )


def _settings(record: DatasetRecord) -> dict[str, Any]:
    """All that decides samples, whatever version has written it."""
    actions = record.actions.model_dump() if record.actions else "absent"
    content = completed(record.config)
    return {**{k: v for k, v in content.items() if k not in OF_NO_SAMPLE}, "actions": actions}


def _parts(parents: Sequence[Parent], names: Names) -> list[Part]:
    """The parents with the names of their parts; alike where all have one source."""
    sources = [source_of(parent.tree) for parent in parents]
    kinds = {parent.record.corpus for parent in parents}
    same = len(kinds) == 1 and None not in sources
    same = same and len({source.name for source in sources if source}) == 1
    return [
        Part.of(parent, name, None if same else f"{parent.record.corpus}:{name}", source)
        for parent, name, source in zip(parents, names.given, sources, strict=True)
    ]


def _record(parents: Sequence[Parent], found: Joined) -> DatasetRecord:
    """The record of all: accounts are added, but for what the plan will say."""
    first = parents[0].record
    counts = Counts(
        label_files=sum(parent.record.counts.label_files for parent in parents),
        ignored_files=_added([parent.record.counts.ignored_files for parent in parents]),
        unused_rows=_added([parent.record.counts.unused_rows for parent in parents]),
    )
    if found.same_source:
        counts = first.counts
    kinds = [kind for parent in parents for kind in parent.record.corpus.split(SEVERAL)]
    notes = [note for parent in parents for note in parent.record.notes]
    changes = {
        "counts": counts,
        "corpus": SEVERAL.join(dict.fromkeys(kinds)),
        "notes": [*dict.fromkeys(notes), *found.notes],
        "libraries": parents_libraries(parents),
    }
    return first.model_copy(update=changes)


def _added(tallies: Sequence[dict[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for tally in tallies:
        for name, number in tally.items():
            found[name] = found.get(name, 0) + number
    return dict(sorted(found.items()))
