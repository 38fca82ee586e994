"""Parquet files written by others: only the columns that are asked for are read, no file whole.

Reads in this thread and without read-ahead: what is not asked for is not touched.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sofdata.corpora import jsonfile
from sofdata.storage import Tree

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_ROWS = 4096


def read_columns(tree: Tree, rel: str, columns: Sequence[str]) -> pa.Table:
    """Some columns of a table of labels.

    Raises `ConfigError` where one is missing or the file cannot be read.
    """
    import pyarrow as pa

    try:
        with _open(tree, rel) as file:
            missing = sorted(set(columns) - set(file.schema_arrow.names))
            if missing:
                raise jsonfile.wrong(tree, rel, f"it lacks the columns {', '.join(missing)}")
            return file.read(columns=list(columns), use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise jsonfile.wrong(tree, rel, f"no readable Parquet: {brief(error)}") from None


def column_types(tree: Tree, rel: str) -> dict[str, Any]:
    """The Arrow type of each column, from the file's footer. Raises `ConfigError`."""
    import pyarrow as pa

    try:
        with _open(tree, rel) as file:
            return {field.name: field.type for field in file.schema_arrow}
    except (pa.ArrowException, OSError) as error:
        raise jsonfile.wrong(tree, rel, f"no readable Parquet: {brief(error)}") from None


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
    return lines[0][:200]


@contextmanager
def _open(tree: Tree, rel: str) -> Iterator[pq.ParquetFile]:
    import pyarrow.parquet as pq

    with tree.open(rel) as handle, pq.ParquetFile(handle, pre_buffer=False) as file:
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
