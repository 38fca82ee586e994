"""Tables as a stranger may have altered them: each function makes another of a sound one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

Rng = np.random.Generator

INTS = (
    -1,
    0,
    1,
    511,
    512,
    513,
    1 << 20,
    (1 << 31) - 1,
    1 << 31,
    1 << 40,
    (1 << 63) - 1,
    -(1 << 63),
)
FLOATS = (0.0, -1.0, 1e308, -1e308, float("inf"), float("-inf"), float("nan"), 5e-324, 1e18)
TEXTS = ("", "\0", "x" * 4_000_000, "../../../etc/passwd", "\u202e", "a/b", "sof-000000-0.tar", "{")

LABELS: tuple[Any, ...] = (
    None,
    [],
    [("", "")],
    [("split", None)],
    [("split", "train"), ("split", "test")],
    [("\0", "../../../etc/passwd")],
    [("x" * 4_000_000, "y")],
    [("split", "x" * 4_000_000)],
    [(str(number), "") for number in range(100_000)],
)


def pick(rng: Rng, values: Any) -> Any:
    """One of some values."""
    return values[int(rng.integers(len(values)))]


def _column(table: pa.Table, rng: Rng) -> tuple[int, pa.Field]:
    at = int(rng.integers(table.num_columns))
    return at, table.schema.field(at)


def _dropped_column(table: pa.Table, rng: Rng, _: Any) -> pa.Table:
    return table.remove_column(_column(table, rng)[0])


def _renamed_column(table: pa.Table, rng: Rng, _: Any) -> pa.Table:
    at = _column(table, rng)[0]
    names = [name + "x" * (number == at) for number, name in enumerate(table.column_names)]
    if rng.random() < 0.3:
        names[at] = names[(at + 1) % len(names)]  # two of one name
    return table.rename_columns(names)


def _retyped_column(table: pa.Table, rng: Rng, _: Any) -> pa.Table:
    at, field = _column(table, rng)
    rows = table.num_rows
    made = pick(
        rng,
        (
            pa.array(["x"] * rows),
            pa.array([b"\xff\xfe"] * rows, pa.binary()),
            pa.array([1] * rows, pa.int32()),
            pa.array([1.5] * rows),
            pa.array([True] * rows),
            pa.array([[1]] * rows),
            pa.array([{"a": 1}] * rows),
            pa.nulls(rows),
            pa.array(["x"] * rows).dictionary_encode(),
            pa.array(["x"] * rows, pa.large_string()),
            pa.array([None] * rows, field.type),
        ),
    )
    return table.set_column(at, field.name, made)


def _changed_cells(table: pa.Table, rng: Rng, _: Any) -> pa.Table:
    at, field = _column(table, rng)
    if not table.num_rows:
        return table
    values = table.column(at).to_pylist()
    known = {pa.int64(): INTS, pa.float64(): FLOATS, pa.string(): TEXTS}
    choices = LABELS if pa.types.is_map(field.type) else known[field.type]
    for row in {int(row) for row in rng.integers(len(values), size=int(rng.integers(1, 4)))}:
        values[row] = pick(rng, choices)
    return table.set_column(at, field, pa.array(values, field.type))


def _odd_rows(table: pa.Table, rng: Rng, _: Any) -> pa.Table:
    rows = table.num_rows
    how = pick(rng, ("none", "dropped", "doubled", "shuffled", "one, often"))
    order = np.arange(rows)
    if how == "none":
        order = order[:0]
    elif how == "dropped":
        order = order[rng.random(rows) < 0.7]
    elif how == "doubled":
        order = np.concatenate([order, order])
    elif how == "shuffled":
        order = rng.permutation(rows)
    elif rows:
        order = np.zeros(int(10 ** rng.uniform(3, 6)), np.int64)
    return table.take(pa.array(order))


def _nulls(table: pa.Table, rng: Rng, _: Any) -> pa.Table:
    at, field = _column(table, rng)
    values = table.column(at).to_pylist()
    values[::2] = [None] * len(values[::2])
    return table.set_column(at, field.with_nullable(True), pa.array(values, field.type))


def _bad_text(table: pa.Table, rng: Rng, _: Any) -> pa.Table:
    """Bytes that are no UTF-8, in a column that says it is."""
    texts = [at for at, field in enumerate(table.schema) if field.type == pa.string()]
    at = pick(rng, texts)
    made = pa.array([b"\xff\xfe\xfd"] * table.num_rows, pa.binary()).view(pa.string())
    return table.set_column(at, table.schema.field(at), made)


def _many_rows(table: pa.Table, rng: Rng, options: dict[str, Any]) -> pa.Table:
    """Millions of equal rows in a few kilobytes."""
    number = 3_000_000
    arrays = []
    for field in table.schema:
        value: Any = {"string": "a" * int(rng.integers(200))}.get(str(field.type), 1)
        if pa.types.is_map(field.type):
            value = [("split", "train")]
        arrays.append(pa.array([value], field.type).take(pa.array(np.zeros(number, np.int32))))
    options["row_group_size"] = number
    return pa.Table.from_arrays(arrays, schema=table.schema)


def _long_texts(table: pa.Table, rng: Rng, _: Any) -> pa.Table:
    """A text of 4 MB that all of thousands of rows repeat, which is stored once."""
    if not table.num_rows:
        return table
    texts = [at for at, field in enumerate(table.schema) if field.type == pa.string()]
    at, rows = pick(rng, texts), 2000
    table = table.take(pa.array(np.arange(rows) % table.num_rows))
    made = pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), ["t" * 4_000_000])
    return table.set_column(at, table.column_names[at], made)


def _written_otherwise(table: pa.Table, rng: Rng, options: dict[str, Any]) -> pa.Table:
    options["compression"] = pick(rng, ("zstd", "gzip", "brotli", "none", "lz4"))
    options["row_group_size"] = pick(rng, (1, 7, 1 << 20))
    options["use_dictionary"] = bool(rng.random() < 0.5)
    options["data_page_version"] = pick(rng, ("1.0", "2.0"))
    options["store_schema"] = bool(rng.random() < 0.7)
    return table


TABLE_CHANGES: dict[str, Callable[[pa.Table, Rng, dict[str, Any]], pa.Table]] = {
    "dropped column": _dropped_column,
    "renamed column": _renamed_column,
    "retyped column": _retyped_column,
    "changed cells": _changed_cells,
    "more changed cells": _changed_cells,
    "odd rows": _odd_rows,
    "nulls": _nulls,
    "no UTF-8": _bad_text,
    "many rows": _many_rows,
    "long texts": _long_texts,
    "other writer": _written_otherwise,
}
