"""Model predictive control: sequences of skills are proposed by the prior, rolled out by the latent
dynamics, and refined by the cross-entropy method (Rubinstein and Kroese, "The Cross-Entropy
Method", 2004).

Each round keeps the best candidates, fits a factorised distribution to them (for each point of each
skill a categorical over the codebook, or a Gaussian), and draws new ones from it and from the
prior. Only the first skill of a plan is meant to be carried out before planning again. All defaults
are ours. Equation numbers (Eq. n) are those of docs/models.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, Self

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor
from torch.nn import functional

from sofdata.config.earlier import Earlier
from sofdata.config.section import Section
from sofdata.errors import ConfigError
from sofdata.models.planner.flow_matching import FlowMatchingPrior
from sofdata.models.planner.prior import Prior
from sofdata.models.planner.trunk import GuidanceConfig

Value = Callable[[Tensor], Tensor]  # predicted observations [S, K, P, C] -> [S], higher is better


class MPCConfig(Section):
    """How far and how thoroughly to plan."""

    horizon: Annotated[int, Field(ge=1, le=64)] = Field(
        2, description="K: skills that a plan looks ahead. Default ours."
    )
    candidates: Annotated[int, Field(ge=2)] = Field(
        64, description="Sequences compared in each round. Default ours."
    )
    elites: Annotated[int, Field(ge=1)] = Field(
        8, description="Best sequences that a round keeps and learns from. Default ours."
    )
    iterations: Annotated[int, Field(ge=1)] = Field(3, description="Rounds. Default ours.")
    smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.3, description="Share of the last round's distribution kept in the new one. Default ours."
    )
    fresh: Annotated[float, Field(ge=0, le=1)] = Field(
        0.25, description="Share of a round's new sequences drawn from the prior. Default ours."
    )
    prior_weight: Annotated[float, Field(ge=0)] = Field(
        0.02,
        description="What a nat of the prior's log-likelihood, a point of a skill, is worth in the "
        "score; a goal's distance is a mean squared error of about 0 to 2. Default ours.",
    )
    temperature: Annotated[float, Field(ge=0)] = Field(
        1.0, description="Of the samples of the prior; below 1 keeps to the likely. Default ours."
    )
    score: Annotated[Literal["distance", "value"], Earlier("distance")] = Field(
        "distance",
        description="What a plan towards a goal is scored by: 'distance': the mean squared error "
        "between the last predicted observation and the goal; 'value': the goal value of the last "
        "predicted observation, in skills that are left. Default ours.",
    )
    carries: Annotated[Literal["best", "elites"], Earlier("best")] = Field(
        "best",
        description="In the benchmark, which actions are carried out: those of the best sequence's "
        "first skill; or the mean of those of the first skills of all elites. Default ours.",
    )

    @model_validator(mode="after")
    def _check_elites(self) -> Self:
        if self.elites >= self.candidates:
            raise ValueError(
                f"elites {self.elites} must be fewer than candidates {self.candidates}"
            )
        return self


class Proposal(Protocol):
    """A distribution over candidates that is fitted to the best of them."""

    def fit(self, elites: Tensor, smoothing: float) -> None:
        """Move to `elites` [S, ...], keeping a share `smoothing` of what it was."""

    def sample(self, number: int, generator: Generator) -> Tensor:
        """Draw candidates [number, ...]."""


class TokenProposal:
    """An independent categorical over V codes for each place of int64 candidates [S, ...]."""

    def __init__(self, codebook_size: int) -> None:
        self._size = codebook_size
        self._odds: Tensor | None = None

    def fit(self, elites: Tensor, smoothing: float) -> None:
        odds = functional.one_hot(elites, self._size).float().mean(0)  # [..., V]
        old = self._odds
        self._odds = odds if old is None else smoothing * old + (1 - smoothing) * odds

    def sample(self, number: int, generator: Generator) -> Tensor:
        if self._odds is None:
            raise ValueError("fit before sampling")
        rows = self._odds.flatten(0, -2)
        drawn = torch.multinomial(rows, number, replacement=True, generator=generator)
        return drawn.T.reshape(number, *self._odds.shape[:-1])  # [places, S] -> [S, ...]


class VectorProposal:
    """An independent Gaussian for each number of float candidates [S, ...]."""

    def __init__(self, min_std: float = 0.01) -> None:
        self._min_std = min_std
        self._mean: Tensor | None = None
        self._std: Tensor | None = None

    def fit(self, elites: Tensor, smoothing: float) -> None:
        mean, std = elites.mean(0), elites.std(0, correction=0)
        if self._mean is not None and self._std is not None:
            mean = smoothing * self._mean + (1 - smoothing) * mean
            std = smoothing * self._std + (1 - smoothing) * std
        self._mean, self._std = mean, std.clamp(min=self._min_std)

    def sample(self, number: int, generator: Generator) -> Tensor:
        if self._mean is None or self._std is None:
            raise ValueError("fit before sampling")
        noise = torch.empty(number, *self._mean.shape, device=self._mean.device)
        return self._mean + self._std * noise.normal_(generator=generator)


def cross_entropy_method(
    sample: Callable[[int], tuple[Tensor, Tensor]],
    score: Callable[[Tensor], Tensor],
    proposal: Proposal,
    config: MPCConfig,
    generator: Generator,
) -> tuple[Tensor, Tensor]:
    """Look for the candidate with the highest score.

    sample: draws so many fresh candidates [S, ...], with their scores; the first round consists
        of them.
    score: candidates [S, ...] to finite numbers [S]; NaN counts as the worst, here and of `sample`.
    Returns the best candidate [...] seen in any round and its score [].
    """
    candidates, scores = cross_entropy_rounds(sample, score, proposal, config, generator)
    winner = scores.argmax()
    return candidates[winner], scores[winner]


def cross_entropy_rounds(
    sample: Callable[[int], tuple[Tensor, Tensor]],
    score: Callable[[Tensor], Tensor],
    proposal: Proposal,
    config: MPCConfig,
    generator: Generator,
) -> tuple[Tensor, Tensor]:
    """All candidates [S, ...] of the last round, among them the best of all, and scores [S].

    The arguments are those of `cross_entropy_method`.
    """
    candidates, scores = _ranked(*sample(config.candidates))
    proposal.fit(candidates, 0.0)
    for _ in range(config.iterations - 1):
        best = scores.topk(config.elites).indices
        candidates, scores = candidates[best], scores[best]
        proposal.fit(candidates, config.smoothing)
        new = config.candidates - config.elites
        fresh = round(config.fresh * new)
        parts = [(candidates, scores)]
        if fresh:
            parts.append(_ranked(*sample(fresh)))
        if new > fresh:
            drawn = proposal.sample(new - fresh, generator)
            parts.append(_ranked(drawn, score(drawn)))
        candidates = torch.cat([each for each, _ in parts])
        scores = torch.cat([each for _, each in parts])
    return candidates, scores


def _ranked(candidates: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Candidates with their scores, in which NaN is the lowest."""
    scores = _one_each(scores, candidates).float()
    return candidates, scores.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)


def _one_each(scores: Tensor, candidates: Tensor) -> Tensor:
    if scores.shape != candidates.shape[:1]:
        raise ConfigError(
            f"a score gave {list(scores.shape)} for {len(candidates)} candidates; expected one "
            "number for each"
        )
    return scores


@dataclass(frozen=True, slots=True, eq=False)
class Imagined:
    """The predicted outcome of sequences of skills.

    skills: [S, K, n...]. predicted: observations [S, K, P, C] after each of them. log_prob: the
    prior's log-likelihood [S], mean over their points, nats.
    """

    skills: Tensor
    predicted: Tensor
    log_prob: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Imagination:
    """Rolls out skills in the latent dynamics, from one observation [1, P, C].

    task: what the prior is told [1, E + S], the same for all skills.
    dynamics: observation [S, P, C] and codes [S, n, D] to the next observation.
    codes_of: a skill's targets (see `Prior`) to its codes.
    """

    prior: Prior | FlowMatchingPrior
    dynamics: Callable[[Tensor, Tensor], Tensor]
    codes_of: Callable[[Tensor], Tensor]
    observation: Tensor
    task: Tensor
    guidance: GuidanceConfig | None = None

    def propose(
        self, number: int, horizon: int, temperature: float, generator: Generator
    ) -> Imagined:
        """Draw sequences of skills, each from the observation predicted before it."""
        drawing = temperature, generator, self.guidance
        first, nats = self.prior.sample(self.observation, self.task, number, *drawing)
        skills, log_probs, predicted = [first[0]], [nats[0]], []
        observation, task = self._repeat(number)
        while True:
            observation = self.dynamics(observation, self.codes_of(skills[-1]))
            predicted.append(observation)
            if len(skills) == horizon:
                break
            drawn, nats = self.prior.sample(observation, task, 1, *drawing)
            skills.append(drawn[:, 0])
            log_probs.append(nats[:, 0])
        points = horizon * self.prior.space.tokens
        log_prob = torch.stack(log_probs, 1).sum(1) / points
        return Imagined(torch.stack(skills, 1), torch.stack(predicted, 1), log_prob)

    def roll_out(self, skills: Tensor) -> Imagined:
        """Roll out given sequences of skills [S, K, n...]."""
        observation, task = self._repeat(len(skills))
        log_probs, predicted = [], []
        for number, skill in enumerate(skills.unbind(1)):
            if number:
                nats = self.prior.log_prob(observation, task, skill[:, None])[:, 0]
            else:  # all begin with the same observation
                nats = self.prior.log_prob(self.observation, self.task, skill[None])[0]
            log_probs.append(nats)
            observation = self.dynamics(observation, self.codes_of(skill))
            predicted.append(observation)
        return Imagined(skills, torch.stack(predicted, 1), torch.cat(log_probs, 1).mean(1))

    def _repeat(self, number: int) -> tuple[Tensor, Tensor]:
        return self.observation.expand(number, -1, -1), self.task.expand(number, -1)


def search(
    world: Imagination, value: Value, config: MPCConfig, generator: Generator
) -> tuple[Tensor, Tensor]:
    """The sequence of skills [K, n...] with the highest score found, and that score (Eq. 21).

    value: of predicted observations, such as minus the distance to a goal.
    """
    skills, scores = search_rounds(world, value, config, generator)
    winner = scores.argmax()
    return skills[winner], scores[winner]


def search_rounds(
    world: Imagination, value: Value, config: MPCConfig, generator: Generator
) -> tuple[Tensor, Tensor]:
    """All sequences [S, K, n...] of the last round, among them the best of all, and scores [S]."""

    def worth(imagined: Imagined) -> Tensor:
        values = _one_each(value(imagined.predicted), imagined.skills)
        return values + config.prior_weight * imagined.log_prob

    def sample(number: int) -> tuple[Tensor, Tensor]:
        imagined = world.propose(number, config.horizon, config.temperature, generator)
        return imagined.skills, worth(imagined)

    size = world.prior.space.codebook_size
    proposal = TokenProposal(size) if size else VectorProposal(world.prior.config.min_std)
    return cross_entropy_rounds(
        sample, lambda skills: worth(world.roll_out(skills)), proposal, config, generator
    )
