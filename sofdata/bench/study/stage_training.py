"""The training of one stage, which resumes from its last checkpoint with the same result."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sofdata.bench.baselines.lapa import LapaEvaluation
from sofdata.bench.baselines.tracks import TrackEvaluation
from sofdata.bench.study.choice import DataBudget
from sofdata.bench.study.joint import JointLoader, JointSkill
from sofdata.bench.study.memory import MemoryLoader, MemoryWindows
from sofdata.bench.study.naming import with_context
from sofdata.bench.study.stage_windows import StageWindows
from sofdata.models.action.decoder import ActionDecoder
from sofdata.models.action.evaluation import ActionEvaluation
from sofdata.models.saved import save_model
from sofdata.storage import atomic
from sofdata.train.config import MachineConfig
from sofdata.train.loop import CHECKPOINTS, Fitting, TrainingProgress, fit
from sofdata.train.protocol import Batches, EvaluationOf
from sofdata.train.ranks import Ranks
from sofdata.train.stage import EVALUATIONS, same_bits

DONE = "done.json"
AT_ONCE = 256  # windows that are read together where none is learned from
_EVALUATIONS: dict[str, EvaluationOf] = {
    **EVALUATIONS,
    "lapa": LapaEvaluation,
    "tracks": TrackEvaluation,
    "clone": ActionEvaluation,
    "finetune": ActionEvaluation,
}


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
class Training:
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


def train_stage(
    training: Training,
    folder: Path,
    of: StageWindows,
    follow: Callable[[TrainingProgress], None],
) -> None:
    """Train a stage and write its model and record into its folder.

    A training that was killed goes on from its last checkpoint.
    """
    kind, key, stage = training.kind, training.key, training.settings
    budget, windows = training.budget, training.windows
    folder.mkdir(parents=True, exist_ok=True)
    seed = training.seed or budget.seed
    machine = MachineConfig(seed=seed, device="cpu", threads=1)
    torch.set_num_threads(1)
    same_bits(True)
    clock = _Clock(folder / "cpu.json", follow)
    torch.manual_seed(seed)
    model = training.build()
    stride = of.config.ingest.windows.stride
    learned = _around(windows(budget), model, stride)
    data: Batches = MemoryLoader(learned, stage.data.batch_size, seed=seed)
    if training.beside:
        labelled = training.beside(budget)
        data = JointLoader(data, MemoryLoader(labelled, of.config.joint.batch_size, seed=seed))
    unseen = judged = of.judged(kind, budget, folder)
    if judged is None:  # then on what it learns from
        judged = windows(budget.sampled() if budget.blind else budget)
    held_out = MemoryLoader(_around(judged, model, stride), AT_ONCE, shuffle=False)
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
    atomic.write_json(folder / DONE, record)


def _around(windows: MemoryWindows, model: Any, stride: int) -> MemoryWindows:
    """Windows with as much of what was seen around them, and beside, as a model reads."""
    decodes = isinstance(model, ActionDecoder)
    if not (decodes and model.config.second_camera):
        windows = replace(windows, second=None)
    return with_context(windows, stride, model.config.context if decodes else 0)


def _kept(model: Any) -> Any:
    """The part of a model that is kept after its training."""
    return model.skill if isinstance(model, JointSkill) else model


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
        atomic.write_json(self._path, spent)
        return spent
