"""Subgoals: what an observation so many skills ahead is like, drawn for the prior.

The high level of HIQL (Park et al., arXiv 2307.11949), learned from action-free video: a mixture of
Gaussians over the goal value's embedding of the observation that a video shows so many skills
later, given the present one and the task. Windows count by how much nearer to the end of their
video the skills from there on brought it (advantage-weighted regression). Equation numbers (Eq. n)
are those of docs/models.md. Sizes are ours.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Generator, Tensor, nn
from torch.nn import functional

from sofdata.config.earlier import Earlier
from sofdata.config.section import Section
from sofdata.models.planner.mixture_head import MixtureHead
from sofdata.models.planner.value import mlp, to_sphere

_MIN_STD = 0.05  # of a number of the embedding, whose variance is 1
_MOST = 20.0  # that a window may count


class SubgoalConfig(Section):
    """Subgoals. All of it is ours but for the method."""

    ahead: Annotated[int, Field(ge=0, le=64), Earlier(0)] = Field(
        0, description="Skills from an observation to its subgoal; 0: the prior is told none."
    )
    width: Annotated[int, Field(ge=8)] = Field(256, description="Width of its two layers.")
    components: Annotated[int, Field(ge=1)] = Field(8, description="Gaussians of the mixture.")
    advantage: Annotated[float, Field(ge=0)] = Field(
        1.0,
        description="How much more windows count whose videos come nearer to how they end than "
        "the goal value expects, per skill; 0: all count the same.",
    )
    weight: Annotated[float, Field(gt=0)] = Field(
        1.0, description="Weight of its nats a number beside the prior's nats a point."
    )
    temperature: Annotated[float, Field(ge=0)] = Field(
        0.5, description="Of the subgoals that are drawn; 0: the likeliest."
    )


class Subgoals(nn.Module):
    """p(z | observation, task), z [S] being the embedding of an observation (Eq. 33)."""

    def __init__(
        self, config: SubgoalConfig, observation: tuple[int, int], task: int, embedding: int
    ) -> None:
        super().__init__()
        self.config = config
        self.network = mlp(math.prod(observation) + task, config.width, config.width)
        self.head = MixtureHead(config.width, embedding, config.components, _MIN_STD)

    def loss(
        self, observation: Tensor, task: Tensor, subgoal: Tensor, advantage: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What to minimise, and the negative log-likelihood: both [B], nats a number (Eq. 33).

        advantage: [B], in skills; see `GoalValue.advantage`.
        """
        nats = -self.head.log_prob(self._hidden(observation, task), subgoal) / self.head.dim
        counts = (self.config.advantage * advantage).exp().clamp(max=_MOST)
        return counts * nats, nats

    @torch.no_grad()
    def sample(
        self, observation: Tensor, task: Tensor, number: int, generator: Generator | None
    ) -> Tensor:
        """Draw `number` subgoals for each of B observations: [B, number, S]."""
        hidden = self._hidden(observation, task)[:, None].expand(-1, number, -1)
        return to_sphere(self.head.sample(hidden, self.config.temperature, generator))

    def likeliest(self, observation: Tensor, task: Tensor) -> Tensor:
        """The mean of the heaviest Gaussian: [B, S]."""
        return to_sphere(self.head.sample(self._hidden(observation, task), 0, None))

    def _hidden(self, observation: Tensor, task: Tensor) -> Tensor:
        """[B, P, C] and [B, E] -> [B, width]."""
        told = functional.rms_norm(task, task.shape[-1:])
        hidden: Tensor = self.network(torch.cat([observation.flatten(1), told], 1))
        return hidden
