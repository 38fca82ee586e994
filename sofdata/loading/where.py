"""Filters such as `motion > 0.5 and text != ""` over the columns of a dataset's index.

A filter is an expression of Arrow (`pyarrow.compute.Expression`), or its text, in Python's grammar:
names of columns, numbers, texts, arithmetic, comparisons, `and`, `or`, `not` (also `&`, `|`, `~`
between brackets), `column in (1, 2)`, `"push" in text`, `column is None` for values that are
missing, the labels of a window's video, which are texts (`labels.split == "train"`), and functions
of Arrow by their names, `starts_with(text, "push")`. Nothing of the text is executed; see
`sofdata.loading.expression`.

    columns = columns_of(where, table.column_names)
    chosen = select([table], where)  # bool [rows]
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ConfigError
from sofdata.loading.expression import (
    ALIASES,
    LABELS,
    Condition,
    condition,
    is_expression,
    no_condition,
    unfit,
)
from sofdata.shards.schema import index_schema
from sofdata.system.nearest import did_you_mean
from sofdata.windows.quality import COLUMNS, QUALITY_FIELDS

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc


Where: TypeAlias = "str | pc.Expression"
_FOUND = "found"
_NO_COLUMN = re.compile(r"No match for FieldRef\.Name\((.*?)\) in")


def is_given(where: Where) -> bool:
    """Whether there is a filter at all: a text of blanks is none."""
    return bool(where.strip()) if isinstance(where, str) else True


def columns_of(where: Where, known: Sequence[str]) -> list[str]:
    """The columns that a filter reads, sorted.

    Raises `ConfigError` for text that is no expression, and for a name that is not `known`, with
    the nearest one and the whole list.
    """
    names = {*_condition(where, known).columns}
    choices = [*ALIASES, *known]
    for name in sorted(names - {*known}):
        hint = "" if name in QUALITY_FIELDS else did_you_mean(name, choices)
        raise ConfigError(
            f"the filter {str(where)!r} names the unknown column '{name}'{hint} "
            f"(columns: {', '.join(choices)}; put text in quotes){not_computed(name)}"
        )
    return sorted(names)


def select(tables: Iterable[pa.Table], where: Where) -> NDArray[np.bool_]:
    """Which rows of some tables of the same columns fulfil a filter, bool [all rows].

    A missing value fulfils no comparison. One table is looked at after the other, so that the
    memory is that of one, and of the result.

    Raises `ConfigError` for what is not understood, for a filter that is no condition, and for a
    label that no row has.
    """
    asked, known = None, set[str]()
    found = [np.empty(0, np.bool_)]
    for table in tables:
        asked = asked or _condition(where, table.column_names)
        found.append(_fulfil(table, asked, where))
        if asked.labels:
            known.update(label_names(table[LABELS]))
    for name in asked.labels if asked else ():
        if name not in known:
            there = sorted(known)
            hint = did_you_mean(name, there)
            raise ConfigError(
                f"the filter {where!r} asks for the label '{name}', which no window has{hint} "
                f"(labels: {', '.join(there) or 'none'})"
            )
    return np.concatenate(found)


def not_computed(name: str) -> str:
    """How a column comes to be that an ingest was not asked for; "" for any other name."""
    for key, columns in COLUMNS.items():
        if name in columns:
            return (
                ". It is a quality column, and the ingest was not asked for it: "
                f"--set quality.columns={key}, or all"
            )
    return ""


def label_names(labels: pa.ChunkedArray) -> list[str]:
    """All keys of a column of labels, sorted."""
    return sorted({key for part in labels.chunks for key in part.keys.unique().to_pylist()})


def _condition(where: Where, known: Sequence[str]) -> Condition:
    if isinstance(where, str):
        return condition(where)
    if not is_expression(where):
        raise ConfigError(
            f"a filter is a text or an expression of pyarrow.compute, not {type(where).__name__}"
        )
    return Condition(where, tuple(_fields(where, known)), ())


def _fields(expression: pc.Expression, known: Sequence[str]) -> Iterator[str]:
    """The columns without which an expression means nothing: Arrow does not list them."""
    there = [name for name in index_schema(tuple(QUALITY_FIELDS)).names if name in known]
    if problem := _problem(expression, there):
        if unknown := _NO_COLUMN.search(str(problem)):
            yield unknown[1]
            return
        raise unfit(expression, problem, set())
    for name in there:
        if _problem(expression, [each for each in there if each != name]):
            yield name


def _problem(expression: pc.Expression, names: Sequence[str]) -> Exception | None:
    """Why an expression cannot be evaluated on columns of the index, if it cannot."""
    import pyarrow as pa

    schema = index_schema(tuple(QUALITY_FIELDS))
    try:
        evaluate(pa.schema([schema.field(name) for name in names]).empty_table(), expression)
    except (pa.ArrowException, TypeError, ValueError) as error:
        return error
    return None


def _fulfil(table: pa.Table, asked: Condition, where: Where) -> NDArray[np.bool_]:
    """Which rows of one table fulfil a filter."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        found = evaluate(table, asked.expression)
    except (pa.ArrowException, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise unfit(where, error, {*asked.columns}) from None
    if found.type != pa.bool_():
        raise no_condition(where)
    return np.asarray(pc.fill_null(found, False).to_numpy())


def evaluate(table: pa.Table, expression: pc.Expression) -> pa.ChunkedArray:
    """The value of an expression for each row of a table, in their order, in this thread.

    Raises what Arrow does: `pyarrow.ArrowException`, `TypeError`, `ValueError`.
    """
    from pyarrow.acero import Declaration, ProjectNodeOptions, TableSourceNodeOptions

    steps = [
        Declaration("table_source", TableSourceNodeOptions(table)),
        Declaration("project", ProjectNodeOptions([expression], [_FOUND])),
    ]
    return Declaration.from_sequence(steps).to_table(use_threads=False)[_FOUND]
