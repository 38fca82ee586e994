"""Work done ahead of its use, in a thread of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterable[T], number: int) -> Iterator[T]:
    """The same items, made by a thread that is at most `number` items ahead of their use.

    An error of `items` is raised here, where its item would have come. The thread ends with this
    iterator, also when that is dropped half-way; at most the item under way is then finished.
    """
    source, end = iter(items), object()
    with ThreadPoolExecutor(1, "sofdata-ahead") as thread:
        made = deque(thread.submit(next, source, end) for _ in range(number))
        try:
            while (item := made.popleft().result()) is not end:
                made.append(thread.submit(next, source, end))
                yield item  # type: ignore[misc]
        finally:
            for unwanted in made:
                unwanted.cancel()
