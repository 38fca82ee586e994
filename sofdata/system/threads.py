"""`map` in threads, for work that waits for a disk or a network."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def in_parts(items: Iterable[S], size: int) -> Iterator[list[S]]:
    """Items in lists of so many, the last of them with what is left."""
    waiting = iter(items)
    while part := list(itertools.islice(waiting, size)):
        yield part


def in_order(work: Callable[[S], T], items: Iterable[S], threads: int) -> Iterator[T]:
    """Results in the order of the items; at most one a thread and one more are kept in memory."""
    waiting: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
