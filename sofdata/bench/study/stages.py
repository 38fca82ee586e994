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
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from sofdata.bench.baselines.lapa import LapaEvaluation, LatentActions
from sofdata.bench.baselines.lapa_config import LapaStage
from sofdata.bench.baselines.tracks import TrackEvaluation, TrackModel
from sofdata.bench.baselines.tracks_config import TracksStage
from sofdata.bench.study.arms import Arm
from sofdata.bench.study.choice import DataBudget, labelled, unlabelled, unlearned
from sofdata.bench.study.config import BenchConfig, DrawnConfig
from sofdata.bench.study.data import BenchData, DataPart
from sofdata.bench.study.joint import JointLoader, JointSkill
from sofdata.bench.study.memory import MemoryLoader, MemoryWindows, read_windows
from sofdata.bench.study.naming import named_actions, with_context
from sofdata.bench.study.second import with_second
from sofdata.bench.study.split import agreed_split
from sofdata.bench.study.stage_settings import (
    KINDS,
    clone_stage,
    decoder_stage,
    finetune_stage,
    latent_stage,
)
from sofdata.config.earlier import identity
from sofdata.loading.catalog import open_catalog
from sofdata.loading.times import window_times
from sofdata.models.action.decoder import ActionDecoder
from sofdata.models.action.drawn import DrawnSkills
from sofdata.models.action.evaluation import ActionEvaluation
from sofdata.models.action.space import measure_actions, measure_state
from sofdata.models.planner.planner import Planner
from sofdata.models.saved import load_model, save_model
from sofdata.models.skill.vae import FlowShape, SkillVAE
from sofdata.storage import atomic
from sofdata.storage.tree import Tree
from sofdata.system.digests import json_digest
from sofdata.system.locks import locked
from sofdata.system.versions import __version__
from sofdata.train.config import MachineConfig
from sofdata.train.loop import CHECKPOINTS, Fitting, TrainingProgress, fit
from sofdata.train.protocol import Batches, EvaluationOf
from sofdata.train.ranks import Ranks
from sofdata.train.stage import EVALUATIONS, same_bits

FORMAT = 1  # increased when a stage changes what it does, so that older ones are not reused
DONE = "done.json"
_BATCH = 256
_AT_ONCE = 32  # windows that the planner draws for
_SEED_STEP = 1_000_003  # between the seeds of decoders that name actions together
# Stages that learn from videos alone, where there are any.
_OF_VIDEOS = ("skill", "lapa", "tracks", "planner")
_EVALUATIONS: dict[str, EvaluationOf] = {
    **EVALUATIONS,
    "lapa": LapaEvaluation,
    "tracks": TrackEvaluation,
    "clone": ActionEvaluation,
    "finetune": ActionEvaluation,
}

Latent = SkillVAE | LatentActions | TrackModel


@dataclass(frozen=True, slots=True, eq=False)
class TrainedStage:
    """A trained model and its record (`done.json`): held-out metrics, CPU seconds, updates."""

    key: str
    model: Any
    record: dict[str, Any]

    @property
    def cpu_s(self) -> float:
        return float(self.record["cpu_s"])


@dataclass(frozen=True, slots=True, eq=False)
class _Training:
    """All that makes one stage.

    kind: skill, lapa, tracks, planner, decoder, clone or finetune. settings: the stage's section.
    build: makes the untrained model, after the seed is set. windows: what it learns from.
    below: the stage that it builds on, if any. seed: of weights, order and noise.
    beside: labelled windows of which a batch goes with each of the others, if any.
    """

    kind: str
    key: str
    settings: Any
    budget: DataBudget
    build: Callable[[], Any]
    windows: Callable[[DataBudget], MemoryWindows]
    below: TrainedStage | None = None
    seed: int = 0
    beside: Callable[[DataBudget], MemoryWindows] | None = None


@dataclass(eq=False)
class Trainer:
    """Trains stages, or loads them from `out`. Keeps the windows that were used last in memory.

    texts: of the tasks that take part.
    """

    config: BenchConfig
    data: BenchData
    texts: tuple[str, ...]
    out: Path
    follow: Callable[[TrainingProgress], None] = lambda progress: None
    _read: Any = field(init=False)

    def __post_init__(self) -> None:
        self._read = lru_cache(maxsize=3)(self._read_windows)

    # Data

    def windows(self, part: DataPart, sources: Sequence[str]) -> MemoryWindows:
        """Windows of videos, demonstrations or play, with text ids that point into `texts`; those
        of play are of no task."""
        windows: MemoryWindows = self._read(part, tuple(sources))
        return windows

    def _read_windows(self, part: DataPart, sources: tuple[str, ...]) -> MemoryWindows:
        image_px = self.config.skill.model.image_px
        frames = self.config.lapa.model.reads == "frames"
        windows = read_windows(self.data.folders[part], sources, image_px, frames)
        windows = windows.with_history(self.config.decoder.model.history)
        if self.data.second is not None and part != "videos":
            folder = self.data.folders[part]
            windows = with_second(windows, folder, self.data.second, sources, image_px)
        return windows.untold() if part == "play" else windows.with_texts(self.texts)

    def demonstrations(self, budget: DataBudget) -> MemoryWindows:
        """The labelled windows: the K demonstrations of each task that has any, or play."""
        chosen = labelled(self.data, self.texts, budget)
        return self.windows(chosen.part, chosen.sources)

    def held_out(self, budget: DataBudget) -> MemoryWindows | None:
        """Labelled windows that the arm does not learn from; None if there are none."""
        left = unlearned(self.data, self.texts, budget)
        return self._some(left.part, left.sources)

    def with_goals(self, budget: DataBudget) -> list[MemoryWindows]:
        """Windows whose ends show how tasks end: of demonstrations, and of the videos of tasks that
        have none."""
        without = self.texts if budget.play_minutes else budget.withheld
        shown = [] if budget.play_minutes else [self.demonstrations(budget)]
        if not without:
            return shown
        chosen = self.data.choose("videos", without, budget.videos, budget.seed)
        return [*shown, self.windows("videos", chosen)]

    def _some(self, part: DataPart, sources: Sequence[str]) -> MemoryWindows | None:
        return self.windows(part, sources) if sources else None

    def _learned(self, kind: str, budget: DataBudget) -> dict[DataPart, list[str]]:
        """Ids of the videos, demonstrations or episodes of play that a stage learns from."""
        found: dict[DataPart, list[str]] = {}
        joint = kind == "skill" and self.config.joint.weight
        if kind in ("decoder", "clone", "finetune") or joint or not budget.videos:
            chosen = labelled(self.data, self.texts, budget)
            found[chosen.part] = chosen.sources
        if kind != "decoder" and budget.videos:
            found["videos"] = unlabelled(self.data, self.texts, budget).sources
        return found

    def _judged(self, kind: str, budget: DataBudget, folder: Path) -> MemoryWindows | None:
        """What a stage is evaluated on that it does not learn from; None for nothing.

        Where demonstrations may not be read, what is learned from videos is not evaluated on those
        of other tasks either: it is the same for all folds. A clone of a task is not evaluated on
        play, which has none.
        """
        shared = budget.videos and kind in _OF_VIDEOS
        untold = budget.play_minutes and kind == "clone"
        left = unlearned(self.data, self.texts, budget)
        unused = [] if budget.blind and (shared or untold) else left.sources
        return self._some(left.part, agreed_split(folder, self._learned(kind, budget), unused))

    def _unlabelled(self, budget: DataBudget) -> MemoryWindows:
        """Windows that latent model and prior learn from; their actions, if any, are not used."""
        if not budget.videos:
            return self.demonstrations(budget)
        return self.windows("videos", unlabelled(self.data, self.texts, budget).sources)

    def _unlabelled_name(self, budget: DataBudget) -> list[Any]:
        """The part of a key for `_unlabelled`: K counts only where there are no videos.

        What is learned from videos is the same whatever is held out; but it is not what was
        evaluated on demonstrations of every task.
        """
        if not budget.videos:
            return ["demos", budget.demos, *budget.labels_name]
        return ["videos", budget.videos, *(["no demos"] if budget.blind else [])]

    # Stages

    def latent(self, arm: Arm, budget: DataBudget) -> TrainedStage:
        """The arm's latent model: the skill model, LAPA's, or ATM's tracks."""
        source = arm.latent or "flow"
        kind, stage = KINDS[source], latent_stage(source, self.config)
        what = self._unlabelled_name(budget)
        joint = self.config.joint if source == "flow" and self.config.joint.weight else None
        if joint:
            labels = ["demos", budget.demos, *budget.labels_name]
            what = [*what, "joint", joint.model_dump(mode="json"), *labels]
        key = self._key(kind, stage, budget.seed, what)

        def build() -> Latent | JointSkill:
            windows = self._unlabelled(budget)
            shape = _shape(windows, windows.p99_px)
            if budget.blind and not budget.videos:
                shape = _shape(windows, windows.own_p99_px())
            if isinstance(stage, LapaStage):
                return LatentActions(stage.model, shape)
            if isinstance(stage, TracksStage):
                return TrackModel(stage.model, shape, self.texts)
            skill = SkillVAE(stage.model, shape)
            if not joint:
                return skill
            labelled = MemoryLoader(self.demonstrations(budget), _BATCH, shuffle=False)
            return JointSkill(skill, measure_actions(labelled.epoch(0)), joint.weight)

        beside = self.demonstrations if joint else None
        training = _Training(kind, key, stage, budget, build, self._unlabelled, beside=beside)
        return self._stage(training)

    def planner(self, arm: Arm, budget: DataBudget, latent: TrainedStage) -> TrainedStage:
        """Prior and latent dynamics over the arm's latent model."""
        stage = self.config.planner
        key = self._key("planner", stage, budget.seed, latent.key)

        def build() -> Planner:
            planner = Planner(stage.model, latent.model, self.texts)
            windows = MemoryLoader(self._unlabelled(budget), _BATCH, shuffle=False)
            planner.remember(windows.epoch(0))
            planner.count(windows.epoch(0))
            if planner.value is not None:
                part = "videos" if budget.videos else labelled(self.data, self.texts, budget).part
                catalog = open_catalog([Tree(self.data.folders[part])])
                planner.keep(windows.epoch(0), window_times(catalog))
            return planner

        trained = self._stage(
            _Training("planner", key, stage, budget, build, self._unlabelled, latent)
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
            windows = self.demonstrations(budget)
            every = MemoryLoader(windows, _BATCH, shuffle=False)
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
            _Training("decoder", key, stage, budget, build, self.demonstrations, below, seed)
        )

    @torch.no_grad()
    def _drawn(
        self, planner: Planner, windows: MemoryWindows, config: DrawnConfig, seed: int
    ) -> DrawnSkills:
        """Skills that the planner draws at the first frames of windows."""
        generator = torch.Generator().manual_seed(seed)
        codes = []
        for batch in MemoryLoader(windows, _AT_ONCE, shuffle=False).epoch(0):
            texts = [windows.texts[index] for index in batch.text_ids.tolist()]
            seen, tasks = planner.observe(batch.first), planner.tasks(texts)
            temperature = self.config.acting.temperature
            number = config.number if temperature else 1
            codes.append(planner.propose(seen, tasks, number, temperature, generator)[0])
        rows = {key: row for row, key in enumerate(windows.batch.keys)}
        return DrawnSkills(rows, torch.cat(codes), config.share)

    def members(self, arm: Arm, budget: DataBudget, latent: TrainedStage) -> list[TrainedStage]:
        """The decoders that name actions together. The first is the arm's own, unless that names
        some dimensions alone (`naming.told`): then none of them is told the task."""
        number, blind = self.config.naming.members, self.config.naming.told is not None
        return [
            self.decoder(arm, budget, latent, member=place, blind=blind) for place in range(number)
        ]

    def teller(self, arm: Arm, budget: DataBudget, latent: TrainedStage) -> TrainedStage | None:
        """The decoder that names the dimensions of `naming.told`, the arm's own; None where all
        are named by `members`."""
        return None if self.config.naming.told is None else self.decoder(arm, budget, latent)

    def clone(
        self,
        budget: DataBudget,
        latent: TrainedStage,
        members: Sequence[TrainedStage],
        teller: TrainedStage | None = None,
    ) -> TrainedStage:
        """A policy cloned from the demonstrations, and from the videos labelled by decoders.

        Play shows no task, so that nothing of it can be cloned.
        """
        stage, naming, space = clone_stage(self.config), self.config.naming, members[0].model.space
        what: Any = [members[0].key, "overlap"] if naming.overlap else members[0].key
        if len(members) > 1:
            what = [what, [each.key for each in members[1:]], naming.trust]
        if teller is not None:
            what = [what, "told", teller.key, naming.told]
        key = self._key("clone", stage, budget.seed, what)

        def windows(budget: DataBudget) -> MemoryWindows:
            decoders = [each.model for each in members]
            told = None if teller is None else teller.model
            named = named_actions(self._unlabelled(budget), decoders, self.config, told)
            return named if budget.play_minutes else self.demonstrations(budget).joined(named)

        def build() -> ActionDecoder:
            return ActionDecoder(stage.model, latent.model, space, self.texts)

        return self._stage(_Training("clone", key, stage, budget, build, windows, latent))

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
            _Training("finetune", key, stage, budget, build, self.demonstrations, latent)
        )

    def _beside(self, labelled: MemoryWindows, seed: int) -> MemoryLoader:
        """Batches of labelled windows that go with those of videos."""
        return MemoryLoader(labelled, self.config.joint.batch_size, seed=seed)

    def _around(self, windows: MemoryWindows, model: Any) -> MemoryWindows:
        """Windows with as much of what was seen around them, and beside, as a model reads."""
        decodes = isinstance(model, ActionDecoder)
        if not (decodes and model.config.second_camera):
            windows = replace(windows, second=None)
        context = model.config.context if decodes else 0
        return with_context(windows, self.config.ingest.windows.stride, context)

    def _untrained(self, budget: DataBudget) -> TrainedStage:
        """A skill model with random weights, for arms without: it fixes the encoder's build."""
        torch.manual_seed(budget.seed)
        shape = self._labelled_shape(budget)
        model = SkillVAE(self.config.skill.model, shape).eval().requires_grad_(False)
        key = f"untrained-{json_digest(model.spec()['config'], 24)}"
        return TrainedStage(key, model, {"cpu_s": 0.0})

    def _labelled_shape(self, budget: DataBudget) -> FlowShape:
        """Of labelled windows. The record of their dataset has statistics of all of them, which do
        not count where some may not be read."""
        if budget.blind:
            windows = self.demonstrations(budget)
            return _shape(windows, windows.own_p99_px())
        record = json.loads((Path(self.data.folders["demos"]) / "dataset.json").read_text())
        of = record["config"]["windows"]
        return FlowShape(of["length"], of["size"], float(record["flow"]["p99_px"]))

    # Training

    def _key(self, kind: str, stage: Any, seed: int, what: Any) -> str:
        settings = identity(stage, exclude={"run": True, "model": {"mpc"}})
        if kind == "planner":
            settings["model"] = stage.model.learned()
        parts = [FORMAT, __version__, kind, settings, seed, self.data.digest, self.texts, what]
        return json_digest(parts, 24)

    def _stage(self, training: _Training) -> TrainedStage:
        """The stage, trained now unless it exists."""
        kind, base = training.kind, self.out / "models" / training.key
        folder = base / kind
        with locked(base / "lock"):
            if not (folder / DONE).exists():
                self._train(training, folder)
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

    def _train(self, training: _Training, folder: Path) -> None:
        kind, key, stage = training.kind, training.key, training.settings
        budget, windows = training.budget, training.windows
        folder.mkdir(parents=True, exist_ok=True)
        seed = training.seed or budget.seed
        machine = MachineConfig(seed=seed, device="cpu", threads=1)
        torch.set_num_threads(1)
        same_bits(True)
        clock = _Clock(folder / "cpu.json", self.follow)
        torch.manual_seed(seed)
        model = training.build()
        learned = self._around(windows(budget), model)
        data: Batches = MemoryLoader(learned, stage.data.batch_size, seed=seed)
        if training.beside:
            data = JointLoader(data, self._beside(training.beside(budget), seed))
        unseen = judged = self._judged(kind, budget, folder)
        if judged is None:  # then on what it learns from
            judged = windows(budget.sampled() if budget.blind else budget)
        held_out = MemoryLoader(self._around(judged, model), _BATCH, shuffle=False)
        ranks = Ranks(0, 1, torch.device("cpu"))
        fitted = fit(
            model,
            Fitting(kind, stage, machine, key, folder),
            data=data,
            held_out=held_out,
            evaluation=lambda made: _EVALUATIONS[kind](_kept(made)),
            ranks=ranks,
            on_progress=clock,
        )
        save_model(folder, kind, _kept(model))
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
        record = {
            "metrics": fitted.metrics,
            "held_out": unseen is not None,
            "cpu_s": round(clock.stop(), 2),
            "updates": fitted.steps,
            "windows": len(learned),
            "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        }
        write_json(folder / DONE, record)


def _kept(model: Any) -> Any:
    """The part of a model that is kept after its training."""
    return model.skill if isinstance(model, JointSkill) else model


def _shape(windows: MemoryWindows, p99_px: float) -> FlowShape:
    return FlowShape(windows.geometry.steps, windows.geometry.flow_px, p99_px)


class _Clock:
    """CPU seconds of a training, summed over the runs that it takes; stored at every report."""

    def __init__(self, path: Path, follow: Callable[[TrainingProgress], None]) -> None:
        self._path, self._follow = path, follow
        self._before = json.loads(path.read_text()) if path.exists() else 0.0
        self._began = time.process_time()

    def __call__(self, progress: TrainingProgress) -> None:
        self.stop()
        self._follow(progress)

    def stop(self) -> float:
        """Store the seconds spent until now; returns them."""
        spent: float = self._before + time.process_time() - self._began
        write_json(self._path, spent)
        return spent


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    atomic.write_text(path, json.dumps(value, indent=1) + "\n")
