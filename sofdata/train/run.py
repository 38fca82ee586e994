"""`sofdata train`: one stage, or all three one after the other, each skipped if it is up to date.

    OUT/skill/    skill VAE        OUT/planner/  planner         OUT/decoder/  action decoder
        model.pt, done.json, metrics.jsonl, tensorboard/, pictures/, checkpoints/
        split.json  which files were learned from, and which were held out

A stage's digest covers everything that decides its result: its settings, the data, the model it
builds upon, the version of sofdata. `done.json` holds the digest of what was finished.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from sofdata.errors import ConfigError
from sofdata.loading.catalog import trees_of
from sofdata.loading.loader import Loader
from sofdata.loading.split import HeldOut, Sides, read_list
from sofdata.models.action.decoder import ActionDecoder, measure_actions
from sofdata.models.planner.planner import Planner
from sofdata.models.saved import MODEL, load_skill, save_model
from sofdata.models.skill.vae import FlowShape, SkillVAE
from sofdata.storage import atomic
from sofdata.storage.local_paths import local_folder
from sofdata.storage.lock import Choice, only_driver
from sofdata.storage.tree import Tree
from sofdata.system.allocation import keep_memory
from sofdata.system.cores import cores
from sofdata.system.digests import json_digest
from sofdata.system.extras import require
from sofdata.system.versions import __version__
from sofdata.train.checkpoint import hash_of
from sofdata.train.config import AnyStage, StageName, TrainConfig
from sofdata.train.loop import Follow, fit, to_device
from sofdata.train.protocol import AnyModel
from sofdata.train.ranks import Ranks
from sofdata.train.sides import agreed_sides, decided_sides, store_sides, with_sides
from sofdata.types import Batch
from sofdata.ui.brief import Brief

DONE = "done.json"
COUNTED = 16_384  # windows, at most, from which the planner's baseline is counted


@dataclass(frozen=True, slots=True)
class Job:
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


@dataclass(frozen=True, slots=True, repr=False)
class StageResult(Brief):
    """How a stage ended. metrics: held-out ones. skipped: it was up to date."""

    name: StageName
    metrics: dict[str, float]
    seconds: float
    skipped: bool


def train_stage(
    job: Job, follow: Follow, restart: bool = False, choice: Choice = "auto"
) -> StageResult:
    """Train one stage, go on from its checkpoint, or do nothing if it is up to date.

    restart: throw away what an earlier training has left in the folder of this stage. choice: as of
    `only_driver`, whose lock the folder of all stages gets.

    Raises `ConfigError` for settings, data or an earlier training that do not fit, for a folder
    that is not on this machine, and if another command trains into it.
    """
    if job.config.machine.workers:
        require("ray", "ray", "training with machine.workers")
    with only_driver(Tree(local_folder(job.out, "the folder to train into")), "training", choice):
        return _train_stage(job, follow, restart)


def _train_stage(job: Job, follow: Follow, restart: bool) -> StageResult:
    digest = stage_digest(job)
    if restart:
        _throw_away(job)
    done = read_done(job.folder)
    if done and done["digest"] == digest and (job.folder / MODEL).exists():
        return StageResult(job.name, done["metrics"], done["seconds"], skipped=True)
    if job.config.machine.workers:
        from sofdata.train.cluster import run_on_ray

        run_on_ray(_located(job), digest, follow)
    else:
        run_stage(job, digest, Ranks(0, 1, _device(job.config)), follow)
    done = read_done(job.folder)
    assert done is not None
    return StageResult(job.name, done["metrics"], done["seconds"], skipped=False)


def _throw_away(job: Job) -> None:
    """Remove what an earlier training has left, once it is known that this one can begin.

    Raises `ConfigError` for settings or data that cannot be used, or where something stays, from
    which this training would go on.
    """
    config, data = job.config, job.stage.data
    if not config.machine.workers:
        _device(config)
    how = HeldOut(data.held_out, data.held_out_list, data.held_out_where)
    _loaders(job, Ranks(0, 1, torch.device("cpu")), decided_sides(job.urls, job.options, how))
    if job.name != "skill":
        _skill_file(job)
    try:
        shutil.rmtree(job.folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ConfigError(
            f"{job.folder} holds an earlier training that cannot be removed "
            f"({error.strerror or error}): remove it yourself, or choose another folder"
        ) from None


def run_stage(job: Job, digest: str, ranks: Ranks, follow: Follow) -> None:
    """What each worker does: build loaders and model, fit, and save."""
    machine, stage = job.config.machine, job.stage
    prepare_torch(job.config, ranks)
    sides = agreed_sides(job.folder, digest, job.urls, job.options, job.stage.data)
    data, held_out = _loaders(job, ranks, sides)
    if ranks.first:
        store_sides(job.folder, digest, sides, data, held_out)
    torch.manual_seed(machine.seed)
    model = _build(job, data, ranks.device)
    fitted = fit(
        job.name,
        model,
        data,
        held_out,
        stage,
        machine,
        job.folder,
        with_sides(digest, sides),
        ranks,
        follow,
    )
    if not ranks.first:
        return
    sha256 = save_model(job.folder, job.name, model)
    _write_json(
        job.folder / DONE,
        {
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
        },
    )


def _located(job: Job) -> Job:
    """The same with absolute paths: workers have another working directory."""
    data = job.stage.data
    listed = trees_of(data.held_out_list, {})[0].url if data.held_out_list else ""
    stage = job.stage.model_copy(update={"data": data.model_copy(update={"held_out_list": listed})})
    return replace(
        job,
        config=job.config.model_copy(update={job.name: stage}),
        urls=tuple(tree.url for tree in trees_of(job.urls, job.options)),
        out=str(Path(job.out).absolute()),
    )


def stage_digest(job: Job) -> str:
    """sha256 of everything that decides what a stage learns.

    The number of workers counts, since it decides the order of sums; how often is logged does not.
    """
    machine = job.config.machine
    parts: dict[str, Any] = {
        "stage": job.stage.model_dump(mode="json", exclude={"run"}),
        "machine": machine.model_dump(mode="json", exclude={"address"}),
        "data": [_dataset_digest(Tree(url, job.options)) for url in job.urls],
        "before": None if job.name == "skill" else hash_of(_skill_file(job)),
        "sofdata": __version__,
    }
    parts["stage"]["data"].pop("loaders")
    if listed := job.stage.data.held_out_list:
        parts["stage"]["data"]["held_out_list"] = read_list(listed)
    return json_digest(parts)


def read_done(folder: Path) -> dict[str, Any] | None:
    """What a stage that has ended says of itself, None if it has not."""
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
    torch.use_deterministic_algorithms(machine.deterministic, warn_only=True)
    if machine.deterministic and ranks.device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False


def _device(config: TrainConfig) -> torch.device:
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


def _loaders(job: Job, ranks: Ranks, sides: Sides) -> tuple[Loader, Loader]:
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


def _build(job: Job, data: Loader, device: torch.device) -> AnyModel:
    """The model of a stage, before its first step; the same on every rank."""
    model: AnyModel
    if job.name == "skill":
        size = data.geometry
        shape = FlowShape(size.steps, size.flow_px, float(data.statistics["p99_px"]))
        model = SkillVAE(job.config.skill.model, shape)
    elif job.name == "planner":
        model = Planner(job.config.planner.model, _skill_for(job, data), data.texts).to(device)
        batches = islice(
            _every(job, data, shuffle=True), math.ceil(COUNTED / job.stage.data.batch_size)
        )
        model.count(to_device(batch, device) for batch in batches)
    else:
        skill = _skill_for(job, data)
        actions = measure_actions(_every(job, data, shuffle=False))
        model = ActionDecoder(job.config.decoder.model, skill, actions, data.texts)
    return model


def _every(job: Job, share: Loader, shuffle: bool) -> Iterator[Batch]:
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


def _skill_for(job: Job, data: Loader) -> SkillVAE:
    """The trained skill model. Raises `ConfigError` if it was made for other windows."""
    _skill_file(job)
    skill = load_skill(Path(job.out))
    ours, size = skill.shape, data.geometry
    if (ours.steps, ours.size) != (size.steps, size.flow_px):
        raise ConfigError(
            f"the skill model in {job.out} is for windows of {ours.steps} steps at {ours.size} px, "
            f"and the data has {size.steps} steps at {size.flow_px} px: ingest with the same "
            "windows.length and windows.size"
        )
    return skill


def _skill_file(job: Job) -> Path:
    path = Path(job.out) / "skill" / MODEL
    if not path.exists():
        raise ConfigError(
            f"the {job.name} builds upon a skill model, and {path} does not exist: run "
            f"'sofdata train skill' or 'sofdata train all' with --out {job.out} first"
        )
    return path


def _dataset_digest(tree: Tree) -> str:
    """Changes with any window of a dataset: its record holds all configuration and statistics."""
    from sofdata.shards.layout import DATASET, WIDS

    try:
        parts = [tree.read(DATASET), tree.read(WIDS)]
    except FileNotFoundError as error:
        lacks = os.path.basename(str(error.filename or DATASET))
        raise ConfigError(
            f"there is no complete dataset at {tree.name} ({lacks} is missing): 'sofdata ingest' "
            "makes one"
        ) from None
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _write_json(path: Path, value: dict[str, Any]) -> None:
    atomic.write_text(path, json.dumps(value, indent=1))
