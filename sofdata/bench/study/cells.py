"""Cells: one arm, number of demonstrations, training seed and number of videos, and its result.

    OUT/cells/HASH.json     written last and atomically: a cell whose file exists is done
    OUT/strips/HASH/        pictures of some of its episodes

The hash covers the settings that the arm depends on, the data and the evaluation seeds. Episodes,
errors and likelihoods of a cell follow from these; `cpu_s` is measured.
"""

from __future__ import annotations

import math
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from sofdata.bench.envs.base import Task
from sofdata.bench.envs.registry import SIMULATORS
from sofdata.bench.envs.seeds import FIRST, seeds_for
from sofdata.bench.records import CELL, read_record
from sofdata.bench.study.acting import ClonedActor, PriorActor, SearchActor
from sofdata.bench.study.actor import Actor, asked
from sofdata.bench.study.arms import ARMS, Arm
from sofdata.bench.study.choice import DataBudget
from sofdata.bench.study.config import BenchConfig
from sofdata.bench.study.evaluate import Rollouts, Simulators, evaluate
from sofdata.bench.study.frozen import chosen_hash
from sofdata.bench.study.memory import MemoryLoader, MemoryWindows
from sofdata.bench.study.stage_settings import KINDS, clone_stage, decoder_stage, latent_stage
from sofdata.bench.study.stage_training import TrainedStage
from sofdata.bench.study.stages import FORMAT, Trainer
from sofdata.bench.study.strips import save_strip
from sofdata.bench.study.track_acting import TrackActor
from sofdata.bench.study.wanted import Cell
from sofdata.config.earlier import identity
from sofdata.storage import atomic
from sofdata.system.digests import json_digest
from sofdata.system.locks import locked
from sofdata.system.versions import __version__, installed
from sofdata.types import ActionBatch

IMAGE_PX = 128
_AT_ONCE = 32


def cell_settings(cell: Cell, config: BenchConfig) -> dict[str, Any]:
    """The settings that a cell's result depends on."""
    arm = ARMS[cell.arm]
    parts: dict[str, Any] = {
        "decoder": identity(decoder_stage(arm, config), exclude={"run"}),
        "evaluation": identity(config.evaluation, exclude={"strips"}),
        "encoder": identity(config.skill.model),
    }
    if arm.latent:
        latent = latent_stage(arm.latent, config)
        parts[KINDS[arm.latent]] = identity(latent, exclude={"run"})
    if arm.latent == "flow" and config.joint.weight:
        parts["joint"] = config.joint.model_dump(mode="json")
    if arm.clones:
        parts["clone"] = identity(clone_stage(config), exclude={"run"})
        if config.finetune_updates:
            parts["finetune"] = config.finetune_updates
        if config.naming.overlap:
            parts["overlap"] = True
        if config.naming.members > 1:
            parts["members"] = [config.naming.members, config.naming.trust]
        if config.naming.told is not None:
            parts["told"] = list(config.naming.told)
    if arm.prior:
        parts["planner"] = identity(config.planner, exclude={"run"})
        parts["planner"]["model"] = config.planner.model.content()
        parts["acting"] = identity(config.acting)
        if config.drawn.share:
            parts["drawn"] = config.drawn.model_dump(mode="json")
    if cell.held_out and config.try_labelled:
        parts["try_labelled"] = True
    return parts


def cell_hash(cell: Cell, config: BenchConfig, data_digest: str, tasks: tuple[str, ...]) -> str:
    """A hash of everything that decides a cell's result, 24 hex digits.

    Test episodes count by where they begin, which changes when they were looked at.
    """
    parts = [FORMAT, __version__, cell.identity(), cell_settings(cell, config), data_digest, tasks]
    if cell.purpose == "test":
        parts.append(FIRST["test"])
    return json_digest(parts, 24)


def run_cell(cell: Cell, trainer: Trainer, tasks: tuple[Task, ...], simulators: Simulators) -> Path:
    """Train what is missing, evaluate, and write the result, unless it exists.

    Raises `ConfigError` where data for it is missing.
    """
    config = trainer.config
    names = tuple(task.name for task in tasks)
    key = cell_hash(cell, config, trainer.data.digest, names)
    path = trainer.out / "cells" / f"{key}.json"
    with locked(trainer.out / "locks" / f"{key}.lock"):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_json(path, _result(cell, key, trainer, tasks, simulators))
    claim(path, config)
    return path


def claim(path: Path, config: BenchConfig) -> None:
    """Record in a finished cell that it is a result of these settings as well.

    A cell is made once for all settings that agree in what its arm depends on.
    """
    with locked(path.parent.parent / "locks" / f"{path.stem}.lock"):
        result = read_record(path, *CELL)
        if chosen_hash(config) not in result["chosen_sha256"]:
            result["chosen_sha256"].append(chosen_hash(config))
            atomic.write_json(path, result)


def _result(
    cell: Cell, key: str, trainer: Trainer, tasks: tuple[Task, ...], simulators: Simulators
) -> dict[str, Any]:
    config, arm, budget = trainer.config, ARMS[cell.arm], cell.budget(tasks)
    stages = train_arm(arm, budget, trainer)
    actor = actor_of(arm, budget, trainer, stages)
    torch.set_num_threads(1)
    began = time.process_time()
    seeds = seeds_for(cell.purpose, config.evaluation.episodes)

    def tried(some: tuple[Task, ...]) -> Rollouts:
        return evaluate(
            actor,
            some,
            seeds,
            config.evaluation,
            simulators=simulators.get,
            noise_seed=cell.seed,
            step_frames=config.step_frames,
            image_px=config.skill.model.image_px,
            history=config.decoder.model.history,
            state=reads_state(stages),
            second=reads_second(stages),
        )

    found = tried(cell.tried(tasks))
    labelled = cell.labelled(tasks) if config.try_labelled else ()
    beside = {"labelled": _success(tried(labelled), labelled)} if labelled else {}
    evaluation_s = time.process_time() - began
    strips = _draw(found, trainer.out / "strips" / key, stages)
    held_out = None
    if cell.labels == "demos":  # play is of no task
        held_out = trainer.windows.held_out(budget)
    cpu_s = {**trainer.data.cpu_s, **{kind: stage.cpu_s for kind, stage in stages.items()}}
    return {
        "hash": key,
        "cell": cell.identity(),
        "chosen_sha256": [chosen_hash(config)],
        "exploratory": config.exploratory,
        "config": cell_settings(cell, config),
        "data_sha256": trainer.data.terms,
        **({"dataset_sha256": trainer.data.dataset_sha256} if cell.dataset else {}),
        "evaluation_seeds": list(seeds),
        **_success(found, cell.tried(tasks)),
        **beside,
        "chunk_error": None if held_out is None else chunk_error(actor, held_out, stages),
        "metrics": {
            kind: {name: round(value, 6) for name, value in stage.record["metrics"].items()}
            for kind, stage in stages.items()
        },
        "updates": {kind: stage.record["updates"] for kind, stage in stages.items()},
        "parameters": {kind: stage.record["parameters"] for kind, stage in stages.items()},
        "strips": strips,
        "cpu_s": {name: round(value, 2) for name, value in cpu_s.items()}
        | {"evaluation": round(evaluation_s, 2)},
        "versions": {
            "sofdata": __version__,
            "python": platform.python_version(),
            **installed("torch", *SIMULATORS),
        },
    }


def _success(found: Rollouts, tasks: tuple[Task, ...]) -> dict[str, Any]:
    """How often the tasks succeeded, and each episode."""
    by_task = {
        task.name: [float(each.success) for each in found.outcomes if each.task == task.name]
        for task in tasks
    }
    return {
        "success": _mean([float(outcome.success) for outcome in found.outcomes]),
        "success_by_task": {name: _mean(each) for name, each in by_task.items()},
        "steps_to_success": _mean([each.steps for each in found.outcomes if each.success]),
        "episodes": [asdict(outcome) for outcome in found.outcomes],
    }


def train_arm(arm: Arm, budget: DataBudget, trainer: Trainer) -> dict[str, TrainedStage]:
    """The arm's stages by kind: skill, lapa or tracks, planner, decoder, clone, finetune; as far as
    it has them."""
    stages: dict[str, TrainedStage] = {}
    latent = None
    if arm.latent:
        latent = trainer.latent(arm, budget)
        stages[KINDS[arm.latent]] = latent
        if arm.prior:
            stages["planner"] = trainer.planner(arm, budget, latent)
    stages["decoder"] = trainer.decoder(arm, budget, latent, stages.get("planner"))
    if arm.clones and latent is not None:
        namers = trainer.namers(arm, budget, latent, stages["decoder"])
        others = namers.members[1:] if namers.teller is None else namers.members
        stages |= {f"decoder {place}": each for place, each in enumerate(others, 2)}
        clone = stages["clone"] = trainer.clone(budget, latent, namers)
        if (finetuned := trainer.finetuned(budget, latent, clone)) is not None:
            stages["finetune"] = finetuned
    return stages


def actor_of(
    arm: Arm, budget: DataBudget, trainer: Trainer, stages: dict[str, TrainedStage]
) -> Actor:
    """The policy made of the trained stages."""
    if arm.actor:
        return arm.actor({kind: stage.model for kind, stage in stages.items()})
    decoder = stages["decoder"].model
    if arm.clones:
        return ClonedActor(stages.get("finetune", stages["clone"]).model)
    if arm.latent == "tracks":
        return TrackActor(stages["tracks"].model, decoder)
    if not arm.prior:
        return ClonedActor(decoder)
    planner, config = stages["planner"].model, trainer.config
    if not arm.goals:
        return PriorActor(planner, decoder, config.acting)
    mpc = config.planner.model.mpc
    if arm.name == "sof-flat":
        mpc = mpc.model_copy(update={"horizon": 1})
    goals = {
        text: each
        for windows in trainer.windows.with_goals(budget)
        for text, each in goals_of(windows, planner).items()
    }
    return SearchActor(planner, decoder, mpc, goals, config.acting)


@torch.no_grad()
def goals_of(demonstrations: MemoryWindows, planner: Any) -> dict[str, torch.Tensor]:
    """By text, observations [K,P,C] of the last frames of demonstrations, or of videos."""
    last: dict[str, int] = {}
    for row, key in enumerate(demonstrations.batch.keys):
        last[key.rpartition("-")[0]] = row  # windows of a video are in order, so the last one stays
    goals: dict[str, list[torch.Tensor]] = {}
    for row in last.values():
        text = demonstrations.texts[int(demonstrations.batch.text_ids[row])]
        frame = demonstrations.batch.last[row : row + 1]
        goals.setdefault(text, []).append(planner.observe(frame)[0])
    return {text: torch.stack(observations) for text, observations in goals.items()}


def chunk_error(actor: Actor, windows: MemoryWindows, stages: dict[str, TrainedStage]) -> float:
    """Mean absolute error of the actions that the policy itself would take at the windows' first
    frames, in standard deviations of the demonstrations, over regressed dimensions."""
    decoder = stages["decoder"].model
    regressed = decoder.get_buffer("_regressed")
    total = count = 0.0
    for number, batch in enumerate(MemoryLoader(windows, _AT_ONCE, shuffle=False).epoch(0)):
        assert isinstance(batch, ActionBatch)
        texts = [windows.texts[index] for index in batch.text_ids.tolist()]
        images = decoder.images(batch)
        state = decoder.state_of(batch) if reads_state(stages) else None
        second = decoder.second_of(batch) if reads_second(stages) else None
        taken = asked(actor, images, texts, number, state=state, second=second).actions
        steps = min(taken.shape[1], batch.actions.shape[1])
        gap = decoder.normalise(taken[:, :steps]) - decoder.normalise(batch.actions[:, :steps])
        real = batch.action_mask[:, :steps, None] & regressed
        total += float(gap.abs()[real.expand_as(gap)].double().sum())
        count += int(real.expand_as(gap).sum())
    return total / max(count, 1)


def reads_state(stages: dict[str, TrainedStage]) -> bool:
    """Whether what acts reads the robot's own state."""
    return "clone" not in stages and stages["decoder"].model.config.state


def reads_second(stages: dict[str, TrainedStage]) -> bool:
    """Whether what acts reads a second camera's image."""
    return "clone" not in stages and stages["decoder"].model.config.second_camera


def _draw(found: Rollouts, folder: Path, stages: dict[str, TrainedStage]) -> list[str]:
    latent = stages["skill"].model if "skill" in stages else None
    names = []
    for (task, seed), decisions in sorted(found.decisions.items()):
        names.append(f"{task}-{seed}.png")
        save_strip(folder / names[-1], decisions, latent)
    return names


def _mean(values: list[float] | list[int]) -> float | None:
    return None if not values else math.fsum(values) / len(values)
