"""A Parquet file of a dataset of which any columns of any rows are read, again and again.

`sofdata.shards.parquet` reads a table once and whole; here the file stays open, and what is asked
for is in memory for as long as the caller keeps it. Nothing is trusted that is not there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import InputError
from sofdata.shards.parquet import (
    BATCH_ROWS,
    EXPANDED_BYTES,
    ROW_GROUP,
    bytes_of_texts,
    check_footer,
    checked_columns,
    is_text,
    may_lack,
    naming_table,
)

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_MAGIC_BYTES = 8  # length of the footer, and the mark at the end of the file


class SlicedTable:
    """A local table, open for reading. To be used by one thread of one process.

    path: of the file. name: of the table in a dataset, by which its columns are known. place: what
    messages call it. unique: columns of texts of which hardly two are alike.

    Raises `FileNotFoundError`, and `InputError` if the footer says what cannot be.

    num_rows: of the table. column_names: those that are there. identity: a digest of the file's
    size and footer, the same for the same rows.
    """

    def __init__(self, path: str, name: str, place: str, unique: Sequence[str] = ()) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._name, self._place = name, place
        with naming_table(place):
            if os.path.exists(path) and not os.path.isfile(path):  # a pipe would be waited for
                raise InputError(f"{place} is damaged: it is no file")
            source = pa.OSFile(path)
            size = source.size()
            first = pq.ParquetFile(source)
            check_footer(name, place, first, size)
            self._schema = first.schema_arrow
            self.identity = _identity(source, first.metadata.serialized_size, size)
            texts = [field.name for field in self._schema if is_text(field.type)]
            # Arrow would keep all that it has read of the file until it is closed.
            shared = {"source": source, "metadata": first.metadata, "pre_buffer": False}
            self._encoded = pq.ParquetFile(read_dictionary=texts, **shared)
            repeated = [each for each in texts if each not in unique]
            self._plain = pq.ParquetFile(read_dictionary=repeated, **shared)
        self.num_rows: int = first.metadata.num_rows
        self.column_names: list[str] = self._schema.names
        groups = range(first.metadata.num_row_groups)
        rows = [first.metadata.row_group(number).num_rows for number in groups]
        self._starts = np.cumsum([0, *rows])
        self._filled = [each for each in self.column_names if not may_lack(name, each)]
        self._small: set[tuple[int, tuple[str, ...]]] = set()

    def batches(
        self, columns: Sequence[str], *, encoded: bool = False
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """All rows in their order, some at a time, each time with the number of the first one.

        encoded: leave texts as dictionaries, of which each value is in memory once; else they are
        expanded. Columns that are not there are left out. Raises `InputError`.
        """
        names = checked_columns(self._name, self._place, self._schema, columns)
        rows = ROW_GROUP if encoded else BATCH_ROWS
        groups = [int(number) for number in np.flatnonzero(np.diff(self._starts))]
        first = 0
        for batch in self._read(self._encoded, groups, names, rows):
            yield first, batch if encoded else self._expanded(batch)
            first += batch.num_rows

    def around(self, columns: Sequence[str], row: int) -> tuple[int, pa.RecordBatch]:
        """The batch that holds a row, and the number of its first row. Raises `InputError`.

        Texts are dictionaries, but in columns that are `unique`: these are read as they stand,
        which takes a sixth of the time, once it is known that they are no longer than they may be.
        """
        names = checked_columns(self._name, self._place, self._schema, columns)
        group = int(np.searchsorted(self._starts, row, side="right")) - 1
        if (group, tuple(names)) not in self._small:
            for batch in self._read(self._encoded, [group], names, BATCH_ROWS):
                self._check_texts(batch)
            self._small.add((group, tuple(names)))
        first = int(self._starts[group])
        for batch in self._read(self._plain, [group], names, BATCH_ROWS):
            if row < first + batch.num_rows:
                return first, batch
            first += batch.num_rows
        raise InputError(f"{self._place} is damaged: it has no row {row}")

    def is_filled(self, column: str) -> bool:
        """Whether the footer says that each row has a value, and not an empty one."""
        footer = self._encoded.metadata
        groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
        parts = (group.column(at) for group in groups for at in range(group.num_columns))
        found = [part.statistics for part in parts if part.path_in_schema.split(".")[0] == column]
        return all(each and each.has_null_count and not each.null_count for each in found)

    def _read(
        self, file: pq.ParquetFile, groups: list[int], names: list[str], rows: int
    ) -> Iterator[pa.RecordBatch]:
        # In this thread, not in Arrow's pool; see `sofdata.shards.parquet.StoredTable`.
        reader = file.iter_batches(rows, row_groups=groups, columns=names, use_threads=False)
        while True:
            with naming_table(self._place):
                batch = next(reader, None)
                if batch is None:
                    return
                batch.validate(full=True)
            for each in names:
                if each in self._filled and batch[each].null_count:
                    raise InputError(f"{self._place} is damaged: {each} has rows without a value")
            yield batch

    def _expanded(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        import pyarrow as pa

        self._check_texts(batch)
        arrays = [
            each.dictionary_decode() if pa.types.is_dictionary(each.type) else each
            for each in batch.columns
        ]
        return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)

    def _check_texts(self, batch: pa.RecordBatch) -> None:
        if (found := bytes_of_texts(batch)) > EXPANDED_BYTES:
            raise InputError(
                f"{self._place} is damaged: the texts of {batch.num_rows} rows take {found} bytes"
            )


def _identity(source: Any, footer_bytes: int, size_bytes: int) -> str:
    """A footer says where each column of each row group lies, how long it is and between what."""
    source.seek(max(0, size_bytes - footer_bytes - _MAGIC_BYTES))
    footer = source.read(footer_bytes + _MAGIC_BYTES)
    return hashlib.sha256(size_bytes.to_bytes(8, "little") + footer).hexdigest()


def used_values(column: pa.DictionaryArray) -> tuple[pa.Array, NDArray[np.int32]]:
    """The texts of a column, each that occurs once, and the number of that of each row."""
    indices = column.indices.to_numpy(zero_copy_only=False)
    used = np.zeros(len(column.dictionary), np.bool_)
    used[indices] = True
    if used.all():
        return column.dictionary, indices.astype(np.int32, copy=False)
    places = np.cumsum(used, dtype=np.int32) - 1
    return column.dictionary.take(np.flatnonzero(used)), places[indices]
