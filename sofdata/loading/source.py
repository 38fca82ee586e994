"""Where an epoch's order becomes rows to read, in each process the ones that are its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sofdata.loading.order import Order, RankShare
from sofdata.loading.sharing import own_worker


class Source:
    """First stage of the pipeline: for each batch, the rows of it that this rank gets, in order.

    Goes from epoch to epoch without end.

    shared: whether worker processes of the loader read; where they begin is shared memory then, so
    that they can stay when that changes.
    """

    def __init__(self, order: Order, share: RankShare, shared: bool) -> None:
        self._order = order
        self._share = share
        self._begin = (0, 0, 0, 1)
        self._shared = shared_numbers(2) if shared else None

    def begin_at(self, epoch: int, batch: int, first: int, step: int) -> None:
        """Begin at a batch; of each later epoch at `first`, and take every `step`-th."""
        self._begin = (epoch, batch, first, step)
        if self._shared is not None:
            self._shared[0], self._shared[1] = epoch, batch

    def __call__(self) -> Iterator[list[int]]:
        worker, batches = own_worker(), self._share.batches
        if worker is None or self._shared is None:
            epoch, batch, first, step = self._begin
        else:
            # The DataLoader takes one batch of each worker in turn: that brings them into order.
            (epoch, batch), (first, step) = self._shared.tolist(), worker
            batch += first
        while True:
            further, batch = divmod(batch, batches)
            epoch += further
            rows = self._order.epoch(epoch)
            while batch < batches:
                yield self._share.part(rows, batch).tolist()
                batch += step
            if worker is None:
                batch = batches + first


def shared_numbers(number: int) -> Any:
    """So many whole numbers in memory that processes share, int64, zero at first."""
    import torch

    numbers = torch.zeros(number, dtype=torch.int64)
    numbers.share_memory_()  # type: ignore[no-untyped-call]
    return numbers
