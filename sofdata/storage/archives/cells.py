"""Values of a binary column of a Parquet file, each read as a file: videos, one in a row.

A value can be had only with all of its row group: pyarrow writes up to 1,024 values into one page,
and a page is unpacked as a whole. So a cell costs the time of its group, and twice the group's
bytes in memory while it is unpacked. The last group is kept if it is small, since cells are mostly
asked for one after the other; a group that is too large to be unpacked is refused.
"""

from __future__ import annotations

import errno
import itertools
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sofdata.storage.folder import Folder, Where
from sofdata.storage.urls import public_text

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


class Column:
    """A binary column of an opened file, by row groups."""

    def __init__(self, table: pq.ParquetFile, name: str) -> None:
        """Raises `FileNotFoundError` where there is no such column."""
        names = [leaf.path for leaf in table.schema]
        if name not in names:
            raise FileNotFoundError(errno.ENOENT, f"it has no column {name}")
        self._table = table
        self.name = name
        self.groups = []
        first = 0
        for number in range(table.metadata.num_row_groups):
            group = table.metadata.row_group(number)
            size = group.column(names.index(name)).total_uncompressed_size
            self.groups.append(Group(number, first, group.num_rows, size))
            first += group.num_rows

    def cells(self, group: Group) -> Iterator[bytes | None]:
        """The values of a group in order, None where one is null.

        Raises `OSError`; of number EFBIG for a group that is too large.
        """
        if group.size_bytes > MAX_GROUP_BYTES:
            message = (
                f"a row group of {group.size_bytes} bytes; {MAX_GROUP_BYTES} are unpacked at most"
            )
            raise OSError(errno.EFBIG, message)
        with _as_os_errors():
            for batch in self._table.iter_batches(
                1, row_groups=[group.number], columns=[self.name], use_threads=False
            ):
                values: Any = batch.column(0)
                while hasattr(values, "flatten") and values.type.num_fields:  # of a struct
                    (values,) = values.flatten()
                yield values[0].as_py()


@dataclass(frozen=True, slots=True)
class _Kept:
    """The cells of the group that was read last. file: which file, of what size, which column."""

    file: tuple[str, Where, int, str]
    first: int
    cells: list[bytes | None]


_lock = threading.Lock()  # one group is unpacked at a time, whatever the number of threads
_kept: _Kept | None = None


def read_cell(tree: Folder, rel: Where, row: int, column: str) -> bytes:
    """The value in a row, counted from 0 over the file.

    Raises `FileNotFoundError` where there is none, another `OSError` where it cannot be read.
    """
    global _kept
    file = (tree.url, rel, tree.size(rel), column)
    with _lock:
        if _kept is None or _kept.file != file or not 0 <= row - _kept.first < len(_kept.cells):
            _kept = None
            with opened(tree, rel, column) as found:
                group = next((g for g in found.groups if 0 <= row - g.first < g.rows), None)
                if group is None:
                    raise FileNotFoundError(errno.ENOENT, f"it has no row {row}", _name(rel))
                values = found.cells(group)
                if group.size_bytes > KEPT_BYTES:
                    return _there(next(itertools.islice(values, row - group.first, None)), rel)
                _kept = _Kept(file, group.first, list(values))
        return _there(_kept.cells[row - _kept.first], rel)


@contextmanager
def opened(tree: Folder, rel: Where, column: str) -> Iterator[Column]:
    """A column of a file. Raises `OSError` where it cannot be read or has no such column."""
    import pyarrow.parquet as pq

    with tree.open(rel) as handle, ExitStack() as stack:
        with _as_os_errors():
            table = pq.ParquetFile(handle, pre_buffer=False, buffer_size=_BUFFER_BYTES)
        yield Column(stack.enter_context(table), column)


@contextmanager
def _as_os_errors() -> Iterator[None]:
    """Turn the errors of Arrow into `OSError`, as files raise them."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # of the file, not of what it holds
            raise
        message = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise OSError(errno.EIO, f"no readable Parquet: {public_text(message)}") from None


def _there(cell: bytes | None, rel: Where) -> bytes:
    if cell is None:
        raise FileNotFoundError(errno.ENOENT, "there is nothing in that row", _name(rel))
    return cell


def _name(rel: Where) -> str:
    return rel if isinstance(rel, str) else rel.uri
