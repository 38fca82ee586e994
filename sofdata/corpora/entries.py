"""The entries of a listing as a table: a million of them take a few hundred bytes each.

An adapter yields `Entry` after `Entry`; `EntryWriter` packs each into columns as it comes.
`Entries` gives them back one by one, and whole columns to what goes through all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, overload

from sofdata.corpora.cells import annotations_of, annotations_text, labels_of, labels_text
from sofdata.corpora.entry import Entry
from sofdata.storage.walk import Stamp
from sofdata.types import ActionRef, Annotations

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 1 << 14
MOST_TEXT_BYTES = 1 << 18  # of a video's text and labels together: each window's record holds them


@cache
def entry_schema() -> pa.Schema:
    """The columns of entries; those of actions and annotations are null where there are none."""
    import pyarrow as pa

    texts = ("id", "uri", "text", "labels", "problem", "detail", "fingerprint", "etag")
    numbers = {"size_bytes": pa.int64(), "mtime_ns": pa.int64()}
    spans = {"span_start_s": pa.float64(), "span_end_s": pa.float64()}
    actions = {
        "actions_uri": pa.string(),
        "actions_part": pa.string(),
        "actions_start_s": pa.float64(),
        "actions_rows": pa.int64(),
    }
    kinds = {name: pa.string() for name in texts} | numbers | spans
    return pa.schema([*(kinds | {"annotations": pa.string()} | actions).items()])


class EntryWriter:
    """Packs entries, a batch at a time."""

    def __init__(self) -> None:
        self._rows: list[tuple[Any, ...]] = []
        self._batches: list[pa.RecordBatch] = []

    def add(self, entry: Entry) -> None:
        """Append an entry; as a reject if it says more than the record of a window can hold."""
        self._rows.append(_row(_bounded(entry)))
        if len(self._rows) == BATCH_ROWS:
            self._flush()

    def finish(self) -> Entries:
        """All entries."""
        import pyarrow as pa

        self._flush()
        return Entries(pa.Table.from_batches(self._batches, entry_schema()))

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            schema = entry_schema()
            cells = zip(*self._rows, strict=True)
            arrays = [pa.array(each, kind) for each, kind in zip(cells, schema.types, strict=True)]
            self._batches.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
            self._rows = []


class Entries(Sequence[Entry]):
    """The entries of a table, each made when it is asked for."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Entries:
        """Pack entries."""
        if isinstance(entries, Entries):
            return entries
        writer = EntryWriter()
        for entry in entries:
            writer.add(entry)
        return writer.finish()

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @overload
    def __getitem__(self, at: int) -> Entry: ...

    @overload
    def __getitem__(self, at: slice) -> tuple[Entry, ...]: ...

    def __getitem__(self, at: int | slice) -> Entry | tuple[Entry, ...]:
        numbers = range(len(self))[at]
        if isinstance(numbers, int):
            (row,) = self.table.slice(numbers, 1).to_pylist()
            return _entry(row)
        return tuple(map(_entry, self.table.take(list(numbers)).to_pylist()))

    def __iter__(self) -> Iterator[Entry]:
        for batch in self.table.to_batches(BATCH_ROWS):
            yield from map(_entry, batch.to_pylist())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: Entries) -> Entries:
        import pyarrow as pa

        return Entries(pa.concat_tables([self.table, other.table])) if len(other) else self

    def __repr__(self) -> str:
        return f"Entries({len(self)})"

    def distinct(self, name: str) -> Iterator[Any]:
        """The values of one column, each once, in the order in which they come first."""
        found = self.table[name].unique()
        for start in range(0, len(found), BATCH_ROWS):
            yield from found.slice(start, BATCH_ROWS).to_pylist()


def _bounded(entry: Entry) -> Entry:
    """An entry, as a reject if it says more than the record of a window can hold."""
    least = len(entry.text) + sum(map(len, entry.labels)) + sum(map(len, entry.labels.values()))
    if entry.annotations.texts:
        least += max(len(each.text) for each in entry.annotations.texts)
    if 4 * least <= MOST_TEXT_BYTES:  # as UTF-8 at the most
        return entry
    texts = (entry.text, *entry.labels, *entry.labels.values())
    size = sum(len(each.encode("utf-8", "replace")) for each in texts)
    size += max((len(each.text.encode()) for each in entry.annotations.texts), default=0)
    if size <= MOST_TEXT_BYTES:
        return entry
    detail = f"its text and labels have {size} bytes, more than the {MOST_TEXT_BYTES} that are kept"
    none = Annotations(hidden_s=entry.annotations.hidden_s, eye=entry.annotations.eye)
    return replace(
        entry,
        text="",
        labels={},
        annotations=none,
        actions=None,
        problem=entry.problem or "text_too_long",
        detail=entry.detail if entry.problem else detail,
    )


def _row(entry: Entry) -> tuple[Any, ...]:
    """In the order of `entry_schema`."""
    start_s, end_s = entry.span_s or (None, None)
    actions = entry.actions
    return (
        entry.id,
        entry.uri,
        entry.text,
        labels_text(entry.labels),
        entry.problem,
        entry.detail,
        entry.fingerprint,
        entry.stamp.etag,
        entry.size_bytes,
        entry.stamp.mtime_ns,
        start_s,
        end_s,
        annotations_text(entry.annotations) if entry.annotations else None,
        *((None,) * 4 if actions is None else _action_cells(actions)),
    )


def _action_cells(actions: ActionRef) -> tuple[str, str, float, int]:
    return actions.uri, actions.part, actions.start_s, actions.rows


def _entry(row: dict[str, Any]) -> Entry:
    return Entry(
        id=row["id"],
        uri=row["uri"],
        size_bytes=row["size_bytes"],
        span_s=span_of(row),
        text=row["text"],
        labels=labels_of(row["labels"]),
        problem=row["problem"],
        detail=row["detail"],
        actions=actions_of(row),
        annotations=annotations_of(row["annotations"]),
        fingerprint=row["fingerprint"],
        stamp=Stamp(row["mtime_ns"], row["etag"]),
    )


def span_of(row: dict[str, Any]) -> tuple[float, float] | None:
    """The span of a row of entries or of a plan."""
    if row["span_start_s"] is None:
        return None
    return row["span_start_s"], row["span_end_s"]


def actions_of(row: dict[str, Any]) -> ActionRef | None:
    """Where the actions of a row of entries or of a plan lie."""
    if row.get("actions_uri") is None:
        return None
    return ActionRef(
        uri=row["actions_uri"],
        part=row["actions_part"],
        start_s=row["actions_start_s"],
        rows=row["actions_rows"],
    )
