"""The interface of a policy: images and texts in, a chunk of actions out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Acted:
    """actions: float32 [B,N,A], to execute. codes: [B,n,D] of the chosen skill, if there is one.

    votes: dimensions of an action that take only two values, as of a gripper: where chunks are
        averaged (`evaluation.ensemble`), these are voted on.
    """

    actions: Tensor
    codes: Tensor | None = None
    votes: tuple[int, ...] = ()


class Actor(Protocol):
    """A policy of the benchmark."""

    def act(
        self, images: Tensor, texts: Sequence[str], seed: int, state: Tensor | None = None
    ) -> Acted:
        """Actions for images uint8 [B,3,px,px], one text each; equal for an equal seed.

        state: float32 [B,S], the robot's own; given with decoder.model.state alone.

        With decoder.model.history, images are [B,1+H,3,px,px], the present one last.
        """
