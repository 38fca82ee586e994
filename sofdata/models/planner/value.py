"""A goal value from action-free video: how many skills it takes from one observation to another.

V(o, g) is minus the discounted number of skills until the observation g, learned without actions
(HIQL, Park et al., arXiv 2307.11949) by expectile regression (IQL, Kostrikov et al., arXiv
2110.06169): an expectile above a half takes, of the ways that videos show, rather the short ones.
A goal enters as an embedding of a few numbers, which subgoals are drawn in. Equation numbers
(Eq. n) are those of docs/models.md. Sizes are ours.
"""

from __future__ import annotations

import copy
import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from sofdata.config.earlier import Earlier
from sofdata.config.section import Section


class ValueConfig(Section):
    """The goal value and how it is learned. All of it is ours but for the method."""

    weight: Annotated[float, Field(ge=0), Earlier(0.0)] = Field(
        0.0,
        description="Weight of its error beside the prior's nats a point; 0: no goal value is "
        "learned. mpc.score=value and subgoals need one.",
    )
    width: Annotated[int, Field(ge=8)] = Field(256, description="Width of its two layers.")
    embedding: Annotated[int, Field(ge=1)] = Field(
        16, description="Numbers that a goal becomes, and that a subgoal has."
    )
    expectile: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.7, description="Above a half: the shorter of the ways that videos show; HIQL's value."
    )
    discount: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.97, description="Of each skill that is yet to come."
    )
    rate: Annotated[float, Field(gt=0, le=1)] = Field(
        0.02,
        description="Share of the weights that those it is learned towards take over at each "
        "update.",
    )


class GoalValue(nn.Module):
    """(observation [B, P, C], goal [B, P, C]) -> V [B]."""

    updated: Tensor

    def __init__(self, config: ValueConfig, observation: tuple[int, int]) -> None:
        super().__init__()
        self.config = config
        self.now = _Distance(config, math.prod(observation))
        self.slow = copy.deepcopy(self.now).requires_grad_(False)
        self.register_buffer("updated", torch.zeros((), dtype=torch.int64))

    def forward(self, observation: Tensor, goal: Tensor) -> Tensor:
        """V of observations and goals."""
        value: Tensor = self.now(observation, self.now.embed(goal))
        return value

    @torch.no_grad()
    def embed(self, goal: Tensor) -> Tensor:
        """What a goal is to the value: [B, P, C] -> [B, S], of length sqrt(S)."""
        embedded: Tensor = self.slow.embed(goal)
        return embedded

    @torch.no_grad()
    def advantage(self, before: Tensor, after: Tensor, goal: Tensor, skills: Tensor) -> Tensor:
        """What `skills` [B] skills from one observation to another were worth for a goal (Eq. 34).

        0 where they brought it as much nearer as they should.
        """
        told, share = self.slow.embed(goal), self.config.discount**skills
        cost = (1 - share) / (1 - self.config.discount)
        value: Tensor = share * self.slow(after, told) - cost - self.slow(before, told)
        return value

    def loss(self, before: Tensor, after: Tensor, goal: Tensor, skills: Tensor) -> Tensor:
        """The expectile error [B] (Eq. 31, 32).

        before, after: observations of the first and last frames of windows; goal: of frames that
        the video shows `skills` [B] skills later, 0 for what is seen where it is reached; see
        `Goals`.
        """
        before = torch.where(skills[:, None, None] == 0, goal, before)
        apart = self.targets(after, goal, skills) - self(before, goal)
        tau = self.config.expectile
        return torch.where(apart < 0, 1 - tau, tau) * apart.square()  # Eq. 32

    @torch.no_grad()
    def targets(self, after: Tensor, goal: Tensor, skills: Tensor) -> Tensor:
        """What V of a window's first frame should be [B] (Eq. 31)."""
        gamma = self.config.discount
        onwards = -1 + gamma * self.slow(after, self.slow.embed(goal))
        shown = -(1 - gamma**skills) / (1 - gamma)  # what the video itself took
        return torch.where(skills <= 1, shown, torch.maximum(onwards, shown))

    @torch.no_grad()
    @torch.compiler.disable  # type: ignore[untyped-decorator]  # asks for a number of the state
    def follow(self, step: int) -> None:
        """Move the slow weights, once an update, however many batches it has."""
        if step <= int(self.updated):
            return
        for slow, now in zip(self.slow.parameters(), self.now.parameters(), strict=True):
            slow.lerp_(now, self.config.rate)
        self.updated.fill_(step)


class _Distance(nn.Module):
    """The network: a goal to its embedding, and an observation and that to a value."""

    def __init__(self, config: ValueConfig, numbers: int) -> None:
        super().__init__()
        width, self.dim = config.width, config.embedding
        self.goal = mlp(numbers, width, self.dim)
        self.value = mlp(numbers + self.dim, width, 1)

    def embed(self, goal: Tensor) -> Tensor:
        """[B, P, C] -> [B, S]."""
        return to_sphere(self.goal(goal.flatten(1)))

    def forward(self, observation: Tensor, embedded: Tensor) -> Tensor:
        """[B, P, C] and [B, S] -> [B]."""
        out: Tensor = self.value(torch.cat([observation.flatten(1), embedded], 1))
        return out[:, 0].float()


def mlp(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Two hidden layers with layer norm, as HIQL's."""
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.LayerNorm(width),
        nn.GELU(),
        nn.Linear(width, width),
        nn.LayerNorm(width),
        nn.GELU(),
        nn.Linear(width, outputs),
    )


def to_sphere(vectors: Tensor) -> Tensor:
    """Vectors [..., S] of length sqrt(S), so that a number of theirs has variance 1."""
    return functional.normalize(vectors, dim=-1) * math.sqrt(vectors.shape[-1])
