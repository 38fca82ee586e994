"""Who else reads the same epoch: ranks of a training, and workers of somebody else's `DataLoader`.

A batch must come once, whoever asks. Ranks share each batch; the workers of a `DataLoader` that is
put around a `Loader` share the batches, in the order in which the `DataLoader` asks for them. The
processes that a `Loader` starts itself are marked as its own.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple, NoReturn

from sofdata.errors import ConfigError

ADVICE = "give rank= and world= of this process, or rank=0, world=1 where each is to get all"
_ours = False  # whether this is a process that a `Loader` has started


class ReadingRanks(NamedTuple):
    """This process of so many; given: said by the caller, and not found out."""

    rank: int
    world: int
    given: bool


def mark_as_ours(worker: int) -> None:
    """In a process that a `Loader` starts: say so."""
    global _ours
    _ours = True


def own_worker() -> tuple[int, int] | None:
    """(this one, how many) in a process that a `Loader` has started, None elsewhere."""
    return _worker() if _ours else None


def foreign_worker() -> tuple[int, int] | None:
    """(this one, how many) in a worker of somebody else's `DataLoader`, None elsewhere."""
    return None if _ours else _worker()


def ranks_of(rank: int | None, world: int | None) -> ReadingRanks:
    """What was given, or else what `torch.distributed` says, or else the only process.

    Raises `ConfigError` for one of them without the other, and for ranks that are given within a
    worker of a `DataLoader`, since they might be those of the workers.
    """
    if rank is None and world is None:
        return ReadingRanks(*(_distributed() or (0, 1)), given=False)
    if rank is None or world is None:
        said = f"world={world}" if rank is None else f"rank={rank}"
        raise ConfigError(f"{said} is given alone: each process would read the same; {ADVICE}")
    if world > 1 and foreign_worker() is not None:
        raise ConfigError(
            "a loader that is made in a worker of a DataLoader shares its batches among the "
            "workers by itself. Make it outside of them, with the rank of the training process"
        )
    return ReadingRanks(rank, world, given=True)


def check_ranks(made_for: ReadingRanks) -> None:
    """Raise `ConfigError` where `torch.distributed` was initialised after a loader was made."""
    now = _distributed()
    if made_for.given or now is None or now == (made_for.rank, made_for.world):
        return
    raise ConfigError(
        f"torch.distributed says that this is rank {now[0]} of {now[1]}, and the loader was made "
        f"as rank {made_for.rank} of {made_for.world}, before that was known: windows would come "
        f"more than once. Make it afterwards, or {ADVICE}"
    )


def take_part(loader: type, batch: type) -> None:
    """Register a loader with torch as an iterable dataset whose items are batches already."""
    from torch.utils.data import IterableDataset
    from torch.utils.data._utils.collate import default_collate_fn_map

    IterableDataset.register(loader)
    default_collate_fn_map[batch] = _refuse_to_collate


def _refuse_to_collate(*batches: Any, **_: Any) -> NoReturn:
    raise ConfigError(
        "a Loader gives whole batches, of which a DataLoader would make batches again: write "
        "DataLoader(loader, batch_size=None), and give the size of a batch to the Loader"
    )


def _worker() -> tuple[int, int] | None:
    from torch.utils.data import get_worker_info

    info = get_worker_info()
    return None if info is None else (info.id, info.num_workers)


def _distributed() -> tuple[int, int] | None:
    """(rank, world) of the training, None where there is but one process or nobody says.

    A spawned worker of a `DataLoader` has no process group; there the environment says it.
    """
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    rank, world = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
    if foreign_worker() is not None and rank.isdecimal() and world.isdecimal():
        return int(rank), int(world)
    return None
