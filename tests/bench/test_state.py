"""The robot's own state as something that a policy reads: off by default, and never of videos."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sofdata.bench.envs.registry import find_suite
from sofdata.bench.results.table import read_results
from sofdata.bench.study.arms import ARMS
from sofdata.bench.study.cells import actor_of, reads_state, train_arm
from sofdata.bench.study.choice import DataBudget
from sofdata.bench.study.data import BenchData, prepare_data
from sofdata.bench.study.frozen import chosen_hash
from sofdata.bench.study.run import run
from sofdata.bench.study.stage_settings import clone_stage, decoder_stage
from sofdata.bench.study.stages import Trainer
from sofdata.errors import ConfigError
from sofdata.models.action.decoder import ActionDecoder
from sofdata.models.action.seen import SeenBatch
from tests.bench.conftest import tiny

BUDGET = DataBudget(demos=1, videos=3, seed=0)
STATE = "decoder.model.state=true"
QUICK = ("skill.optim.steps=3", "planner.optim.steps=3", "decoder.optim.steps=3", "clone_updates=3")


@pytest.fixture(scope="module")
def with_state(collected: Path, out: Path) -> BenchData:
    return prepare_data(tiny(STATE), find_suite("pushing").fps, collected, out)


def test_a_demonstration_keeps_its_state_behind_its_actions_and_videos_have_none(
    with_state: BenchData, data: BenchData
) -> None:
    records = [
        json.loads((Path(each.folders["demos"]) / "dataset.json").read_text())
        for each in (data, with_state)
    ]
    plain, own = (record["actions"]["names"] for record in records)
    names = find_suite("pushing").state_names
    assert own == [*plain, *(f"observation.state.{name}" for name in names)]
    assert "with_state" not in records[0]["config"]
    assert with_state.folders["videos"] == data.folders["videos"]
    assert with_state.digest != data.digest


def test_policies_read_the_state_and_what_is_cloned_from_videos_does_not(
    with_state: BenchData, trainer: Trainer
) -> None:
    some = replace(trainer, config=tiny(STATE), data=with_state)
    stages = train_arm(ARMS["bc"], BUDGET, some)
    decoder: ActionDecoder = stages["decoder"].model
    assert reads_state(stages)
    batch = some.windows.demonstrations(BUDGET).rows(range(3))
    assert isinstance(batch, SeenBatch)
    assert batch.actions.shape[2] == len(find_suite("pushing").action_names)
    actor: Any = actor_of(ARMS["bc"], BUDGET, some, stages)
    texts = decoder.texts_of(batch)
    one = actor.act(batch.first, texts, 0, state=batch.state).actions
    other = actor.act(batch.first, texts, 0, state=batch.state + 1).actions
    assert not torch.equal(one, other)
    with pytest.raises(ConfigError, match="reads the robot's own state, 3 numbers: give it"):
        actor.act(batch.first, texts, 0)
    with pytest.raises(ConfigError, match=r"made for states of 3 numbers, got \[3, 2\]"):
        actor.act(batch.first, texts, 0, state=batch.state[:, :2])
    with pytest.raises(ConfigError, match="not finite"):
        actor.act(batch.first, texts, 0, state=batch.state / 0)
    again = ActionDecoder.from_spec(json.loads(json.dumps(decoder.spec())), decoder.skill)
    again.load_state_dict(decoder.state_dict())
    assert again.state == decoder.state


def test_settings_say_which_arms_read_it() -> None:
    config = tiny(STATE)
    read = {name for name, arm in ARMS.items() if decoder_stage(arm, config).model.state}
    assert read == set(ARMS) - {"sof+clone", "lapa+clone"}
    assert not clone_stage(config).model.state
    assert chosen_hash(config) != chosen_hash(tiny())
    with pytest.raises(ConfigError, match="condition 'flow' reads no state"):
        tiny(STATE, "decoder.model.condition=flow")


@pytest.mark.parametrize("arm", ["sof", "sof+mpc", "sof+clone", "atm"])
def test_every_way_of_acting_is_evaluated_with_it(arm: str, collected: Path, out: Path) -> None:
    more = (*QUICK, "tracks.optim.steps=3", "evaluation.max_steps=6", "curve=[]")
    (path,) = run(tiny(STATE, f"arms=[{arm}]", *more), collected, out, "test", workers=1)
    (result,) = read_results([path])
    assert result["chunk_error"] > 0
    assert len(result["episodes"]) == 4


def test_demonstrations_without_a_state_are_told_of(trainer: Trainer) -> None:
    blind = replace(trainer, config=tiny(STATE))  # of data that were ingested without
    with pytest.raises(ConfigError, match="--with-actions --set with_state=true"):
        blind.decoder(ARMS["bc"], replace(BUDGET, seed=9), None)


def test_a_suite_whose_robots_tell_nothing_is_refused(
    collected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite: Any = type(find_suite("pushing"))
    monkeypatch.setattr(suite, "state_names", ())
    with pytest.raises(
        ConfigError, match=r"robots of pushing tell no state.*decoder\.model\.state=false"
    ):
        run(tiny(STATE, "arms=[bc]"), collected, tmp_path, "test", workers=1)
