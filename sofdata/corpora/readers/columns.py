"""Parquet files written by others: only the columns that are asked for are read, no file whole.

Reads in this thread and without read-ahead: what is not asked for is not touched.
"""

from __future__ import annotations

import base64
import os
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from sofdata.corpora.readers import jsonfile
from sofdata.storage.tree import Tree
from sofdata.storage.urls import public_text

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_ROWS = 4096
# Rows that name anything differ; a few hundred bytes may claim millions that do not.
FREE_ROWS, ROWS_PER_BYTE = 1 << 20, 16
Value = str | int | float | bool | None
_TEXTS = ("string", "large_string", "string_view")
_PLAIN = (*_TEXTS, "null", "boolean", "integer", "floating", "decimal", "temporal")
_PER_S = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def read_columns(tree: Tree, rel: str, columns: Sequence[str]) -> pa.Table:
    """Some columns of a table of labels.

    Raises `ConfigError` where one is missing or the file cannot be read.
    """
    import pyarrow as pa

    try:
        with _open(tree, rel) as file:
            names = file.schema_arrow.names
            missing = sorted(set(columns) - set(names))
            if missing:
                raise jsonfile.wrong(tree, rel, f"it lacks the columns {', '.join(missing)}")
            jsonfile.check_names(tree, rel, [name for name in names if name in columns])
            return file.read(columns=list(columns), use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise jsonfile.wrong(tree, rel, f"no readable Parquet: {brief(error)}") from None


def column_types(tree: Tree, rel: str) -> dict[str, Any]:
    """The Arrow type of each column, from the file's footer. Raises `ConfigError`."""
    import pyarrow as pa

    try:
        with _open(tree, rel) as file:
            return {field.name: field.type for field in file.schema_arrow}  # of two, the last
    except (pa.ArrowException, OSError) as error:
        raise jsonfile.wrong(tree, rel, f"no readable Parquet: {brief(error)}") from None


def mean_bytes(tree: Tree, rel: str, path: str) -> float:
    """How long the values of a column are, from the footer; 0 for none. Raises `ConfigError`.

    path: its name, of a field in a struct with those above it: video.bytes.
    """
    import pyarrow as pa

    try:
        with _open(tree, rel) as file:
            metadata = file.metadata
            groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
            columns = (group.column(at) for group in groups for at in range(group.num_columns))
            sizes = (
                each.total_uncompressed_size for each in columns if each.path_in_schema == path
            )
            return float(sum(sizes) / max(1, metadata.num_rows))
    except (pa.ArrowException, OSError) as error:
        raise jsonfile.wrong(tree, rel, f"no readable Parquet: {brief(error)}") from None


def plain_rows(tree: Tree, rel: str, texts: Sequence[str] = ()) -> Iterator[dict[str, Value]]:
    """The rows of a table, of all columns that hold plain values; lists and bytes are not read.

    texts: columns of bytes that are text all the same, as some writers leave them.

    A time of day and a duration become seconds, a date and a point in time text, a decimal number
    the text of it. Memory is that of some thousand rows. Raises `ConfigError`.
    """
    import pyarrow as pa

    try:
        with _open(tree, rel) as file:
            jsonfile.check_names(tree, rel, file.schema_arrow.names)
            plain = [
                field.name
                for field in file.schema_arrow
                if is_plain(field.type) or (field.name in texts and is_bytes(field.type))
            ]
            units = _lost_units(file)
            for batch in file.iter_batches(BATCH_ROWS, columns=plain, use_threads=False):
                names = batch.schema.names
                values = [
                    _values(column.cast(units[name]) if name in units else column)
                    for name, column in zip(names, batch.columns, strict=True)
                ]
                for row in zip(*values, strict=True):
                    yield dict(zip(names, row, strict=True))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise jsonfile.wrong(tree, rel, f"no readable Parquet: {brief(error)}") from None


def _lost_units(file: pq.ParquetFile) -> dict[str, Any]:
    """Durations that are read as integers, since Parquet has no dictionaries of them."""
    import pyarrow as pa

    kept = (file.metadata.metadata or {}).get(b"ARROW:schema")
    if kept is None:
        return {}
    written = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(kept)))
    pairs = (
        (field.name, field.type, file.schema_arrow.field(field.name).type) for field in written
    )
    return {
        name: was.value_type
        for name, was, now in pairs
        if pa.types.is_dictionary(was)
        and pa.types.is_duration(was.value_type)
        and pa.types.is_integer(now)
    }


def is_plain(kind: Any) -> bool:
    """Whether a column of an Arrow type holds plain values."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return is_plain(kind.value_type)
    return any(getattr(pa.types, f"is_{name}")(kind) for name in _PLAIN)


def is_bytes(kind: Any) -> bool:
    """Whether a column of an Arrow type holds bytes, which may be text."""
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _values(column: pa.Array) -> list[Any]:
    """A column as what can be written as text and read as a number."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_time(kind) or pa.types.is_duration(kind):
        per_s = _PER_S[kind.unit]
        ticks = column.cast(pa.int64() if kind.bit_width == 64 else pa.int32()).to_pylist()
        return [None if tick is None else tick / per_s for tick in ticks]
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind) or is_bytes(kind):
        column = column.cast(pa.string())  # of bytes, it raises what is no UTF-8
    values: list[Any] = column.to_pylist()
    if pa.types.is_float16(kind) or pa.types.is_float32(kind):  # 0.1, not 0.10000000149
        short = np.float16 if pa.types.is_float16(kind) else np.float32
        return [None if value is None else float(str(short(value))) for value in values]
    return values


def matching_rows(
    tree: Tree, rel: str, columns: Sequence[str], key: str, values: Collection[int]
) -> Iterator[pa.Table]:
    """The rows in which the integer column `key` is one of `values`, some thousand at a time.

    They come in their order. Row groups whose statistics rule all values out are not read. Raises
    pyarrow's errors, and `KeyError` for a column that is not there.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = sorted(values)
    with _open(tree, rel) as file:
        names = file.schema_arrow.names
        if missing := sorted({key, *columns} - set(names)):
            raise KeyError(", ".join(missing))
        groups = [
            number
            for number in range(file.metadata.num_row_groups)
            if _may_hold(file.metadata.row_group(number), key, wanted)
        ]
        read = list(dict.fromkeys([key, *columns]))
        batches = file.iter_batches(BATCH_ROWS, row_groups=groups, columns=read, use_threads=False)
        for batch in batches:
            table = pa.Table.from_batches([batch])
            chosen = table.filter(pc.is_in(table[key], pa.array(wanted, table[key].type)))
            if chosen.num_rows:
                yield chosen.select(list(columns))


def brief(error: BaseException) -> str:
    """The first line of a message, which from Arrow may be long."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return public_text(lines[0])[:200]


@contextmanager
def _open(tree: Tree, rel: str) -> Iterator[pq.ParquetFile]:
    """A Parquet file, of which the end is read first: one that cannot seek is copied."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with ExitStack() as stack:
        handle = stack.enter_context(tree.open(rel))
        try:
            handle.seek(0, os.SEEK_END)
        except ValueError:  # of fsspec, for what a server sends without its size
            copy = stack.enter_context(tree.local_copy(rel))
            handle = stack.enter_context(open(copy, "rb"))
        size = handle.seek(0, os.SEEK_END)
        file = stack.enter_context(pq.ParquetFile(handle, pre_buffer=False))
        rows = file.metadata.num_rows
        if rows > max(FREE_ROWS, ROWS_PER_BYTE * size):
            raise pa.ArrowInvalid(f"it claims {rows} rows in {size} bytes")
        yield file


def _may_hold(group: Any, key: str, values: Sequence[int]) -> bool:
    """Whether a row group's statistics leave it open that one of sorted values is in a column."""
    for number in range(group.num_columns):
        column = group.column(number)
        if column.path_in_schema == key:
            statistics = column.statistics
            if statistics is None or not isinstance(statistics.min, int):
                return True
            place = bisect_left(values, statistics.min)
            return place < len(values) and bool(values[place] <= statistics.max)
    return True
