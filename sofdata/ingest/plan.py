"""Corpus to plan: what is listed, fingerprinted and cut into units; see `sofdata.ingest.units`.

A plan is a table, from the listing to `plan.parquet`: a million videos take some hundred bytes
each. Values such as `VideoRef` are made of the rows of a unit when it is handed to a worker.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from sofdata.bounded.jsons import LARGEST_INT, check_numbers
from sofdata.corpora.base import Listing
from sofdata.corpora.cells import LABELS_LIKE_OURS, NO_LABELS
from sofdata.corpora.entries import Entries
from sofdata.errors import ConfigError, InputError
from sofdata.ingest.config import IngestConfig
from sofdata.ingest.files import COLUMNS, KnownFiles, look_at
from sofdata.ingest.inputs import DAMAGES, Input, Refused, input_of, refused_of, row_of
from sofdata.ingest.segments import segment_notes
from sofdata.ingest.units import Unit, Units, cut, regrouped
from sofdata.shards.layout import PLAN
from sofdata.shards.names import check_file_names
from sofdata.shards.parquet import read_table, write_columns
from sofdata.shards.schema import plan_schema
from sofdata.storage.tree import Tree
from sofdata.types import VideoRef

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 1 << 14
NO_UNIT = -1  # the ordinal of what is refused


@dataclass(frozen=True, slots=True)
class SourceExtras:
    """What a source holds beside its inputs; see `Listing`."""

    ignored: Mapping[str, int] = field(default_factory=dict)
    label_files: int = 0
    unused_rows: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IngestPlan:
    """All inputs of an ingest: each stands in exactly one unit or is refused.

    table: a row an input, sorted by id: the columns of `plan.parquet` without those of units.
    units: sorted by ordinal.
    extras: what the source holds beside them. files: what its files look like. Neither is stored
        with the plan.
    """

    table: pa.Table
    units: Units
    extras: SourceExtras = field(default_factory=SourceExtras)
    files: KnownFiles = field(default_factory=KnownFiles.none)

    @classmethod
    def of(cls, units: Iterable[Unit], refused: Iterable[Refused] = ()) -> IngestPlan:
        """A plan of units that are given rather than cut."""
        import pyarrow as pa

        rows = [
            {**row_of(video), "unit": unit.id, "ordinal": unit.ordinal}
            for unit in units
            for video in unit.videos
        ]
        rows += [{**row_of(each), "unit": "", "ordinal": NO_UNIT} for each in refused]
        schema = plan_schema(with_actions=True, annotated=True, several=True)
        return cls._of_stored(pa.Table.from_pylist(rows, schema))

    @classmethod
    def _of_stored(cls, stored: pa.Table) -> IngestPlan:
        """The plan that is stored as a table, which has been checked."""
        stored = _sorted(stored).combine_chunks()
        table = _complete(stored.drop_columns(["unit", "ordinal"]))
        return cls(table, Units(table, lambda: regrouped(stored)))

    @property
    def videos(self) -> int:
        return int(self.table.num_rows)

    @property
    def refused(self) -> tuple[Refused, ...]:
        """What is rejected before any work."""
        import pyarrow.compute as pc

        rows = self.table.filter(pc.not_equal(self.table["problem"], "")).to_pylist()
        return tuple(map(refused_of, rows))

    def all_videos(self) -> Iterator[VideoRef]:
        """The videos of all units."""
        return (video for unit in self.units for video in unit.videos)

    def find(self, id: str) -> Input | None:
        """The input of an id, None where there is none."""
        import pyarrow.compute as pc

        at = pc.index(self.table["id"], id).as_py()
        return None if at < 0 else input_of(self.table.slice(at, 1).to_pylist()[0])

    @property
    def reasons(self) -> dict[str, int]:
        """How many inputs are refused, by reason."""
        return dict(Counter(each.reason for each in self.refused).most_common())

    @property
    def with_actions(self) -> bool:
        """Whether any video comes with its actions."""
        return self._has("actions_uri")

    @property
    def annotated(self) -> bool:
        """Whether the corpus says anything of stretches of any video."""
        return self._has("annotations")

    @property
    def several(self) -> bool:
        """Whether its videos are of several corpora, which the column `corpus` names."""
        return self._has("corpus")

    def _has(self, column: str) -> bool:
        return bool(self.table[column].null_count < len(self.table))

    def stored(self) -> pa.Table:
        """The columns of `plan.parquet`."""
        import numpy as np
        import pyarrow as pa

        found, rows = self.units.cut, self.units.cut.rows
        counts = np.diff(found.starts)
        at = np.full(self.videos, len(found.ids), np.int64)
        at[rows] = np.repeat(np.arange(len(found.ids)), counts)
        units = pa.array([*found.ids, ""]).take(at)
        ordinals = np.array([*found.ordinals, NO_UNIT], np.int64)[at]
        columns = {"unit": units, "ordinal": pa.array(ordinals)}
        schema = plan_schema(self.with_actions, self.annotated, self.several)
        named = [columns[n] if n in columns else self.table[n] for n in schema.names]
        return pa.table(named, schema=schema)


def make_plan(
    source: Tree,
    listing: Listing,
    config: IngestConfig,
    known: KnownFiles | None = None,
    listed_ns: int = 0,
) -> IngestPlan:
    """Fingerprint what the corpus lists and cut it into units, once these are asked for.

    known: files that are not read if they look as they did.
    listed_ns: the time, in ns since 1970, at which the listing began; see `files.look_at`.

    Raises `ConfigError` if nothing is listed, two inputs have the same id, or windows are to be cut
    at segments of which there are none.
    """
    entries = Entries.of(listing.entries).table
    if not len(entries):
        raise ConfigError(f"no video found in {source.name}; is that the right folder?")
    entries = _sorted(entries)
    _check_ids(entries)
    table, files = _looked_at(source, entries, known or KnownFiles.none(), listed_ns)
    _check_values(table)
    notes = (*listing.notes, *segment_notes(table, config))
    return IngestPlan(
        table,
        Units(table, lambda: cut(table, config.units, config.digest())),
        SourceExtras(listing.ignored, len(listing.tables), listing.unused, notes),
        files,
    )


def save_plan(dest: Tree, plan: IngestPlan, name: str = PLAN) -> None:
    """Write `plan.parquet`, or the same under another name."""
    write_columns(dest, name, plan.stored())


def load_plan(dest: Tree, name: str = PLAN) -> IngestPlan | None:
    """Read `plan.parquet`; None if there is none. Raises `InputError` if it is damaged."""
    try:
        stored = read_table(dest, name)
    except FileNotFoundError:
        return None
    place = f"{name} in {dest.name}"
    kinds = itertools.product((False, True), repeat=3)
    if not any(stored.schema.equals(plan_schema(*kind)) for kind in kinds):
        raise InputError(f"{place} is damaged: its columns are not those of a plan")
    _check_stored(stored, place)
    plan = IngestPlan._of_stored(stored)
    check_file_names(plan.units.ids, place)  # of their records
    return plan


@cache
def _schema() -> pa.Schema:
    """The columns of a plan in memory."""
    import pyarrow as pa

    wanted = plan_schema(with_actions=True, annotated=True, several=True)
    return pa.schema([each for each in wanted if each.name not in ("unit", "ordinal")])


def _complete(table: pa.Table) -> pa.Table:
    """A table with all columns, null where it lacks them."""
    import pyarrow as pa

    there = table.schema.names
    columns = [
        table[each.name] if each.name in there else pa.nulls(len(table), each.type)
        for each in _schema()
    ]
    return pa.table(columns, schema=_schema())


def _sorted(table: pa.Table) -> pa.Table:
    """A table sorted by id; of equal ids the first stays first."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = table["id"].combine_chunks()
    if len(ids) < 2 or pc.all(pc.less_equal(ids[:-1], ids[1:])).as_py():
        return table
    order = pc.sort_indices(ids)
    names = table.schema.names  # one by one, so that little is there twice
    return pa.table([table[name].take(order) for name in names], schema=table.schema)


def _check_ids(entries: pa.Table) -> None:
    """Raise `ConfigError` for an id that is there twice. They are sorted."""
    import pyarrow.compute as pc

    ids = entries["id"].combine_chunks()
    twice = pc.index(pc.equal(ids[:-1], ids[1:]), True).as_py()
    if twice >= 0:
        one, other = entries["uri"].slice(twice, 2).to_pylist()
        raise ConfigError(f"two inputs have the id '{ids[twice].as_py()}': {one} and {other}")


def _looked_at(
    source: Tree, entries: pa.Table, known: KnownFiles, listed_ns: int
) -> tuple[pa.Table, KnownFiles]:
    """Entries as rows of a plan: with sizes and fingerprints, and with the problems that a look at
    the files has shown.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    asked = pc.and_(pc.equal(entries["problem"], ""), pc.equal(entries["fingerprint"], ""))
    rows = np.flatnonzero(asked.to_numpy())
    files = entries.select([*COLUMNS, "actions_uri"])
    if len(rows) < len(files):
        files = files.take(rows)
    looked = look_at(source, files, known, listed_ns)
    columns = {name: entries[name].combine_chunks() for name in _schema().names if name != "corpus"}
    for name, found in looked.columns(files["uri"]).items():
        columns[name] = _put(columns[name], asked.combine_chunks(), found)
    return _refused(_complete(pa.table(columns))), looked.known


def _put(column: pa.Array, where: pa.Array, values: pa.Array) -> pa.Array:
    """A column with other values in some rows."""
    import pyarrow.compute as pc

    return values if len(values) == len(column) else pc.replace_with_mask(column, where, values)


def _refused(table: pa.Table) -> pa.Table:
    """Rows of a plan, of which those that are refused say where they lie and why, no more."""
    import pyarrow as pa
    import pyarrow.compute as pc

    refused = pc.not_equal(table["problem"], "")
    if not pc.any(refused).as_py():
        return table.cast(_schema())
    blank = {"fingerprint": "", "text": "", "labels": NO_LABELS}
    kept = ("id", "uri", "size_bytes", "problem", "detail")
    for at, column in enumerate(table.schema):
        if column.name not in kept:
            nothing = pa.scalar(blank.get(column.name), column.type)
            table = table.set_column(at, column, pc.if_else(refused, nothing, table[column.name]))
    return table.cast(_schema())


def _check_values(table: pa.Table) -> None:
    """Raise `ContractError` for a row that no video can be made of."""
    for row in _doubtful(table):
        input_of(row)


def _check_stored(table: pa.Table, place: str) -> None:
    """Raise `InputError` for a row of a stored plan that nothing here writes."""
    for row in _doubtful(_complete(table), stored=True):
        try:
            check_numbers(row)
            input_of(row)
        except DAMAGES as error:
            where = f"{row['id']!r:.80}: {type(error).__name__}: {str(error)[:200]}"
            raise InputError(f"{place} is damaged: {where}") from None


def _doubtful(table: pa.Table, stored: bool = False) -> Iterator[dict[str, Any]]:
    """The rows that may hold what no input does: all that do are among them.

    stored: also those whose numbers are none, and whose cells of JSON look other than ours.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    start, end = table["span_start_s"], table["span_end_s"]
    whole = pc.and_(pc.is_null(start), pc.is_null(end))
    good = pc.or_(whole, pc.fill_null(pc.less(start, end), False))
    for name in ("id", "uri"):
        good = pc.and_(good, pc.not_equal(table[name], ""))
    if stored:
        for column in table.schema:
            if pa.types.is_floating(column.type):
                finite = pc.fill_null(pc.is_finite(table[column.name]), True)
                good = pc.and_(good, finite)
            elif pa.types.is_integer(column.type):
                fits = pc.fill_null(pc.greater(table[column.name], -LARGEST_INT - 1), True)
                good = pc.and_(good, fits)
        good = pc.and_(good, pc.match_substring_regex(table["labels"], LABELS_LIKE_OURS))
        good = pc.and_(good, pc.is_null(table["annotations"]))
    for batch in table.filter(pc.invert(good)).to_batches(BATCH_ROWS):
        yield from batch.to_pylist()
