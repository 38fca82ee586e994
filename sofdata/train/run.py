"""`sofdata train`: which stages are up to date, and training those that are not.

    OUT/skill/    skill VAE        OUT/planner/  planner         OUT/decoder/  action decoder
        model.pt, done.json, metrics.jsonl, tensorboard/, pictures/, checkpoints/
        split.json  which files were learned from, and which were held out

A stage's digest covers everything that decides its result: its settings, the data, the model it
builds upon, the version of sofdata. `done.json` holds the digest of what was finished.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sofdata.config.earlier import identity
from sofdata.errors import ConfigError
from sofdata.loading.catalog import trees_of
from sofdata.loading.split import read_list
from sofdata.models.files import hash_of
from sofdata.models.saved import MODEL
from sofdata.shards.layout import DATASET, SPLIT, WIDS
from sofdata.storage.local_paths import local_folder
from sofdata.storage.lock import Choice, only_driver
from sofdata.storage.tree import Tree
from sofdata.system.digests import json_digest
from sofdata.system.extras import require
from sofdata.system.versions import __version__
from sofdata.train.cluster import run_on_ray
from sofdata.train.config import StageName
from sofdata.train.loop import OnProgress
from sofdata.train.ranks import Ranks
from sofdata.train.sides import decided_sides
from sofdata.train.stage import StageJob, device_of, loaders, read_done, run_stage, skill_file
from sofdata.train.verdict import stage_verdict
from sofdata.ui.brief import Brief


@dataclass(frozen=True, slots=True, repr=False)
class StageResult(Brief):
    """How a stage ended.

    metrics: held-out ones. skipped: it was up to date. verdict: what they say, in sentences.
    """

    name: StageName
    metrics: dict[str, float]
    seconds: float
    skipped: bool
    verdict: tuple[str, ...] = ()


def train_stage(
    job: StageJob, on_progress: OnProgress, restart: bool = False, choice: Choice = "auto"
) -> StageResult:
    """Train one stage, resume it from its checkpoint, or do nothing if it is up to date.

    restart: remove what an earlier training has left in the folder of this stage. choice: as of
    `only_driver`, which locks the folder of all stages.

    Raises `ConfigError` for settings, data or an earlier training that do not fit, for a folder
    that is not on this machine, and if another command trains into it.
    """
    if job.config.machine.workers:
        require("ray", "ray", "training with machine.workers")
    with only_driver(Tree(local_folder(job.out, "the folder to train into")), "training", choice):
        return _train_stage(job, on_progress, restart)


def _train_stage(job: StageJob, on_progress: OnProgress, restart: bool) -> StageResult:
    digest = stage_digest(job)
    if restart:
        _remove_earlier(job)
    done = read_done(job.folder)
    if done and done["digest"] == digest and (job.folder / MODEL).exists():
        return _result(job, done, skipped=True)
    if job.config.machine.workers:
        run_on_ray(_located(job), digest, on_progress)
    else:
        run_stage(job, digest, Ranks(0, 1, device_of(job.config)), on_progress)
    done = read_done(job.folder)
    assert done is not None
    return _result(job, done, skipped=False)


def _result(job: StageJob, done: dict[str, Any], skipped: bool) -> StageResult:
    said = tuple(each.text for each in stage_verdict(job.folder, job.name))
    return StageResult(job.name, done["metrics"], done["seconds"], skipped, said)


def _remove_earlier(job: StageJob) -> None:
    """Remove what an earlier training has left, after checking that this one can begin.

    Raises `ConfigError` for settings or data that cannot be used, or where something cannot be
    removed, from which this training would resume.
    """
    config, data = job.config, job.stage.data
    if not config.machine.workers:
        device_of(config)
    loaders(job, Ranks(0, 1, torch.device("cpu")), decided_sides(job.urls, job.options, data))
    if job.name != "skill":
        skill_file(job)
    try:
        shutil.rmtree(job.folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ConfigError(
            f"{job.folder} holds an earlier training that cannot be removed "
            f"({error.strerror or error}): remove it yourself, or choose another folder"
        ) from None


def _located(job: StageJob) -> StageJob:
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


def stage_digest(job: StageJob) -> str:
    """sha256 of everything that decides what a stage learns.

    The number of workers is part of it, since it decides the order of sums; `run`, how often is
    logged, is not.
    """
    machine, data = job.config.machine, job.stage.data
    by_split = data.stored_split and not (data.held_out_list or data.held_out_where)
    parts: dict[str, Any] = {
        "stage": identity(job.stage, exclude={"run"}),
        "machine": identity(machine, exclude={"address"}),
        "data": [dataset_digest(Tree(url, job.options), by_split) for url in job.urls],
        "before": None if job.name == "skill" else hash_of(skill_file(job)),
        "sofdata": __version__,
    }
    parts["stage"]["data"].pop("loaders")
    if job.name == "planner":
        parts["stage"]["model"] = job.config.planner.model.content()
    if listed := job.stage.data.held_out_list:
        parts["stage"]["data"]["held_out_list"] = read_list(listed)
    return json_digest(parts)


def dataset_digest(tree: Tree, stored_split: bool = False) -> str:
    """Changes with any window of a dataset: its record holds all configuration and statistics.

    stored_split: whether the split that is stored with it decides what is learned from.
    """
    try:
        parts = [tree.read(DATASET), tree.read(WIDS)]
    except FileNotFoundError as error:
        lacks = os.path.basename(str(error.filename or DATASET))
        raise ConfigError(
            f"there is no complete dataset at {tree.name} ({lacks} is missing): 'sofdata ingest' "
            "makes one"
        ) from None
    if stored_split and tree.exists(SPLIT):
        parts.append(tree.read(SPLIT))
    return hashlib.sha256(b"".join(parts)).hexdigest()
