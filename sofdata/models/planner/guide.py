"""What an output is drawn away from: what the prior would give without being told a part."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Guide:
    """hidden: [..., width], as read without that part. weight: w of Eq. 30 of docs/models.md."""

    hidden: Tensor
    weight: float

    def beyond(self, told: Tensor, untold: Tensor) -> Tensor:
        """untold + w (told - untold): logits, log-densities or velocities."""
        return untold + self.weight * (told - untold)
