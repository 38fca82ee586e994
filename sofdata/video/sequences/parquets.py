"""Pictures in a column of a Parquet file, a row each: episodes of LeRobot datasets.

The name of the place is the column: a struct with `bytes` in it, as the library `datasets` stores
pictures (https://huggingface.co/docs/datasets/image_dataset), or bytes alone. Options:

    episode   the rows whose `episode_index` this is
    fps       pictures a second that the dataset tells of
    rows      how many pictures it tells of; may be left out

A picture is taken at the `timestamp` of its row, s; where there is no such column at its
`frame_index` / fps, or else at its place in the episode / fps. A row group is unpacked at a time.
"""

from __future__ import annotations

import errno
import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from sofdata.storage.archives.cells import Column, Group
from sofdata.video.probe import Unusable
from sofdata.video.progress import PROGRESS
from sofdata.video.ranges import Source
from sofdata.video.sequences import paces
from sofdata.video.sequences.base import StoredImage, damaged
from sofdata.video.sequences.images import DamagedImage, kind_of
from sofdata.video.sequences.place import SequencePlace

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

EPISODE, TIME, FRAME = "episode_index", "timestamp", "frame_index"
BATCH_ROWS = 1 << 14
BUFFER_BYTES = 1 << 20
KEPT_BYTES = 1 << 24  # of pictures that have passed, for one that has to be replaced by an earlier
RATES_DIFFER = 0.1  # share; rounded timestamps and skipped frames stay below it
# A few hundred bytes may claim millions of rows that differ in nothing.
FREE_ROWS, ROWS_PER_BYTE = 1 << 20, 16


@dataclass(slots=True)
class RowPictures:
    """The pictures of some rows of a file. rows: int64 [n], their numbers in it."""

    cells: _Cells
    rows: NDArray[np.int64]
    times_s: NDArray[np.float64]
    damage: tuple[int, tuple[str, ...]]
    codec: str
    stack: ExitStack

    def images(self, numbers: Iterable[int]) -> Iterator[StoredImage]:
        for number in numbers:
            yield self.cells.at(int(self.rows[number]))

    def close(self) -> None:
        self.stack.close()


def open_sequence(source: Source, place: SequencePlace) -> RowPictures:
    """Raises `Unusable` for another kind of file or column, and where there is no such row."""
    from sofdata.video.sequences.base import opened_file

    with ExitStack() as stack:
        file = stack.enter_context(opened_file(source))
        with _readable(source):
            table = stack.enter_context(_table(file))
            cells = _Cells(_column(table, place.name, source), str(source))
            rows, times_s = _episode(table, place, source)
        if not len(rows):
            raise Unusable("no_frames", f"{source}: no row is of episode {place.get('episode')}")
        _check_there(table, cells.column, rows, place.name, source)
        _check_rate(times_s, _finest_s(table, times_s), place.number("fps"), source)
        codec = _codec(cells.at(int(rows[0])))
        damage = _damage(len(rows), times_s, place)
        return RowPictures(cells, rows, times_s, damage, codec, stack.pop_all())


class _Cells:
    """The values of a column, which are asked for mostly in order."""

    def __init__(self, column: Column, name: str) -> None:
        self.column = column
        self._name = name
        self._group: Group | None = None
        self._values: Iterator[bytes | None] = iter(())
        self._next = 0  # the row that comes next
        self._passed: OrderedDict[int, bytes | None] = OrderedDict()
        self._bytes = 0

    def at(self, row: int) -> bytes | None:
        """The value of a row, None where it is null or cannot be read.

        Raises `Unusable` for a row group that is too large to be unpacked.
        """
        if row in self._passed:
            return self._passed[row]
        group = self._group
        if group is None or not self._next <= row < group.first + group.rows:
            self._begin(row)
        value = None
        while self._next <= row:
            PROGRESS.packets += 1
            value = self._read()
            self._keep(self._next, value)
            self._next += 1
        return value

    def _begin(self, row: int) -> None:
        self._group = next(g for g in self.column.groups if g.first <= row < g.first + g.rows)
        self._values = self.column.cells(self._group)
        self._next = self._group.first
        self._passed.clear()
        self._bytes = 0

    def _read(self) -> bytes | None:
        try:
            return next(self._values, None)
        except OSError as error:
            if error.errno == errno.EFBIG:
                raise Unusable("row_group_too_large", f"{self._name}: {error.strerror}") from None
            self._values = iter(())  # the rest of the group cannot be had, other groups may
            return None

    def _keep(self, row: int, value: bytes | None) -> None:
        self._passed[row] = value
        self._bytes += len(value or b"")
        while self._bytes > KEPT_BYTES and len(self._passed) > 1:
            self._bytes -= len(self._passed.popitem(last=False)[1] or b"")


@contextmanager
def _table(file: BinaryIO) -> Iterator[pq.ParquetFile]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(file, pre_buffer=False, buffer_size=BUFFER_BYTES) as table:
        size = file.seek(0, os.SEEK_END)
        if table.metadata.num_rows > max(FREE_ROWS, ROWS_PER_BYTE * size):
            raise pa.ArrowInvalid(f"it claims {table.metadata.num_rows} rows in {size} bytes")
        yield table


@contextmanager
def _readable(source: Source) -> Iterator[None]:
    """What Arrow says of a file that is no Parquet, or a damaged one, as `Unusable`."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        if getattr(error, "errno", None):  # of the disk, not of what the file holds
            raise
        message = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise damaged(f"{source}: no readable Parquet: {message}") from None


def _column(table: pq.ParquetFile, name: str, source: Source) -> Column:
    """The column of the bytes of pictures."""
    kinds = {leaf.path: (leaf.physical_type, leaf.logical_type.type) for leaf in table.schema}
    for path in (f"{name}.bytes", name):
        if kinds.get(path) == ("BYTE_ARRAY", "NONE"):  # neither text, as of paths, nor JSON
            return Column(table, path)
    if name not in table.schema_arrow.names:
        raise damaged(f"{source}: it has no column '{name}'")
    kind = str(table.schema_arrow.field(name).type)[:100]
    raise damaged(f"{source}: the column '{name}' is {kind}, which are no encoded pictures")


def _episode(
    table: pq.ParquetFile, place: SequencePlace, source: Source
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The rows of an episode, int64 [n], and their times, float64 [n], NaN where there is none."""
    names = table.schema_arrow.names
    if EPISODE not in names:
        raise damaged(f"{source}: it has no column '{EPISODE}'")
    clock = next((name for name in (TIME, FRAME) if name in names), "")
    wanted, first = int(place.number("episode")), 0
    rows, values = [], []
    for number in range(table.metadata.num_row_groups):
        group = table.metadata.row_group(number)
        if _may_hold(group, wanted):
            for at, value in _matching(table, number, wanted, clock):
                rows.append(first + at)
                values.append(value)
        first += group.num_rows
    found = np.concatenate([np.zeros(0, np.int64), *rows])
    if clock == TIME:
        return found, np.round(np.concatenate([np.zeros(0), *values]), 6)
    counts = np.concatenate([np.zeros(0), *values]) if clock else np.arange(float(len(found)))
    return found, counts / place.number("fps")


def _matching(
    table: pq.ParquetFile, group: int, episode: int, clock: str
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Of a row group the rows of an episode, and what the clock says at each."""
    names, first = [EPISODE, clock] if clock else [EPISODE], 0
    for batch in table.iter_batches(
        BATCH_ROWS, row_groups=[group], columns=names, use_threads=False
    ):
        PROGRESS.packets += 1
        at = np.flatnonzero(_numbers(batch, EPISODE) == episode)
        if len(at):
            values = _numbers(batch, clock)[at] if clock else np.zeros(len(at))
            yield first + at, values
        first += batch.num_rows


def _numbers(batch: pa.RecordBatch, name: str) -> NDArray[np.float64]:
    """A column as float64, NaN for null. Raises `Unusable` for what is no number."""
    import pyarrow as pa

    column = batch.column(name)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise damaged(f"the column '{name}' is {str(column.type)[:60]}, which are no numbers")
    return np.asarray(column.cast("float64").to_numpy(zero_copy_only=False), np.float64)


def _may_hold(group: Any, episode: int) -> bool:
    """Whether the statistics of a row group leave it open that it holds an episode."""
    for number in range(group.num_columns):
        column = group.column(number)
        if column.path_in_schema == EPISODE:
            found = column.statistics
            if found is None or not found.has_min_max or not isinstance(found.min, int):
                return True
            return bool(found.min <= episode <= found.max)
    return True


def _check_there(
    table: pq.ParquetFile, column: Column, rows: NDArray[np.int64], name: str, source: Source
) -> None:
    """Raise `Unusable` where all pictures of all rows are known to be null."""
    path = column.name
    at = [leaf.path for leaf in table.schema].index(path)
    for group in column.groups:
        if not np.any((group.first <= rows) & (rows < group.first + group.rows)):
            continue
        found = table.metadata.row_group(group.number).column(at).statistics
        if found is None or not found.has_null_count or found.null_count < group.rows:
            return
    what = f"'{name}' holds no bytes; its pictures lie in files of their own, which are not here"
    raise Unusable("no_file", f"{source}: {what}")


def _finest_s(table: pq.ParquetFile, times_s: NDArray[np.float64]) -> float:
    """By how much two timestamps of the column can differ, s; 0 for whole numbers and for none."""
    import pyarrow as pa

    schema = table.schema_arrow
    if TIME not in schema.names or not pa.types.is_floating(schema.field(TIME).type):
        return 0.0
    return paces.finest_s(times_s.astype(schema.field(TIME).type.to_pandas_dtype()), 1.0)


def _check_rate(times_s: NDArray[np.float64], finest_s: float, fps: float, source: Source) -> None:
    unknown = "when its pictures were taken is not known"
    if odd := paces.doubt([times_s], finest_s):
        raise Unusable("no_times", f"{source}: its timestamps {odd}: {unknown}")
    usual_s = paces.usual_s([times_s]) or 1 / fps
    if abs(usual_s * fps - 1) > RATES_DIFFER:
        what = f"its timestamps are {usual_s:g} s apart, and the dataset tells of {fps:g} a second"
        raise Unusable("no_times", f"{source}: {what}: {unknown}")


def _damage(
    count: int, times_s: NDArray[np.float64], place: SequencePlace
) -> tuple[int, tuple[str, ...]]:
    told = int(place.number("rows", count))
    if count < told:
        return told - count, (f"{told - count} of {told} rows are missing",)
    if count > told:
        return 0, (f"there are {count} rows, where the metadata tells of {told}",)
    return 0, ()


def _codec(first: bytes | None) -> str:
    try:
        return kind_of(first or b"")
    except DamagedImage:
        return "pictures"
