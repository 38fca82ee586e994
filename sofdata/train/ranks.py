"""One process among several that train the same model; or the only one."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed, nn


@dataclass(frozen=True, slots=True)
class Ranks:
    """rank: this process's number, of `world`. With more than one, torch's process group is up."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes files and measures."""
        return self.rank == 0

    def wrap(self, module: nn.Module, compiles: bool) -> Any:
        """The module, compiled if asked for, with gradients averaged over all ranks."""
        if self.world > 1:
            ids = [self.device] if self.device.type == "cuda" else None
            module = nn.parallel.DistributedDataParallel(
                module, device_ids=ids, find_unused_parameters=True
            )
        return torch.compile(module) if compiles else module

    def no_sync(self, module: Any, wanted: bool) -> AbstractContextManager[None]:
        """Skip the averaging of gradients for a batch that is not the last of its update."""
        context: AbstractContextManager[None] = (
            module.no_sync() if wanted and self.world > 1 else nullcontext()
        )
        return context

    def all_true(self, value: bool) -> bool:
        """Whether it is true on every rank."""
        if self.world == 1:
            return value
        flag = torch.tensor(int(value), device=self.device)
        distributed.all_reduce(flag, distributed.ReduceOp.MIN)
        return bool(flag)

    def mean(self, metrics: dict[str, float]) -> dict[str, float]:
        """Means over all ranks of metrics that every rank has."""
        if self.world == 1 or not metrics:
            return metrics
        values = torch.tensor([metrics[name] for name in sorted(metrics)], device=self.device)
        distributed.all_reduce(values)
        return dict(zip(sorted(metrics), (values / self.world).tolist(), strict=True))
