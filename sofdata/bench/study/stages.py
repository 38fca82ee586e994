"""What is trained for the cells, each once: latent model, planner, action decoder, clone.

    OUT/models/HASH/{skill,lapa,planner,decoder,clone}/   model.pt, done.json, metrics.jsonl

A stage's hash covers its settings, its training seed, the data and which of it, and the stage that
it builds upon. So arms share what they have in common, and a stage that exists is never trained
again. One that was killed goes on from its last checkpoint, with the same result.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from sofdata.bench.baselines.lapa import LapaEvaluation, LatentActions
from sofdata.bench.collect.episodes import Part
from sofdata.bench.study.arms import Arm, clone_stage, decoder_stage
from sofdata.bench.study.config import BenchConfig
from sofdata.bench.study.data import BenchData
from sofdata.bench.study.memory import MemoryLoader, Windows, read_windows
from sofdata.bench.study.split import agreed_split
from sofdata.models.action.decoder import ActionDecoder
from sofdata.models.action.evaluation import ActionEvaluation
from sofdata.models.action.space import measure_actions
from sofdata.models.planner.planner import Planner
from sofdata.models.saved import load_model, save_model
from sofdata.models.skill.vae import FlowShape, SkillVAE
from sofdata.storage import atomic
from sofdata.system.digests import json_digest
from sofdata.system.locks import locked
from sofdata.system.versions import __version__
from sofdata.train.config import MachineConfig
from sofdata.train.loop import CHECKPOINTS, Fitting, TrainingProgress, fit
from sofdata.train.protocol import EvaluationOf
from sofdata.train.ranks import Ranks
from sofdata.train.stage import EVALUATIONS

FORMAT = 1  # goes up when what a stage does changes, so that no older one is taken for it
DONE = "done.json"
_BATCH = 256
_EVALUATIONS: dict[str, EvaluationOf] = {
    **EVALUATIONS,
    "lapa": LapaEvaluation,
    "clone": ActionEvaluation,
}

Latent = SkillVAE | LatentActions


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """A trained model and what is told of it: held-out metrics, CPU seconds, updates."""

    key: str
    model: Any
    told: dict[str, Any]

    @property
    def cpu_s(self) -> float:
        return float(self.told["cpu_s"])


@dataclass(frozen=True, slots=True)
class Share:
    """What of the data an arm learns from: K demonstrations, so many videos, a training seed."""

    demos: int
    videos: int
    seed: int


@dataclass(eq=False)
class Trainer:
    """Trains stages, or takes them from `out`. Holds the windows of the last few of them.

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

    # What there is to learn from

    def windows(self, part: Part, sources: Sequence[str]) -> Windows:
        """Windows of videos or demonstrations, with text ids that point into `texts`."""
        windows: Windows = self._read(part, tuple(sources))
        return windows

    def _read_windows(self, part: Part, sources: tuple[str, ...]) -> Windows:
        return read_windows(self.data.folders[part], sources).with_texts(self.texts)

    def demonstrations(self, share: Share) -> Windows:
        """The K demonstrations of each task."""
        return self.windows("demos", self.data.choose("demos", self.texts, share.demos, share.seed))

    def held_out(self, share: Share) -> Windows | None:
        """Demonstrations that the arm does not learn from, None if there are none."""
        return self._shown(self.data.held_out(self.texts, share.demos, share.seed))

    def _shown(self, sources: Sequence[str]) -> Windows | None:
        return self.windows("demos", sources) if sources else None

    def _learned(self, kind: str, share: Share) -> dict[Part, list[str]]:
        """The videos and demonstrations that a stage learns from."""
        demos, videos = share.demos, share.videos
        shown = self.data.choose("demos", self.texts, demos, share.seed)
        if kind == "decoder" or not videos:
            return {"demos": shown}
        watched = self.data.choose("videos", self.texts, videos, share.seed)
        return {"videos": watched, "demos": shown} if kind == "clone" else {"videos": watched}

    def _unlabelled(self, share: Share) -> Windows:
        """What latent model and prior learn from; no actions are looked at."""
        if not share.videos:
            return self.demonstrations(share)
        chosen = self.data.choose("videos", self.texts, share.videos, share.seed)
        return self.windows("videos", chosen)

    def _unlabelled_name(self, share: Share) -> list[Any]:
        """What `_unlabelled` depends on: K only where there are no videos."""
        return ["videos", share.videos] if share.videos else ["demos", share.demos]

    # The stages

    def latent(self, arm: Arm, share: Share) -> Stage:
        """The arm's latent model: the skill model, or LAPA's."""
        stage = self.config.lapa if arm.latent == "frames" else self.config.skill
        kind = "lapa" if arm.latent == "frames" else "skill"
        key = self._key(kind, stage, share.seed, self._unlabelled_name(share))

        def build() -> Latent:
            windows = self._unlabelled(share)
            size = windows.geometry
            shape = FlowShape(size.steps, size.flow_px, windows.p99_px)
            if arm.latent == "frames":
                return LatentActions(self.config.lapa.model, shape)
            return SkillVAE(self.config.skill.model, shape)

        return self._stage(kind, key, stage, share, build, self._unlabelled)

    def planner(self, arm: Arm, share: Share, latent: Stage) -> Stage:
        """Prior and latent dynamics upon the arm's latent model."""
        stage = self.config.planner
        key = self._key("planner", stage, share.seed, latent.key)

        def build() -> Planner:
            planner = Planner(stage.model, latent.model, self.texts)
            windows = MemoryLoader(self._unlabelled(share), _BATCH, shuffle=False)
            planner.remember(windows.epoch(0))
            planner.count(windows.epoch(0))
            return planner

        return self._stage("planner", key, stage, share, build, self._unlabelled, latent)

    def decoder(self, arm: Arm, share: Share, latent: Stage | None) -> Stage:
        """The arm's action decoder, from the K demonstrations."""
        stage = decoder_stage(arm, self.config)
        below = latent or self._untrained(share)
        what = [share.demos, arm.shuffled, below.key]
        key = self._key("decoder", stage, share.seed, what)

        def build() -> ActionDecoder:
            windows = self.demonstrations(share)
            every = MemoryLoader(windows, _BATCH, shuffle=False)
            space = measure_actions(every.epoch(0))
            decoder = ActionDecoder(stage.model, below.model, space, self.texts)
            if arm.skills:
                decoder.remember(every.epoch(0))
                if arm.shuffled and decoder.known is not None:
                    decoder.known = decoder.known.shuffled(share.seed)
            return decoder

        return self._stage("decoder", key, stage, share, build, self.demonstrations, below)

    def clone(self, share: Share, latent: Stage, decoder: Stage) -> Stage:
        """A policy cloned from the demonstrations and the videos, named by the action decoder."""
        stage = clone_stage(self.config)
        key = self._key("clone", stage, share.seed, decoder.key)

        def windows(share: Share) -> Windows:
            shown = self.demonstrations(share)
            return shown.joined(named_actions(self._unlabelled(share), decoder.model))

        def build() -> ActionDecoder:
            return ActionDecoder(stage.model, latent.model, decoder.model.space, self.texts)

        return self._stage("clone", key, stage, share, build, windows, latent)

    def _untrained(self, share: Share) -> Stage:
        """A skill model of the same build with random weights, for arms that take none."""
        record = json.loads((Path(self.data.folders["demos"]) / "dataset.json").read_text())
        windows = record["config"]["windows"]
        torch.manual_seed(share.seed)
        shape = FlowShape(windows["length"], windows["size"], float(record["flow"]["p99_px"]))
        model = SkillVAE(self.config.skill.model, shape).eval().requires_grad_(False)
        return Stage("untrained", model, {"cpu_s": 0.0})

    # How

    def _key(self, kind: str, stage: Any, seed: int, what: Any) -> str:
        settings = stage.model_dump(mode="json", exclude={"run": True, "model": {"mpc"}})
        parts = [FORMAT, __version__, kind, settings, seed, self.data.digest, self.texts, what]
        return json_digest(parts, 24)

    def _stage(
        self,
        kind: str,
        key: str,
        stage: Any,
        share: Share,
        build: Callable[[], Any],
        windows: Callable[[Share], Windows],
        below: Stage | None = None,
    ) -> Stage:
        base = self.out / "models" / key
        folder = base / kind
        with locked(base / "lock"):
            if not (folder / DONE).exists():
                self._train(kind, key, stage, share, build, windows, folder)
        classes = {"skill": SkillVAE, "lapa": LatentActions, "planner": Planner}
        over = [] if below is None else [below.model]
        model = load_model(base, kind, classes.get(kind, ActionDecoder), *over)
        return Stage(key, model, json.loads((folder / DONE).read_text()))

    def _train(
        self,
        kind: str,
        key: str,
        stage: Any,
        share: Share,
        build: Callable[[], Any],
        windows: Callable[[Share], Windows],
        folder: Path,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        machine = MachineConfig(seed=share.seed, device="cpu", threads=1)
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True, warn_only=True)
        clock = _Clock(folder / "cpu.json", self.follow)
        torch.manual_seed(share.seed)
        model = build()
        data = MemoryLoader(windows(share), stage.data.batch_size, seed=share.seed)
        kept = self.data.held_out(self.texts, share.demos, share.seed)
        beside = self._shown(agreed_split(folder, self._learned(kind, share), kept))
        held_out = MemoryLoader(beside or windows(share), _BATCH, shuffle=False)
        ranks = Ranks(0, 1, torch.device("cpu"))
        fitted = fit(
            model,
            Fitting(kind, stage, machine, key, folder),
            data=data,
            held_out=held_out,
            evaluation=_EVALUATIONS[kind],
            ranks=ranks,
            on_progress=clock,
        )
        save_model(folder, kind, model)
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
        told = {
            "metrics": fitted.metrics,
            "held_out": beside is not None,
            "cpu_s": round(clock.stop(), 2),
            "updates": fitted.steps,
            "windows": len(windows(share)),
            "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        }
        write_json(folder / DONE, told)


@torch.no_grad()
def named_actions(windows: Windows, decoder: ActionDecoder) -> Windows:
    """Windows with the actions that the decoder reads from their true skills."""
    parts = []
    for batch in MemoryLoader(windows, _BATCH, shuffle=False).epoch(0):
        texts = decoder.texts_of(batch) if decoder.text else None
        parts.append(decoder.act(batch.first, decoder.skill_of(batch), texts).values)
    return windows.with_actions(torch.cat(parts))


class _Clock:
    """CPU seconds of a training, summed over the runs that it takes; told of after steps."""

    def __init__(self, path: Path, follow: Callable[[TrainingProgress], None]) -> None:
        self._path, self._follow = path, follow
        self._before = json.loads(path.read_text()) if path.exists() else 0.0
        self._began = time.process_time()

    def __call__(self, progress: TrainingProgress) -> None:
        self.stop()
        self._follow(progress)

    def stop(self) -> float:
        """The seconds until now."""
        spent: float = self._before + time.process_time() - self._began
        write_json(self._path, spent)
        return spent


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    atomic.write_text(path, json.dumps(value, indent=1) + "\n")
