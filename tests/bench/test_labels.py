"""What few labels can do beside training a decoder: shape the skill model, meet the skills that the
prior draws, and say how far named actions are to be trusted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from sofdata.bench.study.acting import ClonedActor
from sofdata.bench.study.arms import ARMS
from sofdata.bench.study.cells import actor_of, cell_settings, train_arm
from sofdata.bench.study.choice import DataBudget
from sofdata.bench.study.frozen import chosen_hash
from sofdata.bench.study.joint import JointBatch, JointLoader, JointSkill
from sofdata.bench.study.memory import MemoryLoader
from sofdata.bench.study.naming import named_actions, naming_error, trusted
from sofdata.bench.study.stage_settings import decoder_stage
from sofdata.bench.study.stages import Trainer
from sofdata.bench.study.wanted import wanted_cells
from sofdata.errors import ConfigError
from sofdata.models.action.drawn import DrawnSkills
from sofdata.models.action.seen import SeenBatch
from sofdata.models.action.space import measure_actions
from sofdata.types import ActionBatch
from tests.bench.conftest import tiny

BUDGET = DataBudget(demos=1, videos=3, seed=0)
OFF = (
    (
        "joint.weight=0.5",
        {"bc+encoder", "sof-shuffled", "sof-novideo", "sof", "sof+mpc", "sof+clone"},
    ),
    ("drawn.share=0.5", {"lapa", "sof-shuffled", "sof-novideo", "sof", "sof+mpc"}),
    ("naming.members=2", {"sof+clone", "lapa+clone"}),
    ("naming.told=[-1]", {"sof+clone", "lapa+clone"}),
    ("naming.updates=7", {"sof+clone", "lapa+clone"}),
    ("finetune_updates=7", {"sof+clone", "lapa+clone"}),
)
TELL = "skill_task=true"


def with_settings(trainer: Trainer, *changes: str) -> Trainer:
    return replace(trainer, config=tiny(*changes))


@pytest.mark.parametrize(("change", "arms"), OFF)
def test_each_changes_the_cells_of_the_arms_that_it_is_about_and_is_off_by_default(
    change: str, arms: set[str]
) -> None:
    before, after = tiny("skill_task=true"), tiny("skill_task=true", change)
    cells = {cell.arm: cell for cell in wanted_cells(before, "test")}
    changed = {
        arm
        for arm, cell in cells.items()
        if cell_settings(cell, before) != cell_settings(cell, after)
    }
    assert changed == arms
    assert chosen_hash(before) != chosen_hash(after)
    key = change.partition(".")[0]
    assert key not in cell_settings(cells["sof"], before)


def test_the_head_of_a_jointly_trained_skill_model_learns_actions_from_codes(
    trainer: Trainer,
) -> None:
    torch.manual_seed(0)
    windows = trainer.windows.demonstrations(BUDGET)
    every = MemoryLoader(windows, 256, shuffle=False)
    skill = with_settings(trainer).latent(ARMS["sof"], BUDGET).model
    fresh = type(skill)(skill.config, skill.shape)
    joint = JointSkill(fresh, measure_actions(every.epoch(0)), weight=1.0)
    loader = JointLoader(MemoryLoader(windows, 16), MemoryLoader(windows, 16))
    optimiser = torch.optim.AdamW(joint.parameters(), 2e-3)
    losses = []
    for step, batch in enumerate(b for epoch in range(9) for b in loader.epoch(epoch)):
        if step == 24:
            break
        optimiser.zero_grad()
        loss, parts = joint.loss(batch, step)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(float(parts["action_loss"]))
        assert float(loss.detach()) == pytest.approx(
            float(parts["reconstruction"]) + losses[-1], rel=0.3, abs=0.3
        )
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])


def test_labelled_batches_go_on_where_a_resumed_epoch_begins(trainer: Trainer) -> None:
    windows = trainer.windows.demonstrations(BUDGET)
    loader = JointLoader(MemoryLoader(windows, 8), MemoryLoader(windows, 5))
    whole = [batch for epoch in (0, 1) for batch in loader.epoch(epoch)]
    resumed = list(loader.epoch(1, 2))
    assert all(isinstance(batch, JointBatch) for batch in whole)
    ours = [batch.labelled.keys for batch in whole[-len(resumed) :]]
    assert ours == [batch.labelled.keys for batch in resumed]
    assert len({batch.labelled.keys for batch in whole}) > 1


def test_a_skill_model_trained_with_labels_is_one_for_each_k_and_saved_without_its_head(
    trainer: Trainer,
) -> None:
    joint = with_settings(trainer, "joint.weight=0.5")
    one = joint.latent(ARMS["sof"], BUDGET)
    plain = with_settings(trainer).latent(ARMS["sof"], BUDGET)
    assert one.key != plain.key
    assert one.key != joint.latent(ARMS["sof"], replace(BUDGET, demos=2)).key
    assert plain.key == trainer.latent(ARMS["sof"], replace(BUDGET, demos=2)).key
    assert one.model.state_dict().keys() == plain.model.state_dict().keys()
    assert "energy_explained" in " ".join(one.record["metrics"])
    weights = one.model.state_dict()
    assert any(not torch.equal(weights[k], v) for k, v in plain.model.state_dict().items())


def test_a_share_of_skills_is_drawn_by_sample_and_step_alone() -> None:
    keys = [f"video-{number:06d}" for number in range(400)]
    draws = torch.arange(8.0)[None, :, None, None].expand(400, 8, 2, 3) + 1
    drawn = DrawnSkills({key: row for row, key in enumerate(keys)}, draws, share=0.25)
    true = torch.zeros(400, 2, 3)
    codes, names = drawn.mixed(keys, true, 3)
    taken = codes.flatten(1).any(1)
    assert 0.18 < float(taken.float().mean()) < 0.32
    assert len(set(codes[taken][:, 0, 0].tolist())) == 8
    assert [name for name, one in zip(names, taken, strict=True) if not one] == [
        key for key, one in zip(keys, taken, strict=True) if not one
    ]
    part, part_names = drawn.mixed(keys[100:200], true[:100], 3)
    assert torch.equal(part, codes[100:200])
    assert part_names == names[100:200]
    assert drawn.mixed(keys, true, 4)[1] != names
    assert float(true.sum()) == 0


@pytest.mark.parametrize("condition", ["skill", "flow+image"])
def test_a_decoder_is_trained_on_skills_as_the_planner_draws_them(
    trainer: Trainer, condition: str
) -> None:
    some = with_settings(trainer, "drawn.share=1", f"decoder.model.condition={condition}")
    true = with_settings(trainer, f"decoder.model.condition={condition}")
    stages = train_arm(ARMS["sof"], BUDGET, some)
    plain = train_arm(ARMS["sof"], BUDGET, true)
    assert stages["planner"].key == plain["planner"].key
    assert stages["decoder"].key != plain["decoder"].key
    ours, theirs = (each["decoder"].model.state_dict() for each in (stages, plain))
    assert any(not torch.equal(ours[name], theirs[name]) for name in ours)
    actor_of(ARMS["sof"], BUDGET, some, stages)


def test_members_that_name_actions_differ_and_a_clone_trusts_them_where_they_agree(
    trainer: Trainer,
) -> None:
    settings = ("naming.members=2", "naming.trust=5")
    some = with_settings(trainer, *settings)
    stages = train_arm(ARMS["sof+clone"], BUDGET, some)
    assert list(stages) == ["skill", "decoder", "decoder 2", "clone"]
    models = [stages[name].model for name in ("decoder", "decoder 2")]
    videos = some.windows.unlabelled(BUDGET)
    named = named_actions(videos, models, None, some.config)
    alone = [named_actions(videos, [model], None, tiny()).batch for model in models]
    assert isinstance(named.batch, ActionBatch)
    assert named.weights is not None
    assert named.weights.shape == named.batch.action_mask.shape
    assert 0 < float(named.weights.min()) < float(named.weights.max()) <= 1
    gap = (alone[0].actions - alone[1].actions)[..., 0].abs()  # type: ignore[attr-defined]
    real = named.batch.action_mask
    most = gap[real] > gap[real].median()
    assert named.weights[real][most].mean() < named.weights[real][~most].mean()
    joined = some.windows.demonstrations(BUDGET).joined(named)
    batch = joined.rows([0, len(joined) - 1])
    assert isinstance(batch, SeenBatch)
    assert batch.weights[0].tolist() == [1.0] * batch.weights.shape[1]
    held_out = some.windows.held_out(BUDGET)
    assert held_out is not None
    assert naming_error(held_out, models, None, some.config)["trusted"] > 0


def test_a_clone_is_finetuned_on_demonstrations_alone_from_where_it_stood(trainer: Trainer) -> None:
    warm = "decoder.optim.warmup_steps=1"
    some = with_settings(trainer, "finetune_updates=1", warm)
    stages = train_arm(ARMS["sof+clone"], BUDGET, some)
    assert list(stages) == ["skill", "decoder", "clone", "finetune"]
    plain = train_arm(ARMS["sof+clone"], BUDGET, with_settings(trainer, warm))
    assert stages["clone"].key == plain["clone"].key
    record = stages["finetune"].record
    assert record["updates"] == 1
    assert record["windows"] == len(some.windows.demonstrations(BUDGET))
    clone, tuned = stages["clone"].model.state_dict(), stages["finetune"].model.state_dict()
    moved = max(float((clone[name] - tuned[name]).abs().max()) for name in clone)
    assert 0 < moved < 2 * some.config.decoder.optim.lr  # one step of AdamW, and no new weights
    actor = actor_of(ARMS["sof+clone"], BUDGET, some, stages)
    assert isinstance(actor, ClonedActor)
    assert actor.decoder is stages["finetune"].model


def test_a_clone_of_play_has_nothing_to_be_finetuned_on() -> None:
    with pytest.raises(ConfigError, match="finetune_updates needs demonstrations of tasks"):
        tiny("labels=play", "finetune_updates=5")


def test_what_a_decoder_is_told_names_the_gripper_and_one_that_is_not_the_rest(
    trainer: Trainer,
) -> None:
    some = with_settings(trainer, TELL, "naming.told=[-1]", "naming.members=2")
    stages = train_arm(ARMS["sof+clone"], BUDGET, some)
    assert list(stages) == ["skill", "decoder", "decoder 2", "decoder 3", "clone"]
    assert stages["decoder"].model.text is not None
    blind = [stages[name].model for name in ("decoder 2", "decoder 3")]
    assert [model.text for model in blind] == [None, None]
    plain = train_arm(ARMS["sof+clone"], BUDGET, with_settings(trainer, TELL))
    assert stages["decoder"].key == plain["decoder"].key
    assert stages["clone"].key != plain["clone"].key

    teller, videos = stages["decoder"].model, some.windows.unlabelled(BUDGET)
    batches = [
        named_actions(videos, blind, teller, some.config).batch,
        named_actions(videos, blind, None, tiny()).batch,
        named_actions(videos, [teller], None, tiny()).batch,
    ]
    both, hand, gripper = (each.actions for each in batches if isinstance(each, ActionBatch))
    assert torch.equal(both[..., :-1], hand[..., :-1])
    assert torch.equal(both[..., -1], gripper[..., -1])
    assert not torch.equal(hand[..., -1], gripper[..., -1])
    held_out = some.windows.held_out(BUDGET)
    assert held_out is not None
    errors = naming_error(held_out, blind, teller, some.config)
    assert errors["error_0"] == naming_error(held_out, blind, None, tiny())["error_0"]


def test_decoders_that_name_actions_may_have_fewer_updates_and_never_more() -> None:
    def steps(arm: str, *changes: str) -> int:
        return decoder_stage(ARMS[arm], tiny(*changes)).optim.steps

    plain = steps("sof")
    assert steps("sof+clone", f"naming.updates={plain - 1}") == plain - 1
    assert steps("sof+clone", f"naming.updates={plain + 1}") == plain
    assert steps("sof", "naming.updates=1") == plain


def test_an_action_without_the_told_dimension_or_a_task_that_none_is_told_is_refused(
    trainer: Trainer,
) -> None:
    some = with_settings(trainer, TELL, "naming.told=[9]")
    with pytest.raises(ConfigError, match=r"dimension 9, but actions have \d: 0 to \d, or"):
        train_arm(ARMS["sof+clone"], BUDGET, some)
    with pytest.raises(ConfigError, match=r"skill_task=false none is: leave it out"):
        tiny("naming.told=[-1]", "skill_task=false")


def test_trust_halves_what_is_named_with_the_spread_that_it_says() -> None:
    assert trusted(torch.tensor([0.0, 0.2, 0.4]), 5).tolist() == pytest.approx([1, 0.5, 0.2])
    with pytest.raises(ConfigError, match="give members=2 or more"):
        tiny("naming.trust=1")


def test_an_action_of_weight_zero_is_not_learned(trainer: Trainer) -> None:
    decoder: Any = train_arm(ARMS["bc"], BUDGET, trainer)["decoder"].model
    windows = trainer.windows.demonstrations(BUDGET)
    batch = windows.rows(range(4))
    assert isinstance(batch, ActionBatch)
    plain, _ = decoder.loss(batch, 0)
    same, _ = decoder.loss(SeenBatch.beside(batch), 0)
    assert torch.equal(plain, same)
    none = SeenBatch.beside(batch, weights=torch.zeros(batch.action_mask.shape))
    assert float(decoder.loss(none, 0)[0]) == 0


def test_play_shows_no_task_that_a_prior_could_draw_for() -> None:
    with pytest.raises(ConfigError, match=r"drawn\.share asks the prior for a window's task"):
        tiny("labels=play", "arms=[sof]", "drawn.share=0.5")
