"""`sofdata.models.action.decoder`: what it learns, what it gives, and what it refuses."""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import Any

import pytest
import torch

from sofdata.errors import ConfigError
from sofdata.models.action.config import DecoderConfig
from sofdata.models.action.decoder import ActionDecoder
from sofdata.models.action.evaluation import ActionEvaluation
from sofdata.models.action.space import measure_actions
from sofdata.models.skill.vae import SkillVAE
from sofdata.types import ActionBatch, Batch, Skill
from tests.models.toy_actions import ACTIONS, batch_of, pushes, skill_model

CONDITIONS = ("skill", "flow", "flow+image", "none")


@pytest.fixture(scope="module")
def trained() -> SkillVAE:
    """A skill model whose codes distinguish motion to the left and to the right."""
    model = skill_model()
    optimiser = torch.optim.AdamW(model.parameters(), 5e-3)
    for step in range(40):
        optimiser.zero_grad()
        loss, _ = model.loss(pushes(32, seed=step % 8), step)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return model


def decoder_for(
    batch: ActionBatch, skill: SkillVAE | None = None, **settings: Any
) -> ActionDecoder:
    torch.manual_seed(1)
    config = DecoderConfig.parse({"width": 32, "layers": 1, "shift_px": 2} | settings)
    return ActionDecoder(config, skill or skill_model(), measure_actions([batch]))


def fit(decoder: ActionDecoder, batches: list[ActionBatch], steps: int) -> None:
    optimiser = torch.optim.AdamW(decoder.parameters(), 3e-3)
    for step in range(steps):
        optimiser.zero_grad()
        loss, _ = decoder.loss(batches[step % len(batches)], step)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def loss_of(decoder: ActionDecoder, batch: ActionBatch, step: int = 0) -> float:
    with torch.no_grad():
        return float(decoder.loss(batch, step)[0])


def part_of(batch: ActionBatch, rows: slice) -> ActionBatch:
    names = [field.name for field in dataclasses.fields(batch) if field.name != "columns"]
    return ActionBatch(**{name: getattr(batch, name)[rows] for name in names})


def weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("bottleneck", ["fsq", "kl"])
def test_a_chunk_of_actions_comes_out_for_each_sample(condition: str, bottleneck: str) -> None:
    batch = pushes(3)
    decoder = decoder_for(batch, skill_model(bottleneck=bottleneck), condition=condition)
    actions = decoder.act(batch.first, decoder.skill_of(batch)).values
    assert actions.shape == (3, ACTIONS, 3)
    assert actions.dtype == torch.float32
    loss, metrics = decoder.loss(batch, 0)
    assert loss.ndim == 0
    assert set(metrics) == {"action_loss", "gripper_loss"}
    assert float(loss.detach()) == pytest.approx(sum(float(value) for value in metrics.values()))


@pytest.mark.parametrize("condition", ["skill", "flow", "flow+image"])
def test_a_skill_that_decides_the_actions_is_followed(condition: str, trained: SkillVAE) -> None:
    batches = [pushes(32, seed) for seed in range(8)]
    decoder = decoder_for(batches[0], trained, condition=condition)
    fit(decoder, batches, 60)
    evaluation = ActionEvaluation(decoder)
    evaluation.add(pushes(32, seed=99))
    found = evaluation.result()
    assert found["action_error"] < 0.7 * found["action_error_mean_action"]
    assert found["action_error"] < 0.7 * found["action_error_wrong_skill"]
    assert found["gripper_accuracy"] > 0.85
    assert found["gripper_accuracy_majority"] < 0.7
    assert found["gripper_accuracy_wrong_skill"] < 0.75


@pytest.mark.parametrize("loss", ["huber", "l1"])
def test_one_batch_can_be_learned_by_heart(loss: str) -> None:
    random = torch.Generator().manual_seed(5)
    actions = torch.randn(4, ACTIONS, 2, generator=random)
    batch = batch_of(torch.rand(4, 2, generator=random), actions)
    decoder = decoder_for(batch, loss=loss, shift_px=0)
    fit(decoder, [batch], 100)
    error = (decoder.act(batch.first, decoder.skill_of(batch)).values - actions).abs().mean()
    assert error < 0.15  # of a standard deviation of 1


@pytest.mark.parametrize("encoder", ["frozen", "tuned", "fresh"])
def test_only_a_copy_of_the_image_encoder_is_ever_trained(encoder: str) -> None:
    batch, skill = pushes(4), skill_model()
    before = weights(skill)
    decoder = decoder_for(batch, skill, encoder=encoder)
    names = [name for name, _ in decoder.named_parameters()]
    assert any(name.startswith("encoder.") for name in names) == (encoder != "frozen")
    start = weights(decoder)
    fit(decoder, [batch], 2)
    assert same(weights(skill), before)
    assert all(weight.grad is None for weight in skill.parameters())
    own = {id(weight) for weight in skill.parameters()}
    assert not own & {id(weight) for weight in decoder.parameters()}
    moved = [name for name, value in weights(decoder).items() if not value.equal(start[name])]
    assert any(name.startswith("encoder.") for name in moved) == (encoder != "frozen")


def test_a_tuned_encoder_begins_as_the_skill_models_and_a_fresh_one_does_not() -> None:
    batch, skill = pushes(2), skill_model()
    tuned, fresh = (decoder_for(batch, skill, encoder=kind).encoder for kind in ("tuned", "fresh"))
    assert tuned is not None
    assert fresh is not None
    seen = skill.observe(batch.first)
    assert torch.equal(tuned(batch.first), seen)
    assert fresh(batch.first).shape == seen.shape
    assert not torch.allclose(fresh(batch.first), seen, atol=0.1)


def test_an_encoder_carries_no_weight_that_it_does_not_use() -> None:
    batch = pushes(2)
    decoder = decoder_for(batch, encoder="tuned")
    decoder.loss(batch, 0)[0].backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is not None for weight in decoder.parameters())
    count = sum(weight.numel() for weight in decoder.skill.parameters())
    assert decoder.encoder is not None
    assert sum(weight.numel() for weight in decoder.encoder.parameters()) < count / 2


@pytest.mark.parametrize("condition", CONDITIONS)
def test_splitting_a_batch_does_not_change_its_loss(condition: str) -> None:
    random = torch.Generator().manual_seed(2)
    actions = torch.randn(6, ACTIONS, 3, generator=random)
    actions[..., 2] = (actions[..., 2] > 0).float()
    velocity = torch.rand(6, 2, generator=random)
    batch = batch_of(velocity, actions, lengths=[6, 1, 3, 0, 6, 2])
    decoder = decoder_for(batch, condition=condition)
    rows = (slice(0, 6), slice(0, 3), slice(3, 6))
    losses = [loss_of(decoder.train(), part_of(batch, part)) for part in rows]
    assert losses[0] == pytest.approx((losses[1] + losses[2]) / 2, rel=1e-5)


def test_actions_behind_the_mask_do_not_count() -> None:
    batch = batch_of(torch.ones(2, 2), torch.randn(2, ACTIONS, 2), lengths=[2, 4])
    decoder = decoder_for(batch, shift_px=0)
    loss = loss_of(decoder, batch)
    changed = copy.deepcopy(batch)
    changed.actions[~changed.action_mask] = 1e6
    assert loss_of(decoder, changed) == loss


def test_a_batch_shorter_or_longer_than_the_chunk_is_masked_or_cut() -> None:
    batch = pushes(2)
    decoder = decoder_for(batch, shift_px=0)
    known = loss_of(decoder, batch)
    beyond = torch.full((2, 3, 3), 1e6)
    longer = batch_of(batch.flow[:, 0, :, 0, 0], torch.cat([batch.actions, beyond], dim=1))
    assert loss_of(decoder, longer) == pytest.approx(known, rel=1e-5)
    shorter = batch_of(batch.flow[:, 0, :, 0, 0], batch.actions[:, :2])
    decoder.loss(shorter, 0)
    for other in (longer, shorter):
        evaluation = ActionEvaluation(decoder)
        evaluation.add(other)
        assert evaluation.result()["action_error"] < 5


def test_normalised_actions_come_back() -> None:
    batch = pushes(16)
    decoder = decoder_for(batch)
    normal = decoder.normalise(batch.actions)
    assert normal.mean(dim=(0, 1)).tolist() == pytest.approx([0, 0, 0], abs=1e-5)
    assert normal.std(dim=(0, 1), correction=0).tolist() == pytest.approx([1, 1, 1], rel=1e-4)
    assert torch.allclose(decoder.denormalise(normal), batch.actions, rtol=1e-5, atol=1e-5)


def test_actions_stay_in_the_range_seen_and_the_gripper_takes_one_of_its_values() -> None:
    batch = pushes(16)
    decoder = decoder_for(batch, clip_margin=0.25)
    with torch.no_grad():
        for weight in decoder.heads.parameters():
            weight.mul_(100)
    actions = decoder.act(batch.first, decoder.skill_of(batch)).values
    low, high = decoder.space.vector("low"), decoder.space.vector("high")
    reached = torch.stack([actions.amin(dim=(0, 1)), actions.amax(dim=(0, 1))])[:, :2]
    margin = 0.25 * (high - low)[:2]
    assert torch.allclose(reached, torch.stack([low[:2] - margin, high[:2] + margin]))
    assert set(actions[..., 2].flatten().tolist()) <= set(decoder.space.values[2])


def test_the_gripper_is_the_last_dimension_of_two_values_or_the_one_named() -> None:
    actions = torch.randn(4, ACTIONS, 5)
    actions[..., 1] = (actions[..., 1] > 0).float()
    actions[..., 3] = (actions[..., 3] > 0).float() * 0.08
    batch = batch_of(torch.ones(4, 2), actions)
    found = {
        setting: (decoder.gripper, decoder.switch)
        for setting in ("auto", 1, -4, -1, None)
        for decoder in [decoder_for(batch, gripper=setting)]
    }
    assert found == {"auto": (3, 3), 1: (1, 1), -4: (1, 1), -1: (4, None), None: (None, None)}
    smooth = batch_of(torch.ones(4, 2), torch.randn(4, ACTIONS, 2))
    assert decoder_for(smooth).gripper is None
    for wrong in (5, -6):
        with pytest.raises(ConfigError, match=f"dimension {wrong}, but actions have 5"):
            decoder_for(batch, gripper=wrong)


def test_a_gripper_alone_can_be_decoded() -> None:
    batch = batch_of(torch.ones(4, 2), (torch.rand(4, ACTIONS, 1) > 0.5).float())
    decoder = decoder_for(batch)
    loss, metrics = decoder.loss(batch, 0)
    assert float(loss.detach()) == float(metrics["gripper_loss"])
    evaluation = ActionEvaluation(decoder)
    evaluation.add(batch)
    assert not any(name.startswith("action_error") for name in evaluation.result())


def test_acting_is_deterministic_also_while_training() -> None:
    batch = pushes(4)
    decoder = decoder_for(batch, shift_px=4).train()
    skill = decoder.skill_of(batch)
    first = decoder.act(batch.first, skill).values
    assert torch.equal(decoder.act(batch.first, skill).values, first)
    assert torch.equal(decoder.eval().act(batch.first, skill).values, first)


def test_augmentation_is_for_training_alone_and_can_be_off() -> None:
    batch = pushes(4)
    decoder = decoder_for(batch, shift_px=8)
    assert len({loss_of(decoder.train(), batch, step) for step in range(3)}) == 3
    assert len({loss_of(decoder.eval(), batch, step) for step in range(3)}) == 1
    plain = decoder_for(batch, shift_px=0).train()
    assert len({loss_of(plain, batch, step) for step in range(3)}) == 1


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_samples_actions_do_not_depend_on_its_batch(condition: str) -> None:
    batch = pushes(5)
    decoder = decoder_for(batch, condition=condition)
    skill = decoder.skill_of(batch)
    together = decoder.act(batch.first, skill).values
    alone = [
        decoder.act(batch.first[n : n + 1], Skill(skill.codes[n : n + 1], skill.tokens[n : n + 1]))
        for n in range(5)
    ]
    apart = torch.cat([actions.values for actions in alone])
    assert torch.allclose(together, apart, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("encoder", ["frozen", "tuned"])
def test_spec_and_weights_rebuild_the_decoder(condition: str, encoder: str) -> None:
    batch, skill = pushes(4), skill_model()
    decoder = decoder_for(batch, skill, condition=condition, encoder=encoder)
    fit(decoder, [batch], 2)
    assert not any("skill_model" in name or "_skill" in name for name in decoder.state_dict())
    rebuilt = ActionDecoder.from_spec(json.loads(json.dumps(decoder.spec())), skill)
    rebuilt.load_state_dict(decoder.state_dict())
    assert rebuilt.space == decoder.space
    codes = decoder.skill_of(batch)
    assert torch.equal(
        rebuilt.act(batch.first, codes).values, decoder.act(batch.first, codes).values
    )


def test_actions_of_another_dimension_are_refused_with_both_named() -> None:
    decoder = decoder_for(pushes(2))
    other = batch_of(torch.ones(2, 2), torch.randn(2, ACTIONS, 7))
    for use in (lambda: decoder.loss(other, 0), lambda: ActionEvaluation(decoder).add(other)):
        with pytest.raises(ConfigError, match=r"have 7 dimensions.*have 3"):
            use()


def test_a_batch_without_actions_is_refused() -> None:
    batch = pushes(2)
    names = [field.name for field in dataclasses.fields(Batch)]
    plain = Batch(**{name: getattr(batch, name) for name in names})
    with pytest.raises(ConfigError, match="--with-actions"):
        decoder_for(batch).loss(plain, 0)


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ConfigError, match="width 36 must be a multiple of heads 8"):
        DecoderConfig.parse({"width": 36, "heads": 8})


@pytest.mark.parametrize("condition", ["skill", "flow", "flow+image"])
def test_remembered_skills_and_their_flow_change_no_loss(condition: str) -> None:
    batch = pushes(6)
    decoder = decoder_for(batch, condition=condition).train()
    before = loss_of(decoder, batch, step=3)
    decoder.remember([batch])
    assert loss_of(decoder, batch, step=3) == pytest.approx(before, abs=1e-6)  # decodes it
    assert loss_of(decoder, batch, step=3) == pytest.approx(before, abs=1e-6)  # knows it


def test_reading_flow_and_image_apart_gives_what_is_read_at_once() -> None:
    batch = pushes(4)
    decoder = decoder_for(batch, condition="flow+image").eval()
    codes = decoder.skill_of(batch).codes
    apart = decoder.read(decoder.observe(batch.first), decoder.conditioning(batch.first, codes))
    torch.testing.assert_close(apart, decoder(batch.first, codes))


def test_flow_and_image_both_matter() -> None:
    batch = pushes(4)
    decoder = decoder_for(batch, condition="flow+image").eval()
    codes = decoder.skill_of(batch).codes
    read = decoder(batch.first, codes)
    assert not torch.equal(read, decoder(batch.first, codes.flip(0)))
    hidden = torch.zeros(len(batch.keys), dtype=torch.bool)
    assert not torch.equal(read, decoder(batch.first, codes, seen=hidden))
