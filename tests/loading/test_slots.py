"""`sofdata.loading.slots`: blocks are used again, and never unseen while they are copied."""

from __future__ import annotations

import pytest

from sofdata.errors import ConfigError, ContractError
from sofdata.loading.slots import Slots


def test_a_block_is_what_its_worker_put_there() -> None:
    slots = Slots(workers=2, each=3, block_bytes=100)
    places = []
    for worker in (0, 1):
        for _ in range(2):
            place, block = slots.claim(worker)
            block[:] = place.turn
            places.append(place)
    assert [slots.take(place, 10).tolist() for place in places] == [[n] * 10 for n in (1, 2, 3, 4)]


def test_a_block_that_was_filled_again_is_noticed() -> None:
    slots = Slots(workers=1, each=2, block_bytes=8)
    first, _ = slots.claim(0)
    slots.claim(0)
    slots.take(first, 8)
    slots.claim(0)
    with pytest.raises(ContractError, match="overwritten"):
        slots.take(first, 8)


def test_too_little_shared_memory_is_told_before_a_process_dies_of_it() -> None:
    with pytest.raises(ConfigError, match="--shm-size"):
        Slots(workers=1000, each=3, block_bytes=1 << 40)
