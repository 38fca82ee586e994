"""Overlapping chunks averaged: what several looks say of one step, as one action.

The temporal ensembling of ACT (Zhao et al. 2023, arXiv 2304.13705): where a policy looks again
before a chunk is carried out, the chunks of all looks that reach a step are kept, and the action of
that step is their weighted mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


class Ensemble:
    """The chunks of one episode, and the action that they agree on at each step.

    decay: m of the weights exp(-m i), where i counts the chunks that reach a step from 0 for the
        oldest one: above 0 older chunks count more, at 0 all alike, below 0 newer ones count more.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._chunks: list[tuple[int, NDArray[np.float32]]] = []  # with the step each begins at

    def add(self, step: int, chunk: NDArray[np.float32]) -> None:
        """Take the chunk [N,A] of a look before `step`, and forget those that ended before it."""
        self._chunks = [each for each in self._chunks if step < each[0] + len(each[1])]
        self._chunks.append((step, chunk))

    def action(self, step: int, votes: Sequence[int] = ()) -> NDArray[np.float32]:
        """The action [A] at a step that the latest chunk reaches.

        votes: dimensions that take only two values, of which a mean would be neither: the value
            with the larger sum of weights is taken, of equal ones that of the latest chunk.
        """
        actions = np.stack(
            [chunk[step - begun] for begun, chunk in self._chunks if step < begun + len(chunk)]
        )  # [K, A]
        powers = -self._decay * np.arange(len(actions))
        weights = np.exp(powers - powers.max())
        mean = (weights[:, None] * actions).sum(0) / weights.sum()
        for dimension in votes:
            mean[dimension] = _elected(actions[:, dimension], weights)
        agreed: NDArray[np.float32] = mean.astype(np.float32)
        return agreed


def _elected(values: NDArray[np.float32], weights: Numbers) -> float:
    """Of values [K], oldest first, the one of most weight."""
    totals = [weights[values == value].sum() for value in values]
    latest_best = len(totals) - 1 - int(np.argmax(totals[::-1]))
    return float(values[latest_best])
