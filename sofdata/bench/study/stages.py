"""The trained stages of the cells, each made once: latent model, planner, decoder, clone.

    OUT/models/HASH/KIND/   model.pt, done.json, metrics.jsonl
                            KIND: skill, lapa, tracks, planner, decoder, clone or finetune

A stage's hash covers its settings, its training seed, the data and the part of it that is used, and
the stage that it builds on. So arms share what they have in common, and a stage that exists is
never trained again. A training that was killed resumes from its last checkpoint, with the same
result.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from sofdata.bench.baselines.lapa import LatentActions
from sofdata.bench.baselines.lapa_config import LapaStage
from sofdata.bench.baselines.tracks import TrackModel
from sofdata.bench.baselines.tracks_config import TracksStage
from sofdata.bench.study.arms import Arm
from sofdata.bench.study.choice import DataBudget, labelled
from sofdata.bench.study.config import BenchConfig, DrawnConfig
from sofdata.bench.study.data import BenchData
from sofdata.bench.study.joint import JointSkill
from sofdata.bench.study.memory import MemoryLoader, MemoryWindows
from sofdata.bench.study.naming import named_actions, naming_error
from sofdata.bench.study.stage_settings import (
    KINDS,
    clone_stage,
    decoder_stage,
    finetune_stage,
    latent_stage,
)
from sofdata.bench.study.stage_training import AT_ONCE, DONE, TrainedStage, Training, train_stage
from sofdata.bench.study.stage_windows import StageWindows, shape_of
from sofdata.config.earlier import identity
from sofdata.loading.catalog import open_catalog
from sofdata.loading.times import window_times
from sofdata.models.action.decoder import ActionDecoder
from sofdata.models.action.drawn import DrawnSkills
from sofdata.models.action.space import measure_actions, measure_state
from sofdata.models.planner.planner import Planner
from sofdata.models.saved import load_model
from sofdata.models.skill.vae import SkillVAE
from sofdata.storage.tree import Tree
from sofdata.system.digests import json_digest
from sofdata.system.locks import locked
from sofdata.system.versions import __version__
from sofdata.train.loop import TrainingProgress

FORMAT = 1  # increased when a stage changes what it does, so that older ones are not reused
_DRAWN_AT_ONCE = 32  # windows that the planner draws for
_SEED_STEP = 1_000_003  # between the seeds of decoders that name actions together

Latent = SkillVAE | LatentActions | TrackModel


@dataclass(frozen=True, slots=True, eq=False)
class Namers:
    """What names the actions of videos.

    members: decoders of whose answers the mean is taken. teller: the decoder that names the
    dimensions of `naming.told`; None where members name all.
    """

    members: tuple[TrainedStage, ...]
    teller: TrainedStage | None = None

    def named(self, windows: MemoryWindows, config: BenchConfig) -> MemoryWindows:
        """Windows with the actions that are read off them, see `named_actions`."""
        return named_actions(windows, *self._models(), config)

    def error(self, windows: MemoryWindows, config: BenchConfig) -> dict[str, float]:
        """How far named actions are from those that were taken, see `naming_error`."""
        return naming_error(windows, *self._models(), config)

    def _models(self) -> tuple[list[ActionDecoder], ActionDecoder | None]:
        teller = None if self.teller is None else self.teller.model
        return [each.model for each in self.members], teller


@dataclass(eq=False)
class Trainer:
    """Trains stages, or loads them from `out`.

    texts: of the tasks that take part. windows: what the stages learn from.
    """

    config: BenchConfig
    data: BenchData
    texts: tuple[str, ...]
    out: Path
    follow: Callable[[TrainingProgress], None] = lambda progress: None
    windows: StageWindows = field(init=False)

    def __post_init__(self) -> None:
        self.windows = StageWindows(self.config, self.data, self.texts)

    # Stages

    def latent(self, arm: Arm, budget: DataBudget) -> TrainedStage:
        """The arm's latent model: the skill model, LAPA's, or ATM's tracks."""
        source = arm.latent or "flow"
        kind, stage = KINDS[source], latent_stage(source, self.config)
        what = self.windows.unlabelled_name(budget)
        joint = self.config.joint if source == "flow" and self.config.joint.weight else None
        if joint:
            labels = ["demos", budget.demos, *budget.labels_name]
            what = [*what, "joint", joint.model_dump(mode="json"), *labels]
        key = self._key(kind, stage, budget.seed, what)

        def build() -> Latent | JointSkill:
            windows = self.windows.unlabelled(budget)
            shape = shape_of(windows, windows.p99_px)
            if budget.blind and not budget.videos:
                shape = shape_of(windows, windows.own_p99_px())
            if isinstance(stage, LapaStage):
                return LatentActions(stage.model, shape)
            if isinstance(stage, TracksStage):
                return TrackModel(stage.model, shape, self.texts)
            skill = SkillVAE(stage.model, shape)
            if not joint:
                return skill
            labelled = MemoryLoader(self.windows.demonstrations(budget), AT_ONCE, shuffle=False)
            return JointSkill(skill, measure_actions(labelled.epoch(0)), joint.weight)

        beside = self.windows.demonstrations if joint else None
        training = Training(kind, key, stage, budget, build, self.windows.unlabelled, beside=beside)
        return self._stage(training)

    def planner(self, arm: Arm, budget: DataBudget, latent: TrainedStage) -> TrainedStage:
        """Prior and latent dynamics over the arm's latent model."""
        stage = self.config.planner
        key = self._key("planner", stage, budget.seed, latent.key)

        def build() -> Planner:
            planner = Planner(stage.model, latent.model, self.texts)
            windows = MemoryLoader(self.windows.unlabelled(budget), AT_ONCE, shuffle=False)
            planner.remember(windows.epoch(0))
            planner.count(windows.epoch(0))
            if planner.value is not None:
                part = "videos" if budget.videos else labelled(self.data, self.texts, budget).part
                catalog = open_catalog([Tree(self.data.folders[part])])
                planner.keep(windows.epoch(0), window_times(catalog))
            return planner

        trained = self._stage(
            Training("planner", key, stage, budget, build, self.windows.unlabelled, latent)
        )
        trained.model.config = stage.model  # how it draws and searches is no part of the key
        return trained

    def decoder(
        self,
        arm: Arm,
        budget: DataBudget,
        latent: TrainedStage | None,
        planner: TrainedStage | None = None,
        member: int = 0,
        blind: bool = False,
    ) -> TrainedStage:
        """The arm's action decoder, from the K demonstrations or from play.

        planner: whose draws it is trained on as well, where `drawn` says so. member: 0, or which
        further one of several that name actions together; each has a seed of its own. blind: one
        that is not told the task.
        """
        stage = decoder_stage(arm, self.config, blind)
        below = latent or self._untrained(budget)
        drawn = self.config.drawn if planner is not None and self.config.drawn.share else None
        what = [budget.demos, arm.shuffled, below.key, *budget.labels_name]
        if drawn is not None and planner is not None:
            acting = self.config.acting.temperature
            what += ["drawn", drawn.model_dump(mode="json"), acting, planner.key]
        what += ["member", member] if member else []
        key = self._key("decoder", stage, budget.seed, what)

        def build() -> ActionDecoder:
            windows = self.windows.demonstrations(budget)
            every = MemoryLoader(windows, AT_ONCE, shuffle=False)
            space = measure_actions(every.epoch(0))
            state = measure_state(every.epoch(0)) if stage.model.state else None
            decoder = ActionDecoder(stage.model, below.model, space, self.texts, state)
            if arm.skills:
                decoder.remember(every.epoch(0))
                if arm.shuffled and decoder.known is not None:
                    decoder.known = decoder.known.shuffled(budget.seed)
            if drawn is not None and planner is not None:
                decoder.drawn = self._drawn(planner.model, windows, drawn, budget.seed)
            return decoder

        seed = budget.seed + _SEED_STEP * member
        return self._stage(
            Training("decoder", key, stage, budget, build, self.windows.demonstrations, below, seed)
        )

    @torch.no_grad()
    def _drawn(
        self, planner: Planner, windows: MemoryWindows, config: DrawnConfig, seed: int
    ) -> DrawnSkills:
        """Skills that the planner draws at the first frames of windows."""
        generator = torch.Generator().manual_seed(seed)
        codes = []
        for batch in MemoryLoader(windows, _DRAWN_AT_ONCE, shuffle=False).epoch(0):
            texts = [windows.texts[index] for index in batch.text_ids.tolist()]
            seen, tasks = planner.observe(batch.first), planner.tasks(texts)
            temperature = self.config.acting.temperature
            number = config.number if temperature else 1
            codes.append(planner.propose(seen, tasks, number, temperature, generator)[0])
        rows = {key: row for row, key in enumerate(windows.batch.keys)}
        return DrawnSkills(rows, torch.cat(codes), config.share)

    def namers(
        self, arm: Arm, budget: DataBudget, latent: TrainedStage, own: TrainedStage
    ) -> Namers:
        """What names the actions of videos for the arm whose own decoder is `own`.

        That is the first of those that name together, unless it names some dimensions alone
        (`naming.told`): then none of them is told the task.
        """
        number, blind = self.config.naming.members, self.config.naming.told is not None
        first = [] if blind else [own]
        members = [
            self.decoder(arm, budget, latent, member=place, blind=blind)
            for place in range(len(first), number)
        ]
        return Namers((*first, *members), own if blind else None)

    def clone(self, budget: DataBudget, latent: TrainedStage, namers: Namers) -> TrainedStage:
        """A policy cloned from the demonstrations, and from the videos with named actions.

        Play shows no task, so that nothing of it can be cloned.
        """
        stage, naming = clone_stage(self.config), self.config.naming
        first, *others = namers.members
        what: Any = [first.key, "overlap"] if naming.overlap else first.key
        if others:
            what = [what, [each.key for each in others], naming.trust]
        if namers.teller is not None:
            what = [what, "told", namers.teller.key, naming.told]
        key = self._key("clone", stage, budget.seed, what)
        space = first.model.space

        def windows(budget: DataBudget) -> MemoryWindows:
            named = namers.named(self.windows.unlabelled(budget), self.config)
            if budget.play_minutes:
                return named
            return self.windows.demonstrations(budget).joined(named)

        def build() -> ActionDecoder:
            return ActionDecoder(stage.model, latent.model, space, self.texts)

        return self._stage(Training("clone", key, stage, budget, build, windows, latent))

    def finetuned(
        self, budget: DataBudget, latent: TrainedStage, clone: TrainedStage
    ) -> TrainedStage | None:
        """The clone, trained further on the demonstrations alone; None where that is not wanted."""
        if not self.config.finetune_updates:
            return None
        stage = finetune_stage(self.config)
        key = self._key("finetune", stage, budget.seed, clone.key)

        def build() -> ActionDecoder:
            decoder = ActionDecoder(stage.model, latent.model, clone.model.space, self.texts)
            decoder.load_state_dict(clone.model.state_dict())
            return decoder

        return self._stage(
            Training("finetune", key, stage, budget, build, self.windows.demonstrations, latent)
        )

    def _untrained(self, budget: DataBudget) -> TrainedStage:
        """A skill model with random weights, for arms without: it fixes the encoder's build."""
        torch.manual_seed(budget.seed)
        shape = self.windows.labelled_shape(budget)
        model = SkillVAE(self.config.skill.model, shape).eval().requires_grad_(False)
        key = f"untrained-{json_digest(model.spec()['config'], 24)}"
        return TrainedStage(key, model, {"cpu_s": 0.0})

    # Training

    def _key(self, kind: str, stage: Any, seed: int, what: Any) -> str:
        settings = identity(stage, exclude={"run": True, "model": {"mpc"}})
        if kind == "planner":
            settings["model"] = stage.model.learned()
        parts = [FORMAT, __version__, kind, settings, seed, self.data.digest, self.texts, what]
        return json_digest(parts, 24)

    def _stage(self, training: Training) -> TrainedStage:
        """The stage, trained now unless it exists."""
        kind, base = training.kind, self.out / "models" / training.key
        folder = base / kind
        with locked(base / "lock"):
            if not (folder / DONE).exists():
                train_stage(training, folder, self.windows, self.follow)
        classes = {
            "skill": SkillVAE,
            "lapa": LatentActions,
            "tracks": TrackModel,
            "planner": Planner,
        }
        over = [] if training.below is None else [training.below.model]
        # From the file also when it was trained just now: every process then holds the same model.
        model = load_model(base, kind, classes.get(kind, ActionDecoder), *over)
        return TrainedStage(training.key, model, json.loads((folder / DONE).read_text()))
