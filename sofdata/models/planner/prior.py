"""The prior over skills: p(skill | observation, task), autoregressive over the skill's points.

A transformer reads the observation's P tokens and the task (`sofdata.models.planner.trunk`), and
then the n points of the skill, each of which attends to all before it (a "prefix language model",
Raffel et al., JMLR 2020). FSQ skills are predicted as tokens of the codebook, level by level
(`sofdata.models.planner.digit_head`); KL skills as vectors, with a mixture of Gaussians
(`sofdata.models.planner.mixture_head`). Equation numbers (Eq. n) are those of docs/models.md.

Guidance (Ho and Salimans, "Classifier-free diffusion guidance", arXiv 2207.12598; for policies
CFGRL, arXiv 2505.23458) reads each prefix twice, as told and with a part of the condition left out.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from sofdata.models.planner.digit_head import DigitHead
from sofdata.models.planner.guide import Guide
from sofdata.models.planner.mixture_head import MixtureHead
from sofdata.models.planner.transformer import gains_of, repeat_memory
from sofdata.models.planner.trunk import GuidanceConfig, PriorConfig, SkillSpace, Trunk


class Prior(Trunk):
    """p(skill | observation, condition), Eq. 16.

    A skill's `targets` are its tokens, int64 [..., n], or for KL its vectors, float32 [..., n, D].

    draws: random numbers that the loss needs for each sample. measures: the name of what it gives.
    """

    draws = 0
    measures = "prior_nats_token"

    def __init__(self, config: PriorConfig, space: SkillSpace) -> None:
        super().__init__(config, space)
        width = config.width
        self.head: DigitHead | MixtureHead = (
            DigitHead(width, space.levels)
            if space.levels
            else MixtureHead(width, space.code_dim, config.components, config.min_std)
        )

    def hidden(
        self, observation: Tensor, condition: Tensor, targets: Tensor, noise: Tensor | None = None
    ) -> Tensor:
        """What each point is predicted from: [B, S, n, width], from the points before it alone.

        observation [B, P, C], condition as for `Trunk`, targets [B, S, n] or [B, S, n, D].
        noise: standard normal [B, layers, 2, width] for dropout, with S = 1; None to go without.
        """
        number, slots = targets.shape[1:3]
        gains = None if noise is None else gains_of(noise, self.config.dropout)
        first, memory = self._read(observation, condition, gains)
        parts = [first.repeat_interleave(number, 0)]  # [B * S, 1, width]
        if slots > 1:
            earlier = targets.flatten(0, 1)[:, :-1]  # [B, S, n] -> [B * S, n - 1]
            before = self.head.embed(earlier) + self.slots[: slots - 1]
            mask = _mask(slots - 1, memory[0][0].shape[2], before.device)
            parts.append(self._advance(before, repeat_memory(memory, number), mask, gains)[0])
        return torch.cat(parts, 1).view(-1, number, slots, self.config.width)  # [B, S, n, width]

    def log_prob(self, observation: Tensor, condition: Tensor, targets: Tensor) -> Tensor:
        """Log-likelihood of each point given those before it: [B, S, n], nats."""
        return self.head.log_prob(self.hidden(observation, condition, targets), targets)

    def loss(
        self,
        observation: Tensor,
        condition: Tensor,
        targets: Tensor,
        noise: Tensor | None = None,
        draws: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What to minimise, and the plain negative log-likelihood: both [B, n], nats a point.

        The first term of Eq. 20; label smoothing makes the difference between the two.

        targets [B, n] or [B, n, D]; noise as for `hidden`; no `draws` are needed.
        """
        targets = targets[:, None]  # S = 1
        hidden = self.hidden(observation, condition, targets, noise)
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
        condition: Tensor,
        number: int,
        temperature: float = 1.0,
        generator: Generator | None = None,
        guidance: GuidanceConfig | None = None,
        likelihood: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Draw `number` skills for each of B observations.

        temperature: 1 samples the prior, less keeps to what is likely, 0 takes the mode of each
            point in turn.
        guidance: None, or with a weight of 1, to draw as told.
        Returns targets [B, S, n] or [B, S, n, D] and their log-likelihood [B, S] under the prior
        itself (temperature 1, no guidance), in nats; it costs nothing here, so `likelihood` is not
        looked at.
        """
        away = guidance if guidance is not None and guidance.weight != 1 else None
        times = 1 if away is None else 2
        if away is not None:  # each prefix twice: as told, and without a part of it
            observation = torch.cat([observation, observation])
            condition = torch.cat([condition, self.space.without(condition, away.of)])
        first, memory = self._read(observation, condition)
        # [B * S, 1, width]: each of the B prefixes is read once and continued S times.
        hidden, memory = first.repeat_interleave(number, 0), repeat_memory(memory, number)
        points = list[Tensor]()
        log_prob = hidden.new_zeros(len(hidden) // times, 1, dtype=torch.float32)
        for slot in range(self.space.tokens):
            told = hidden[: len(log_prob)]
            guide = None if away is None else Guide(hidden[len(log_prob) :], away.weight)
            points.append(self.head.sample(told, temperature, generator, guide))
            log_prob = log_prob + self.head.log_prob(told, points[-1])
            if slot + 1 < self.space.tokens:
                embedded = self.head.embed(points[-1]) + self.slots[slot]
                hidden, memory = self._advance(torch.cat([embedded] * times), memory)
        targets = torch.cat(points, 1)  # [B * S, n] or [B * S, n, D]
        return targets.view(-1, number, *targets.shape[1:]), log_prob.view(-1, number)


def _mask(tokens: int, prefix: int, device: torch.device) -> Tensor:
    """bool [T, P + T]: each token attends to the prefix, itself and the tokens before it."""
    allowed = torch.ones(tokens, prefix + tokens, dtype=torch.bool, device=device)
    return allowed.tril(prefix)
