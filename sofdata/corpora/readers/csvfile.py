"""CSV files written by others, read without trust, row by row: what is wrong names its line.

No file is held as a whole: the full table of Panda-70M has more than 2 GB.
"""

from __future__ import annotations

import ast
import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sofdata.corpora.readers import jsonfile
from sofdata.corpora.readers.textfile import PIECE, open_utf8
from sofdata.storage.tree import Tree

MAX_CELL = 1 << 21  # characters
DELIMITERS = (",", ";", "\t", "|")
Row = dict[str, str]
_NUMBER = re.compile(r"([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_CLOCK = re.compile(r"([0-9]+:){1,2}[0-9]+(\.[0-9]*)?")
_BLANK = re.compile(rb"([ \t]*\r?\n)+")  # lines before the heading
_SEP = re.compile(rb"sep=(.)\r?\n", re.IGNORECASE)  # as Excel writes it, and reads it


@dataclass(frozen=True, slots=True)
class Form:
    """How a table is written. skipped: lines before its heading."""

    delimiter: str
    heads: tuple[str, ...]
    skipped: int = 0


def read_rows(
    tree: Tree, rel: str, required: Sequence[str] = (), delimiter: str | None = None
) -> Iterator[tuple[int, Row]]:
    """The rows of a table with a heading, each with the number of the line on which it ends.

    required: columns that must be there. delimiter: default: the one that makes most of the
    heading, see `form`. Cells are stripped of space around them; in any Unicode, see `textfile`.
    A column without a name is left out. Raises `ConfigError` for a missing column, two of one name,
    another encoding, or a row with more or fewer cells than the heading.
    """
    csv.field_size_limit(MAX_CELL)  # of this process; Python's own limit is less than some lists
    rows: Any = None
    before = 0
    try:
        with open_utf8(tree, rel) as handle:
            found = _form(handle, delimiter, required)
            before = found.skipped
            for _ in range(before):
                handle.readline()
            text = io.TextIOWrapper(handle, "utf-8", newline="")
            rows = csv.reader(text, delimiter=found.delimiter, strict=True)
            heads = [head.strip() for head in next(rows, [])]
            _check(tree, rel, heads, required)
            for row in rows:
                if not any(cell.strip() for cell in row):
                    continue
                line = before + rows.line_num
                if len(row) != len(heads):
                    what = f"line {line} has {len(row)} cells, line {before + 1} has {len(heads)}"
                    raise jsonfile.wrong(tree, rel, what)
                cells = zip(heads, (cell.strip() for cell in row), strict=True)
                yield line, {head: cell for head, cell in cells if head}
    except csv.Error as error:
        raise jsonfile.wrong(tree, rel, f"line {before + rows.line_num}: {error}") from None
    except UnicodeDecodeError:
        raise jsonfile.wrong(tree, rel, _not_unicode(tree, rel)) from None
    except OSError as error:
        raise jsonfile.wrong(tree, rel, error.strerror or type(error).__name__) from None


def _check(tree: Tree, rel: str, heads: Sequence[str], required: Sequence[str]) -> None:
    missing = [name for name in required if name not in heads]
    if missing:
        found = ", ".join(heads)[:200] or "nothing"
        what = f"line 1 lacks the columns {', '.join(missing)}; found {found}"
        raise jsonfile.wrong(tree, rel, what)
    jsonfile.check_names(tree, rel, [head for head in heads if head])


def columns(tree: Tree, rel: str, delimiter: str | None = None) -> list[str]:
    """The heading of a table, for a look at what it is: [] for what is no table.

    Raises `ConfigError` where the file cannot be read.
    """
    try:
        return list(_read_form(tree, rel, delimiter, ()).heads)
    except UnicodeDecodeError:
        return []


def form(tree: Tree, rel: str, delimiter: str | None = None, wanted: Sequence[str] = ()) -> Form:
    """How a table is written, by its first `PIECE` bytes; no heads for what is no table.

    Its first line may say so itself ("sep=;"). Else the delimiter is the one that gives most of the
    `wanted` columns, then most columns at all; a comma where none gives more.

    Raises `ConfigError` where the file cannot be read.
    """
    try:
        return _read_form(tree, rel, delimiter, wanted)
    except UnicodeDecodeError:
        raise jsonfile.wrong(tree, rel, _not_unicode(tree, rel)) from None


def _read_form(tree: Tree, rel: str, delimiter: str | None, wanted: Sequence[str]) -> Form:
    try:
        with open_utf8(tree, rel) as handle:
            return _form(handle, delimiter, wanted)
    except OSError as error:
        raise jsonfile.wrong(tree, rel, error.strerror or type(error).__name__) from None


def _form(handle: io.BufferedReader, delimiter: str | None, wanted: Sequence[str]) -> Form:
    """Looks ahead without reading."""
    data = handle.peek(PIECE)
    blank = _BLANK.match(data)
    skipped = blank[0].count(b"\n") if blank else 0
    data = data[blank.end() :] if blank else data
    named = _SEP.match(data)
    if named:
        data, delimiter = data[named.end() :], named[1].decode("latin-1")
    text = data.decode("utf-8", "replace")
    forms = [
        Form(each, _heads(text, each), skipped + bool(named))
        for each in ([delimiter] if delimiter else DELIMITERS)
    ]
    names = {name.casefold() for name in wanted}
    found = [{head.casefold() for head in each.heads} & names for each in forms]
    return max(zip(forms, found, strict=True), key=lambda pair: (len(pair[1]), len(pair[0].heads)))[
        0
    ]


def _heads(text: str, delimiter: str) -> tuple[str, ...]:
    try:
        row: list[str] = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
    except csv.Error:
        return ()
    return tuple(head.strip() for head in row)


def strings(tree: Tree, rel: str, line: int, cell: str) -> list[str]:
    """A cell that holds a Python list of strings, such as "['tap', 'cup']"; [] for an empty one.

    Raises `ConfigError` for anything else.
    """
    found = literal_list(tree, rel, line, cell) if cell else []
    if not all(isinstance(each, str) for each in found):
        raise jsonfile.wrong(tree, rel, f"line {line}: {cell[:60]!r} should be a list of strings")
    return found


def literal_list(tree: Tree, rel: str, line: int, cell: str) -> list[Any]:
    """A cell that holds a Python list, such as "[['0:00', '0:02']]". Raises `ConfigError`.

    Literals only, nothing is run.
    """
    try:
        value = ast.literal_eval(cell)
        if not isinstance(value, list):
            raise ValueError("no list")
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        what = f"line {line}: {cell[:60]!r} should be a list, as Python writes it"
        raise jsonfile.wrong(tree, rel, what) from None
    return value


def seconds(text: str, decimal: str = ".") -> float:
    """Seconds from '12.5', '1e-05', '01:02.5' or '00:01:02,50'. Raises `ValueError` for all else.

    decimal: the mark before the decimals; where there are colons it may be a comma at all times, as
    in subtitles.
    """
    found = text.replace("," if ":" in text else decimal, ".")
    if not (_CLOCK if ":" in found else _NUMBER).fullmatch(found):
        raise ValueError(f"{text[:40]!r} is no time such as 00:01:02.50")
    total = 0.0
    for part in found.split(":"):
        total = 60 * total + float(part)
    if total == math.inf:
        raise ValueError(f"{text[:40]!r} is more seconds than can be counted")
    return total


def _not_unicode(tree: Tree, rel: str) -> str:
    """Where a file is no UTF-8, or that it is no UTF-16."""
    try:
        with open_utf8(tree, rel) as handle:
            for number, data in enumerate(handle, 1):
                try:
                    data.decode()
                except UnicodeDecodeError as error:
                    bad = data[error.start]
                    return f"line {number} is not UTF-8 (byte {bad:#x}); save it as UTF-8"
    except UnicodeDecodeError as error:
        return f"it is no whole {error.encoding.upper()}; save it as UTF-8"
    return "it is not UTF-8; save it as UTF-8"
