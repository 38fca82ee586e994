"""What the arms learn from, and that controls control."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sofdata.bench.envs.registry import find_suite, tasks_of
from sofdata.bench.study.arms import ARMS
from sofdata.bench.study.cells import goals_of, train_arm
from sofdata.bench.study.choice import DataBudget
from sofdata.bench.study.data import BenchData, prepare_data
from sofdata.bench.study.naming import named_actions
from sofdata.bench.study.run import texts_of
from sofdata.bench.study.stage_settings import clone_stage, decoder_stage
from sofdata.bench.study.stages import Trainer
from sofdata.types import ActionBatch
from tests.bench.conftest import tiny

BUDGET = DataBudget(demos=1, videos=3, seed=0)


def test_video_stages_read_data_that_has_no_actions(trainer: Trainer) -> None:
    assert not isinstance(trainer.windows.unlabelled(BUDGET).batch, ActionBatch)
    assert isinstance(trainer.windows.demonstrations(BUDGET).batch, ActionBatch)


def test_without_videos_the_same_demonstrations_are_all_there_is(trainer: Trainer) -> None:
    budget = DataBudget(demos=1, videos=0, seed=0)
    assert trainer.windows.unlabelled(budget) is trainer.windows.demonstrations(budget)


def test_choices_are_nested_follow_the_seed_and_leave_held_out_ones_alone(data: BenchData) -> None:
    texts = tuple(data.sources["demos"])
    for text in texts:
        one = data.choose("demos", [text], 1, seed=0)
        assert one == data.choose("demos", [text], 2, seed=0)[:1]
        assert not set(one) & set(data.held_out([text], 1, seed=0))
    assert any(
        data.choose("demos", [text], 1, 0) != data.choose("demos", [text], 1, seed)
        for text in texts
        for seed in range(1, 5)
    )
    assert data.held_out(texts, 3, seed=0) == []


def test_all_arms_have_the_same_image_encoder_labels_and_updates() -> None:
    config = tiny()
    stages = {name: decoder_stage(arm, config) for name, arm in ARMS.items()}
    for name, stage in stages.items():
        assert stage.model.shift_px == config.decoder.model.shift_px
        assert stage.model.width == config.decoder.model.width
        wanted = config.compute_updates if name == "bc+compute" else config.decoder.optim.steps
        assert stage.optim.steps == wanted
        skills = ARMS[name].skills
        assert stage.model.condition == ("skill" if skills else "none")
        assert skills or stage.model.task is not None
    assert stages["bc"].model.encoder == "fresh"
    assert stages["bc+encoder"].model.encoder == config.bc_encoder


def test_arms_share_the_skill_model_and_those_of_other_data_do_not(trainer: Trainer) -> None:
    sof = trainer.latent(ARMS["sof"], BUDGET)
    assert trainer.latent(ARMS["sof-shuffled"], BUDGET).key == sof.key
    assert trainer.latent(ARMS["sof-novideo"], DataBudget(1, 0, 0)).key != sof.key
    assert trainer.latent(ARMS["sof"], DataBudget(1, 3, 1)).key != sof.key


def test_shuffled_skills_are_the_same_ones_but_of_other_windows(trainer: Trainer) -> None:
    stages = train_arm(ARMS["sof"], BUDGET, trainer)
    decoder = stages["decoder"].model
    windows = trainer.windows.demonstrations(BUDGET)
    batch = windows.rows(range(len(windows)))
    decoder.remember([batch])
    true = decoder.known.skill.tokens
    shuffled = decoder.known.shuffled(0).skill.tokens
    assert sorted(true.tolist()) == sorted(shuffled.tolist())
    moved = (decoder.known.shuffled(0).skill.codes != decoder.known.skill.codes).any((1, 2))
    assert moved.float().mean() > 0.5
    looked_up = decoder.windows_skill(batch).tokens
    assert torch.equal(looked_up, trainer.latent(ARMS["sof"], BUDGET).model.skill_of(batch).tokens)


def test_goals_are_the_last_frames_of_the_demonstrations(trainer: Trainer) -> None:
    stages = train_arm(ARMS["sof"], BUDGET, trainer)
    planner = stages["planner"].model
    windows = trainer.windows.demonstrations(BUDGET)
    goals = goals_of(windows, planner)
    assert set(goals) == set(trainer.texts)
    assert all(len(observations) == 1 for observations in goals.values())
    text = windows.texts[int(windows.batch.text_ids[-1])]
    last = planner.observe(windows.batch.last[-1:])[0]
    assert torch.allclose(goals[text][0], last, atol=1e-5)


def test_clones_learn_from_demonstrations_and_from_videos_whose_actions_are_decoded(
    trainer: Trainer,
) -> None:
    stages = train_arm(ARMS["sof+clone"], BUDGET, trainer)
    assert set(stages) == {"skill", "decoder", "clone"}
    shown, videos = trainer.windows.demonstrations(BUDGET), trainer.windows.unlabelled(BUDGET)
    assert stages["clone"].record["windows"] == len(shown) + len(videos)
    decoder = stages["decoder"].model
    named = named_actions(videos, [decoder], None, trainer.config)
    assert named.batch.keys == videos.batch.keys
    assert isinstance(named.batch, ActionBatch)
    assert isinstance(shown.batch, ActionBatch)
    assert named.batch.actions.shape[1:] == shown.batch.actions.shape[1:]
    batch = videos.rows([0])
    assert torch.allclose(
        named.batch.actions[:1], decoder.act(batch.first, decoder.skill_of(batch)).values, atol=1e-5
    )
    both = shown.joined(named).batch
    assert isinstance(both, ActionBatch)
    assert torch.equal(both.actions[: len(shown)], shown.batch.actions)


@pytest.mark.parametrize("name", ["sof", "sof+clone", "lapa", "atm"])
def test_arms_learn_from_short_windows_and_padding_does_not_matter(
    name: str, collected: Path, tmp_path: Path
) -> None:
    config = tiny("ingest.windows.tail=mask", f"arms=[{name}]")
    data = prepare_data(config, find_suite("pushing").fps, collected, tmp_path)
    texts = texts_of(tasks_of(find_suite("pushing"), config.tasks))
    trainer = Trainer(config, data, texts, tmp_path)
    stages = train_arm(ARMS[name], BUDGET, trainer)
    for stage in stages.values():
        assert all(math.isfinite(value) for value in stage.record["metrics"].values())
    decoder, videos = stages["decoder"].model, trainer.windows.unlabelled(BUDGET)
    assert set(videos.batch.mask.sum(1).tolist()) == set(range(1, 9))
    named = named_actions(videos, [decoder], None, config).batch
    assert isinstance(named, ActionBatch)
    assert torch.equal(named.action_mask.sum(1), videos.batch.mask.sum(1))  # one action a step
    spoilt = replace(named, flow=named.flow.float(), actions=named.actions.clone())
    spoilt.flow[~spoilt.mask] = 7.0
    spoilt.actions[~spoilt.action_mask] = 7.0
    whole = replace(named, flow=named.flow.float())
    for stage in stages.values():
        loss, _ = stage.model.loss(whole, 0)
        assert torch.allclose(stage.model.loss(spoilt, 0)[0], loss, rtol=1e-4)


def test_the_clone_is_built_as_bc_and_given_the_task() -> None:
    config = tiny()
    built, bc = clone_stage(config).model, decoder_stage(ARMS["bc"], config).model
    assert built.model_copy(update={"encoder": bc.encoder}) == bc
    assert clone_stage(config).optim.steps == config.clone_updates
