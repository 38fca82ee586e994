"""The prior as a velocity that carries noise to skills: all n points of a skill at once.

Flow matching (Lipman et al., arXiv 2210.02747) on the straight path from noise to codes, Eq. 29 of
docs/models.md. "Flow" is that of densities here, not optical flow. The n points attend to each
other, to the observation and to the condition, whose keys and values are computed once for all
steps. Codes of FSQ are spread over the cell of their level (dequantised), and what is drawn is
rounded to a level again; vectors of KL are taken as they are.

Its likelihood is an estimate: that of the Euler steps, with Hutchinson's estimate of their
divergence, one probe (Grathwohl et al., FFJORD, arXiv 1810.01367); for FSQ the density in the
middle of the cell, times its volume. It costs as much again as drawing, and more.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn

from sofdata.models.common.init import init_weights
from sofdata.models.planner.guide import Guide
from sofdata.models.planner.transformer import Memory, gains_of, repeat_memory
from sofdata.models.planner.trunk import GuidanceConfig, PriorConfig, SkillSpace, Trunk
from sofdata.models.skill.fsq import FSQ

_TIMES = 32  # numbers that tell the time between noise and codes
_PROBE = 0  # seed of the probe, so that a likelihood is the same each time


class FlowMatchingPrior(Trunk):
    """p(skill | observation, condition); the interface is that of `Prior`.

    draws: standard normal numbers that the loss needs for each sample. measures: the name of what
    it gives.
    """

    measures = "prior_velocity_error"

    def __init__(self, config: PriorConfig, space: SkillSpace) -> None:
        super().__init__(config, space)
        width, dim = config.width, space.code_dim
        self.fsq = FSQ(space.levels) if space.levels else None
        self.into = nn.Linear(dim, width)
        self.time = nn.Sequential(nn.Linear(_TIMES, width), nn.GELU(), nn.Linear(width, width))
        self.velocity = nn.Linear(width, dim)
        init_weights(self.velocity.weight, self.velocity.bias, std=0)
        self.draws = 1 + 2 * space.tokens * dim

    # Training

    def loss(
        self,
        observation: Tensor,
        condition: Tensor,
        targets: Tensor,
        noise: Tensor | None = None,
        draws: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Squared error of the velocity [B, n], summed over D: twice, as it has no nats (Eq. 29).

        targets [B, n] or [B, n, D]; noise for dropout as for `Prior.loss`. draws: standard normal
        [B, draws], of which time, noise and place within a cell are made.
        """
        if draws is None:
            raise ValueError("flow matching needs random numbers for each sample")
        shape = (len(targets), self.space.tokens, self.space.code_dim)
        uniform = torch.special.ndtr(draws.double()).float()
        time = uniform[:, :1]  # [B, 1]
        start, within = (part.reshape(shape) for part in draws[:, 1:].chunk(2, 1))
        goal = self._codes(targets) + self._cell() * (torch.special.ndtr(within) - 0.5)
        at = (1 - time[..., None]) * start + time[..., None] * goal
        gains = None if noise is None else gains_of(noise, self.config.dropout)
        _, memory = self._read(observation, condition, gains)
        error = (self._velocity(at, time, memory, gains) - (goal - start)).square().sum(-1)
        return error, error

    # Use

    @torch.no_grad()
    def sample(
        self,
        observation: Tensor,
        condition: Tensor,
        number: int,
        temperature: float = 1.0,
        generator: Generator | None = None,
        guidance: GuidanceConfig | None = None,
        likelihood: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Draw `number` skills for each of B observations; see `Prior.sample`.

        temperature: scales the variance of the noise that it begins with; 0 begins with zeros.
        likelihood: whether to estimate the log-likelihood; zeros without.
        """
        _, memory = self._read(observation, condition)
        memory = repeat_memory(memory, number)
        untold, weight = None, 1.0
        if guidance is not None and guidance.weight != 1:
            without = self.space.without(condition, guidance.of)
            untold = repeat_memory(self._read(observation, without)[1], number)
            weight = guidance.weight
        size = len(observation) * number
        x = observation.new_empty(size, self.space.tokens, self.space.code_dim)
        x = temperature**0.5 * x.normal_(generator=generator)
        steps = self.config.euler_steps
        for step in range(steps):
            time = x.new_full((size, 1), step / steps)
            v = self._velocity(x, time, memory)
            if untold is not None:
                v = Guide(v, weight).beyond(v, self._velocity(x, time, untold))
            x = x + v / steps
        targets = self._targets(x).view(len(observation), number, *self._shape)
        if not likelihood:
            return targets, x.new_zeros(targets.shape[:2])
        return targets, self.log_prob(observation, condition, targets).sum(-1)

    def log_prob(self, observation: Tensor, condition: Tensor, targets: Tensor) -> Tensor:
        """Estimated log-likelihood of skills [B, S, n...]: [B, S, n], nats, each point's share.

        No gradient.
        """
        with torch.no_grad():
            _, memory = self._read(observation, condition)
            memory = repeat_memory(memory, targets.shape[1])
            x = self._codes(targets.flatten(0, 1))  # [B * S, n, D]
        total, steps = x.new_zeros(len(x)), self.config.euler_steps
        source = torch.Generator(x.device).manual_seed(_PROBE)
        signs = torch.randint(0, 2, x.shape[1:], generator=source, device=x.device)
        probe = (2.0 * signs - 1).expand_as(x)
        for step in reversed(range(steps)):
            x, divergence = self._back(x, (step + 0.5) / steps, memory, probe)
            total = total - divergence / steps
        total = total - 0.5 * (x.square() + math.log(2 * math.pi)).flatten(1).sum(1)
        if self.fsq is not None:
            total = total + self.space.tokens * float(torch.log(1 / self.fsq.width).sum())
        points = (total / self.space.tokens)[:, None].expand(-1, self.space.tokens)
        return points.reshape(*targets.shape[:2], self.space.tokens)

    def _back(
        self, x: Tensor, time: float, memory: list[Memory], probe: Tensor
    ) -> tuple[Tensor, Tensor]:
        """A step back in time, and the divergence [B] of the velocity there."""
        at = x.new_full((len(x), 1), time)
        with torch.enable_grad():
            place = x.detach().requires_grad_()
            v = self._velocity(place, at, memory)
            (gradient,) = torch.autograd.grad((v * probe).sum(), place)
        divergence = (gradient * probe).flatten(1).sum(1)
        return (x - v / self.config.euler_steps).detach(), divergence

    def _velocity(
        self, x: Tensor, time: Tensor, memory: list[Memory], gains: Tensor | None = None
    ) -> Tensor:
        """The velocity [B, n, D] at x [B, n, D] and times [B, 1] in 0..1."""
        angles = time * torch.logspace(0, 2, _TIMES // 2, device=x.device)  # [B, _TIMES / 2]
        told = self.time(torch.cat([angles.sin(), angles.cos()], -1))[:, None]  # [B, 1, width]
        hidden, _ = self._advance(self.into(x) + self.slots + told, memory, None, gains)
        velocity: Tensor = self.velocity(hidden)
        return velocity.float()

    # Codes

    @property
    def _shape(self) -> tuple[int, ...]:
        """Of a skill's targets."""
        space = self.space
        return (space.tokens,) if space.levels else (space.tokens, space.code_dim)

    def _codes(self, targets: Tensor) -> Tensor:
        return targets if self.fsq is None else self.fsq.codes_of(targets)

    def _targets(self, codes: Tensor) -> Tensor:
        """The nearest skill of codes [..., n, D] that may lie anywhere."""
        if self.fsq is None:
            return codes
        levels = torch.round(codes * self.fsq.width) + self.fsq.width
        digits = torch.minimum(levels.clamp(min=0), self.fsq.levels - 1.0).long()
        return (digits * self.fsq.radix).sum(-1)

    def _cell(self) -> Tensor | float:
        """Between two levels of each dimension [D]; 0 for KL."""
        return 0.0 if self.fsq is None else 1.0 / self.fsq.width
