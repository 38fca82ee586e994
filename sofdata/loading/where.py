"""Filters such as `motion > 0.5 and text != ""` over the columns of a dataset's index.

The text is parsed as a Python expression and evaluated with Arrow's kernels; nothing in it is ever
executed. It takes names of columns, numbers, texts, arithmetic, comparisons, `and`, `or`, `not`,
`column in (1, 2)`, `"push" in text`, `column is None` for values that are missing, and the labels
of a window's video, which are texts: `labels.split == "train"`, `labels["verb class"] == "3"`.
"""

from __future__ import annotations

import ast
import keyword
import math
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ConfigError
from sofdata.loading.quotes import checked, wrong
from sofdata.system.nearest import did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

ALIASES = {"motion": "mean_px"}
LABELS = "labels"
SHOWN_VALUES = 3
COUNTED_VALUES = 10_000
GRAMMAR = "write it like: motion > 0.5 and text != ''"


def columns_of(where: str, known: Sequence[str]) -> list[str]:
    """The columns that a filter reads, sorted.

    Raises `ConfigError` for text that is no expression, and for a name that is not `known`, with
    the nearest one and the whole list.
    """
    names = {node.id for node in ast.walk(_parse(where)) if isinstance(node, ast.Name)}
    choices = [*ALIASES, *known]
    for name in sorted(names - set(choices)):
        hint = did_you_mean(name, choices)
        raise ConfigError(
            f"the filter {where!r} names the unknown column '{name}'{hint} "
            f"(columns: {', '.join(choices)}; put text in quotes)"
        )
    return sorted({ALIASES.get(name, name) for name in names})


def select(tables: Iterable[pa.Table], where: str) -> NDArray[np.bool_]:
    """Which rows of some tables of the same columns fulfil a filter, bool [all rows].

    A missing value fulfils no comparison. One table is looked at after the other, so that the
    memory is that of one, and of the result.

    Raises `ConfigError` for what is not understood, for a filter that is no condition, and for a
    label that no row has.
    """
    tree, known = _parse(where), set[str]()
    asked = _labels_in(tree)
    found = [np.empty(0, np.bool_)]
    for table in tables:
        found.append(_fulfil(table, tree, where))
        if asked and LABELS in table.column_names:
            known.update(_label_names(table[LABELS]))
    for name in asked:
        if name not in known:
            there = sorted(known)
            hint = did_you_mean(name, there)
            raise ConfigError(
                f"the filter {where!r} asks for the label '{name}', which no window has{hint} "
                f"(labels: {', '.join(there) or 'none'})"
            )
    return np.concatenate(found)


def _fulfil(table: pa.Table, tree: ast.expr, where: str) -> NDArray[np.bool_]:
    """Which rows of one table fulfil a filter."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        found = _evaluate(tree, table)
    except (pa.ArrowException, TypeError, ValueError, OverflowError, RecursionError) as error:
        hint = "; labels are texts, each asked for by its name: labels.split == 'train'"
        hint = hint if any(_is_labels(node) for node in ast.walk(tree)) else ""
        raise ConfigError(f"the filter {where!r} does not fit the columns: {error}{hint}") from None
    if not isinstance(found, pa.ChunkedArray) or found.type != pa.bool_():
        raise ConfigError(f"the filter {where!r} is not a condition on a column; {GRAMMAR}")
    return np.asarray(pc.fill_null(found, False).to_numpy())


def describe(tables: Iterable[pa.Table]) -> str:
    """What the columns of some tables hold: ranges of numbers, the first few different texts."""
    import pyarrow.types as types

    found: dict[str, _Range | _Examples] = {}
    for table in tables:
        for name in table.column_names:
            column = table[name]
            if types.is_map(column.type):
                for label in _label_names(column):
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


def _parse(where: str) -> ast.expr:
    text = checked(where)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # Python's advice on its own grammar
            return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        place = len(where) - len(where.lstrip()) + max((error.offset or 1) - 1, 0)
        raise wrong(where, place, f"it is not an expression; {_hint(text)}") from None
    except (ValueError, RecursionError, MemoryError):
        raise ConfigError(f"the filter {where[:200]!r} is not an expression; {GRAMMAR}") from None


def _hint(text: str) -> str:
    """What people write who know another language of filters."""
    bare = re.sub(r"""'(\\.|[^'\\])*'|"(\\.|[^"\\])*["]""", "''", text)
    if word := re.search(r"\b(AND|OR|NOT|IN|IS|NULL|LIKE)\b", bare):
        return f"{word[0]} is not a word of it; {GRAMMAR}"
    if re.search(r"(?<![<>=!])=(?!=)|<>|&&|\|\|", bare):
        return f"'is equal' is written ==, 'is not' !=, and words stand for && and ||; {GRAMMAR}"
    for name in re.findall(rf"\b{LABELS}\.(\w+)", bare):
        if keyword.iskeyword(name):
            return f"write {LABELS}['{name}']"
    return GRAMMAR


def _label_of(node: ast.expr) -> str | None:
    """The label that a node asks for, None if it is no label."""
    match node:
        case ast.Attribute(value=ast.Name(id="labels"), attr=name):
            return name
        case ast.Subscript(value=ast.Name(id="labels"), slice=ast.Constant(value=str(name))):
            return name
    return None


def _is_labels(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == LABELS


def _labels_in(tree: ast.expr) -> list[str]:
    found = (_label_of(node) for node in ast.walk(tree) if isinstance(node, ast.expr))
    return [name for name in found if name is not None]


def _label_names(labels: pa.ChunkedArray) -> list[str]:
    """All keys of a column of labels, sorted."""
    return sorted({key for part in labels.chunks for key in part.keys.unique().to_pylist()})


def _label(labels: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """One label of each row, null where a row has none."""
    import pyarrow.compute as pc

    return pc.map_lookup(labels, name, "first")


def _evaluate(node: ast.expr, table: pa.Table) -> Any:
    """The value of an expression: an Arrow column, or a scalar where no column is named."""
    import pyarrow as pa
    import pyarrow.compute as pc

    match node:
        case ast.Constant(value=bool() | int() | float() | str()):
            if isinstance(node.value, float) and not math.isfinite(node.value):
                raise ValueError("a number is too large")
            return pa.scalar(node.value)
        case ast.Attribute() | ast.Subscript() if (name := _label_of(node)) is not None:
            return _label(table[LABELS], name)
        case ast.Name():
            return table[ALIASES.get(node.id, node.id)]
        case ast.UnaryOp(op=ast.Not()):
            return pc.invert(_evaluate(node.operand, table))
        case ast.UnaryOp(op=ast.USub()):
            return pc.negate(_evaluate(node.operand, table))
        case ast.BoolOp():
            join = pc.and_kleene if isinstance(node.op, ast.And) else pc.or_kleene
            return _chain(join, [_evaluate(value, table) for value in node.values])
        case ast.BinOp() if type(node.op) in _ARITHMETIC:
            function = getattr(pc, _ARITHMETIC[type(node.op)])
            return function(_number(node.left, table), _number(node.right, table))
        case ast.Compare():
            sides = zip([node.left, *node.comparators], node.comparators, strict=False)
            pairs = zip(sides, node.ops, strict=True)
            return _chain(
                pc.and_kleene, [_compare(left, op, right, table) for (left, right), op in pairs]
            )
    hint = "write 'is None'" if isinstance(node, ast.Constant) and node.value is None else GRAMMAR
    raise ValueError(f"{ast.unparse(node)!r} is not understood; {hint}")


def _chain(join: Callable[[Any, Any], Any], parts: list[Any]) -> Any:
    result = parts[0]
    for part in parts[1:]:
        result = join(result, part)
    return result


def _number(node: ast.expr, table: pa.Table) -> Any:
    return _evaluate(node, table).cast("float64")  # so that 1 / 2 is a half


def _compare(left: ast.expr, op: ast.cmpop, right: ast.expr, table: pa.Table) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(op, ast.Is | ast.IsNot) and ast.unparse(right) == "None":
        test = pc.is_null if isinstance(op, ast.Is) else pc.is_valid
        return test(_evaluate(left, table))
    if isinstance(op, ast.In | ast.NotIn):
        if isinstance(right, ast.Tuple | ast.List):
            column = _evaluate(left, table)
            values = [_fixed(item, table) for item in right.elts]
            found = pc.is_in(column, value_set=pa.array(values, column.type))
        else:
            found = pc.match_substring(_evaluate(right, table), pattern=_fixed(left, table))
        return found if isinstance(op, ast.In) else pc.invert(found)
    if type(op) not in _COMPARISONS:
        raise ValueError(f"'{ast.unparse(left)} {type(op).__name__} ...' is not understood")
    return getattr(pc, _COMPARISONS[type(op)])(_evaluate(left, table), _evaluate(right, table))


def _fixed(node: ast.expr, table: pa.Table) -> Any:
    """The value of an expression without columns. Raises `ValueError` for one that has any."""
    import pyarrow as pa

    value = _evaluate(node, table)
    if not isinstance(value, pa.Scalar):
        raise ValueError(
            f"{ast.unparse(node)!r} is a column, where a text or number belongs: write "
            "'push' in text, or text in ('push', 'pull')"
        )
    return value.as_py()


_ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
}
_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
    ast.Lt: "less",
    ast.LtE: "less_equal",
    ast.Gt: "greater",
    ast.GtE: "greater_equal",
}
