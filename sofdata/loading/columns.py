"""Columns of the index of datasets, some rows at a time, as filters read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sofdata.loading.expression import LABELS
from sofdata.loading.index import Index
from sofdata.loading.planned import labels_of

if TYPE_CHECKING:
    import pyarrow as pa


def tables(indexes: Sequence[Index], columns: Sequence[str]) -> Iterator[pa.Table]:
    """These columns of all rows, one dataset after the other, in tables of some thousand rows.

    Labels of windows that were written before labels stood in the index are those of the plan.
    Raises `InputError` for a column that is not there.
    """
    for index in indexes:
        if LABELS in columns and not _has_labels(index):
            yield from _with_planned_labels(index, columns)
        else:
            for _, batch in index.batches(columns):
                yield _table(batch)


def filter_columns(indexes: Sequence[Index]) -> list[str]:
    """The columns that a filter may read: those of every index, and labels, which are made."""
    first, *others = (index.column_names for index in indexes)
    there = [name for name in first if all(name in names for names in others)]
    return there if LABELS in there else [*there, LABELS]


def _has_labels(index: Index) -> bool:
    if LABELS not in index.column_names:
        return False
    if index.is_filled(LABELS):
        return True
    return not any(batch[LABELS].null_count for _, batch in index.batches([LABELS]))


def _with_planned_labels(index: Index, columns: Sequence[str]) -> Iterator[pa.Table]:
    labels, videos = labels_of(index)
    others = [name for name in columns if name != LABELS]
    # Without any other column: one that there is, for the rows.
    for first, batch in index.batches(others or ["offset"]):
        found = labels.take(videos[first : first + batch.num_rows])
        yield _table(batch).append_column(LABELS, found)


def _table(batch: pa.RecordBatch) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_batches([batch])
