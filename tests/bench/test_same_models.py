"""`sofdata train` gives the models of the benchmark: same windows and settings, equal weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from sofdata.bench.envs.registry import find_suite
from sofdata.bench.study.arms import ARMS
from sofdata.bench.study.cells import train_arm
from sofdata.bench.study.choice import DataBudget, labelled, unlabelled
from sofdata.bench.study.config import BenchConfig
from sofdata.bench.study.data import BenchData, prepare_data
from sofdata.bench.study.run import texts_of
from sofdata.bench.study.stage_settings import decoder_stage
from sofdata.bench.study.stages import Trainer
from sofdata.models.saved import load
from sofdata.train.config import MachineConfig, StageName, TrainConfig
from sofdata.train.run import train_stage
from sofdata.train.stage import StageJob
from tests.bench.conftest import tiny

BUDGET = DataBudget(demos=2, videos=3, seed=0)
# One shard, since the benchmark mixes all windows; flow that float16 holds exactly, as memory does.
SETTINGS = (
    *("tasks=[]", "ingest.units.min_units=1", "ingest.codec.name=float16", "demos=[2]"),
    *(f"{stage}.data.batch_size=8" for stage in ("skill", "planner", "decoder")),
    *(f"{stage}.data.loaders=0" for stage in ("skill", "planner", "decoder")),
    *(f"{stage}.optim.steps=5" for stage in ("skill", "planner", "decoder")),
    *("skill_task=true", "ingest.windows.stride=8"),
)


def of_training(
    config: BenchConfig, data: BenchData, used: Mapping[str, Sequence[str]], folder: Path
) -> TrainConfig:
    """The benchmark's settings for `sofdata train`, which learns from the same files."""
    stages = {"skill": config.skill, "planner": config.planner}
    parts: dict[str, Any] = {**stages, "decoder": decoder_stage(ARMS["sof"], config)}
    for name, stage in parts.items():
        part = "demos" if name == "decoder" else "videos"
        every = {source for own in data.sources[part].values() for source in own}  # type: ignore[index]
        listed = folder / f"{part}.json"
        listed.write_text(json.dumps(sorted(every - set(used[part]))))
        chosen = stage.data.model_copy(update={"held_out_list": str(listed)})
        parts[name] = stage.model_copy(update={"data": chosen})
    return TrainConfig(**parts, machine=MachineConfig(seed=0, device="cpu", threads=1))


def test_the_same_windows_and_settings_give_equal_weights(collected: Path, tmp_path: Path) -> None:
    config, suite = tiny(*SETTINGS), find_suite("pushing")
    data = prepare_data(config, suite.fps, collected, tmp_path / "bench")
    texts = texts_of(suite.tasks)
    stages = train_arm(ARMS["sof"], BUDGET, Trainer(config, data, texts, tmp_path / "bench"))
    used = {
        "videos": unlabelled(data, texts, BUDGET).sources,
        "demos": labelled(data, texts, BUDGET).sources,
    }
    names: tuple[StageName, ...] = ("skill", "planner", "decoder")
    chosen = of_training(config, data, used, tmp_path)
    for name in names:
        url = data.folders["demos" if name == "decoder" else "videos"]
        job = StageJob(name, chosen, (url,), str(tmp_path / "models"), {})
        train_stage(job, lambda progress: None)
    policy = load(tmp_path / "models")
    models = {"skill": policy.skill, "planner": policy.planner, "decoder": policy.decoder}
    for name in names:
        ours, theirs = (each.state_dict() for each in (stages[name].model, models[name]))
        assert ours.keys() == theirs.keys()
        assert not [key for key in ours if not torch.equal(ours[key], theirs[key])], name
