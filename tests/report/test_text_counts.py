"""`sofdata.report.text_counts`: each text is counted, over row groups."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sofdata.loading.index import Index
from sofdata.report.text_counts import TextCounts
from sofdata.shards.schema import index_schema
from sofdata.storage.tree import Tree


@pytest.mark.parametrize("rows", [0, 7, 3000])
def test_texts_are_counted_over_row_groups(tmp_path: Path, rows: int) -> None:
    texts = [f"text {number * number % 59}" if number % 5 else "" for number in range(rows)]
    columns = []
    for field in index_schema():
        default = pa.scalar("x" if pa.types.is_string(field.type) else 1)
        is_map = pa.types.is_map(field.type)
        column = pa.nulls(rows, field.type) if is_map else pa.repeat(default, rows)
        columns.append(pa.array(texts) if field.name == "text" else column.cast(field.type))
    table = pa.Table.from_arrays(columns, schema=index_schema())
    pq.write_table(table, tmp_path / "index.parquet", row_group_size=500)
    found, expected = TextCounts.of(Index(Tree(str(tmp_path)))), Counter(texts)
    assert found.empty == expected.pop("", 0)
    assert found.distinct == len(expected)
    assert found.most(100) == expected
    first = sorted(expected.items(), key=lambda item: (-item[1], item[0]))[:3]
    assert [*found.most(3).items()] == first
