"""Shared memory in which worker processes hand their batches over.

It is made once and used again and again: mapping fresh pages for every batch, as torch does when a
tensor goes from one process to another, can cost as much as decoding into them.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ConfigError, ContractError

if TYPE_CHECKING:
    import torch

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - only asked for its free space
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a block lies: in which worker's slots, filled at that worker's `turn`."""

    worker: int
    turn: int


class Slots:
    """So many blocks of `block_bytes` for each worker, filled in turn.

    each: one more than a worker may have finished or under way while the oldest is copied out. It
        is checked that no block was filled again meanwhile.

    Raises `ConfigError` where there is too little shared memory, which would kill a process later.
    """

    def __init__(self, workers: int, each: int, block_bytes: int) -> None:
        import torch

        _check_room(workers, workers * each * block_bytes)
        self._each = each
        self._blocks = [_shared(each * block_bytes).view(each, -1) for _ in range(workers)]
        self._filled = torch.zeros((workers, each), dtype=torch.int64)
        self._filled.share_memory_()  # type: ignore[no-untyped-call]
        self._turn = 0

    def claim(self, worker: int) -> tuple[Slot, NDArray[np.uint8]]:
        """In a worker: the block to fill next."""
        self._turn += 1
        slot = self._turn % self._each
        self._filled[worker, slot] = self._turn
        block: NDArray[np.uint8] = self._blocks[worker][slot].numpy()
        return Slot(worker, self._turn), block

    def take(self, place: Slot, size_bytes: int) -> NDArray[np.uint8]:
        """In the training process: a copy of the start of a block."""
        slot = place.turn % self._each
        copy: NDArray[np.uint8] = self._blocks[place.worker][slot, :size_bytes].numpy().copy()
        if int(self._filled[place.worker, slot]) != place.turn:
            raise ContractError("a batch was overwritten before it was copied out of its slot")
        return copy


def _shared(size_bytes: int) -> torch.Tensor:
    import torch

    storage = torch.UntypedStorage._new_shared(size_bytes)  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=torch.uint8).set_(storage)


def _check_room(workers: int, size_bytes: int) -> None:
    if not os.path.isdir(SHARED_MEMORY):
        return
    free_bytes = shutil.disk_usage(SHARED_MEMORY).free
    if free_bytes < size_bytes:
        raise ConfigError(
            f"{workers} loading processes need {size_bytes // MIB + 1} MiB of shared memory for "
            f"batches of this size, {SHARED_MEMORY} has {free_bytes // MIB} left: take fewer of "
            "them, or none, or give the container more (docker run --shm-size)"
        )
