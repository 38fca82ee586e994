"""CSV files written by others, read without trust, row by row: what is wrong names its line.

No file is held as a whole: the full table of Panda-70M has more than 2 GB.
"""

from __future__ import annotations

import ast
import codecs
import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from sofdata.corpora import jsonfile
from sofdata.storage import Tree

MAX_CELL = 1 << 21  # characters
Row = dict[str, str]
_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?")


def read_rows(
    tree: Tree, rel: str, required: Sequence[str] = (), delimiter: str = ","
) -> Iterator[tuple[int, Row]]:
    """The rows of a table with a heading, each with the number of the line on which it ends.

    required: columns that must be there. Cells are stripped of space around them; UTF-8, with or
    without a byte order mark. Raises `ConfigError` for a missing column, another encoding, or a row
    with more or fewer cells than the heading.
    """
    csv.field_size_limit(MAX_CELL)  # of this process; Python's own limit is less than some lists
    rows: Any = None
    try:
        with tree.open(rel) as handle:
            text = io.TextIOWrapper(handle, "utf-8-sig", newline="")
            rows = csv.reader(text, delimiter=delimiter, strict=True)
            heads = [head.strip() for head in next(rows, [])]
            missing = [name for name in required if name not in heads]
            if missing:
                found = ", ".join(heads)[:200] or "nothing"
                what = f"line 1 lacks the columns {', '.join(missing)}; found {found}"
                raise jsonfile.wrong(tree, rel, what)
            for row in rows:
                if not any(cell.strip() for cell in row):
                    continue
                if len(row) != len(heads):
                    what = f"line {rows.line_num} has {len(row)} cells, line 1 has {len(heads)}"
                    raise jsonfile.wrong(tree, rel, what)
                yield rows.line_num, dict(zip(heads, (cell.strip() for cell in row), strict=True))
    except csv.Error as error:
        raise jsonfile.wrong(tree, rel, f"line {rows.line_num}: {error}") from None
    except UnicodeDecodeError:
        raise jsonfile.wrong(tree, rel, _not_utf8(tree, rel)) from None
    except OSError as error:
        raise jsonfile.wrong(tree, rel, error.strerror or type(error).__name__) from None


def columns(tree: Tree, rel: str, delimiter: str = ",") -> list[str]:
    """The heading of a table, for a look at what it is: [] for what is no table.

    Raises `ConfigError` where the file cannot be read.
    """
    try:
        with tree.open(rel) as handle:
            first = handle.readline(MAX_CELL).decode("utf-8-sig", "replace")
        heads = next(csv.reader([first], delimiter=delimiter), [])
    except csv.Error:
        return []
    except OSError as error:
        raise jsonfile.wrong(tree, rel, error.strerror or type(error).__name__) from None
    return [head.strip() for head in heads]


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


def seconds(text: str) -> float:
    """Seconds from '12.5', '01:02.5' or '00:01:02.50'. Raises `ValueError` for anything else."""
    total = 0.0
    parts = text.split(":")
    if len(parts) > 3 or not all(_NUMBER.fullmatch(part) for part in parts):
        raise ValueError(f"{text[:40]!r} is no time such as 00:01:02.50")
    for part in parts:
        total = 60 * total + float(part)
    if total == math.inf:
        raise ValueError(f"{text[:40]!r} is more seconds than can be counted")
    return total


def _not_utf8(tree: Tree, rel: str) -> str:
    """Where a file is no UTF-8, and what it is instead if that is plain."""
    with tree.open(rel) as handle:
        for number, data in enumerate(handle, 1):
            if number == 1 and data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                return "it is UTF-16; save it as UTF-8"
            try:
                data.decode("utf-8-sig")
            except UnicodeDecodeError as error:
                return f"line {number} is not UTF-8 (byte {data[error.start]:#x}); save it as UTF-8"
    return "it is not UTF-8; save it as UTF-8"
