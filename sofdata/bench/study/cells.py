"""Cells: one arm, number of demonstrations, training seed and number of videos, and its result.

    OUT/cells/HASH.json     written last, whole or not at all: what exists is done
    OUT/strips/HASH/        some of its episodes, drawn

The hash covers the settings that the arm depends on, the data and the evaluation seeds. What a cell
says of episodes, errors and likelihoods follows from these; `cpu_s` is measured.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from sofdata.bench.envs.base import Task
from sofdata.bench.envs.registry import SIMULATORS
from sofdata.bench.envs.seeds import seeds_for
from sofdata.bench.records import CELL, read_record
from sofdata.bench.study.acting import Actor, Cloned, Prior, Searching
from sofdata.bench.study.arms import ARMS, Arm, clone_stage, decoder_stage
from sofdata.bench.study.config import BenchConfig, Purpose
from sofdata.bench.study.evaluate import Rollouts, Simulators, evaluate
from sofdata.bench.study.frozen import chosen_hash
from sofdata.bench.study.locks import locked
from sofdata.bench.study.memory import MemoryLoader, Windows
from sofdata.bench.study.stages import FORMAT, Share, Stage, Trainer, write_json
from sofdata.bench.study.strips import save_strip
from sofdata.system.versions import __version__, installed
from sofdata.types import ActionBatch

IMAGE_PX = 128
_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Cell:
    """What a result is of. videos: for each task, 0 for an arm that uses none."""

    suite: str
    arm: str
    demos: int
    seed: int
    videos: int
    purpose: Purpose

    @property
    def share(self) -> Share:
        return Share(self.demos, self.videos, self.seed)


def wanted_cells(config: BenchConfig, purpose: Purpose) -> list[Cell]:
    """All cells that the settings ask for, those that much else builds upon first."""
    cells: dict[Cell, None] = {}
    first, *others = config.demos
    for seed in config.seeds:
        pairs = [(arm, first) for arm in config.arms]
        pairs += [(arm, demos) for demos in others for arm in config.more_arms]
        for name, demos in pairs:
            cells[_cell(config, name, demos, seed, config.videos, purpose)] = None
        for name in config.curve_arms:
            for videos in config.curve if name in config.arms else ():
                cells[_cell(config, name, first, seed, videos, purpose)] = None
    return list(cells)


def _cell(
    config: BenchConfig, name: str, demos: int, seed: int, videos: int, purpose: Purpose
) -> Cell:
    arm = ARMS[name]
    uses = videos if arm.latent and arm.videos else 0
    return Cell(config.suite, name, arm.demos or demos, seed, uses, purpose)


def cell_settings(cell: Cell, config: BenchConfig) -> dict[str, Any]:
    """The settings that a cell's result depends on."""
    arm = ARMS[cell.arm]
    parts: dict[str, Any] = {
        "decoder": decoder_stage(arm, config).model_dump(mode="json", exclude={"run"}),
        "evaluation": config.evaluation.model_dump(mode="json", exclude={"strips"}),
        "encoder": config.skill.model.model_dump(mode="json"),
    }
    if arm.latent == "flow":
        parts["skill"] = config.skill.model_dump(mode="json", exclude={"run"})
    if arm.latent == "frames":
        parts["lapa"] = config.lapa.model_dump(mode="json", exclude={"run"})
    if arm.clones:
        parts["clone"] = clone_stage(config).model_dump(mode="json", exclude={"run"})
    if arm.prior:
        parts["planner"] = config.planner.model_dump(mode="json", exclude={"run"})
        parts["acting"] = config.acting.model_dump(mode="json")
    return parts


def cell_hash(cell: Cell, config: BenchConfig, data_digest: str, tasks: tuple[str, ...]) -> str:
    """Of everything that decides a cell's result."""
    parts = [FORMAT, __version__, asdict(cell), cell_settings(cell, config), data_digest, tasks]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def run_cell(cell: Cell, trainer: Trainer, tasks: tuple[Task, ...], simulators: Simulators) -> Path:
    """Train what is missing, evaluate, and write the result, unless it is there.

    Raises `ConfigError` where data for it is missing.
    """
    config = trainer.config
    names = tuple(task.name for task in tasks)
    key = cell_hash(cell, config, trainer.data.digest, names)
    path = trainer.out / "cells" / f"{key}.json"
    with locked(trainer.out / "locks" / f"{key}.lock"):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, _result(cell, key, trainer, tasks, simulators))
    claim(path, config)
    return path


def claim(path: Path, config: BenchConfig) -> None:
    """Note in a finished cell that it is one of these settings as well.

    A cell is made once for all settings that differ in nothing that its arm depends on.
    """
    with locked(path.parent.parent / "locks" / f"{path.stem}.lock"):
        result = read_record(path, *CELL)
        if chosen_hash(config) not in result["chosen_sha256"]:
            result["chosen_sha256"].append(chosen_hash(config))
            write_json(path, result)


def _result(
    cell: Cell, key: str, trainer: Trainer, tasks: tuple[Task, ...], simulators: Simulators
) -> dict[str, Any]:
    config, arm = trainer.config, ARMS[cell.arm]
    stages = train_arm(arm, cell.share, trainer)
    actor = actor_of(arm, cell.share, trainer, stages)
    torch.set_num_threads(1)
    began = time.process_time()
    seeds = seeds_for(cell.purpose, config.evaluation.episodes)
    found = evaluate(
        actor, tasks, seeds, config.evaluation, simulators.get, cell.seed, config.step_frames
    )
    evaluation_s = time.process_time() - began
    strips = _draw(found, trainer.out / "strips" / key, stages)
    held_out = trainer.held_out(cell.share)
    cpu_s = {**trainer.data.cpu_s, **{kind: stage.cpu_s for kind, stage in stages.items()}}
    return {
        "hash": key,
        "cell": asdict(cell),
        "chosen_sha256": [chosen_hash(config)],
        "exploratory": config.exploratory,
        "config": cell_settings(cell, config),
        "data_sha256": trainer.data.digest,
        "evaluation_seeds": list(seeds),
        "success": _mean([float(outcome.success) for outcome in found.outcomes]),
        "success_by_task": {
            task.name: _mean(
                [float(each.success) for each in found.outcomes if each.task == task.name]
            )
            for task in tasks
        },
        "steps_to_success": _mean([each.steps for each in found.outcomes if each.success]),
        "chunk_error": None if held_out is None else chunk_error(actor, held_out, stages),
        "metrics": {
            kind: {name: round(value, 6) for name, value in stage.told["metrics"].items()}
            for kind, stage in stages.items()
        },
        "updates": {kind: stage.told["updates"] for kind, stage in stages.items()},
        "parameters": {kind: stage.told["parameters"] for kind, stage in stages.items()},
        "episodes": [asdict(outcome) for outcome in found.outcomes],
        "strips": strips,
        "cpu_s": {name: round(value, 2) for name, value in cpu_s.items()}
        | {"evaluation": round(evaluation_s, 2)},
        "versions": {
            "sofdata": __version__,
            "python": platform.python_version(),
            **installed("torch", *SIMULATORS),
        },
    }


def train_arm(arm: Arm, share: Share, trainer: Trainer) -> dict[str, Stage]:
    """The arm's stages by kind: latent (skill or lapa), planner, decoder, clone; as far as it has
    them."""
    stages: dict[str, Stage] = {}
    latent = None
    if arm.latent:
        latent = trainer.latent(arm, share)
        stages["lapa" if arm.latent == "frames" else "skill"] = latent
        if arm.prior:
            stages["planner"] = trainer.planner(arm, share, latent)
    stages["decoder"] = trainer.decoder(arm, share, latent)
    if arm.clones and latent is not None:
        stages["clone"] = trainer.clone(share, latent, stages["decoder"])
    return stages


def actor_of(arm: Arm, share: Share, trainer: Trainer, stages: dict[str, Stage]) -> Actor:
    """The policy that the stages make."""
    decoder = stages["decoder"].model
    if arm.clones:
        return Cloned(stages["clone"].model)
    if not arm.prior:
        return Cloned(decoder)
    planner, config = stages["planner"].model, trainer.config
    if not arm.goals:
        return Prior(planner, decoder, config.acting)
    mpc = config.planner.model.mpc
    if arm.name == "sof-flat":
        mpc = mpc.model_copy(update={"horizon": 1})
    return Searching(planner, decoder, mpc, goals_of(trainer.demonstrations(share), planner))


@torch.no_grad()
def goals_of(demonstrations: Windows, planner: Any) -> dict[str, torch.Tensor]:
    """By text, observations [K,P,C] of the last frame of each demonstration."""
    last: dict[str, int] = {}
    for row, key in enumerate(demonstrations.batch.keys):
        last[key.rpartition("-")[0]] = row  # windows of a video come in their order
    goals: dict[str, list[torch.Tensor]] = {}
    for row in last.values():
        text = demonstrations.texts[int(demonstrations.batch.text_ids[row])]
        frame = demonstrations.batch.last[row : row + 1]
        goals.setdefault(text, []).append(planner.observe(frame)[0])
    return {text: torch.stack(observations) for text, observations in goals.items()}


def chunk_error(actor: Actor, windows: Windows, stages: dict[str, Stage]) -> float:
    """Mean absolute error of the actions that the policy itself would take at the windows' first
    frames, in standard deviations of the demonstrations, over regressed dimensions."""
    decoder = stages["decoder"].model
    regressed = decoder.get_buffer("_regressed")
    total = count = 0.0
    for number, batch in enumerate(MemoryLoader(windows, _AT_ONCE, shuffle=False).epoch(0)):
        assert isinstance(batch, ActionBatch)
        texts = [windows.texts[index] for index in batch.text_ids.tolist()]
        taken = actor.act(batch.first, texts, number).actions
        steps = min(taken.shape[1], batch.actions.shape[1])
        gap = decoder.normalise(taken[:, :steps]) - decoder.normalise(batch.actions[:, :steps])
        real = batch.action_mask[:, :steps, None] & regressed
        total += float(gap.abs()[real.expand_as(gap)].double().sum())
        count += int(real.expand_as(gap).sum())
    return total / max(count, 1)


def _draw(found: Rollouts, folder: Path, stages: dict[str, Stage]) -> list[str]:
    latent = stages["skill"].model if "skill" in stages else None
    names = []
    for (task, seed), looks in sorted(found.looks.items()):
        names.append(f"{task}-{seed}.png")
        save_strip(folder / names[-1], looks, latent)
    return names


def _mean(values: list[float] | list[int]) -> float | None:
    return None if not values else math.fsum(values) / len(values)
