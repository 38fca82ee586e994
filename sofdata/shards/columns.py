"""A ledger record as columns: what follows from all records is made without an object a row.

The JSON is parsed by pydantic's own parser, the rows become Arrow columns, and the rest is
validated as it always is. Types must be exactly those that are written here. Where anything is
otherwise, `LedgerRecord` judges the whole record, and what it lets pass becomes columns; so both
ways of reading accept the same records, with the same values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from pydantic_core import from_json

from sofdata.bounded.jsons import check_numbers, check_size
from sofdata.shards.schema import (
    MIB,
    FlowStatistics,
    KeptShard,
    LedgerRecord,
    Record,
    RejectedWindowRecord,
    ShardRecord,
    Status,
    VideoRecord,
    WindowRow,
)

if TYPE_CHECKING:
    import pyarrow as pa

Rows = Sequence[Mapping[str, Any]]
ROWS: dict[str, type[Record]] = {
    "videos": VideoRecord,
    "windows": WindowRow,
    "rejected_windows": RejectedWindowRecord,
}
# A larger record is left to pydantic, which makes no more of it than its schema has: of a list of
# nothing, the parser makes thirty times its size.
MOST_PARSED_BYTES = 16 * MIB
_STATUSES = frozenset(get_args(Status))
# What they raise that make columns of values of other types or sizes.
_UNLIKE = (KeyError, TypeError, ValueError, OverflowError, AttributeError)


@dataclass(frozen=True, slots=True, eq=False)
class LedgerColumns:
    """A ledger record whose lists are tables: a column a field, of the types of the index.

    videos: `windows_rejected` are sums over all reasons; `labels` are sorted by name.
    """

    unit: str
    ordinal: int
    config_sha256: str
    shard: ShardRecord | None
    statistics: FlowStatistics
    libraries: str
    kept: KeptShard | None
    videos: pa.RecordBatch
    windows: pa.RecordBatch
    rejected_windows: pa.RecordBatch

    @classmethod
    def parse(cls, data: bytes) -> LedgerColumns:
        """The record in a JSON text that a stranger may have written.

        Raises `ValueError` as `LedgerRecord.parse`.
        """
        check_size(data, LedgerRecord.MOST_BYTES)
        if len(data) <= MOST_PARSED_BYTES:
            try:
                return _of_values(from_json(data, allow_inf_nan=False))
            except _UNLIKE:  # Arrow's errors are among them
                pass
        return cls.of(LedgerRecord.parse(data))

    @classmethod
    def of(cls, record: LedgerRecord) -> LedgerColumns:
        """The columns of a record."""
        rows = {name: [row.model_dump() for row in getattr(record, name)] for name in ROWS}
        return _of_rows(record, rows)


def _of_values(values: Any) -> LedgerColumns:
    """Raises one of `_UNLIKE` for what is not as it is written here."""
    rows = {name: values[name] for name in ROWS}
    head = LedgerRecord.model_validate(values | dict.fromkeys(ROWS, ()))
    check_numbers(head)
    for problem in head.problems():
        raise ValueError(problem)
    found = _of_rows(head, rows)
    if found.windows.num_rows and np.min(found.windows["offset"]) < 0:
        raise ValueError("an offset is negative")
    return found


def _of_rows(head: LedgerRecord, rows: Mapping[str, Rows]) -> LedgerColumns:
    return LedgerColumns(
        unit=head.unit,
        ordinal=head.ordinal,
        config_sha256=head.config_sha256,
        shard=head.shard,
        statistics=head.statistics,
        libraries=head.libraries,
        kept=head.kept,
        **{name: _batch(ROWS[name], each) for name, each in rows.items()},
    )


def _batch(model: type[Record], rows: Rows) -> pa.RecordBatch:
    """Rows as columns. Raises one of `_UNLIKE` for what is no row of the model."""
    import pyarrow as pa

    columns = _columns(model, rows)
    schema = row_schema(model)
    return pa.RecordBatch.from_arrays(
        [_MAKERS.get(each.name, _plain)(columns[each.name], each) for each in schema], schema=schema
    )


def _columns(model: type[Record], rows: Rows) -> dict[str, Sequence[Any]]:
    """The values of each field. All rows must have the same fields, as what one version writes."""
    if type(rows) is not list:
        raise TypeError("no list")
    if not rows:
        return dict.fromkeys(model.model_fields, ())
    names = tuple(rows[0])
    if {*map(len, rows)} != {len(names)} or {*names} - {*model.model_fields}:
        raise ValueError("rows are not alike")
    columns = dict(zip(names, zip(*map(itemgetter(*names), rows), strict=True), strict=True))
    for name in model.model_fields.keys() - columns.keys():
        columns[name] = (_default(model, name),) * len(rows)
    return columns


def _default(model: type[Record], name: str) -> Any:
    field = model.model_fields[name]
    if field.is_required():
        raise KeyError(name)
    return field.get_default(call_default_factory=True)


def _plain(values: Sequence[Any], field: pa.Field) -> pa.Array:
    """A column of texts or numbers, which must be finite.

    Arrow refuses what is of another type, but for floats among whole numbers, which it cuts off.
    """
    import pyarrow as pa

    if pa.types.is_int64(field.type):
        _must_be(int, values)
    column = pa.array(values, field.type)
    if column.null_count and not field.nullable:
        raise TypeError("a value is missing")
    if pa.types.is_float64(field.type):
        there = column.drop_null() if column.null_count else column
        if not np.isfinite(there.to_numpy()).all():
            raise ValueError("a number is not finite")
    return column


def _status(values: Sequence[Any], field: pa.Field) -> pa.Array:
    if not _STATUSES.issuperset(values):
        raise ValueError("no status")
    return _plain(values, field)


def _sums(values: Sequence[Any], field: pa.Field) -> pa.Array:
    """Sums of tallies."""
    import pyarrow as pa

    _must_be(dict, values)
    counts = [each for tally in values for each in tally.values()]
    _must_be(int, counts)
    check_numbers(counts)
    return pa.array([sum(tally.values()) for tally in values], field.type)


def _label_maps(values: Sequence[Any], field: pa.Field) -> pa.Array:
    import pyarrow as pa

    _must_be(dict, values, nullable=True)
    there = [each for each in values if each is not None]
    _must_be(str, [each for labels in there for each in labels.values()])
    return pa.array([each and sorted(each.items()) for each in values], field.type)


_MAKERS = {"status": _status, "windows_rejected": _sums, "labels": _label_maps}


def _must_be(kind: type, values: Sequence[Any], nullable: bool = False) -> None:
    """Raise `TypeError` unless all are of exactly this type."""
    if {*map(type, values)} - {kind, *([NoneType] if nullable else [])}:
        raise TypeError(f"not all are {kind.__name__}")


@cache
def row_schema(model: type[Record]) -> pa.Schema:
    """The columns of a record's rows, in the order of their fields."""
    import pyarrow as pa

    kinds: dict[Any, Any] = {
        str: pa.string(),
        Status: pa.string(),
        int: pa.int64(),
        float: pa.float64(),
        float | None: pa.float64(),
        dict[str, int]: pa.int64(),
        dict[str, str] | None: pa.map_(pa.string(), pa.string()),
    }
    return pa.schema(
        pa.field(name, kinds[info.annotation], nullable=NoneType in get_args(info.annotation))
        for name, info in model.model_fields.items()
    )
