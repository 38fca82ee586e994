"""`sofdata.loading.ahead`: the same items, bounded, with errors where they belong."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from sofdata.loading.ahead import ahead


def test_items_come_in_order_and_at_most_so_many_ahead() -> None:
    made: list[int] = []
    third = threading.Event()

    def numbers() -> Iterator[int]:
        for number in range(6):
            made.append(number)
            if number == 2:
                third.set()
            yield number

    items = ahead(numbers(), 2)
    assert next(items) == 0
    assert third.wait(5)
    assert len(made) <= 3
    assert list(items) == [1, 2, 3, 4, 5]


def test_an_error_is_raised_where_its_item_would_have_come() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise KeyError("two")

    items = ahead(numbers(), 4)
    assert next(items) == 1
    with pytest.raises(KeyError, match="two"):
        next(items)
