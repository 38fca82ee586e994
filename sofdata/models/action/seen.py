"""What a decoder is given beside a window and its actions: earlier frames, the robot's state, a
second camera's image, and how much each action counts.

Images with a history are uint8 [B,1+H,3,H,W], in the order of time, the present one last.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import torch

from sofdata.errors import ContractError
from sofdata.types import ActionBatch


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SeenBatch(ActionBatch):
    """A batch of demonstrations with what is seen beside each window's first frame.

    earlier: uint8 [B,H,3,H,W]; a step of flow apart, the oldest first. Before an episode's start
        its first frame is repeated. H is 0 without a history.
    state: float32 [B,S], the robot's own at the first frame, in its units; S is 0 without one.
    weights: float32 [B,N], how much an action counts in the loss: 1 as in any other batch.
    second: uint8 [B,V,3,H,W], what a second camera shows at the first frame, of sizes of its own; V
        is 1, or 0 without one.
    """

    earlier: torch.Tensor
    state: torch.Tensor
    weights: torch.Tensor
    second: torch.Tensor

    def __post_init__(self) -> None:
        ActionBatch.__post_init__(self)
        size, image = len(self.keys), tuple(self.first.shape[1:])
        if self.earlier.ndim != 5 or (len(self.earlier), *self.earlier.shape[2:]) != (size, *image):
            raise ContractError(
                f"SeenBatch.earlier must be [{size}, H, {', '.join(map(str, image))}], got "
                f"{list(self.earlier.shape)}"
            )
        if self.state.ndim != 2 or len(self.state) != size:
            raise ContractError(
                f"SeenBatch.state must be [{size}, S], got {list(self.state.shape)}"
            )
        if self.weights.shape != self.action_mask.shape:
            raise ContractError(
                f"SeenBatch.weights must be {list(self.action_mask.shape)}, got "
                f"{list(self.weights.shape)}"
            )
        shape = tuple(self.second.shape)
        if len(shape) != 5 or shape[0] != size or shape[1] > 1 or shape[2] != 3:
            raise ContractError(
                f"SeenBatch.second must be [{size}, 0 or 1, 3, H, W], got {list(shape)}"
            )
        if self.second.dtype != torch.uint8:
            raise ContractError(f"SeenBatch.second must be uint8, got {self.second.dtype}")

    @classmethod
    def beside(
        cls,
        batch: ActionBatch,
        *,
        earlier: torch.Tensor | None = None,
        state: torch.Tensor | None = None,
        weights: torch.Tensor | None = None,
        second: torch.Tensor | None = None,
    ) -> Self:
        """A batch with some of it; what is not given is as if there were none."""
        size = len(batch.keys)
        values = {each.name: getattr(batch, each.name) for each in fields(ActionBatch)}
        return cls(
            **values,
            earlier=batch.first.new_zeros(size, 0, *batch.first.shape[1:])
            if earlier is None
            else earlier,
            state=batch.flow.new_zeros(size, 0) if state is None else state,
            weights=batch.flow.new_ones(batch.action_mask.shape) if weights is None else weights,
            second=batch.first.new_zeros(size, 0, *batch.first.shape[1:])
            if second is None
            else second,
        )

    @property
    def images(self) -> torch.Tensor:
        """Earlier frames and the first one, uint8 [B,1+H,3,H,W]."""
        return torch.cat([self.earlier, self.first[:, None]], 1)
