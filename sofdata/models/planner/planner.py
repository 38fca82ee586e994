"""The planner: which skill comes next, given an image and a task.

The second of the three models of SOF (arXiv 2512.20052): a prior over skills given observation and
task, a latent dynamics that predicts the observation after a skill, and planning with both. The
paper publishes neither sizes nor the form of the dynamics; all of it is ours.

    first frame ─► observation [P, C] ─┬─► prior ─► skills ─┬─► dynamics ─► observation after
    text ─► task [E] ──────────────────┘                    └─► cross-entropy method ─► plan

Observations could collapse: an encoder that gives the same features for every image makes them easy
to predict. So the dynamics never trains the encoder: its input and its target are both detached,
and an encoder that is tuned or fresh is trained by the prior alone, which gains from features that
distinguish images. `observation_spread` would still show a collapse, as a value near 0, and the
dynamics is always reported beside the error of predicting no change.

About 0.7 M parameters for the prior and 0.4 M for the dynamics at the default sizes. Equation
numbers (Eq. n) are those of docs/models.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Self, cast

import torch
from torch import Generator, Tensor, nn

from sofdata.errors import ConfigError
from sofdata.models.common.gaussian import noise_of
from sofdata.models.common.text import TextEncoder
from sofdata.models.planner.baselines import TokenCounts, VectorMoments
from sofdata.models.planner.config import PlannerConfig
from sofdata.models.planner.dynamics import Dynamics, normalised_error
from sofdata.models.planner.mpc import Imagination, MPCConfig, Value, search
from sofdata.models.planner.prior import Prior, SkillSpace
from sofdata.models.skill.conditioned import SkillConditioned
from sofdata.models.skill.vae import SkillVAE
from sofdata.types import Batch, Plan, Skill


class Planner(SkillConditioned):
    """A prior over skills, latent dynamics, and planning with both."""

    def __init__(self, config: PlannerConfig, skill: SkillVAE, texts: tuple[str, ...]) -> None:
        """texts: what `Batch.text_ids` point to, and the tasks that text="id" can be asked for."""
        super().__init__(skill, config.image_encoder)
        self.config, self.texts = config, texts
        self.text = TextEncoder(config.text, config.text_width, texts)
        shape, points, dim = skill.observation_shape, skill.tokens, skill.code_dim
        levels = skill.config.levels if skill.codebook_size else ()
        space = SkillSpace(points, dim, levels, shape, self.text.width)
        self.prior = Prior(config.prior, space)
        self.dynamics = Dynamics(config.dynamics, shape, points, dim)
        self.seen: TokenCounts | VectorMoments = (
            TokenCounts(points, skill.codebook_size)
            if skill.codebook_size
            else VectorMoments(points, dim, config.prior.min_std)
        )

    # Prior and dynamics

    def tasks(self, texts: Sequence[str]) -> Tensor:
        """Texts to task vectors, float32 [B,E].

        Raises `ConfigError` for a text that mode "id" was not trained on.
        """
        vectors: Tensor = self.text(texts)
        return vectors

    def propose(
        self,
        observation: Tensor,
        task: Tensor,
        number: int,
        temperature: float = 1.0,
        generator: Generator | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw S = `number` skills for each of B observations from the prior.

        Returns codes [B,S,n,D], tokens [B,S,n] (or [B,S,0]) and log-likelihoods [B,S] in nats,
        under the prior itself whatever the temperature.
        """
        drawn, log_prob = self.prior.sample(observation, task, number, temperature, generator)
        return *self._codes_and_tokens(drawn), log_prob

    def log_prob(self, observation: Tensor, task: Tensor, skill: Skill) -> Tensor:
        """Log-likelihood [B] of whole skills, in nats; a log-density for KL (Eq. 16)."""
        targets = self.targets(skill)[:, None]  # [B, S, n...] with S = 1
        return self.prior.log_prob(observation, task, targets).sum((1, 2))

    def predict(self, observation: Tensor, codes: Tensor) -> Tensor:
        """The observation [B,P,C] after a skill with codes [B,n,D] (Eq. 19)."""
        after: Tensor = self.dynamics(observation, codes)
        return after

    def targets(self, skill: Skill) -> Tensor:
        """What the prior predicts of a skill: tokens [B,n], or for KL the codes [B,n,D]."""
        return skill.tokens if self.skill.codebook_size else skill.codes

    def _codes(self, targets: Tensor) -> Tensor:
        return self.skill.codes_of(targets) if self.skill.codebook_size else targets

    def _codes_and_tokens(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        if self.skill.codebook_size:
            return self._codes(targets), targets
        return targets, targets.new_zeros(*targets.shape[:-2], 0, dtype=torch.int64)

    # Planning

    @torch.no_grad()
    def plan(
        self,
        image: Tensor,
        texts: Sequence[str],
        *,
        goal: Tensor | None = None,
        score: Value | None = None,
        mpc: MPCConfig | None = None,
        seed: int = 0,
    ) -> Plan:
        """Skills to carry out from here on; only the first of them before planning again.

        image: uint8 [B,3,H,W], one text each.
        goal: images uint8 [B,3,H,W] or observations float32 [B,P,C] to come near to; the score is
            minus the mean squared distance of the last predicted observation.
        score: in place of a goal, a function from predicted observations [S,K,P,C], after each of
            K skills, to numbers [S], higher is better.
        mpc: how to search, else the config's. seed: the same gives the same plan.

        With neither goal nor score, each skill is the likeliest of the prior's samples. A plan's
        `score` is then its log-likelihood in nats, else what was maximised.
        """
        config = mpc or self.config.mpc
        if len(texts) != len(image) or (goal is not None and len(goal) != len(image)):
            raise ConfigError(f"{len(image)} images need as many texts and goals")
        if goal is not None and score is not None:
            raise ConfigError("plan towards a goal or by a score, not both")
        with at_rest(self):
            observation, task = self.observe(image), self.tasks(texts)
            generator = Generator(observation.device).manual_seed(seed)
            if goal is None and score is None:
                return self._likely(observation, task, config, generator)
            values = self._values(goal) if goal is not None else [cast(Value, score)] * len(image)
            found = [
                search(self._imagine(observation[row], task[row]), value, config, generator)
                for row, value in enumerate(values)
            ]
        codes, tokens = self._codes_and_tokens(torch.stack([skills for skills, _ in found]))
        return Plan(codes, tokens, torch.stack([worth for _, worth in found]))

    def _likely(
        self, observation: Tensor, task: Tensor, config: MPCConfig, generator: Generator
    ) -> Plan:
        """The likeliest sample, then the likeliest at the predicted observation, and so on."""
        parts, total = [], torch.zeros(len(task), device=task.device)
        rows = torch.arange(len(task), device=task.device)
        for _ in range(config.horizon):
            drawn, log_prob = self.prior.sample(
                observation, task, config.candidates, config.temperature, generator
            )
            best = log_prob.argmax(1)
            parts.append(drawn[rows, best])
            total = total + log_prob[rows, best]
            observation = self.predict(observation, self._codes(parts[-1]))
        return Plan(*self._codes_and_tokens(torch.stack(parts, 1)), total)

    def _imagine(self, observation: Tensor, task: Tensor) -> Imagination:
        return Imagination(self.prior, self.dynamics, self._codes, observation[None], task[None])

    def _values(self, goal: Tensor) -> list[Value]:
        wanted = self.observe(goal) if goal.ndim == 4 else goal
        return [partial(_nearness, row) for row in wanted]

    # Training

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Nats a point of the prior plus the weighted error of the dynamics (Eq. 20); and both."""
        skill, before, after = self.read(batch)
        targets = self.targets(skill)
        task, prior_noise, dynamics_noise = self._given(batch, step)
        cost, nats = self.prior.loss(before, task, targets, prior_noise)
        predicted = self.dynamics(before.detach(), skill.codes, dynamics_noise)
        error = normalised_error(predicted, after.detach()).mean()
        metrics = {"prior_nats_token": nats.mean(), "dynamics_mse": error}
        total = cost.mean() + self.config.dynamics.weight * error  # Eq. 20
        return total, {name: value.detach() for name, value in metrics.items()}

    @torch.no_grad()
    def count(self, batches: Iterable[Batch]) -> None:
        """Count how often each code occurs at each point, for the baseline of the evaluation.

        batches: each window of the training set once, or a sample of them. Windows that are not
        finite are left out.
        """
        for batch in batches:
            skill = self.windows_skill(batch)
            self.seen.add(self.targets(skill)[_finite(skill)])

    def read(self, batch: Batch) -> tuple[Skill, Tensor, Tensor]:
        """Skills of a batch's windows, and the observations before (with gradient) and after.

        Skills are encoded in full precision: in bfloat16 some tokens would differ from those that
        are used later.
        """
        with torch.no_grad(), torch.autocast(batch.flow.device.type, enabled=False):
            skill = self.windows_skill(batch)
            after = self.observe(batch.last)
        # A code that is not finite has no token, so 0 stands for it. The code itself makes the loss
        # not finite, by which the training loop detects the sample.
        skill = Skill(skill.codes, skill.tokens.where(_finite(skill)[:, None], 0))
        return skill, self.observe(batch.first), after

    def texts_of(self, batch: Batch) -> list[str]:
        """The text of each window."""
        return [self.texts[index] for index in batch.text_ids.tolist()]

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # strings are not for a compiler
    def _given(self, batch: Batch, step: int) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Tasks of a batch, and in training noise for the dropout of prior and dynamics.

        The noise depends on sample and step alone, so that a batch may be split.
        """
        task = self.tasks(self.texts_of(batch))
        if not self.training:
            return task, None, None
        parts = self.config.prior, self.config.dynamics
        shapes = [(part.layers, 2, part.width) for part in parts]
        sizes = [math.prod(shape) for shape in shapes]
        noise = noise_of(batch.keys, step, (sum(sizes),)).to(task.device)
        first, second = noise[:, : sizes[0]], noise[:, sizes[0] :]
        # [B, layers * 2 * width] -> [B, layers, 2, width]
        return task, first.reshape(-1, *shapes[0]), second.reshape(-1, *shapes[1])

    def spec(self) -> dict[str, Any]:
        """What rebuilds this planner, with its `state_dict` and the skill model."""
        return {"config": self.config.model_dump(mode="json"), "texts": list(self.texts)}

    @classmethod
    def from_spec(cls, spec: dict[str, Any], skill: SkillVAE) -> Self:
        """A planner of the same build, with weights that are loaded afterwards."""
        return cls(PlannerConfig.parse(spec["config"]), skill, tuple(spec["texts"]))


def _finite(skill: Skill) -> Tensor:
    """bool [B]: whether a window's codes are finite; flow that is not gives codes that are not."""
    return skill.codes.isfinite().flatten(1).all(1)


def _nearness(goal: Tensor, seen: Tensor) -> Tensor:
    """Minus the distance [S] of the last of predicted observations [S,K,P,C] to a goal [P,C].

    The first term of Eq. 21.
    """
    return -normalised_error(seen[:, -1], goal)


@contextmanager
def at_rest(module: nn.Module) -> Iterator[None]:
    """Set evaluation mode within the block, and the mode from before after it."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)
