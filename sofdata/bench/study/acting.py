"""How the arms act: from an image and the task's text to a chunk of actions.

With skills, the prior proposes several for the image, the decoder gives the actions of each, and
these are combined into one chunk. Decoding is cheap, and the image is encoded once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from sofdata.bench.study.actor import Acted
from sofdata.bench.study.config import ActingConfig
from sofdata.models.action.decoder import ActionDecoder
from sofdata.models.planner.mpc import MPCConfig
from sofdata.models.planner.planner import Planner
from sofdata.types import Skill


@dataclass(frozen=True, slots=True, eq=False)
class ClonedActor:
    """Acts without skills."""

    decoder: ActionDecoder

    @torch.no_grad()
    def act(
        self,
        images: Tensor,
        texts: Sequence[str],
        seed: int,
        state: Tensor | None = None,
        second: Tensor | None = None,
    ) -> Acted:
        """See `Actor`."""
        no_skill = Skill(
            torch.zeros(len(images), 0, 1), torch.zeros(len(images), 0, dtype=torch.int64)
        )
        return acted(self.decoder, self.decoder.act(images, no_skill, texts, state, second).values)


@dataclass(frozen=True, slots=True, eq=False)
class PriorActor:
    """Acts by skills that the prior draws."""

    planner: Planner
    decoder: ActionDecoder
    config: ActingConfig

    @torch.no_grad()
    def act(
        self,
        images: Tensor,
        texts: Sequence[str],
        seed: int,
        state: Tensor | None = None,
        second: Tensor | None = None,
    ) -> Acted:
        """See `Actor`."""
        config, planner = self.config, self.planner
        generator = Generator().manual_seed(seed)
        number = config.samples if config.temperature else 1
        codes, _, log_prob = planner.propose(
            planner.observe(images),
            planner.tasks(texts),
            number,
            config.temperature,
            generator,
            likelihood=config.combine == "likeliest",
        )
        return self.choose(images, texts, codes, log_prob, state, second)

    def choose(
        self,
        images: Tensor,
        texts: Sequence[str],
        codes: Tensor,
        log_prob: Tensor,
        state: Tensor | None = None,
        second: Tensor | None = None,
    ) -> Acted:
        """Actions from S skills each: codes [B,S,n,D] with log-likelihoods [B,S]."""
        rows = torch.arange(len(images))
        if self.config.combine == "likeliest":
            best = log_prob.argmax(1)
            skill = Skill(codes[rows, best], torch.zeros(len(images), 0, dtype=torch.int64))
            taken = self.decoder.act(images, skill, texts, state, second).values
            return acted(self.decoder, taken, skill.codes)
        chunks = self._decode(images, texts, codes, state, second)  # [B, S, N, A]
        mean = chunks.mean(1)
        nearest = (chunks - mean[:, None]).square().sum((2, 3)).argmin(1)
        chosen = mean if self.config.combine == "mean" else chunks[rows, nearest]
        return acted(self.decoder, self.decoder.finish(chosen).values, codes[rows, nearest])

    def _decode(
        self,
        images: Tensor,
        texts: Sequence[str],
        codes: Tensor,
        state: Tensor | None,
        second: Tensor | None,
    ) -> Tensor:
        """Normalised actions of every skill, [B,S,N,A]."""
        decoder, number = self.decoder, codes.shape[1]
        flat = codes.flatten(0, 1)  # [B*S, n, D]
        if decoder.config.condition == "flow":
            chunks: Tensor = decoder(images.repeat_interleave(number, 0), flat, second=second)
        else:
            seen = decoder.observe(images, second).repeat_interleave(number, 0)
            task = decoder.told(texts, state)
            tasks = None if task is None else task.repeat_interleave(number, 0)
            skills = decoder.conditioning(images.repeat_interleave(number, 0), flat)
            chunks = decoder.read(seen, skills, tasks)
        return chunks.view(-1, number, *chunks.shape[1:])  # [B*S, N, A] to [B, S, N, A]


@dataclass(frozen=True, slots=True, eq=False)
class SearchActor:
    """Acts by skills found by search: those that lead to where the demonstrations ended.

    goals: by text, observations [K,P,C] of the last frames of the K demonstrations. Of these, the
        one nearest to the present observation is the goal.
    acting: how actions are made of several skills, where the settings of the search ask for that.
    """

    planner: Planner
    decoder: ActionDecoder
    mpc: MPCConfig
    goals: dict[str, Tensor]
    acting: ActingConfig

    @torch.no_grad()
    def act(
        self,
        images: Tensor,
        texts: Sequence[str],
        seed: int,
        state: Tensor | None = None,
        second: Tensor | None = None,
    ) -> Acted:
        """See `Actor`."""
        seen = self.planner.observe(images)
        goal = torch.stack([self._goal(row, text) for row, text in zip(seen, texts, strict=True)])
        if self.mpc.carries == "elites":
            found = self.planner.elites(images, texts, goal=goal, mpc=self.mpc, seed=seed)
            drawing = PriorActor(self.planner, self.decoder, self.acting)
            return drawing.choose(images, texts, *found, state, second)
        skill = self.planner.plan(images, texts, goal=goal, mpc=self.mpc, seed=seed).first
        taken = self.decoder.act(images, skill, texts, state, second).values
        return acted(self.decoder, taken, skill.codes)

    def _goal(self, seen: Tensor, text: str) -> Tensor:
        goals = self.goals[text]
        return goals[(goals - seen).square().sum((1, 2)).argmin()]


def acted(decoder: ActionDecoder, actions: Tensor, codes: Tensor | None = None) -> Acted:
    """What a decoder gave, and the gripper's dimension where it takes only two values."""
    return Acted(actions, codes, () if decoder.switch is None else (decoder.switch,))
