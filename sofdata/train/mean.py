"""The running mean of a model's weights, which often does better than the last ones.

Exponential moving average: mean = decay * mean + (1 - decay) * weights after each update.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class MeanWeights:
    """The running mean of one model's weights. With a decay of 0 it is the weights themselves."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self._mean: dict[str, Tensor] = {}
        if decay:
            self._mean = {key: value.detach().clone() for key, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Update the mean after a step; counts and other whole numbers are copied."""
        for key, value in model.state_dict().items() if self._decay else ():
            if value.is_floating_point():
                self._mean[key].lerp_(value, 1 - self._decay)
            else:
                self._mean[key].copy_(value)

    def state(self, model: nn.Module) -> dict[str, Any]:
        """The weights to use and to save."""
        return self._mean or model.state_dict()

    def restore(self, state: dict[str, Tensor]) -> None:
        """Resume from a checkpoint."""
        for key, value in self._mean.items():
            value.copy_(state[key])

    @contextmanager
    def in_place(self, model: nn.Module) -> Iterator[None]:
        """Within the block, the model has the mean weights."""
        if not self._mean:
            yield
            return
        own = {key: value.detach().clone() for key, value in model.state_dict().items()}
        model.load_state_dict(self._mean)
        try:
            yield
        finally:
            model.load_state_dict(own)
