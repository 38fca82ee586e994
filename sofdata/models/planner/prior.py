"""The prior over skills: p(skill | observation, task), autoregressive over the skill's points.

A transformer reads the observation's P tokens and the task, which all attend to each other, and
then the n points of the skill, each of which attends to all before it (a "prefix language model",
Raffel et al., JMLR 2020). FSQ skills are predicted as tokens of the codebook, level by level
(`sofdata.models.planner.digit_head`); KL skills as vectors, with a mixture of Gaussians
(`sofdata.models.planner.mixture_head`). Equation numbers (Eq. n) are those of docs/models.md.

The SOF paper (arXiv 2512.20052) publishes no sizes: all defaults are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor, nn
from torch.nn import functional

from sofdata.config.section import Section
from sofdata.models.common.init import learned_vectors
from sofdata.models.planner.digit_head import DigitHead
from sofdata.models.planner.mixture_head import MixtureHead
from sofdata.models.planner.transformer import Block, Memory, gains_of, repeat_memory


class PriorConfig(Section):
    """Size and regularisation of the prior."""

    width: Annotated[int, Field(ge=8)] = Field(128, description="Width of its tokens. Ours.")
    layers: Annotated[int, Field(ge=1)] = Field(3, description="Transformer blocks. Ours.")
    heads: Annotated[int, Field(ge=1)] = Field(4, description="Attention heads a block. Ours.")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.3,
        description="Dropout's rate in training, as random gains a channel (see gains_of). Ours: a "
        "few hundred windows are soon known by heart.",
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        description="Share of the target spread over all levels of a dimension (fsq only). Ours.",
    )
    components: Annotated[int, Field(ge=1)] = Field(
        8, description="Gaussians in the mixture of each vector (kl only). Ours."
    )
    min_std: Annotated[float, Field(gt=0)] = Field(
        0.05,
        description="Least standard deviation of a component (kl only), in units of z, whose own "
        "prior has 1: without a floor the likelihood has no bound. Ours.",
    )

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")
        return self


@dataclass(frozen=True, slots=True)
class SkillSpace:
    """What the prior predicts and from what.

    tokens: n, the points of a skill. code_dim: D, numbers a point. levels: of each of them; empty
    for KL. observation: (P, C), tokens and channels of an observation. task: E, width of a task's
    vector.
    """

    tokens: int
    code_dim: int
    levels: tuple[int, ...]
    observation: tuple[int, int]
    task: int

    @property
    def codebook_size(self) -> int:
        """V, 0 for KL."""
        return math.prod(self.levels) if self.levels else 0


class Prior(nn.Module):
    """p(skill | observation, task), Eq. 16.

    A skill's `targets` are its tokens, int64 [..., n], or for KL its vectors, float32 [..., n, D].
    """

    def __init__(self, config: PriorConfig, space: SkillSpace) -> None:
        super().__init__()
        self.config, self.space = config, space
        width, (places, channels) = config.width, space.observation
        self.observation = nn.Linear(channels, width)
        self.task = nn.Linear(space.task, width)
        self.prefix = learned_vectors(places + 1, width, std=0.02)
        self.slots = learned_vectors(space.tokens, width, std=0.02)
        blocks = [Block(width, config.heads) for _ in range(config.layers)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width)
        self.head: DigitHead | MixtureHead = (
            DigitHead(width, space.levels)
            if space.levels
            else MixtureHead(width, space.code_dim, config.components, config.min_std)
        )

    def hidden(
        self, observation: Tensor, task: Tensor, targets: Tensor, noise: Tensor | None = None
    ) -> Tensor:
        """What each point is predicted from: [B, S, n, width], from the points before it alone.

        observation [B, P, C], task [B, E], targets [B, S, n] or [B, S, n, D]: S skills each.
        noise: standard normal [B, layers, 2, width] for dropout, with S = 1; None to go without.
        """
        number, slots = targets.shape[1:3]
        gains = None if noise is None else gains_of(noise, self.config.dropout)
        first, memory = self._read(observation, task, gains)
        parts = [first.repeat_interleave(number, 0)]  # [B * S, 1, width]
        if slots > 1:
            earlier = targets.flatten(0, 1)[:, :-1]  # [B, S, n] -> [B * S, n - 1]
            before = self.head.embed(earlier) + self.slots[: slots - 1]
            mask = _mask(slots - 1, memory[0][0].shape[2], before.device)
            parts.append(self._advance(before, repeat_memory(memory, number), mask, gains)[0])
        return torch.cat(parts, 1).view(-1, number, slots, self.config.width)  # [B, S, n, width]

    def log_prob(self, observation: Tensor, task: Tensor, targets: Tensor) -> Tensor:
        """Log-likelihood of each point given those before it: [B, S, n], nats."""
        return self.head.log_prob(self.hidden(observation, task, targets), targets)

    def loss(
        self, observation: Tensor, task: Tensor, targets: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """What to minimise, and the plain negative log-likelihood: both [B, n], nats a point.

        The first term of Eq. 20; label smoothing makes the difference between the two.

        targets [B, n] or [B, n, D]; noise as for `hidden`.
        """
        targets = targets[:, None]  # S = 1
        hidden = self.hidden(observation, task, targets, noise)
        nats = -self.head.log_prob(hidden, targets)[:, 0]
        share = self.config.label_smoothing
        if not share or isinstance(self.head, MixtureHead):
            return nats, nats
        levels = [logs.mean(-1) for logs in self.head.logs(hidden, targets)]
        spread = -torch.stack(levels).sum(0)[:, 0]
        return (1 - share) * nats + share * spread, nats

    @torch.no_grad()
    def sample(
        self,
        observation: Tensor,
        task: Tensor,
        number: int,
        temperature: float = 1.0,
        generator: Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw `number` skills for each of B observations.

        temperature: 1 samples the prior, less keeps to what is likely, 0 takes the mode of each
            point in turn.
        Returns targets [B, S, n] or [B, S, n, D] and their log-likelihood [B, S] under the prior
        itself (temperature 1), in nats.
        """
        first, memory = self._read(observation, task)
        # [B * S, 1, width]: each of the B prefixes is read once and continued S times.
        hidden, memory = first.repeat_interleave(number, 0), repeat_memory(memory, number)
        points, log_prob = [], hidden.new_zeros(len(hidden), 1, dtype=torch.float32)
        for slot in range(self.space.tokens):
            points.append(self.head.sample(hidden, temperature, generator))
            log_prob = log_prob + self.head.log_prob(hidden, points[-1])
            if slot + 1 < self.space.tokens:
                embedded = self.head.embed(points[-1]) + self.slots[slot]
                hidden, memory = self._advance(embedded, memory)
        targets = torch.cat(points, 1)  # [B * S, n] or [B * S, n, D]
        return targets.view(-1, number, *targets.shape[1:]), log_prob.view(-1, number)

    def _read(
        self, observation: Tensor, task: Tensor, gains: Tensor | None = None
    ) -> tuple[Tensor, list[Memory]]:
        """The prefix: what the first point is predicted from [B, 1, width], and the memory."""
        # Normalised and added to every token of the observation, which would outweigh it otherwise.
        asked = self.task(functional.rms_norm(task, task.shape[-1:]))[:, None]  # [B, 1, width]
        tokens = torch.cat([self.observation(observation) + asked, asked], 1)  # [B, P + 1, width]
        hidden, memory = self._advance(tokens + self.prefix, gains=gains)
        return hidden[:, -1:], memory

    def _advance(
        self,
        x: Tensor,
        memory: list[Memory] | None = None,
        mask: Tensor | None = None,
        gains: Tensor | None = None,
    ) -> tuple[Tensor, list[Memory]]:
        """Read tokens [B, T, width] after those in memory."""
        known = []
        for index, block in enumerate(self.blocks):
            before = memory[index] if memory else None
            x, grown = block(x, before, mask, None if gains is None else gains[:, index])
            known.append(grown)
        return self.norm(x), known


def _mask(tokens: int, prefix: int, device: torch.device) -> Tensor:
    """bool [T, P + T]: each token attends to the prefix, itself and the tokens before it."""
    allowed = torch.ones(tokens, prefix + tokens, dtype=torch.bool, device=device)
    return allowed.tril(prefix)
