"""What the training loop asks of a model, so that one loop trains all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sofdata.types import Batch


class Batches(Protocol):
    """Where batches come from: a `Loader`, or what holds its windows in memory."""

    batches: int
    """How many an epoch has."""

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, from batch `start` on."""


class Evaluation(Protocol):
    """Gathers what a model does on held-out batches."""

    def add(self, batch: Batch) -> None:
        """Measure one more batch."""

    def result(self) -> dict[str, float]:
        """Metrics over all batches, with the trivial baselines beside them."""

    def pictures(self) -> dict[str, NDArray[np.uint8]]:
        """Pictures for a person, RGB uint8 [H,W,3] by name; may be empty."""


EvaluationOf = Callable[[Any], Evaluation]
"""Makes a new, empty evaluation of a model, such as the class `SkillEvaluation`."""


class Trainable(Protocol):
    """A model that can be trained; always an `nn.Module` as well."""

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean over the samples of a batch, and what to log beside it."""

    def spec(self) -> dict[str, Any]:
        """All but the weights that is needed to build this model again, as JSON-able values."""
