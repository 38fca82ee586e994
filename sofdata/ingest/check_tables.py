"""Whether a stored table is what plan and ledger give: compared by columns, some rows at a time."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from sofdata.errors import InputError
from sofdata.ingest.plan import IngestPlan
from sofdata.ingest.tables import Table
from sofdata.shards.parquet import BATCH_ROWS, StoredTable
from sofdata.shards.schema import LATER_COLUMNS
from sofdata.storage.tree import Tree

if TYPE_CHECKING:
    import pyarrow as pa

MOST_BYTES = 1 << 26  # of the rows that wait to be compared: some texts are long


class TableCheck:
    """Compares a stored table with the rows that plan and ledger give, in their order."""

    def __init__(self, dest: Tree, rows: Table, plan: IngestPlan, stack: ExitStack) -> None:
        self.rows = rows
        self._schema = rows.schema()
        self._problem = ""
        self._seen = 0
        self._waiting: list[pa.RecordBatch] = []
        self._size = [0, 0]  # of what waits: rows and bytes
        try:
            self._stored = stack.enter_context(StoredTable.open(dest, rows.name))
        except FileNotFoundError:
            self._problem = "it is missing"
        except InputError as error:
            self._problem = str(error)
        else:
            self._schema = _as_stored(self._schema, self._stored.schema)
            if not self._stored.schema.equals(self._schema):
                self._problem = "its columns are not those of schema version 1"
        self.expect(rows.refused_rows(plan))

    def expect(self, parts: Iterable[pa.RecordBatch]) -> None:
        """Compare the next rows."""
        for part in () if self._problem else parts:
            self._waiting.append(part)
            self._size = [self._size[0] + part.num_rows, self._size[1] + part.nbytes]
            if self._size[0] >= BATCH_ROWS or self._size[1] >= MOST_BYTES:
                self._compare()

    def problem(self) -> str:
        """What is wrong with the table, once all rows were given; "" if it is as it should be."""
        self._compare()
        if not self._problem and self._stored.num_rows != self._seen:
            self._problem = f"it has {self._stored.num_rows} rows instead of {self._seen}"
        return self._problem

    def _compare(self) -> None:
        import pyarrow as pa

        if self._problem or not self._waiting:
            return
        wanted = pa.Table.from_batches(self._waiting).select(self._schema.names)
        self._waiting, self._size = [], [0, 0]
        try:
            found = self._stored.take(wanted.num_rows)
        except InputError as error:
            self._problem = str(error)
            return
        if not found.equals(wanted):
            first = self._seen + _first_difference(found, wanted)
            self._problem = f"rows from {first} on do not follow from plan and ledger"
        self._seen += wanted.num_rows


def _as_stored(schema: pa.Schema, stored: pa.Schema) -> pa.Schema:
    """The schema without those of the columns that came later which a table was made without."""
    import pyarrow as pa

    lacks = LATER_COLUMNS - {*stored.names}
    return pa.schema([field for field in schema if field.name not in lacks])


def _first_difference(found: pa.Table, wanted: pa.Table) -> int:
    """Number of the first row in which two tables differ, or at which one of them ends."""
    same, differ = 0, min(found.num_rows, wanted.num_rows) + 1
    while differ - same > 1:  # the first `same` rows are equal, the first `differ` are not
        middle = (same + differ) // 2
        number = middle - same
        if found.slice(same, number).equals(wanted.slice(same, number)):
            same = middle
        else:
            differ = middle
    return same
