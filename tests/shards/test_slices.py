"""`sofdata.shards.slices`: any columns of any rows of a table, read within bounds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sofdata.errors import InputError
from sofdata.shards.schema import index_schema
from sofdata.shards.slices import SlicedTable, used_values

ROWS, GROUP = 40_000, 20_000


def table(rows: int = ROWS, **changes: Any) -> pa.Table:
    """An index; changes: other values of some columns."""
    values: dict[str, Any] = {
        "key": [f"key-{number}" for number in range(rows)],
        "text": [f"text {number % 7}" for number in range(rows)],
        "offset": list(range(rows)),
        "shard": [f"{number // 100}.tar" for number in range(rows)],
        "labels": [[("split", "train")] for _ in range(rows)],
    } | changes
    columns = []
    for field in index_schema():
        given = values.get(field.name)
        default = pa.scalar("x" if pa.types.is_string(field.type) else 1)
        columns.append(
            pa.repeat(default, rows).cast(field.type)
            if given is None
            else pa.array(given, field.type)
        )
    return pa.Table.from_arrays(columns, schema=index_schema())


def opened(folder: Path, rows: pa.Table, group: int = GROUP) -> SlicedTable:
    pq.write_table(rows, folder / "index.parquet", row_group_size=group)
    return SlicedTable(str(folder / "index.parquet"), "index.parquet", "the index", ["key"])


def joined(parts: Any) -> pa.Table:
    """The rows of batches, texts expanded, whose first rows are checked."""
    found, rows = [], 0
    for first, batch in parts:
        assert first == rows
        rows += batch.num_rows
        plain = [
            each.dictionary_decode() if pa.types.is_dictionary(each.type) else each
            for each in batch.columns
        ]
        found.append(pa.RecordBatch.from_arrays(plain, names=batch.schema.names))
    return pa.Table.from_batches(found)


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize("columns", [["text"], ["offset", "key", "labels"], ["camera_px", "shard"]])
def test_columns_come_back_as_they_were_written(
    tmp_path: Path, columns: list[str], encoded: bool
) -> None:
    written = table()
    stored = opened(tmp_path, written)
    assert stored.num_rows == ROWS
    for _ in range(2):  # again and again
        found = joined(stored.batches(columns, encoded=encoded))
        assert found.to_pydict() == written.select(columns).to_pydict()
    assert stored.is_filled("labels")
    assert not opened(tmp_path, table(9, labels=[None] + [[("a", "b")]] * 8)).is_filled("labels")


@pytest.mark.parametrize("row", [0, 16_383, 16_384, 19_999, 20_000, 39_999])
def test_the_batch_around_a_row_holds_it(tmp_path: Path, row: int) -> None:
    stored = opened(tmp_path, table())
    first, batch = stored.around(["shard", "offset", "key"], row)
    assert batch.num_rows <= 16_384
    assert batch["offset"][row - first].as_py() == row
    assert batch["key"][row - first].as_py() == f"key-{row}"
    assert batch["key"].type == pa.string()
    assert used_values(batch["shard"])[0].to_pylist() == list(
        dict.fromkeys(f"{at // 100}.tar" for at in range(first, first + batch.num_rows))
    )


def test_values_that_no_row_has_are_not_among_the_used_ones() -> None:
    column = pa.DictionaryArray.from_arrays([3, 1, 3], ["a", "b", "c", "d"])
    values, codes = used_values(column)
    assert values.to_pylist() == ["b", "d"]
    assert codes.tolist() == [1, 0, 1]
    assert used_values(column.slice(1, 1))[0].to_pylist() == ["b"]


def test_other_rows_have_another_identity(tmp_path: Path) -> None:
    first = opened(tmp_path, table()).identity
    assert opened(tmp_path, table()).identity == first
    assert opened(tmp_path, table(steps=[2] * ROWS)).identity != first


def test_texts_of_gigabytes_in_a_few_kilobytes_are_not_expanded(tmp_path: Path) -> None:
    rows, key = table(), pa.DictionaryArray.from_arrays(np.zeros(ROWS, np.int32), ["k" * 100_000])
    rows = rows.set_column(rows.schema.get_field_index("key"), "key", key)
    path = tmp_path / "index.parquet"
    pq.write_table(rows, path, row_group_size=ROWS, store_schema=False)
    stored = SlicedTable(str(path), "index.parquet", "the index", ["key"])
    assert path.stat().st_size < 4_000_000
    assert next(stored.batches(["key"], encoded=True))[1].num_rows > 0
    with pytest.raises(InputError, match=r"the texts of 16384 rows take 16384\d+ bytes"):
        next(stored.batches(["key"]))
    with pytest.raises(InputError, match="the index is damaged"):
        stored.around(["key"], 30_000)


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index.parquet"
    with pytest.raises(FileNotFoundError):
        SlicedTable(str(path), "index.parquet", "the index")
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="the index is damaged"):
        SlicedTable(str(path), "index.parquet", "the index")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match="it is no file"):
        SlicedTable(str(path), "index.parquet", "the index")


def test_damaged_pages_are_reported_when_they_are_read(tmp_path: Path) -> None:
    opened(tmp_path, table())
    path = tmp_path / "index.parquet"
    data = bytearray(path.read_bytes())
    data[4 : len(data) // 2] = bytes(len(data) // 2 - 4)
    path.write_bytes(data)
    stored = SlicedTable(str(path), "index.parquet", "the index", ["key"])
    with pytest.raises(InputError, match="the index is damaged"):
        list(stored.batches(["shard", "key"]))
    with pytest.raises(InputError, match="the index is damaged"):
        stored.around(["shard", "key"], 3)
