"""One stage of training, as each of its processes runs it: data, model, fit, save.

`sofdata.train.run` decides whether a stage has to be trained and where: `run_stage` is called by
that process itself, or by each of the workers of Ray Train (`sofdata.train.cluster`).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from sofdata.errors import ConfigError
from sofdata.loading.catalog import open_catalog, trees_of
from sofdata.loading.loader import Loader
from sofdata.loading.split import Sides
from sofdata.loading.times import window_times
from sofdata.models.action.decoder import ActionDecoder
from sofdata.models.action.evaluation import ActionEvaluation
from sofdata.models.action.space import measure_actions, measure_state
from sofdata.models.planner.evaluation import PlannerEvaluation
from sofdata.models.planner.planner import Planner
from sofdata.models.saved import MODEL, load_skill, save_model
from sofdata.models.skill.evaluation import SkillEvaluation
from sofdata.models.skill.eyes import check_image_px
from sofdata.models.skill.vae import FlowShape, SkillVAE
from sofdata.shards.record import read_dataset
from sofdata.storage import atomic
from sofdata.storage.tree import Tree
from sofdata.system.allocation import keep_memory
from sofdata.system.cores import cores
from sofdata.system.versions import __version__
from sofdata.train.config import AnyStage, StageName, TrainConfig
from sofdata.train.loop import Fitting, OnProgress, fit, to_device
from sofdata.train.protocol import EvaluationOf
from sofdata.train.ranks import Ranks
from sofdata.train.sides import agreed_sides, store_sides, with_sides
from sofdata.types import STATE_NAME, Batch

DONE = "done.json"
COUNTED = 16_384  # windows, at most, from which the planner's baseline is counted

EVALUATIONS: dict[str, EvaluationOf] = {
    "skill": SkillEvaluation,
    "planner": PlannerEvaluation,
    "decoder": ActionEvaluation,
}
"""What measures the model of each stage on held-out windows."""


@dataclass(frozen=True, slots=True)
class StageJob:
    """One stage to train; travels to the workers of Ray Train.

    urls: the datasets that it learns from. out: the folder of all stages, local.
    options: for the file systems of `urls`; secret, and stored nowhere.
    """

    name: StageName
    config: TrainConfig
    urls: tuple[str, ...]
    out: str
    options: dict[str, Any]

    @property
    def stage(self) -> AnyStage:
        stage: AnyStage = getattr(self.config, self.name)
        return stage

    @property
    def folder(self) -> Path:
        return Path(self.out) / self.name


def run_stage(job: StageJob, digest: str, ranks: Ranks, on_progress: OnProgress) -> None:
    """What each process does: build loaders and model, fit, and save.

    digest: of everything that decides the result; see `sofdata.train.run.stage_digest`.
    """
    machine, stage = job.config.machine, job.stage
    prepare_torch(job.config, ranks)
    sides = agreed_sides(job.folder, digest, job.urls, job.options, job.stage.data)
    data, held_out = loaders(job, ranks, sides)
    if ranks.first:
        store_sides(job.folder, digest, sides, data, held_out)
    torch.manual_seed(machine.seed)
    model = build_model(job, data, ranks.device)
    fitted = fit(
        model,
        Fitting(job.name, stage, machine, with_sides(digest, sides), job.folder),
        data=data,
        held_out=held_out,
        evaluation=EVALUATIONS[job.name],
        ranks=ranks,
        on_progress=on_progress,
    )
    if not ranks.first:
        return
    sha256 = save_model(job.folder, job.name, model)
    done = {
        "digest": digest,
        "model_sha256": sha256,
        "metrics": fitted.metrics,
        "seconds": round(fitted.seconds, 1),
        "steps": fitted.steps,
        "steps_skipped": fitted.bad_steps,
        "windows": {"train": data.rows, "held_out": held_out.rows},
        "videos": {"train": data.videos, "held_out": held_out.videos},
        "split": {"how": sides.how, "sha256": sides.sha256},
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "config": stage.model_dump(mode="json"),
        "machine": machine.model_dump(mode="json", exclude={"address"}),
        "data": [Tree(url).name for url in job.urls],
        "sofdata": __version__,
        "torch": str(torch.__version__),
    }
    if isinstance(model, ActionDecoder):
        space = model.space
        done["actions"] = {"names": list(space.names), "fps": space.fps, "chunk": space.chunk}
    atomic.write_text(job.folder / DONE, json.dumps(done, indent=1))


def read_done(folder: Path) -> dict[str, Any] | None:
    """The record of a stage that has ended, None if it has not."""
    try:
        done = json.loads((folder / DONE).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return done if isinstance(done, dict) and "digest" in done else None


def prepare_torch(config: TrainConfig, ranks: Ranks) -> None:
    """Set threads, memory and determinism of this process."""
    keep_memory()
    machine = config.machine
    torch.set_num_threads(machine.threads or max(1, (cores() - 1) // ranks.world))
    same_bits(machine.deterministic)
    if machine.deterministic and ranks.device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False


def same_bits(wanted: bool) -> None:
    """Only algorithms that give the same bits each time, where torch has any, or the fastest.

    Memory is not filled before it is written, as torch would for programs that read it too early:
    a profile of small trainings gave that 8 to 11 % of their time.
    """
    torch.use_deterministic_algorithms(wanted, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def device_of(config: TrainConfig) -> torch.device:
    """The device that `machine.device` names. Raises `ConfigError` where there is no such one."""
    wanted = config.machine.device
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise ConfigError(f"machine.device is '{wanted}'; give auto, cpu, cuda or cuda:1") from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"machine.device is '{wanted}', which is not supported: cpu or cuda")
    number = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and not number:
        raise ConfigError(f"machine.device is '{wanted}', but torch finds no CUDA device here")
    if device.type == "cuda" and (device.index or 0) >= number:
        last = f"cuda:{number - 1}" if number > 1 else "cuda"
        raise ConfigError(f"machine.device is '{wanted}', but the last device here is {last}")
    return device


def loaders(job: StageJob, ranks: Ranks, sides: Sides) -> tuple[Loader, Loader]:
    """The training windows of this rank, and all held-out windows."""
    data = job.stage.data
    shared: dict[str, Any] = {
        "batch_size": data.batch_size,
        "where": data.where,
        "options": job.options,
    }
    train = Loader(
        job.urls,
        seed=job.config.machine.seed,
        workers=data.loaders,
        rank=ranks.rank,
        world=ranks.world,
        split=("train", sides),
        drop_last=True,
        buffer_shards=data.buffer_shards,
        **shared,
    )
    every: dict[str, Any] = {"rank": 0, "world": 1, "shuffle": False}
    return train, Loader(job.urls, split=("held_out", sides), **every, **shared)


def build_model(
    job: StageJob, data: Loader, device: torch.device
) -> SkillVAE | Planner | ActionDecoder:
    """The model of a stage, before its first step; the same on every rank."""
    if job.name == "skill":
        size = data.geometry
        check_image_px(job.config.skill.model.image_px, size.frame_px)
        shape = FlowShape(size.steps, size.flow_px, float(data.statistics["p99_px"]))
        return SkillVAE(job.config.skill.model, shape)
    skill = _skill_for(job, data)
    if job.name == "planner":
        planner = Planner(job.config.planner.model, skill, tuple(data.texts)).to(device)
        batches = islice(
            _every(job, data, shuffle=True), math.ceil(COUNTED / job.stage.data.batch_size)
        )
        planner.count(to_device(batch, device) for batch in batches)
        if planner.value is not None:
            every = _every(job, data, shuffle=False)
            planner.keep(every, window_times(open_catalog(trees_of(job.urls, job.options))))
        return planner
    actions = replace(measure_actions(_every(job, data, shuffle=False)), **_named(job))
    config, texts = job.config.decoder.model, tuple(data.texts)
    state = measure_state(_every(job, data, shuffle=False)) if config.state else None
    return ActionDecoder(config, skill, actions, texts, state)


def _named(job: StageJob) -> dict[str, Any]:
    """What the actions are called, without the robot's state behind them, and how many come a
    second; all datasets agree on that."""
    record = read_dataset(Tree(job.urls[0], job.options))
    if record is None or record.actions is None:
        return {}
    own = (name for name in record.actions.names if not name.startswith(STATE_NAME))
    return {"names": tuple(own), "fps": record.actions.fps}


def _every(job: StageJob, share: Loader, shuffle: bool) -> Iterator[Batch]:
    """Every training window once, of which a rank's loader has a share."""
    data = job.stage.data
    assert share.sides is not None
    loader = Loader(
        job.urls,
        batch_size=data.batch_size,
        shuffle=shuffle,
        seed=job.config.machine.seed,
        rank=0,
        world=1,
        where=data.where,
        split=("train", share.sides),
        options=job.options,
    )
    return loader.epoch(0)


def _skill_for(job: StageJob, data: Loader) -> SkillVAE:
    """The trained skill model. Raises `ConfigError` if it was made for other windows."""
    skill_file(job)
    skill = load_skill(Path(job.out))
    ours, size = skill.shape, data.geometry
    if (ours.steps, ours.size) != (size.steps, size.flow_px):
        raise ConfigError(
            f"the skill model in {job.out} is for windows of {ours.steps} steps at {ours.size} px, "
            f"and the data has {size.steps} steps at {size.flow_px} px: ingest with the same "
            "windows.length and windows.size"
        )
    return skill


def skill_file(job: StageJob) -> Path:
    """The file of the skill model that a stage needs. Raises `ConfigError` where there is none."""
    path = Path(job.out) / "skill" / MODEL
    if not path.exists():
        raise ConfigError(
            f"the {job.name} needs a skill model, and {path} does not exist: run "
            f"'sofdata train skill' or 'sofdata train all' with --out {job.out} first"
        )
    return path
