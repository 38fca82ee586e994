"""Work done ahead of its use, in a thread of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_END = object()


class Ahead(Generic[T]):
    """An iterator over the same items, made by a thread at most `number` items ahead of their use.

    An error of `items` is raised where its item would have come, and ends the iteration. The thread
    ends with it; the item that is being made is finished.
    """

    def __init__(self, items: Iterable[T], number: int) -> None:
        self._source: Iterator[T] = iter(items)
        self._thread = ThreadPoolExecutor(1, "sofdata-ahead")
        self._made: deque[Future[Any]] = deque(self._submit() for _ in range(number))

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if not self._made:
            raise StopIteration
        try:
            item = self._made.popleft().result()
        except BaseException:
            self.close()
            raise
        if item is _END:
            self.close()
            raise StopIteration
        self._made.append(self._submit())
        return item  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the iteration, and wait until the thread has ended."""
        self._cancel()
        self._thread.shutdown(wait=True)

    def __del__(self) -> None:
        # Python collects garbage wherever it likes, also while it starts or ends a thread. To wait
        # for another one there would wait for ever; this one ends by itself once it has no work.
        with suppress(AttributeError):  # the constructor has failed
            self._cancel()

    def _submit(self) -> Future[Any]:
        return self._thread.submit(next, self._source, _END)

    def _cancel(self) -> None:
        while self._made:
            self._made.pop().cancel()
