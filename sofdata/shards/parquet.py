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

    Goes around `pyarrow.parquet.read_table`: its scanner leaves threads behind that hold Python
    objects, and now and then one of them aborts the process at its end (seen with pyarrow 26).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = dest.read(name)
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            return file.read(columns=list(columns) if columns else None)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{name} in {dest.name} is damaged: {error}") from None


def write_table(dest: Tree, name: str, schema: pa.Schema, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as a table, in row groups of a fixed size, so that equal rows give equal bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with dest.scratch() as folder:
        path = os.path.join(folder, "table.parquet")
        reached("table")
        with pq.ParquetWriter(path, schema) as writer:
            group: list[dict[str, Any]] = []
            for row in rows:
                group.append(row)
                if len(group) == ROW_GROUP:
                    writer.write_table(pa.Table.from_pylist(group, schema))
                    group = []
            if group:
                writer.write_table(pa.Table.from_pylist(group, schema))
        dest.put(path, name)
