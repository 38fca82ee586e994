"""`sofdata.loading.ahead`: the same items, bounded, with errors where they belong."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator

import pytest

from sofdata.loading.ahead import Ahead


def test_items_come_in_order_and_at_most_so_many_ahead() -> None:
    made: list[int] = []
    third = threading.Event()

    def numbers() -> Iterator[int]:
        for number in range(6):
            made.append(number)
            if number == 2:
                third.set()
            yield number

    items = Ahead(numbers(), 2)
    assert next(items) == 0
    assert third.wait(60)
    assert len(made) <= 3
    assert list(items) == [1, 2, 3, 4, 5]


def test_an_error_is_raised_where_its_item_would_have_come() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise KeyError("two")

    items = Ahead(numbers(), 4)
    assert next(items) == 1
    with pytest.raises(KeyError, match="two"):
        next(items)


def test_it_ends_with_the_items_and_with_an_error() -> None:
    items = Ahead(iter([1, 2]), 3)
    assert list(items) == [1, 2]
    assert list(items) == []
    assert not _threads()


def test_closing_waits_for_the_item_that_is_being_made_and_ends_the_thread() -> None:
    made = []

    def numbers() -> Iterator[int]:
        for number in range(9):
            time.sleep(0.05)
            made.append(number)
            yield number

    items = Ahead(numbers(), 4)
    next(items)
    items.close()
    assert not _threads()
    assert len(made) <= 3
    assert list(items) == []


def test_garbage_collection_waits_for_nothing() -> None:
    """In a thread that is just being started, waiting for another one would never end."""
    hold, waiting = threading.Event(), threading.Event()

    def numbers() -> Iterator[int]:
        yield 0
        waiting.set()
        hold.wait(120)
        yield 1

    items = Ahead(numbers(), 1)
    next(items)
    assert waiting.wait(60)
    cycle: list[object] = [items]
    cycle.append(cycle)
    del items, cycle
    began = time.monotonic()
    gc.collect()
    assert time.monotonic() - began < 20
    hold.set()
    _wait_for_the_thread_to_end()


def _threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith("sofdata-ahead")]


def _wait_for_the_thread_to_end() -> None:
    for thread in _threads():
        thread.join(60)
    assert not _threads()
