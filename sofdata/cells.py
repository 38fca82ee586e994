"""Values of a binary column of a Parquet file, each read as a file: videos, one in a row.

A value can be had only with all of its row group: pyarrow writes up to 1,024 values into one page,
and a page is unpacked as a whole. So a cell costs the time of its group, and twice the group's
bytes in memory while it is unpacked. The last group is kept if it is small, since cells are mostly
asked for one after the other; a group that is too large to be unpacked is refused.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sofdata.storage import Tree

if TYPE_CHECKING:
    import pyarrow.parquet as pq

MAX_GROUP_BYTES = 1 << 30  # of a column of one row group, unpacked
KEPT_BYTES = 1 << 28
_BUFFER_BYTES = 1 << 20  # so much of the packed bytes is read at once, rather than all of a group


@dataclass(frozen=True, slots=True)
class Group:
    """A row group: its number, its rows from `first` on, and the bytes of one column, unpacked."""

    number: int
    first: int
    rows: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Kept:
    """The cells of the group that was read last. file: which file, of what size, which column."""

    file: tuple[str, str, int, str]
    first: int
    cells: list[bytes | None]


_lock = threading.Lock()  # one group is unpacked at a time, whatever the number of threads
_kept: _Kept | None = None


def read_cell(tree: Tree, rel: str, row: int, column: str) -> bytes:
    """The value in a row, counted from 0 over the file.

    Raises `FileNotFoundError` where there is none, another `OSError` where it cannot be read.
    """
    global _kept
    file = (tree.url, rel, tree.size(rel), column)
    with _lock:
        if _kept is None or _kept.file != file or not 0 <= row - _kept.first < len(_kept.cells):
            _kept = None
            with _opened(tree, rel) as table:
                found = [
                    each for each in _groups(table, column) if 0 <= row - each.first < each.rows
                ]
                if not found:
                    raise FileNotFoundError(errno.ENOENT, f"it has no row {row}", rel)
                if found[0].size_bytes > KEPT_BYTES:
                    return _there(_only(_cells(table, column, found[0]), row - found[0].first), rel)
                _kept = _Kept(file, found[0].first, list(_cells(table, column, found[0])))
        return _there(_kept.cells[row - _kept.first], rel)


def groups(tree: Tree, rel: str, column: str) -> list[Group]:
    """The row groups of a file. Raises `OSError`, `FileNotFoundError` if it lacks the column."""
    with _opened(tree, rel) as table:
        return _groups(table, column)


def group_cells(tree: Tree, rel: str, column: str, group: Group) -> Iterator[bytes | None]:
    """The cells of a row group in order, None where one is null. Raises `OSError`."""
    with _opened(tree, rel) as table:
        yield from _cells(table, column, group)


def _groups(table: pq.ParquetFile, column: str) -> list[Group]:
    found, first = [], 0
    names = [leaf.path for leaf in table.schema]
    if column not in names:
        raise FileNotFoundError(errno.ENOENT, f"it has no column {column}")
    for number in range(table.metadata.num_row_groups):
        group = table.metadata.row_group(number)
        size = group.column(names.index(column)).total_uncompressed_size
        found.append(Group(number, first, group.num_rows, size))
        first += group.num_rows
    return found


def _cells(table: pq.ParquetFile, column: str, group: Group) -> Iterator[bytes | None]:
    if group.size_bytes > MAX_GROUP_BYTES:
        raise OSError(errno.EFBIG, f"a row group of {group.size_bytes} bytes, which is too large")
    for batch in table.iter_batches(
        1, row_groups=[group.number], columns=[column], use_threads=False
    ):
        values: Any = batch.column(0)
        while hasattr(values, "flatten") and values.type.num_fields:  # a field of a struct
            (values,) = values.flatten()
        yield values[0].as_py()


def _only(cells: Iterator[bytes | None], at: int) -> bytes | None:
    return next((cell for number, cell in enumerate(cells) if number == at), None)


def _there(cell: bytes | None, rel: str) -> bytes:
    if cell is None:
        raise FileNotFoundError(errno.ENOENT, "there is nothing in that row", rel)
    return cell


@contextmanager
def _opened(tree: Tree, rel: str) -> Iterator[pq.ParquetFile]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with (
            tree.open(rel) as handle,
            pq.ParquetFile(handle, pre_buffer=False, buffer_size=_BUFFER_BYTES) as table,
        ):
            yield table
    except pa.ArrowException as error:
        told = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise OSError(errno.EIO, f"no readable Parquet: {told}", rel) from None
