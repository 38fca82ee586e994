"""The cells of a manifest as names, times and text, whatever program has written them."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from sofdata.corpora.readers import csvfile, jsonfile

# What R, pandas, DuckDB, Excel and MySQL write into a cell that holds nothing, and what Python
# makes of it as text. In other spellings these may be words.
ABSENT = frozenset(
    ("NaN", "nan", "NA", "<NA>", "N/A", "#N/A", "NaT", "None", "null", "NULL", r"\N", "-nan")
)
_DAYS = re.compile(r"([0-9]+) days? ([0-9:.]+)")  # a length of time as pandas writes it
_MOMENT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9:.]+)Z?")


def text_of(value: Any) -> str:
    """A value as text, "" for none."""
    if type(value) is str:  # nearly all, of millions
        return jsonfile.clean(value).strip()
    if value is None or (isinstance(value, float) and value != value):  # NaN, as pandas has it
        return ""
    return jsonfile.clean(str(value)).strip()


def name_of(value: Any) -> str:
    """An id; pandas makes 5.0 of 5 where other rows have none."""
    whole = isinstance(value, float) and value.is_integer()
    return text_of(int(value) if whole else value)


def unless_absent(text: str) -> str:
    """A text, an id or a time, "" for what stands for none."""
    return "" if text in ABSENT else text


def span_of(start: str, end: str, decimal: str) -> tuple[float, float] | None:
    """A span in s, None where neither time is given. Raises `ValueError` for what is no time."""
    if not unless_absent(start) and not unless_absent(end):
        return None
    days = [found[1] for each in (start, end) if (found := _MOMENT.fullmatch(each))]
    if len(set(days)) > 1:
        raise ValueError(f"{start[:40]!r} and {end[:40]!r} are of different days")
    return _seconds(start, decimal), _seconds(end, decimal)


def _seconds(text: str, decimal: str) -> float:
    """Seconds, also from a length of time as pandas writes it, and from a time of a day."""
    if found := _DAYS.fullmatch(text):
        return 86400.0 * int(found[1]) + csvfile.seconds(found[2])
    if found := _MOMENT.fullmatch(text):
        return csvfile.seconds(found[2])
    return csvfile.seconds(text, decimal)


def short_seconds(seconds: float) -> str:
    """Seconds in six digits, or in more where these are less than microseconds."""
    text = f"{seconds:g}"
    return text if abs(float(text) - seconds) < 1e-6 else f"{seconds:.12g}"


def other_spelling(uri: str) -> str:
    """How a file may be called that is not there as a table names it, "" for no other way.

    Windows writes backslashes between folders; what makes file:// URLs, such as Python's `as_uri`,
    writes odd characters as %20.
    """
    if uri.startswith("file://"):
        found = unquote(uri)
        return found if found != uri and "\0" not in found else ""
    return uri.replace("\\", "/") if "\\" in uri and "://" not in uri else ""
