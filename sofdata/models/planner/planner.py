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

Where `value.weight` asks for it, a goal value is learned beside both, from later frames of the same
videos, and where `subgoal.ahead` does, subgoals that the prior is told. Like the dynamics they
never train the encoder.

About 0.7 M parameters for the prior and 0.4 M for the dynamics at the default sizes. Equation
numbers (Eq. n) are those of docs/models.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Self, cast

import torch
from torch import Generator, Tensor, nn

from sofdata.errors import ConfigError
from sofdata.loading.times import WindowTime
from sofdata.models.common.gaussian import noise_of
from sofdata.models.common.text import TextEncoder
from sofdata.models.planner.baselines import TokenCounts, VectorMoments
from sofdata.models.planner.config import PlannerConfig
from sofdata.models.planner.dynamics import Dynamics, normalised_error
from sofdata.models.planner.flow_matching import FlowMatchingPrior
from sofdata.models.planner.goals import VideoFrames, draws_of, keep_frames
from sofdata.models.planner.mpc import Imagination, MPCConfig, Value, search, search_rounds
from sofdata.models.planner.prior import Prior
from sofdata.models.planner.subgoal import Subgoals
from sofdata.models.planner.trunk import PriorConfig, SkillSpace
from sofdata.models.planner.value import GoalValue
from sofdata.models.skill.conditioned import SkillConditioned
from sofdata.models.skill.vae import SkillVAE
from sofdata.types import Batch, Plan, Skill


class Planner(SkillConditioned):
    """A prior over skills, latent dynamics, and planning with both.

    value: the goal value, None where none is learned. subgoals: what the prior is told beside the
    task, None for nothing. frames: later frames that both are learned from; see `keep`.
    """

    frames: VideoFrames | None = None

    def __init__(self, config: PlannerConfig, skill: SkillVAE, texts: tuple[str, ...]) -> None:
        """texts: what `Batch.text_ids` point to, and the tasks that text="id" can be asked for."""
        super().__init__(skill, config.image_encoder)
        self.config, self.texts = config, texts
        self.text = TextEncoder(config.text, config.text_width, texts)
        shape, points, dim = skill.observation_shape, skill.tokens, skill.code_dim
        levels = skill.config.levels if skill.codebook_size else ()
        embedding = config.value.embedding if config.subgoal.ahead else 0
        space = SkillSpace(points, dim, levels, shape, self.text.width, embedding)
        self.prior = build_prior(config.prior, space)
        self.dynamics = Dynamics(config.dynamics, shape, points, dim)
        self.seen: TokenCounts | VectorMoments = (
            TokenCounts(points, skill.codebook_size)
            if skill.codebook_size
            else VectorMoments(points, dim, config.prior.min_std)
        )
        self.value = GoalValue(config.value, shape) if config.value.weight else None
        self.subgoals = (
            Subgoals(config.subgoal, shape, self.text.width, embedding) if embedding else None
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
        likelihood: bool = True,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw S = `number` skills for each of B observations from the prior.

        Each for a subgoal of its own, where the prior is told one, and with guidance, where
        `guidance` asks for it.

        likelihood: whether log-likelihoods are wanted, which with flow matching cost time.
        Returns codes [B,S,n,D], tokens [B,S,n] (or [B,S,0]) and log-likelihoods [B,S] in nats,
        under the prior itself whatever the temperature; zeros where they are not wanted.
        """
        drawing = temperature, generator, self.config.guidance, likelihood
        if self.subgoals is None:
            drawn, log_prob = self.prior.sample(observation, task, number, *drawing)
        else:
            subgoals = self.subgoals.sample(observation, task, number, generator)  # [B, S, ...]
            told = torch.cat([task[:, None].expand(-1, number, -1), subgoals], -1).flatten(0, 1)
            before = observation.repeat_interleave(number, 0)  # [B * S, P, C]
            drawn, log_prob = self.prior.sample(before, told, 1, *drawing)
            drawn = drawn.view(-1, number, *drawn.shape[2:])  # [B * S, 1, n...] -> [B, S, n...]
            log_prob = log_prob.view(-1, number)
        return *self._codes_and_tokens(drawn), log_prob

    def condition(self, observation: Tensor, task: Tensor) -> Tensor:
        """What the prior is told [B,E+S]: the task, and the likeliest subgoal if it is told one."""
        if self.subgoals is None:
            return task
        return torch.cat([task, self.subgoals.likeliest(observation, task)], -1)

    def log_prob(self, observation: Tensor, task: Tensor, skill: Skill) -> Tensor:
        """Log-likelihood [B] of whole skills, in nats; a log-density for KL (Eq. 16).

        Given the likeliest subgoal, where the prior is told one.
        """
        targets = self.targets(skill)[:, None]  # [B, S, n...] with S = 1
        told = self.condition(observation, task)
        return self.prior.log_prob(observation, told, targets).sum((1, 2))

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
            minus the mean squared distance of the last predicted observation, or its goal value
            where `score` of the MPC's settings is "value".
        score: in place of a goal, a function from predicted observations [S,K,P,C], after each of
            K skills, to numbers [S], higher is better.
        mpc: how to search, else the config's. seed: the same gives the same plan.

        With neither goal nor score, each skill is the likeliest of the prior's samples. A plan's
        `score` is then its log-likelihood in nats, else what was maximised.
        """
        config = mpc or self.config.mpc
        _check_plan(image, texts, goal, score)
        with at_rest(self):
            observation, task = self.observe(image), self.tasks(texts)
            generator = Generator(observation.device).manual_seed(seed)
            if goal is None and score is None:
                return self._likely(observation, task, config, generator)
            values = (
                self._values(goal, config)
                if goal is not None
                else [cast(Value, score)] * len(image)
            )
            found = [
                search(self._imagine(observation[row], task[row]), value, config, generator)
                for row, value in enumerate(values)
            ]
        codes, tokens = self._codes_and_tokens(torch.stack([skills for skills, _ in found]))
        return Plan(codes, tokens, torch.stack([worth for _, worth in found]))

    @torch.no_grad()
    def elites(
        self, image: Tensor, texts: Sequence[str], *, goal: Tensor, mpc: MPCConfig, seed: int = 0
    ) -> tuple[Tensor, Tensor]:
        """The first skills of the best plans, best first: codes [B,S,n,D] and scores [B,S].

        S is `mpc.elites`; the arguments are those of `plan`.
        """
        _check_plan(image, texts, goal, None)
        with at_rest(self):
            observation, task = self.observe(image), self.tasks(texts)
            generator = Generator(observation.device).manual_seed(seed)
            codes, scores = [], []
            for row, value in enumerate(self._values(goal, mpc)):
                world = self._imagine(observation[row], task[row])
                skills, worth = search_rounds(world, value, mpc, generator)
                best = worth.topk(mpc.elites)
                codes.append(self._codes(skills[best.indices, 0]))
                scores.append(best.values)
        return torch.stack(codes), torch.stack(scores)

    def _likely(
        self, observation: Tensor, task: Tensor, config: MPCConfig, generator: Generator
    ) -> Plan:
        """The likeliest sample, then the likeliest at the predicted observation, and so on."""
        task = self.condition(observation, task)
        parts, total = [], torch.zeros(len(task), device=task.device)
        rows = torch.arange(len(task), device=task.device)
        for _ in range(config.horizon):
            drawn, log_prob = self.prior.sample(
                observation,
                task,
                config.candidates,
                config.temperature,
                generator,
                self.config.guidance,
            )
            best = log_prob.argmax(1)
            parts.append(drawn[rows, best])
            total = total + log_prob[rows, best]
            observation = self.predict(observation, self._codes(parts[-1]))
        return Plan(*self._codes_and_tokens(torch.stack(parts, 1)), total)

    def _imagine(self, observation: Tensor, task: Tensor) -> Imagination:
        told = self.condition(observation[None], task[None])
        return Imagination(
            self.prior,
            self.dynamics,
            self._codes,
            observation[None],
            told,
            self.config.guidance,
        )

    def _values(self, goal: Tensor, config: MPCConfig) -> list[Value]:
        wanted = self.observe(goal) if goal.ndim == 4 else goal
        if config.score == "distance":
            return [partial(_nearness, row) for row in wanted]
        if self.value is None:
            raise ConfigError(
                "mpc.score=value needs a planner with a goal value: train it with value.weight=1"
            )
        return [partial(_worth, self.value, row) for row in wanted]

    # Training

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Nats a point of the prior plus the weighted error of the dynamics (Eq. 20); and both.

        With a goal value also its error, and with subgoals their nats (Eq. 35).
        """
        skill, before, after = self.read(batch)
        targets = self.targets(skill)
        task, prior_noise, dynamics_noise = self._given(batch, step)
        told, others, shown = task, task.new_zeros(()), dict[str, Tensor]()
        if self.value is not None:
            told, others, shown = self._goals(batch, step, before.detach(), after.detach(), task)
        told = self._dropped(told, batch.keys, step)
        cost, nats = self.prior.loss(
            before, told, targets, prior_noise, self._draws(batch.keys, step)
        )
        predicted = self.dynamics(before.detach(), skill.codes, dynamics_noise)
        error = normalised_error(predicted, after.detach()).mean()
        metrics = {self.prior.measures: nats.mean(), "dynamics_mse": error, **shown}
        total = cost.mean() + self.config.dynamics.weight * error  # Eq. 20
        if self.value is not None:
            total = total + others
        return total, {name: value.detach() for name, value in metrics.items()}

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # keys are not for a compiler
    def _goals(
        self, batch: Batch, step: int, before: Tensor, after: Tensor, task: Tensor
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """What the prior is told, the loss of goal value and subgoals (Eq. 35), and its parts."""
        if self.frames is None or self.value is None:
            raise ConfigError("a goal value is learned from later frames: call Planner.keep before")
        if self.training:
            self.value.follow(step)
        goals = self.frames.drawn(batch, step, self.config.goals)
        with torch.no_grad():
            goal = self.observe(goals.frames)
        error = (self.value.loss(before, after, goal, goals.skills) * goals.known).mean()
        total, shown = self.config.value.weight * error, {"value_error": error}
        if self.subgoals is None:
            return task, total, shown
        ahead = self.frames.ahead(batch, self.config.subgoal.ahead)
        with torch.no_grad():
            later, end = self.observe(ahead.frames), self.observe(self.frames.ends(batch).frames)
            subgoal = self.value.embed(later) * ahead.known[:, None]
            advantage = self.value.advantage(before, later, end, ahead.skills)
        cost, nats = self.subgoals.loss(before, task, subgoal, advantage)
        shown["subgoal_nats"] = (nats * ahead.known).mean()
        total = total + self.config.subgoal.weight * (cost * ahead.known).mean()  # Eq. 35
        return torch.cat([task, subgoal], -1), total, shown

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # keys are not for a compiler
    def _dropped(self, told: Tensor, keys: tuple[str, ...], step: int) -> Tensor:
        """What the prior is told, in training without some of the tasks and subgoals."""
        prior, space = self.config.prior, self.prior.space
        if not self.training or not (prior.task_dropout or prior.subgoal_dropout):
            return told
        chances = torch.from_numpy(draws_of(keys, step, "told", 2)).to(told.device)
        untold = chances < torch.tensor([prior.task_dropout, prior.subgoal_dropout]).to(chances)
        task = told[:, : space.task].masked_fill(untold[:, :1], 0)
        return torch.cat([task, told[:, space.task :].masked_fill(untold[:, 1:], 0)], -1)

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # keys are not for a compiler
    def _draws(self, keys: tuple[str, ...], step: int) -> Tensor | None:
        """Random numbers of the prior's loss, if it needs any."""
        if not self.prior.draws:
            return None
        names = tuple(f"{key}:velocity" for key in keys)
        return noise_of(names, step, (self.prior.draws,)).to(next(self.prior.parameters()).device)

    def keep(self, batches: Iterable[Batch], times: Mapping[str, WindowTime]) -> None:
        """Keep later frames of windows, which goal value and subgoals are learned from.

        batches: each window of the training set once, of which the first `goals.windows` are kept.
        times: of windows, by their keys.
        """
        most, image_px = self.config.goals.windows, self.skill.config.image_px
        self.frames = keep_frames(batches, times, most, image_px)

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
        return cls(PlannerConfig.of_saved(spec["config"]), skill, tuple(spec["texts"]))


def _finite(skill: Skill) -> Tensor:
    """bool [B]: whether a window's codes are finite; flow that is not gives codes that are not."""
    return skill.codes.isfinite().flatten(1).all(1)


def _nearness(goal: Tensor, seen: Tensor) -> Tensor:
    """Minus the distance [S] of the last of predicted observations [S,K,P,C] to a goal [P,C].

    The first term of Eq. 21.
    """
    return -normalised_error(seen[:, -1], goal)


def _worth(value: GoalValue, goal: Tensor, seen: Tensor) -> Tensor:
    """The goal value [S] of the last of predicted observations [S,K,P,C] for a goal [P,C].

    In place of the first term of Eq. 21.
    """
    worth: Tensor = value(seen[:, -1], goal.expand(len(seen), -1, -1))
    return worth


def _check_plan(
    image: Tensor, texts: Sequence[str], goal: Tensor | None, score: Value | None
) -> None:
    if len(texts) != len(image) or (goal is not None and len(goal) != len(image)):
        raise ConfigError(f"{len(image)} images need as many texts and goals")
    if goal is not None and score is not None:
        raise ConfigError("plan towards a goal or by a score, not both")


def build_prior(config: PriorConfig, space: SkillSpace) -> Prior | FlowMatchingPrior:
    """The prior with the head that its settings ask for.

    Raises `ConfigError` for a head that does not fit the skill model's bottleneck.
    """
    fits = "digits" if space.levels else "mixture"
    if config.head == "flow_matching":
        return FlowMatchingPrior(config, space)
    if config.head not in ("auto", fits):
        kind = "fsq" if space.levels else "kl"
        raise ConfigError(
            f"prior.head={config.head} does not fit skills of a bottleneck {kind}: use {fits} or "
            "flow_matching"
        )
    return Prior(config, space)


@contextmanager
def at_rest(module: nn.Module) -> Iterator[None]:
    """Set evaluation mode within the block, and the mode from before after it."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)
