"""`sofdata.shards.parquet`: tables of strangers are read within bounds, ours whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sofdata.errors import InputError
from sofdata.shards.parquet import StoredTable, needed_table, read_table, write_table
from sofdata.shards.schema import index_schema, rejects_schema
from sofdata.storage.tree import Tree

LABELS = pa.map_(pa.string(), pa.string())
VALUES: dict[Any, Any] = {pa.string(): "text", pa.int64(): 7, pa.float64(): 1.5, LABELS: []}


def row(number: int) -> dict[str, Any]:
    values = {field.name: VALUES[field.type] for field in index_schema()}
    return values | {"key": f"key-{number}", "offset": number, "camera_px": None}


def write(folder: Path, rows: int = 10, **changes: Any) -> pa.Table:
    """An index of so many rows; changes: columns to be set instead."""
    write_table(Tree(str(folder)), "index.parquet", index_schema(), map(row, range(rows)))
    table = pq.read_table(folder / "index.parquet")
    for name, values in changes.items():
        table = table.set_column(table.schema.get_field_index(name), name, values)
    if changes:
        pq.write_table(table, folder / "index.parquet")
    return table


def read(folder: Path, *columns: str) -> pa.Table:
    return read_table(Tree(str(folder)), "index.parquet", columns or None)


def test_a_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    table = write(tmp_path, 40_000)
    assert read(tmp_path).equals(table)
    assert read(tmp_path, "key", "nothing").column_names == ["key"]


def test_rows_come_in_pieces_of_any_size(tmp_path: Path) -> None:
    table = write(tmp_path, 40_000)
    with StoredTable.open(Tree(str(tmp_path)), "index.parquet") as stored:
        pieces = [stored.take(number) for number in (1, 0, 20_000, 16_384, 100_000, 5)]
    assert [piece.num_rows for piece in pieces] == [1, 0, 20_000, 16_384, 3615, 0]
    assert pa.concat_tables(pieces).equals(table)


def test_millions_of_rows_in_a_few_kilobytes_are_refused_unread(tmp_path: Path) -> None:
    columns = [
        pa.repeat(pa.scalar(VALUES[field.type], field.type), 1_000_000)
        for field in rejects_schema()
    ]
    part = pa.table(columns, rejects_schema())
    with pq.ParquetWriter(tmp_path / "rejects.parquet", part.schema) as writer:
        for _ in range(10):
            writer.write_table(part, row_group_size=1_000_000)
    size = os.path.getsize(tmp_path / "rejects.parquet")
    assert size < 400_000
    with pytest.raises(InputError, match=f"claims 10000000 rows in {size} bytes"):
        read_table(Tree(str(tmp_path)), "rejects.parquet")


def test_a_text_of_megabytes_in_thousands_of_rows_is_never_spelt_out(tmp_path: Path) -> None:
    texts = pa.DictionaryArray.from_arrays(np.zeros(2000, np.int32), ["t" * 4_000_000])
    write(tmp_path, 2000, text=texts)
    before = pa.total_allocated_bytes()
    with pytest.raises(InputError, match="column text is of type dictionary"):
        read(tmp_path)
    plain = pq.read_table(tmp_path / "index.parquet", columns=["key"])  # without Arrow's own schema
    assert plain.num_rows == 2000
    table = pq.ParquetFile(tmp_path / "index.parquet").read()
    pq.write_table(table, tmp_path / "index.parquet", store_schema=False)
    with pytest.raises(InputError, match="far more than the file itself"):
        read(tmp_path)
    del table, plain
    assert pa.total_allocated_bytes() - before < 64 << 20


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"offset": pa.array([1] * 10, pa.int32())}, "its column offset is of type int32"),
        ({"offset": pa.array(["1"] * 10)}, "its column offset is of type string"),
        ({"key": pa.array([["a"]] * 10)}, "its column key is of type list"),
        ({"offset": pa.array([None, *range(9)], pa.int64())}, "offset has rows without a value"),
        ({"text": pa.array([b"\xff"] * 10, pa.binary()).view(pa.string())}, "(?i)utf-?8"),
    ],
)
def test_a_column_of_another_kind_is_named(
    tmp_path: Path, changes: dict[str, pa.Array], told: str
) -> None:
    write(tmp_path, **changes)
    with pytest.raises(InputError, match=told):
        read(tmp_path)


def test_columns_that_are_lacking_or_come_twice_are_named(tmp_path: Path) -> None:
    table = write(tmp_path)
    pq.write_table(table.drop_columns(["key", "text"]), tmp_path / "index.parquet")
    with pytest.raises(InputError, match="lacks the columns key, text"):
        read(tmp_path)
    with pytest.raises(InputError, match="lacks the columns key"):
        needed_table(Tree(str(tmp_path)), "index.parquet", ["key", "offset"])
    pq.write_table(table.append_column("key", table["key"]), tmp_path / "index.parquet")
    with pytest.raises(InputError, match="two columns key"):
        read(tmp_path)


@pytest.mark.parametrize("codec", ["zstd", "gzip", "brotli"])
def test_a_codec_that_unfolds_without_end_is_refused(tmp_path: Path, codec: str) -> None:
    pq.write_table(write(tmp_path), tmp_path / "index.parquet", compression=codec)
    with pytest.raises(InputError, match=f"compressed with {codec.upper()}"):
        read(tmp_path)


def test_a_table_that_is_not_there_is_no_damage_and_a_folder_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path)
    with pytest.raises(InputError, match=r"lacks index\.parquet"):
        needed_table(Tree(str(tmp_path)), "index.parquet")
    (tmp_path / "index.parquet").mkdir()
    with pytest.raises(InputError, match="is no file"):
        read(tmp_path)
