"""The text of a filter as an expression of Arrow, which alone evaluates it.

The text is read by Python's grammar, and each part of it becomes a `pyarrow.compute.Expression`.
Nothing in it is ever executed: names are columns, and what is called is one of the functions of
Arrow that are listed here, none of which reads a file, draws a number or makes more of its input
than was there.
"""

from __future__ import annotations

import ast
import keyword
import math
import re
import warnings
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any

from sofdata.errors import ConfigError
from sofdata.loading.quotes import checked, wrong
from sofdata.system.nearest import did_you_mean

if TYPE_CHECKING:
    import pyarrow.compute as pc

ALIASES = {"motion": "mean_px"}
LABELS = "labels"
GRAMMAR = "write it like: motion > 0.5 and text != ''"

# Scalar functions of Arrow, by the names that its documentation has for them.
FUNCTIONS = (
    *("abs", "sign", "sqrt", "exp", "ln", "log10", "log2", "power", "floor", "ceil", "trunc"),
    *("round", "min_element_wise", "max_element_wise", "is_nan", "is_inf", "is_finite"),
    *("is_null", "is_valid", "coalesce", "if_else"),
    *("utf8_lower", "utf8_upper", "utf8_length", "utf8_trim_whitespace", "utf8_slice_codeunits"),
    *("starts_with", "ends_with", "match_like", "match_substring", "match_substring_regex"),
    *("find_substring", "find_substring_regex", "count_substring", "count_substring_regex"),
)
# What an expression of pyarrow can be asked, as in `text.isin(["push", "pull"])`.
METHODS = ("isin", "is_null", "is_valid", "is_nan")


class NotUnderstood(ValueError):
    """A part of a filter means nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """What a filter asks for. columns, labels: that it reads, sorted."""

    expression: pc.Expression
    columns: tuple[str, ...]
    labels: tuple[str, ...]


def condition(where: str) -> Condition:
    """The expression that a text stands for.

    Raises `ConfigError`, with the place, for text that is no expression, and with the part for what
    means nothing. Whether there are such columns, of fitting types, is not looked at.
    """
    tree = _parse(where)
    try:
        translation = _Translation()
        found = translation.value(tree)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise unfit(where, error, translation.names) from None
    if not is_expression(found) or not translation.names:
        raise no_condition(where)
    return Condition(found, tuple(sorted(translation.names)), tuple(sorted({*translation.labels})))


def is_expression(value: object) -> bool:
    """Whether this is an expression of Arrow."""
    import pyarrow.compute as pc

    return isinstance(value, pc.Expression)


def no_condition(where: object) -> ConfigError:
    """What is said of an expression that is neither true nor false."""
    return ConfigError(f"the filter {str(where)!r} is not a condition on a column; {GRAMMAR}")


def unfit(where: object, error: Exception, names: set[str]) -> ConfigError:
    """What is said of an expression that cannot be evaluated on the columns of these names."""
    hint = "; labels are texts, each asked for by its name: labels.split == 'train'"
    hint = hint if LABELS in names else ""
    if "and_kleene" in str(error) or "or_kleene" in str(error):
        hint += "; 'and' and 'or' stand between conditions, and beside & and | these need brackets"
    return ConfigError(f"the filter {str(where)!r} does not fit the columns: {error}{hint}")


@dataclass(slots=True)
class _Translation:
    """Makes an expression of a tree, and keeps which columns and labels stand in it.

    Parts without a column are plain values, since functions of Arrow take such as their options.
    """

    names: set[str] = field(default_factory=set)
    labels: list[str] = field(default_factory=list)

    def value(self, node: ast.expr) -> Any:
        """An expression, or the plain value of a constant. Raises `ValueError`, `TypeError`."""
        match node:
            case ast.Constant(value=bool() | int() | float() | str()):
                return _finite(node.value)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float())):
                return -self.value(node.operand)
            case ast.Attribute() | ast.Subscript() if (name := _label_of(node)) is not None:
                return self._label(name)
            case ast.Name():
                return self._column(ALIASES.get(node.id, node.id))
            case ast.UnaryOp(op=ast.Not() | ast.Invert()):
                return ~self._part(node.operand)
            case ast.UnaryOp(op=ast.USub()):
                return _call("negate", self._part(node.operand))
            case ast.BoolOp():
                parts = [self._part(each) for each in node.values]
                return reduce(_and if isinstance(node.op, ast.And) else _or, parts)
            case ast.BinOp(op=ast.BitAnd() | ast.BitOr()):
                join = _and if isinstance(node.op, ast.BitAnd) else _or
                return join(self._part(node.left), self._part(node.right))
            case ast.BinOp() if type(node.op) in _ARITHMETIC:
                sides = (self._part(each).cast("float64") for each in (node.left, node.right))
                return _call(_ARITHMETIC[type(node.op)], *sides)  # so that 1 / 2 is a half
            case ast.Compare():
                return self._comparisons(node)
            case ast.Call():
                return self._called(node)
        bare_none = isinstance(node, ast.Constant) and node.value is None
        hint = "write 'is None'" if bare_none else GRAMMAR
        raise NotUnderstood(f"{ast.unparse(node)!r} is not understood; {hint}")

    def _part(self, node: ast.expr) -> pc.Expression:
        """An expression of Arrow, also of a constant."""
        import pyarrow.compute as pc

        found = self.value(node)
        return found if is_expression(found) else pc.scalar(found)

    def _column(self, name: str) -> pc.Expression:
        import pyarrow.compute as pc

        self.names.add(name)
        return pc.field(name)

    def _label(self, name: str) -> pc.Expression:
        """One label of each row, null where a row has none."""
        import pyarrow.compute as pc

        self.labels.append(name)
        return pc.map_lookup(self._column(LABELS), name, "first")

    def _comparisons(self, node: ast.Compare) -> pc.Expression:
        sides = zip([node.left, *node.comparators], node.comparators, strict=False)
        pairs = zip(sides, node.ops, strict=True)
        return reduce(_and, [self._compare(left, op, right) for (left, right), op in pairs])

    def _compare(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> pc.Expression:
        if isinstance(op, ast.Is | ast.IsNot) and ast.unparse(right) == "None":
            found = self._part(left).is_null()
            return found if isinstance(op, ast.Is) else ~found
        if isinstance(op, ast.In | ast.NotIn):
            found = self._in(left, right)
            return found if isinstance(op, ast.In) else ~found
        if type(op) not in _COMPARISONS:
            text = f"{ast.unparse(left)} {type(op).__name__} ..."
            raise NotUnderstood(f"'{text}' is not understood")
        return _call(_COMPARISONS[type(op)], self._part(left), self._part(right))

    def _in(self, left: ast.expr, right: ast.expr) -> pc.Expression:
        if isinstance(right, ast.Tuple | ast.List):
            return self._among(self._part(left), right)
        return _call("match_substring", self._part(right), pattern=self._fixed(left))

    def _among(self, column: pc.Expression, values: ast.Tuple | ast.List) -> pc.Expression:
        import pyarrow as pa

        fixed = [self._fixed(each) for each in values.elts]
        if not fixed:
            raise NotUnderstood("a list without values holds nothing that could be in it")
        return column.isin(pa.array(fixed))

    def _fixed(self, node: ast.expr) -> Any:
        """The value of a constant. Raises `NotUnderstood` for what has columns."""
        value = self.value(node)
        if is_expression(value):
            raise NotUnderstood(
                f"{ast.unparse(node)!r} is a column, where a text or number belongs: write "
                "'push' in text, or text in ('push', 'pull')"
            )
        return value

    def _called(self, node: ast.Call) -> pc.Expression:
        """`starts_with(text, 'push')`, also as `pc.starts_with(...)`; `text.isin(['push'])`."""
        match node.func:
            case ast.Name(id="field") | ast.Attribute(value=ast.Name(id="pc"), attr="field"):
                return self._column(str(self._fixed(_only(node))))
            case ast.Name(id=name):
                return self._function(name, node)
            case ast.Attribute(value=ast.Name(id="pc"), attr=name):
                return self._function(name, node)
            case ast.Attribute(value=owner, attr=name) if name in METHODS:
                return self._method(owner, name, node)
        raise NotUnderstood(f"{ast.unparse(node)!r} is not understood; {_offered()}")

    def _function(self, name: str, node: ast.Call) -> pc.Expression:
        if name not in FUNCTIONS:
            hint = did_you_mean(name, FUNCTIONS)
            raise NotUnderstood(f"{name}() is none of the functions{hint}; {_offered()}")
        options = {str(each.arg): self._fixed(each.value) for each in node.keywords if each.arg}
        if len(options) < len(node.keywords):
            raise NotUnderstood(f"{ast.unparse(node)!r} is not understood")
        return _call(name, *(self.value(each) for each in node.args), **options)

    def _method(self, owner: ast.expr, name: str, node: ast.Call) -> pc.Expression:
        column = self._part(owner)
        if name != "isin":
            if node.args or node.keywords:
                raise NotUnderstood(f"{ast.unparse(node)!r}: {name}() takes nothing")
            return getattr(column, name)()
        values = _only(node)
        if not isinstance(values, ast.Tuple | ast.List):
            raise NotUnderstood(f"{ast.unparse(node)!r}: isin takes a list of texts or numbers")
        return self._among(column, values)


def _only(node: ast.Call) -> ast.expr:
    if len(node.args) != 1 or node.keywords:
        raise NotUnderstood(f"{ast.unparse(node)!r} takes one argument")
    return node.args[0]


def _offered() -> str:
    return f"functions, as Arrow defines them: {', '.join(FUNCTIONS)}"


def _call(function: str, *arguments: Any, **options: Any) -> Any:
    """A function of Arrow of expressions; with constants alone it would be no expression."""
    import pyarrow.compute as pc

    if not any(map(is_expression, arguments)):
        raise NotUnderstood(f"{function}() of constants depends on no column")
    return getattr(pc, function)(*arguments, **options)


def _and(left: pc.Expression, right: pc.Expression) -> pc.Expression:
    return left & right  # of a missing value and a false one: false (Kleene's logic)


def _or(left: pc.Expression, right: pc.Expression) -> pc.Expression:
    return left | right


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


def _label_of(node: ast.expr) -> str | None:
    """The label that a node asks for, None if it is no label."""
    match node:
        case ast.Attribute(value=ast.Name(id="labels"), attr=name):
            return name
        case ast.Subscript(value=ast.Name(id="labels"), slice=ast.Constant(value=str(name))):
            return name
    return None


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
    if word := re.search(r"\b(AND|OR|NOT|IN|IS|NULL|LIKE|BETWEEN)\b", bare):
        return f"{word[0]} is not a word of it; {GRAMMAR}"
    if re.search(r"(?<![<>=!])=(?!=)|<>|&&|\|\|", bare):
        return f"'is equal' is written ==, 'is not' !=, and words stand for && and ||; {GRAMMAR}"
    for name in re.findall(rf"\b{LABELS}\.(\w+)", bare):
        if keyword.iskeyword(name):
            return f"write {LABELS}['{name}']"
    return GRAMMAR


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
