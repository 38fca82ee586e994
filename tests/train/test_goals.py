"""`sofdata train planner` with a goal value and subgoals: learned from the loader's own videos."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import sofdata.models
from sofdata.models.files import load_file
from sofdata.models.planner.planner import Planner
from sofdata.models.saved import MODEL
from sofdata.train.config import TrainConfig, load_train_config
from sofdata.train.ranks import Ranks
from sofdata.train.run import stage_digest, train_stage
from sofdata.train.sides import decided_sides
from sofdata.train.stage import StageJob, build_model, loaders
from tests.train.conftest import TINY

GOALS = (
    "planner.model.value.weight=1",
    "planner.model.value.width=32",
    "planner.model.subgoal.ahead=2",
    "planner.model.subgoal.width=32",
)


@pytest.fixture(scope="module")
def skill(pushing: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained skill model."""
    out = tmp_path_factory.mktemp("goals")
    train_stage(job("skill", load_train_config(None, TINY), pushing, out), lambda progress: None)
    return out


def job(name: str, config: TrainConfig, data: Path, out: Path) -> StageJob:
    return StageJob(name, config, (str(data),), str(out), {})  # type: ignore[arg-type]


def test_later_frames_are_those_of_the_training_windows_alone(pushing: Path, skill: Path) -> None:
    own = job("planner", load_train_config(None, (*TINY, *GOALS)), pushing, skill)
    sides = decided_sides(own.urls, own.options, own.stage.data)
    data, held_out = loaders(own, Ranks(0, 1, torch.device("cpu")), sides)
    planner = build_model(own, data, torch.device("cpu"))
    assert isinstance(planner, Planner)
    frames = planner.frames
    assert frames is not None
    assert len(frames.rows) == data.rows
    held = {key for batch in held_out.epoch(0) for key in batch.keys}
    assert held
    assert not held & set(frames.rows)
    few = load_train_config(None, (*TINY, *GOALS, "planner.model.goals.windows=10"))
    bounded = build_model(job("planner", few, pushing, skill), data, torch.device("cpu"))
    assert isinstance(bounded, Planner)
    assert bounded.frames is not None
    assert len(bounded.frames.rows) == 10


def test_a_training_that_was_killed_ends_with_the_same_weights(
    pushing: Path, skill: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_train_config(None, (*TINY, *GOALS))
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for out in (whole, cut):
        (out / "skill").mkdir(parents=True)
        (out / "skill" / MODEL).write_bytes((skill / "skill" / MODEL).read_bytes())
    train_stage(job("planner", config, pushing, whole), lambda progress: None)

    def stop(progress: object) -> None:
        if getattr(progress, "step", 0) >= 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_stage(job("planner", config, pushing, cut), stop)
    train_stage(job("planner", config, pushing, cut), lambda progress: None)
    ours, theirs = (load_file(out / "planner" / MODEL)["weights"] for out in (whole, cut))
    assert int(ours["value.updated"]) == 7
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name
    policy = sofdata.models.load(cut)
    image = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    assert policy.plan(image, goal=image).codes.shape[0] == 1


def test_keys_that_change_nothing_leave_a_training_up_to_date(pushing: Path, skill: Path) -> None:
    plain = job("planner", load_train_config(None, TINY), pushing, skill)
    unused = load_train_config(None, (*TINY, "planner.model.goals.same=0.5"))
    used = load_train_config(None, (*TINY, *GOALS))
    assert stage_digest(plain) == stage_digest(job("planner", unused, pushing, skill))
    assert stage_digest(plain) != stage_digest(job("planner", used, pushing, skill))
