"""What all priors over skills have in common: their settings, what they predict and from what, and
the transformer that reads an observation and what the prior is told of the task.

A prior is told a `condition`: the task's vector of E numbers, followed by the S numbers of a
subgoal where it is told one (`sofdata.models.planner.subgoal`). Zeros stand for a part that it is
not told, as for a text without a word. Equation numbers (Eq. n) are those of docs/models.md.

The SOF paper (arXiv 2512.20052) publishes no sizes: all defaults are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from sofdata.config.earlier import Earlier
from sofdata.config.section import Section
from sofdata.models.common.init import learned_vectors
from sofdata.models.planner.transformer import Block, Memory

Told = Literal["task", "subgoal", "both"]


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
        description="Share of the target spread over all levels of a dimension (digits only). "
        "Ours.",
    )
    components: Annotated[int, Field(ge=1)] = Field(
        8, description="Gaussians in the mixture of each vector (mixture only). Ours."
    )
    min_std: Annotated[float, Field(gt=0)] = Field(
        0.05,
        description="Least standard deviation of a component (mixture only), in units of z, whose "
        "own prior has 1: without a floor the likelihood has no bound. Ours.",
    )
    head: Annotated[Literal["auto", "digits", "mixture", "flow_matching"], Earlier("auto")] = Field(
        "auto",
        description="How skills come out: 'digits': level by level of an fsq code, point after "
        "point; 'mixture': a mixture of Gaussians for each vector of kl, point after point; "
        "'flow_matching': all points at once, by a velocity that carries noise to codes, which are "
        "then rounded for fsq; 'auto': digits for fsq, mixture for kl. Ours.",
    )
    euler_steps: Annotated[int, Field(ge=1), Earlier(8)] = Field(
        8, description="Steps from noise to codes (flow_matching only). Ours."
    )
    task_dropout: Annotated[float, Field(ge=0, lt=1), Earlier(0.0)] = Field(
        0.0,
        description="In training, share of the windows whose task the prior is not told, so that "
        "skills can be drawn with guidance on it. Ours.",
    )
    subgoal_dropout: Annotated[float, Field(ge=0, lt=1), Earlier(0.0)] = Field(
        0.0, description="The same for the subgoal, where the prior is told one. Ours."
    )

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")
        return self


class GuidanceConfig(Section):
    """Classifier-free guidance in drawing skills (Eq. 30). No matter in training."""

    weight: Annotated[float, Field(ge=0), Earlier(1.0)] = Field(
        1.0,
        description="How far to go from what the prior would draw untold to what it draws as told: "
        "1: as told, no guidance; above 1: beyond. Needs prior.task_dropout or subgoal_dropout "
        "in training. Ours.",
    )
    of: Told = Field("task", description="What it is not told in that comparison. Ours.")


@dataclass(frozen=True, slots=True)
class SkillSpace:
    """What the prior predicts and from what.

    tokens: n, the points of a skill. code_dim: D, numbers a point. levels: of each of them; empty
    for KL. observation: (P, C), tokens and channels of an observation. task: E, width of a task's
    vector. subgoal: S, numbers of a subgoal that the prior is told; 0: none.
    """

    tokens: int
    code_dim: int
    levels: tuple[int, ...]
    observation: tuple[int, int]
    task: int
    subgoal: int = 0

    @property
    def codebook_size(self) -> int:
        """V, 0 for KL."""
        return math.prod(self.levels) if self.levels else 0

    def without(self, condition: Tensor, of: Told) -> Tensor:
        """A condition [..., E + S] of which a part is not told."""
        task, subgoal = condition.split([self.task, self.subgoal], -1)
        if of != "subgoal":
            task = torch.zeros_like(task)
        if of != "task":
            subgoal = torch.zeros_like(subgoal)
        return torch.cat([task, subgoal], -1)


class Trunk(nn.Module):
    """Reads an observation's P tokens and the condition, which all attend to each other."""

    def __init__(self, config: PriorConfig, space: SkillSpace) -> None:
        super().__init__()
        self.config, self.space = config, space
        width, (places, channels) = config.width, space.observation
        self.observation = nn.Linear(channels, width)
        self.task = nn.Linear(space.task, width)
        self.prefix = learned_vectors(places + 1 + bool(space.subgoal), width, std=0.02)
        self.slots = learned_vectors(space.tokens, width, std=0.02)
        blocks = [Block(width, config.heads) for _ in range(config.layers)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width)
        self.subgoal = nn.Linear(space.subgoal, width) if space.subgoal else None

    def _read(
        self, observation: Tensor, condition: Tensor, gains: Tensor | None = None
    ) -> tuple[Tensor, list[Memory]]:
        """The prefix: what the first point is predicted from [B, 1, width], and the memory."""
        task, subgoal = condition.split([self.space.task, self.space.subgoal], -1)
        # Normalised and added to every token of the observation, which would outweigh it otherwise.
        asked = self.task(functional.rms_norm(task, task.shape[-1:]))[:, None]  # [B, 1, width]
        parts = [self.observation(observation) + asked, asked]
        if self.subgoal is not None:
            parts.insert(1, self.subgoal(subgoal)[:, None])
        tokens = torch.cat(parts, 1)  # [B, P + 1, width], with a subgoal [B, P + 2, width]
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
