"""`sofdata.train.loop`: steps, schedules, resumes, and values that are not finite."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sofdata.errors import ConfigError, InputError
from sofdata.models.files import load_file
from sofdata.models.saved import MODEL
from sofdata.models.skill.vae import SkillVAE
from sofdata.train.config import OptimConfig, TrainConfig, load_train_config
from sofdata.train.log import read_metrics
from sofdata.train.loop import TrainingProgress, learning_rate
from sofdata.train.mean import MeanWeights
from sofdata.train.run import train_stage
from sofdata.train.stage import StageJob
from sofdata.types import Batch
from tests.train.conftest import TINY


def ignore(progress: TrainingProgress) -> None:
    pass


def train(data: Path, out: Path, config: TrainConfig, follow: Any = ignore) -> dict[str, Tensor]:
    train_stage(StageJob("skill", config, (str(data),), str(out), {}), follow)
    weights: dict[str, Tensor] = load_file(out / "skill" / MODEL)["weights"]
    return weights


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def undisturbed(pushing: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    torch.set_num_threads(1)
    return train(pushing, tmp_path_factory.mktemp("out"), load_train_config(None, TINY))


def test_the_learning_rate_warms_up_and_ends_low() -> None:
    optim = OptimConfig(steps=110, lr=1.0, warmup_steps=10, lr_end_share=0.1)
    assert learning_rate(0, optim) == pytest.approx(0.1)
    assert learning_rate(9, optim) == pytest.approx(1.0)
    assert learning_rate(60, optim) == pytest.approx(0.55)
    assert learning_rate(110, optim) == pytest.approx(0.1)


def test_a_small_dataset_is_passed_over_no_more_often_than_asked_for() -> None:
    optim = OptimConfig(steps=1000, epochs=24)
    assert optim.bounded(13).steps == 312
    assert optim.bounded(4000).steps == 1000
    assert OptimConfig(steps=1000, epochs=24, accumulate=2).bounded(13).steps == 156
    assert OptimConfig(steps=1000, epochs=0.01).bounded(13).steps == 1
    assert OptimConfig(steps=1000).bounded(1) == OptimConfig(steps=1000)


@pytest.mark.parametrize("killed_at", [1, 3, 5, 7])
def test_a_training_that_is_stopped_and_resumed_gives_the_same_bits(
    pushing: Path, tiny: TrainConfig, undisturbed: dict[str, Tensor], tmp_path: Path, killed_at: int
) -> None:
    config = tiny.model_copy(deep=True)
    made = 0

    class Stopped(BaseException):
        pass

    def stop(self: SkillVAE, batch: Batch, step: int) -> Any:
        nonlocal made
        made += 1
        if made > killed_at:
            raise Stopped
        return loss(self, batch, step)

    loss = SkillVAE.loss
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SkillVAE, "loss", stop)
        with pytest.raises(Stopped):
            train(pushing, tmp_path, config)
    assert equal(train(pushing, tmp_path, config), undisturbed)
    steps = [line["step"] for line in read_metrics(tmp_path / "skill") if line["kind"] == "train"]
    assert steps == [2, 4, 6, 8]


def test_another_setting_does_not_go_on_from_a_checkpoint(
    pushing: Path, tiny: TrainConfig, tmp_path: Path
) -> None:
    train(pushing, tmp_path, tiny)
    (tmp_path / "skill" / "done.json").unlink()
    other = load_train_config(None, [*TINY, "skill.optim.lr=0.003"])
    with pytest.raises(ConfigError, match="--restart"):
        train(pushing, tmp_path, other)


def test_accumulating_halves_is_as_good_as_whole_batches(
    pushing: Path, undisturbed: dict[str, Tensor], tmp_path: Path
) -> None:
    halves = ["skill.data.batch_size=4", "skill.optim.accumulate=2"]
    found = train(pushing, tmp_path, load_train_config(None, [*TINY, *halves]))
    for name, weights in undisturbed.items():
        torch.testing.assert_close(found[name], weights, rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    "setting", ["machine.precision=bf16", "machine.channels_last=true", "skill.optim.ema=0.9"]
)
def test_options_train_and_stay_near_the_plain_way(
    pushing: Path, undisturbed: dict[str, Tensor], tmp_path: Path, setting: str
) -> None:
    found = train(pushing, tmp_path, load_train_config(None, [*TINY, setting]))
    assert not equal(found, undisturbed) or "channels_last" in setting
    for name, weights in undisturbed.items():
        torch.testing.assert_close(found[name], weights, rtol=0, atol=2e-2)


def test_a_sample_that_is_not_finite_is_named_and_its_step_skipped(
    pushing: Path, tiny: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt: list[str] = []

    def spoil(self: SkillVAE, batch: Batch, step: int) -> Any:
        if step == 3:
            batch.flow[2] = math.nan
            spoilt.append(batch.keys[2])
        return loss(self, batch, step)

    loss = SkillVAE.loss
    monkeypatch.setattr(SkillVAE, "loss", spoil)
    weights = train(pushing, tmp_path, tiny)
    assert all(bool(torch.isfinite(value).all()) for value in weights.values())
    (skipped,) = [line for line in read_metrics(tmp_path / "skill") if line["kind"] == "skipped"]
    assert (skipped["step"], skipped["keys"]) == (4, spoilt)


def test_too_many_such_steps_end_the_training_with_advice(
    pushing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(self: SkillVAE, batch: Batch, step: int) -> Any:
        value, metrics = loss(self, batch, step)
        return value * math.inf, metrics

    loss = SkillVAE.loss
    monkeypatch.setattr(SkillVAE, "loss", spoil)
    config = load_train_config(None, [*TINY, "skill.run.max_bad_steps=3"])
    with pytest.raises(InputError, match=r"skill: 4 steps .* skill\.optim\.lr"):
        train(pushing, tmp_path, config)


def test_the_running_mean_follows_its_definition() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, 1.0)
    mean = MeanWeights(model, 0.9)
    torch.nn.init.constant_(model.weight, 2.0)
    mean.update(model)
    assert mean.state(model)["weight"].item() == pytest.approx(1.1)
    with mean.in_place(model):
        assert model.weight.item() == pytest.approx(1.1)
    assert model.weight.item() == 2.0
    assert MeanWeights(model, 0.0).state(model)["weight"].item() == 2.0


def test_metrics_are_json_lines_with_a_measurement_at_the_end(
    pushing: Path, tiny: TrainConfig, tmp_path: Path
) -> None:
    seen: list[TrainingProgress] = []
    train(pushing, tmp_path, tiny, seen.append)
    lines = read_metrics(tmp_path / "skill")
    assert lines[-1]["kind"] == "held_out"
    assert "flow_energy_explained" in lines[-1]
    assert {"loss", "lr", "samples_per_s"} <= lines[0].keys()
    done = json.loads((tmp_path / "skill" / "done.json").read_text())
    assert done["metrics"] == seen[-1].held_out
    assert list((tmp_path / "skill" / "tensorboard").iterdir())
