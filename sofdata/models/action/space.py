"""The action space of the training demonstrations: the scale of each dimension.

Measured once, before training, and saved with the action decoder: a policy needs it to output
actions in the robot's own units.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor

from sofdata.errors import ConfigError, ContractError
from sofdata.types import ActionBatch, Batch, StateBatch

STD_LEAST = 1e-4  # ours: noise in a dimension that hardly varies is not amplified further
NO_ACTIONS = (
    "the action decoder learns from demonstrations, and this dataset has no actions: ingest a "
    "corpus that has them with --with-actions"
)
NO_STATE = (
    "decoder.model.state reads the robot's own state, and these demonstrations have none: ingest "
    "them with --with-actions --set with_state=true"
)


@dataclass(frozen=True, slots=True)
class ActionSpace:
    """The A dimensions of an action, in the units of the demonstrations.

    mean, std: a dimension; `std` is at least 1e-4, and 1 for a dimension that never changes.
    low, high: the range seen.
    values: the two values of a dimension that takes only two, low before high; () for others.
    chunk: N, the most actions that a window of the demonstrations holds.
    names: of the dimensions, and fps: actions a second; () and None where it was not said.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]
    chunk: int
    names: tuple[str, ...] = ()
    fps: float | None = None

    def __post_init__(self) -> None:
        lengths = {len(getattr(self, name)) for name in ("mean", "std", "low", "high", "values")}
        if len(lengths) != 1 or not self.mean or self.chunk < 1 or min(self.std) <= 0:
            raise ContractError(f"not a space of actions: {self}")
        if self.names and len(self.names) != self.size:
            raise ContractError(f"{len(self.names)} names of {self.size} dimensions of actions")

    @property
    def size(self) -> int:
        """A, the number of dimensions."""
        return len(self.mean)

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """The space that `dataclasses.asdict` wrote, also after a round trip through JSON."""
        known = {field.name for field in fields(cls)}
        read = {name: value for name, value in values.items() if name in known}
        for name in ("mean", "std", "low", "high"):
            read[name] = tuple(float(value) for value in read[name])
        read["values"] = tuple(tuple(float(value) for value in pair) for pair in read["values"])
        read["names"] = tuple(read.get("names", ()))  # saved since actions are named
        return cls(**read)

    def vector(self, name: str) -> Tensor:
        """float32 [A] of the field `name`: mean, std, low or high."""
        return torch.tensor(getattr(self, name), dtype=torch.float32)

    def check(self, batch: Batch) -> ActionBatch:
        """The batch, if its actions are of this space; `ConfigError` that says what differs."""
        if not isinstance(batch, ActionBatch):
            raise ConfigError(NO_ACTIONS)
        if batch.actions.shape[2] != self.size:
            raise ConfigError(
                f"the actions of {batch.keys[0]} have {batch.actions.shape[2]} dimensions, those "
                f"that the decoder was made for have {self.size}: train a decoder of its own on "
                "these demonstrations"
            )
        return batch


@dataclass(frozen=True, slots=True)
class StateSpace:
    """The S numbers of the robot's own state: mean and std of each, as in `ActionSpace`."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.mean)

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """The space that `dataclasses.asdict` wrote, also after a round trip through JSON."""
        return cls(*(tuple(float(each) for each in values[name]) for name in ("mean", "std")))

    def normalised(self, state: Tensor) -> Tensor:
        """States float32 [B,S] in standard deviations from the mean.

        Raises `ConfigError` for states of another size, or that are not finite.
        """
        if state.ndim != 2 or state.shape[1] != len(self):
            raise ConfigError(
                f"the decoder was made for states of {len(self)} numbers, got {list(state.shape)}"
            )
        if not torch.isfinite(state).all():
            raise ConfigError("a state of the robot is not finite (NaN or infinite)")
        mean, std = (torch.tensor(each, device=state.device) for each in (self.mean, self.std))
        return (state - mean) / std


def state_of(batch: Batch) -> Tensor:
    """The robot's own state at the first frame of each window, float32 [B,S].

    Raises `ConfigError` where the demonstrations have none.
    """
    if isinstance(batch, StateBatch):
        return batch.states[:, 0]
    found: Tensor | None = getattr(batch, "state", None)
    if found is None or not found.shape[1]:
        raise ConfigError(NO_STATE)
    return found


def measure_state(batches: Iterable[Batch]) -> StateSpace:
    """The space of the states at the first frames of windows.

    Raises `ConfigError` where there are none, or one is not finite.
    """
    states = torch.cat([state_of(batch).double().cpu() for batch in batches])  # [M, S]
    if not torch.isfinite(states).all():
        raise ConfigError("states of the robot that are not finite: leave such windows out")
    std = states.std(0, correction=0)
    std[std < STD_LEAST] = 1.0  # what never changes
    return StateSpace(tuple(states.mean(0).tolist()), tuple(std.tolist()))


def measure_actions(batches: Iterable[Batch]) -> ActionSpace:
    """The space of all actions in `batches`, in one pass that holds one batch at a time.

    Mean and variance follow Chan, Golub and LeVeque 1979 (pairwise updates), in float64, so that
    they do not depend on how the windows are batched. Actions that several overlapping windows
    hold count once in each.

    Raises `ConfigError` if there are no actions, if any is not finite, or if their number of
    dimensions differs; the samples are named.
    """
    sums: _Sums | None = None
    for batch in batches:
        if not isinstance(batch, ActionBatch):
            raise ConfigError(NO_ACTIONS)
        _refuse_not_finite(batch)
        sums = sums or _Sums(batch.actions.shape[2], batch.keys[0])
        sums.add(batch)
    if sums is None or not sums.count:
        raise ConfigError(NO_ACTIONS)
    return sums.space()


def _refuse_not_finite(batch: ActionBatch) -> None:
    bad = ~torch.isfinite(batch.actions).all(dim=2) & batch.action_mask
    keys = [batch.keys[row] for row in bad.any(dim=1).nonzero().flatten().tolist()]
    if keys:
        raise ConfigError(
            f"actions that are not finite (NaN or infinite) in {', '.join(keys[:8])}"
            + (f" and {len(keys) - 8} more" if len(keys) > 8 else "")
            + ": fix these demonstrations, or leave them out, and ingest again"
        )


class _Sums:
    """Running statistics of actions with `size` dimensions; `source` is a sample that has them."""

    def __init__(self, size: int, source: str) -> None:
        self.count = 0
        self._source = source
        self._mean = torch.zeros(size, dtype=torch.float64)
        self._squares = torch.zeros(size, dtype=torch.float64)  # sum of squared deviations
        self._low = torch.full((size,), torch.inf, dtype=torch.float64)
        self._high = torch.full((size,), -torch.inf, dtype=torch.float64)
        self._values: list[set[float]] = [set() for _ in range(size)]
        self._chunk = 0

    def add(self, batch: ActionBatch) -> None:
        actions = batch.actions[batch.action_mask].double().cpu()  # [M, A]
        if actions.shape[1] != len(self._mean):
            raise ConfigError(
                f"demonstrations of different robots: the actions of {batch.keys[0]} have "
                f"{actions.shape[1]} dimensions, those of {self._source} {len(self._mean)}; "
                "train a decoder for each, or choose with --where"
            )
        if not len(actions):
            return
        mean, count = actions.mean(dim=0), len(actions)
        total = self.count + count
        self._squares += (actions - mean).square().sum(dim=0)
        self._squares += (mean - self._mean).square() * (self.count * count / total)
        self._mean += (mean - self._mean) * (count / total)
        self.count = total
        self._low = torch.minimum(self._low, actions.amin(dim=0))
        self._high = torch.maximum(self._high, actions.amax(dim=0))
        self._chunk = max(self._chunk, int(batch.action_mask.sum(dim=1).max()))
        for seen, column in zip(self._values, actions.T, strict=True):
            if len(seen) <= 2:  # a third value shows that there are more than two
                seen.update(column.unique()[:3].tolist())

    def space(self) -> ActionSpace:
        std = (self._squares / self.count).sqrt().clamp(min=STD_LEAST)
        std[self._low == self._high] = 1.0
        return ActionSpace(
            mean=tuple(self._mean.tolist()),
            std=tuple(std.tolist()),
            low=tuple(self._low.tolist()),
            high=tuple(self._high.tolist()),
            values=tuple(tuple(sorted(v)) if len(v) == 2 else () for v in self._values),
            chunk=self._chunk,
        )
