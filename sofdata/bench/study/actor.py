"""The interface of a policy: images and texts in, a chunk of actions out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

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

    def act(self, images: Tensor, texts: Sequence[str], seed: int) -> Acted:
        """Actions for images uint8 [B,3,px,px], one text each; equal for an equal seed.

        With decoder.model.history, images are [B,1+H,3,px,px], the present one last.
        """


class StateActor(Actor, Protocol):
    """A policy that reads the robot's own state as well; asked with decoder.model.state alone."""

    def act(
        self, images: Tensor, texts: Sequence[str], seed: int, state: Tensor | None = None
    ) -> Acted:
        """As `Actor.act`. state: float32 [B,S], at the present images."""


class TwoCameraActor(Actor, Protocol):
    """A policy that sees through a second camera as well; asked with decoder.model.second_camera
    alone."""

    def act(
        self,
        images: Tensor,
        texts: Sequence[str],
        seed: int,
        state: Tensor | None = None,
        second: Tensor | None = None,
    ) -> Acted:
        """As `StateActor.act`. second: uint8 [B,3,px,px], what the second camera shows at the
        present images; the state is None unless it is read as well."""


def asked(
    actor: Actor,
    images: Tensor,
    texts: Sequence[str],
    seed: int,
    *,
    state: Tensor | None,
    second: Tensor | None,
) -> Acted:
    """What a policy does, which is given of state and second image what there is.

    So a policy that is written for neither goes on as it is.
    """
    if second is not None:
        return cast("TwoCameraActor", actor).act(images, texts, seed, state, second)
    if state is not None:
        return cast("StateActor", actor).act(images, texts, seed, state)
    return actor.act(images, texts, seed)
