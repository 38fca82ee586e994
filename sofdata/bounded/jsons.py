"""JSON that others wrote: bounded in size, depth and numbers before anything is made of it.

Parsing is pydantic's, which gives up at a depth of 200 and never uses Python's stack for it.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

LARGEST_INT = (1 << 63) - 1
# So many bytes a value has at least, on average, in what is written here. A list of nothing has two
# and costs thirty times as much in memory.
VALUE_BYTES = 10
FREE_VALUES = 100_000
_NO_NUMBERS = frozenset((str, bool, type(None)))
SHOWN_PLACES, COUNTED_PLACES = 5, 10_000


def check_size(data: bytes, most_bytes: int) -> None:
    """Raise `ValueError` for JSON that is too long, or that holds far too much for its length."""
    if len(data) > most_bytes:
        raise ValueError(f"{len(data)} bytes, more than the {most_bytes} that are read")
    values = data.count(b",") + 1
    if values > FREE_VALUES + len(data) // VALUE_BYTES:
        raise ValueError(f"some {values} values in {len(data)} bytes, which nothing here writes")


def parse(data: bytes | str, most_bytes: int) -> Any:
    """The value of a JSON text. Raises `ValueError` for what is no JSON, too much or too deep."""
    data = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    check_size(data, most_bytes)
    value = from_json(data)
    check_numbers(value)
    return value


def check_numbers(value: Any, name: object = "") -> None:
    """Raise `ValueError` for a number that is not finite or does not fit 64 bits, wherever it is.

    value: plain values, or a record; of a depth that its parser has bounded.
    """
    kind = type(value)
    if kind is float:
        if not math.isfinite(value):
            raise ValueError(f"{str(name)[:60] or 'it'} is {value}")
    elif kind is int:
        if not -LARGEST_INT <= value <= LARGEST_INT:
            raise ValueError(f"{str(name)[:60] or 'it'} has more than 64 bits")
    elif kind is list or kind is tuple:
        if not _are_good(value):
            for each in value:
                check_numbers(each, name)
    elif kind is dict:
        if not (_are_good(value) and _are_good(value.values())):
            for key, each in value.items():
                check_numbers(key, name)
                check_numbers(each, key)
    elif isinstance(value, BaseModel):
        for key, each in value.__dict__.items():
            if type(each) not in _NO_NUMBERS:
                check_numbers(each, key)


def _are_good(values: Collection[Any]) -> bool:
    """Whether it is seen at once, without a look at each, that these are right: most are alike."""
    kinds = {*map(type, values)}
    if kinds == {float}:
        return all(map(math.isfinite, values))
    if kinds == {int}:
        return bool(min(values) >= -LARGEST_INT and max(values) <= LARGEST_INT)
    return kinds <= _NO_NUMBERS


def brief(error: ValueError) -> str:
    """What is wrong, in one line: of a record that does not validate the first places."""
    if not isinstance(error, ValidationError):
        return (str(error).splitlines() or [type(error).__name__])[0][:300]
    number = error.error_count()
    if number > COUNTED_PLACES:
        return f"{number} values are wrong"
    found = error.errors(include_url=False, include_input=False, include_context=False)
    parts = []
    for each in found[:SHOWN_PLACES]:
        place = ".".join(str(part)[:60] for part in each["loc"])
        parts.append(f"{place}: {each['msg']}"[:200] if place else each["msg"][:200])
    more = f"; and {number - SHOWN_PLACES} more" if number > SHOWN_PLACES else ""
    return "; ".join(parts) + more
