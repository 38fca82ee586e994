"""What the columns that a filter reads hold, for whom it selects nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sofdata.loading.where import label_names

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN_VALUES = 3
COUNTED_VALUES = 10_000


def describe(tables: Iterable[pa.Table]) -> str:
    """What the columns of some tables hold: ranges of numbers, the first few different texts."""
    import pyarrow.types as types

    found: dict[str, _Range | _Examples] = {}
    for table in tables:
        for name in table.column_names:
            column = table[name]
            if types.is_map(column.type):
                for label in label_names(column):
                    part = found.setdefault(f"{name}.{label}", _Examples())
                    part.add(_label(column, label))
                continue
            number = types.is_integer(column.type) or types.is_floating(column.type)
            found.setdefault(name, _Range() if number else _Examples()).add(column)
    return "; ".join(f"{name} {part}" for name, part in found.items())


class _Range:
    """Between what the numbers of a column lie."""

    def __init__(self) -> None:
        self._ends: list[float] = []

    def add(self, column: pa.ChunkedArray) -> None:
        import pyarrow.compute as pc

        least, most = pc.min_max(column).as_py().values()
        if least is not None:
            self._ends = [min([least, *self._ends]), max([most, *self._ends])]

    def __str__(self) -> str:
        if not self._ends:
            return "holds nothing"
        return f"runs from {self._ends[0]:g} to {self._ends[1]:g}"


class _Examples:
    """The first different texts of a column, and how many more there are of them."""

    def __init__(self) -> None:
        self._values: dict[Any, None] = {}

    def add(self, column: pa.ChunkedArray) -> None:
        if len(self._values) <= COUNTED_VALUES:
            self._values |= dict.fromkeys(column.unique().to_pylist())

    def __str__(self) -> str:
        shown = ", ".join(repr(value) for value in [*self._values][:SHOWN_VALUES])
        more = len(self._values) - SHOWN_VALUES
        many = "at least " if len(self._values) > COUNTED_VALUES else ""
        return f"is {shown}" + (f" or one of {many}{more} more" if more > 0 else "")


def _label(labels: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    return pc.map_lookup(labels, name, "first")
