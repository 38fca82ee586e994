"""Earlier frames beside the present one: what a decoder with `history` sees.

Images are then uint8 [B,1+H,3,H,W], in the order of time, the present one last.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sofdata.errors import ContractError
from sofdata.types import ActionBatch


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class HistoryBatch(ActionBatch):
    """A batch of demonstrations with the frames before each window's first.

    earlier: uint8 [B,H,3,H,W]; a step of flow apart, the oldest first. Before an episode's start
        its first frame is repeated.
    """

    earlier: torch.Tensor

    def __post_init__(self) -> None:
        ActionBatch.__post_init__(self)
        size, image = len(self.keys), tuple(self.first.shape[1:])
        if self.earlier.ndim != 5 or (len(self.earlier), *self.earlier.shape[2:]) != (size, *image):
            raise ContractError(
                f"HistoryBatch.earlier must be [{size}, H, {', '.join(map(str, image))}], got "
                f"{list(self.earlier.shape)}"
            )

    @property
    def images(self) -> torch.Tensor:
        """Earlier frames and the first one, uint8 [B,1+H,3,H,W]."""
        return torch.cat([self.earlier, self.first[:, None]], 1)
