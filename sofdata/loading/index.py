"""`index.parquet` of a dataset, of which nothing stays in memory: what is needed is read again.

A row of the index has 200 bytes, and a dataset has ten million of them; a training needs key and
place of the few hundred in each shard that it has open, and of all others only that they are there.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ConfigError, InputError
from sofdata.shards.layout import INDEX
from sofdata.shards.names import check_file_names
from sofdata.shards.slices import SlicedTable, used_values
from sofdata.storage.temporary import TemporaryFile
from sofdata.storage.tree import Tree

if TYPE_CHECKING:
    import pyarrow as pa

TO_THE_END = -1
PLACES = ("shard", "offset", "key")
KEPT_BATCHES = 16  # of the index that a process has just read; each takes about a MiB


@dataclass(frozen=True, slots=True, eq=False)
class ShardRows:
    """What the index says of some windows of one shard.

    keys: an Arrow column. offset, length: int64 [rows], bytes; `TO_THE_END` is the length of the
    shard's last sample.
    """

    keys: pa.StringArray
    offset: NDArray[np.int64]
    length: NDArray[np.int64]


class Index:
    """The index of one dataset; a remote one is copied to the temporary folder, once.

    It can be pickled: another process opens the same file, or a copy of its own.

    Raises `FileNotFoundError`, and `InputError` where it is damaged.

    num_rows: windows. column_names: those that are there.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._identity = ""
        self._set_up("")
        table = self._table
        self._identity = table.identity
        self.num_rows, self.column_names = table.num_rows, table.column_names

    def _set_up(self, path: str) -> None:
        self._path = self.tree.path(INDEX) if self.tree.is_local else path
        self._copy: TemporaryFile | None = None
        # A file that is open is for one thread of one process alone.
        self._opened = threading.local()

    def __getstate__(self) -> dict[str, Any]:
        return {name: each for name, each in vars(self).items() if name not in ("_opened", "_copy")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._set_up(state["_path"])

    @property
    def place(self) -> str:
        return f"{INDEX} of {self.tree.name}"

    def batches(
        self, columns: Sequence[str], *, encoded: bool = False
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """As `SlicedTable.batches`. Raises `InputError` for a column that is not there."""
        self._check(columns)
        return self._table.batches(columns, encoded=encoded)

    def row(self, columns: Sequence[str], number: int) -> dict[str, Any]:
        """These columns of one row. Raises as `batches`."""
        self._check(columns)
        first, batch = self._table.around(columns, number)
        found: dict[str, Any] = batch.slice(number - first, 1).to_pylist()[0]
        return found

    def rows(self, columns: Sequence[str], numbers: Sequence[int]) -> list[dict[str, Any]]:
        """These columns of some rows, in the order in which they are given. Raises as `batches`.

        Costs the reading of each batch, of some thousand rows, that holds any of them.
        """
        self._check(columns)
        found: dict[int, dict[str, Any]] = {}
        first, end = 0, 0
        for number in sorted({*numbers}):
            if number >= end:
                first, batch = self._table.around(columns, number)
                end = first + batch.num_rows
            found[number] = batch.slice(number - first, 1).to_pylist()[0]
        return [found[number] for number in numbers]

    def _check(self, columns: Sequence[str]) -> None:
        if missing := sorted({*columns} - {*self.column_names}):
            raise InputError(f"{self.place} lacks the columns {', '.join(missing)}")

    def is_filled(self, column: str) -> bool:
        """As `SlicedTable.is_filled`."""
        return self._table.is_filled(column)

    def shard_starts(self) -> tuple[list[str], list[int]]:
        """The shards in their order, and the number of the first row of each.

        Raises `InputError` where the rows are not in the order of the shards, or a name is none.
        """
        names, starts, last = list[str](), list[int](), -1
        for first, batch in self.batches(["shard", "offset"], encoded=True):
            texts, codes = used_values(batch["shard"])
            known = texts.to_pylist()
            if len({*known}) < len(known):
                raise self._out_of_order()
            runs = np.flatnonzero(np.diff(codes, prepend=-1))
            follows = bool(names) and known[codes[0]] == names[-1]
            offset = batch["offset"].to_numpy()
            if offset.min() < 0:
                raise InputError(f"{self.place} lists a window before the start of its shard")
            grows = np.diff(offset, prepend=last) > 0
            grows[runs if not follows else runs[1:]] = True
            if not grows.all():
                raise self._out_of_order()
            runs = runs[1:] if follows else runs
            names += [known[code] for code in codes[runs]]
            starts += (first + runs).tolist()
            last = int(offset[-1])
        check_file_names(names, self.place)
        if len({*names}) < len(names):
            raise self._out_of_order()
        return names, starts

    def _out_of_order(self) -> InputError:
        return InputError(
            f"{self.place} does not list its windows in the order of the shards; "
            f"'sofdata verify {self.tree.name}' says what is wrong with it"
        )

    def rows_of(self, shard: str, start: int, places: NDArray[np.int64], stop: int) -> ShardRows:
        """Some rows of a shard, which has those from `start` to `stop`.

        places: which of them, counted from 0, increasing.

        Raises `InputError` where the index is not the one any more that was opened.
        """
        keys, offsets = [], []
        row = start
        while row < stop:
            first, batch = self._around(row)
            part = batch.slice(row - first, stop - row)
            names, _ = used_values(part["shard"])
            if names.to_pylist() != [shard]:
                raise self._changed()
            offsets.append(part["offset"].to_numpy())
            inside = (places >= row - start) & (places < row - start + part.num_rows)
            keys.append(part["key"].take(places[inside] - (row - start)))
            row += part.num_rows
        return _shard_rows(keys, np.concatenate(offsets), places)

    def _around(self, row: int) -> tuple[int, pa.RecordBatch]:
        """The batch that holds a row, out of those that were read last."""
        kept: OrderedDict[int, pa.RecordBatch] = self._opened.__dict__.setdefault(
            "kept", OrderedDict()
        )
        table = self._table
        for first, batch in kept.items():
            if first <= row < first + batch.num_rows:
                kept.move_to_end(first)
                return first, batch
        first, batch = table.around(PLACES, row)
        kept[first] = batch
        if len(kept) > KEPT_BATCHES:
            kept.popitem(last=False)
        return first, batch

    @property
    def _table(self) -> SlicedTable:
        """The file, open for this thread of this process."""
        process, table = getattr(self._opened, "table", (0, None))
        if table is None or process != os.getpid():
            table = self._open()
            if self._identity not in ("", table.identity):
                raise self._changed()
            self._opened.table = os.getpid(), table
        return table

    def _open(self) -> SlicedTable:
        if not self.tree.is_local and not (self._path and os.path.exists(self._path)):
            self._copy = TemporaryFile(".parquet")
            self._path = self._copy.path
            self.tree.download(INDEX, self._path)
        return SlicedTable(self._path, INDEX, f"{INDEX} in {self.tree.name}", unique=["key"])

    def _changed(self) -> ConfigError:
        return ConfigError(
            f"{self.place} has changed since the loader was made: make the loader again"
        )


def _shard_rows(
    keys: list[pa.Array], offset: NDArray[np.int64], places: NDArray[np.int64]
) -> ShardRows:
    import pyarrow as pa

    length = np.append(np.diff(offset), TO_THE_END)
    return ShardRows(pa.concat_arrays(keys), offset[places], length[places])
