"""Parquet files of a dataset, read without trust and written whole.

A table from an untrusted source may claim any number of rows in a few bytes, and a text of
megabytes in each. So the number of rows is checked against the size of the file, and texts are read
as dictionaries, of which each value is in memory once, and expanded only if they fit. Only the
codec that is written here may compress columns: others may expand without end.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from sofdata.errors import InputError
from sofdata.shards.layout import FILES, INDEX, PLAN, REJECTS, VIDEOS
from sofdata.shards.schema import (
    LATER_COLUMNS,
    files_schema,
    index_schema,
    plan_schema,
    rejects_schema,
    videos_schema,
)
from sofdata.storage.tree import Tree
from sofdata.system.fault_points import fault_point
from sofdata.windows.quality import QUALITY_FIELDS

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

Columns: TypeAlias = "pa.RecordBatch | pa.Table"

ROW_GROUP = 1 << 16
BATCH_ROWS = 1 << 14
# Bytes that a row takes at least: ids and keys differ from row to row, reasons and numbers may not.
ROW_BYTES = {PLAN: 4.0, INDEX: 4.0, VIDEOS: 1.0, REJECTS: 1 / 16}
FREE_ROWS = 1 << 16
CODECS = ("SNAPPY", "UNCOMPRESSED")
# All texts of what is read at once: the repeated ones of a small file, and so much a byte of it.
FREE_TEXT_BYTES, TEXT_RATIO = 1 << 28, 32
EXPANDED_BYTES = 1 << 25  # texts of a batch that are expanded as soon as it is read


def read_table(dest: Tree, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """A table of a dataset. Raises `FileNotFoundError`, and `InputError` if it is damaged.

    Its columns are of the types that they should have, and hold values where they must; `columns`
    that are not there are left out. Memory is that of the table.
    """
    with StoredTable.open(dest, name, columns) as stored:
        return stored.take(stored.num_rows)


def needed_table(dest: Tree, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """A table, of some columns, that a complete dataset has. Raises `InputError`."""
    try:
        table = read_table(dest, name, columns)
    except FileNotFoundError:
        hint = "'sofdata verify --repair' rewrites it"
        raise InputError(f"{dest.name} lacks {name}; {hint}") from None
    if lacks := [each for each in columns or () if each not in table.column_names]:
        raise InputError(f"{name} of {dest.name} lacks the columns {', '.join(lacks)}")
    return table


class StoredTable:
    """A table that is open for reading its rows in their order, some at a time."""

    def __init__(
        self, name: str, place: str, file: pq.ParquetFile, names: list[str], size_bytes: int
    ) -> None:
        import pyarrow as pa

        self.num_rows: int = file.metadata.num_rows
        self.schema: pa.Schema = pa.schema([_plain(field) for field in file.schema_arrow])
        self._read = pa.schema([self.schema.field(name) for name in names])
        self._filled = [each for each in names if not may_lack(name, each)]
        self._place = place
        self._text_bytes = FREE_TEXT_BYTES + TEXT_RATIO * size_bytes
        # In this thread, not in Arrow's pool: its threads may outlive the read and now and then
        # abort the process at its end (seen with pyarrow 26).
        self._batches = file.iter_batches(BATCH_ROWS, columns=names, use_threads=False)
        self._ready: list[pa.RecordBatch] = []

    @classmethod
    @contextmanager
    def open(cls, dest: Tree, name: str, columns: Sequence[str] | None = None) -> Iterator[Self]:
        """Open a table, having checked what its footer says. Raises as `read_table`."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        place = f"{name} in {dest.name}"
        with ExitStack() as stack:
            with naming_table(place):
                if dest.is_local:
                    size = dest.size(name)
                    if not dest.is_file(name):
                        raise InputError(f"{place} is damaged: it is no file")
                    source: Any = stack.enter_context(pa.OSFile(dest.path(name)))
                else:
                    data = dest.read(name)
                    source, size = pa.BufferReader(data), len(data)
                first = stack.enter_context(pq.ParquetFile(source))
                check_footer(name, place, first, size)
                names = checked_columns(name, place, first.schema_arrow, columns)
                texts = [each for each in names if is_text(first.schema_arrow.field(each).type)]
                # With `pre_buffer`, which is Arrow's default, all that was read of the file stays
                # in memory until it is closed.
                file = stack.enter_context(
                    pq.ParquetFile(source, read_dictionary=texts, pre_buffer=False)
                )
                stored = cls(name, place, file, names, size)
            yield stored

    def take(self, number: int) -> pa.Table:
        """The next `number` rows, fewer at the end. Raises `InputError`."""
        import pyarrow as pa

        taken: list[pa.RecordBatch] = []
        missing, text_bytes = number, 0
        with naming_table(self._place):
            while missing > 0 and (batch := self._next()) is not None:
                part = batch.slice(0, missing)
                if rest := batch.slice(part.num_rows):
                    self._ready.append(rest)
                missing -= part.num_rows
                text_bytes += bytes_of_texts(part)
                if text_bytes > self._text_bytes:
                    raise InputError(
                        f"{self._place} is damaged: its texts take more than {self._text_bytes} "
                        "bytes, far more than the file itself"
                    )
                is_plain = part.schema.equals(self._read)
                taken.append(part if is_plain else self._expanded(part))
            return pa.Table.from_batches(taken, self._read)

    def _next(self) -> pa.RecordBatch | None:
        if self._ready:
            return self._ready.pop()
        batch = next(self._batches, None)
        if batch is None or bytes_of_texts(batch) > EXPANDED_BYTES:
            return batch
        return self._expanded(batch)  # once, and not for each few rows that are taken

    def _expanded(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch without dictionaries, its texts checked to be UTF-8."""
        import pyarrow as pa

        arrays = [
            column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
            for column in batch.columns
        ]
        found = pa.RecordBatch.from_arrays(arrays, schema=self._read)
        found.validate(full=True)
        for name in self._filled:
            if found[name].null_count:
                raise InputError(f"{self._place} is damaged: {name} has rows without a value")
        return found


@contextmanager
def naming_table(place: str) -> Iterator[None]:
    """Name the table in what goes wrong in the block."""
    import pyarrow as pa

    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        cause = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise InputError(f"{place} is damaged: {cause}") from None


def check_footer(name: str, place: str, file: pq.ParquetFile, size_bytes: int) -> None:
    """Hold what a footer claims against the size of the file. Raises `InputError`."""
    footer = file.metadata
    rows = footer.num_rows
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    least = ROW_BYTES.get(name, 1.0)
    if rows < 0 or sum(group.num_rows for group in groups) != rows:
        raise InputError(f"{place} is damaged: its footer contradicts itself")
    if rows > FREE_ROWS and rows * least > size_bytes:
        raise InputError(f"{place} is damaged: it claims {rows} rows in {size_bytes} bytes")
    columns = (group.column(at) for group in groups for at in range(group.num_columns))
    codec = next((each.compression for each in columns if each.compression not in CODECS), "")
    if codec:
        raise InputError(
            f"{place} is compressed with {codec}, which sofdata does not write; rewrite it with "
            "snappy, or let 'sofdata verify --repair' do it"
        )


def checked_columns(
    name: str, place: str, schema: pa.Schema, columns: Sequence[str] | None
) -> list[str]:
    """The columns to read, each there once and of its type. Raises `InputError`."""
    known = _known(name)
    if twice := {each for each in schema.names if schema.names.count(each) > 1}:
        raise InputError(f"{place} is damaged: it has two columns {min(twice)[:60]}")
    wanted = list(dict.fromkeys(columns)) if columns is not None else schema.names
    wanted = [each for each in wanted if each in schema.names]
    if columns is None:
        needed = {each for each in known if not known[each][1]}
        if lacks := sorted(needed - {*wanted}):
            raise InputError(f"{place} is damaged: it lacks the columns {', '.join(lacks)}")
        wanted = [each for each in wanted if each in known or _is_plain(schema.field(each).type)]
    for each in wanted:
        found = schema.field(each).type
        if not (found == known[each][0].type if each in known else _is_plain(found)):
            raise InputError(f"{place} is damaged: its column {each} is of type {found!s:.60}")
    return wanted


def _known(name: str) -> dict[str, tuple[pa.Field, bool]]:
    """The columns of a table by name, and whether a table may be without it."""
    if name == PLAN:
        least = plan_schema()
        return {
            field.name: (field, field.name not in least.names)
            for field in plan_schema(with_actions=True, annotated=True)
        }
    if name == INDEX:
        least = index_schema()
        return {
            field.name: (field, field.name in LATER_COLUMNS or field.name not in least.names)
            for field in index_schema(tuple(QUALITY_FIELDS))
        }
    schemas = {
        FILES: files_schema,
        REJECTS: rejects_schema,
        VIDEOS: videos_schema,
    }
    found = schemas[name]() if name in schemas else ()
    return {field.name: (field, field.name in LATER_COLUMNS) for field in found}


def may_lack(name: str, column: str) -> bool:
    """Whether a row may be without a value of a column."""
    known = _known(name)
    return column not in known or bool(known[column][0].nullable)


def _plain(field: pa.Field) -> pa.Field:
    """A column as it was written, though it is read as a dictionary."""
    import pyarrow as pa

    is_read_so = pa.types.is_dictionary(field.type)
    return field.with_type(field.type.value_type) if is_read_so else field


def is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind))


def _is_plain(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return kind in (pa.string(), pa.int64(), pa.float64(), pa.bool_())


def bytes_of_texts(batch: pa.RecordBatch) -> int:
    """Bytes of a batch's texts, expanded; where they are, with their offsets."""
    import pyarrow as pa
    import pyarrow.compute as pc

    total = 0
    for column in batch.columns:
        if pa.types.is_string(column.type):
            total += column.nbytes
        elif pa.types.is_dictionary(column.type) and len(column):
            lengths = pc.binary_length(column.dictionary).cast(pa.int64())
            total += pc.sum(lengths.take(column.indices)).as_py() or 0
    return total


def write_columns(dest: Tree, name: str, table: pa.Table) -> None:
    """Write a table of a dataset: the same bytes as `write_table` of its rows."""
    _write(dest, name, table.schema, [table])


def write_table(dest: Tree, name: str, schema: pa.Schema, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as a table of a dataset."""
    _write(dest, name, schema, batches(rows, schema))


def _write(dest: Tree, name: str, schema: pa.Schema, parts: Iterable[Columns]) -> None:
    with dest.scratch() as folder:
        writer = TableWriter(os.path.join(folder, "table.parquet"), schema)
        for part in parts:
            writer.write(part)
        writer.finish()
        dest.put(writer.path, name)


def batches(rows: Iterable[dict[str, Any]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Rows as columns, some at a time."""
    import pyarrow as pa

    waiting = iter(rows)
    while some := [*islice(waiting, BATCH_ROWS)]:
        yield pa.RecordBatch.from_pylist(some, schema)


class TableWriter:
    """A local Parquet file that grows by rows, which come as columns.

    Row groups have a fixed size, so that equal rows give equal bytes however they come.
    """

    def __init__(self, path: str, schema: pa.Schema) -> None:
        import pyarrow.parquet as pq

        fault_point("table")
        self.path = path
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema)
        self._parts: list[pa.RecordBatch] = []
        self._rows = 0  # of the parts

    def write(self, rows: Columns) -> None:
        """Append rows, which have the columns of the schema."""
        import pyarrow as pa

        for part in rows.to_batches() if isinstance(rows, pa.Table) else [rows]:
            while self._rows + part.num_rows >= ROW_GROUP:
                taken = ROW_GROUP - self._rows
                self._append(part.slice(0, taken))
                part = part.slice(taken)
                self._flush()
            self._append(part)

    def finish(self) -> None:
        """End the file."""
        self._flush()
        self._writer.close()

    def _append(self, part: pa.RecordBatch) -> None:
        if part.num_rows:
            self._parts.append(part)
            self._rows += part.num_rows

    def _flush(self) -> None:
        import pyarrow as pa

        if self._parts:
            fault_point("table: rows")
            group = pa.Table.from_batches(self._parts, self._schema)
            self._writer.write_table(group.combine_chunks())
            self._parts, self._rows = [], 0
