"""The robot's own state from demonstrations to a policy that reads it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import sofdata
from sofdata.bench.envs.registry import find_suite
from sofdata.corpora.lerobot.corpus import LeRobot
from sofdata.errors import ConfigError
from sofdata.ingest.config import load_config
from sofdata.models.action.config import DecoderConfig
from sofdata.scenes.pushing import write_pushing_corpus, write_pushing_demonstrations
from sofdata.storage.tree import Tree
from sofdata.types import ActionBatch, StateBatch
from tests.helpers import ingest
from tests.train.conftest import TINY, WINDOWS

NAMES = ["dx", "dy", "gripper"]
STATES = [f"observation.state.{name}" for name in ("x", "y", "gripper")]


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("states")
    write_pushing_demonstrations(folder / "episodes", episodes_per_task=1, seed=5)
    both = ("with_actions=true", "with_state=true")
    ingest(folder / "episodes", folder / "dataset", *WINDOWS, *both)
    return folder


def test_the_state_stands_behind_the_actions_and_a_batch_keeps_them_apart(demos: Path) -> None:
    record = json.loads((demos / "dataset/dataset.json").read_text())
    assert record["actions"]["names"] == [*NAMES, *STATES]
    assert record["config"]["with_state"] is True
    assert sofdata.verify(demos / "dataset").whole
    loader = sofdata.load(demos / "dataset", batch_size=4, shuffle=False)
    batch = next(iter(loader))
    assert isinstance(batch, StateBatch)
    assert batch.actions.shape[2] == batch.states.shape[2] == 3
    corpus, tree = LeRobot(), Tree(str(demos / "episodes"))
    listing = corpus.demonstrations(tree, with_state=True)
    assert listing.actions is not None
    assert batch.keys[0].endswith("-000000")  # a window at the beginning of its episode
    refs = [entry.actions for entry in listing.entries if entry.actions is not None]
    tracks = [corpus.read_actions(tree, ref, listing.actions).values for ref in refs]
    number = int(batch.action_mask[0].sum())
    taken, felt = batch.actions[0, :number].numpy(), batch.states[0, :number].numpy()
    whole = [track[:number] for track in tracks]
    assert any(np.array_equal(np.concatenate([taken, felt], 1), track) for track in whole)


def test_it_is_read_only_where_it_is_asked_for(demos: Path, tmp_path: Path) -> None:
    assert "with_state" not in load_config(None, ["with_actions=true"]).content()
    with pytest.raises(ConfigError, match="set with_actions as well"):
        load_config(None, ["with_state=true"])
    plain = LeRobot().demonstrations(Tree(str(demos / "episodes"))).actions
    assert plain is not None
    assert list(plain.names) == NAMES
    info = demos / "episodes/meta/info.json"
    changed = json.loads(info.read_text())
    del changed["features"]["observation.state"]
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/info.json").write_text(json.dumps(changed))
    with pytest.raises(ConfigError, match=r"no feature 'observation\.state' of numbers"):
        LeRobot().demonstrations(Tree(str(tmp_path)), with_state=True)


def test_a_policy_is_trained_with_it_and_takes_it(demos: Path, tmp_path: Path) -> None:
    write_pushing_corpus(tmp_path / "videos", episodes=4, seed=0)
    ingest(tmp_path / "videos", tmp_path / "dataset", *WINDOWS)
    short = [setting for setting in TINY if not setting.endswith("optim.steps=8")]
    short += [f"{stage}.optim.steps=3" for stage in ("skill", "planner", "decoder")]
    settings = dict(each.split("=", 1) for each in [*short, "decoder.model.state=true"])
    settings["skill.model.channels"] = [8, 12, 16]  # type: ignore[assignment]
    out = tmp_path / "models"
    sofdata.train(data=tmp_path / "dataset", demos=demos / "dataset", out=out, settings=settings)
    policy = sofdata.load_policy(out)
    image = np.zeros((64, 64, 3), np.uint8)
    plan = policy.plan(image, "push the disc to the left")
    taken = policy.act(image, plan, state=np.array([30.0, 40.0, -1.0])).values
    assert not torch.equal(taken, policy.act(image, plan, state=np.array([9.0, 4.0, 1.0])).values)
    with pytest.raises(ConfigError, match="reads the robot's own state, 3 numbers"):
        policy.act(image, plan)
    env = find_suite("pushing").make(find_suite("pushing").tasks[0], 64)
    env.reset(1)
    control = policy.control("push the disc to the left", execute=2, ensemble=0.01)
    for _ in range(4):
        env.step(control.action(env.image(), env.state()))
    assert control.steps == 4


def test_training_on_demonstrations_without_it_says_how_to_have_it(
    demonstrations: Path, tmp_path: Path
) -> None:
    from sofdata.models.action.space import measure_state

    loader = sofdata.load(demonstrations, batch_size=4, shuffle=False)
    assert type(next(iter(loader))) is ActionBatch
    with pytest.raises(ConfigError, match="--with-actions --set with_state=true"):
        measure_state(loader)
    with pytest.raises(ConfigError, match="condition 'motion' reads no state"):
        DecoderConfig.parse({"condition": "motion", "state": True})
