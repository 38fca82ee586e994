"""Parquet files of a dataset, read and written whole."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sofdata.errors import InputError
from sofdata.faults import reached
from sofdata.storage import Tree

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 1 << 16


def read_table(dest: Tree, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """A table of a dataset. Raises `FileNotFoundError`, and `InputError` if it is damaged.

    Reads in this thread, and not with `pyarrow.parquet.read_table`: Arrow's pool threads may
    outlive the read and now and then abort the process at its end (seen with pyarrow 26).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = dest.read(name)
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            return file.read(columns=list(columns) if columns else None, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{name} in {dest.name} is damaged: {error}") from None


def write_table(dest: Tree, name: str, schema: pa.Schema, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as a table of a dataset."""
    with dest.scratch() as folder:
        writer = TableFile(os.path.join(folder, "table.parquet"), schema)
        writer.write(rows)
        writer.finish()
        dest.put(writer.path, name)


class TableFile:
    """A local Parquet file that grows by rows.

    Row groups have a fixed size, so that equal rows give equal bytes however they come.
    """

    def __init__(self, path: str, schema: pa.Schema) -> None:
        import pyarrow.parquet as pq

        reached("table")
        self.path = path
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema)
        self._group: list[dict[str, Any]] = []

    def write(self, rows: Iterable[dict[str, Any]]) -> None:
        """Append rows."""
        for row in rows:
            self._group.append(row)
            if len(self._group) == ROW_GROUP:
                self._flush()

    def finish(self) -> None:
        """End the file."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._group:
            reached("table: rows")
            self._writer.write_table(pa.Table.from_pylist(self._group, self._schema))
            self._group = []
