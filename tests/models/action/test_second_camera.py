"""A second camera's image beside the first one's."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sofdata.errors import ConfigError, ContractError
from sofdata.models.action.config import DecoderConfig
from sofdata.models.action.decoder import ActionDecoder
from sofdata.models.action.evaluation import ActionEvaluation
from sofdata.models.action.seen import SeenBatch
from sofdata.models.action.space import measure_actions
from sofdata.models.planner.config import PlannerConfig
from sofdata.models.planner.planner import Planner
from sofdata.models.saved import load, save_model
from sofdata.system.digests import json_digest
from sofdata.train.config import load_train_config
from sofdata.types import ActionBatch
from tests.models.action.test_action_decoder import fit
from tests.models.toy_actions import ACTIONS, pushes, skill_model

MISSING, UNREAD = "none is given", "would not read it: leave it out"


def with_second(batch: ActionBatch, second: torch.Tensor) -> SeenBatch:
    return SeenBatch.beside(batch, second=second[:, None])


def seen(size: int = 4, px: int = 32) -> SeenBatch:
    random = torch.Generator().manual_seed(3)
    second = torch.randint(256, (size, 3, px, px), generator=random, dtype=torch.uint8)
    return with_second(pushes(size), second)


def decoder_for(batch: ActionBatch, **settings: Any) -> ActionDecoder:
    torch.manual_seed(1)
    build = {"width": 32, "layers": 1, "shift_px": 2, "second_camera": True, "encoder": "tuned"}
    return ActionDecoder(
        DecoderConfig.parse(build | settings), skill_model(), measure_actions([batch])
    )


@pytest.mark.parametrize("head", ["tokens", "flat", "both"])
@pytest.mark.parametrize("condition", ["skill", "flow+image", "none"])
def test_every_condition_and_head_reads_it(condition: str, head: str) -> None:
    batch = seen()
    decoder = decoder_for(batch, condition=condition, head=head)
    decoder.loss(batch, 0)[0].backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is not None for weight in decoder.parameters())
    skill, second = decoder.skill_of(batch), batch.second[:, 0]
    one = decoder.eval().act(batch.first, skill, second=second).values
    assert one.shape == (4, ACTIONS, 3)
    assert not torch.equal(decoder.act(batch.first, skill, second=second.flip(0)).values, one)
    assert torch.equal(decoder.finish(decoder.named(batch)).values, one)
    evaluation = ActionEvaluation(decoder)
    evaluation.add(batch)
    assert evaluation.result()["action_error"] > 0


@pytest.mark.parametrize("encoder", ["tuned", "fresh", "frozen"])
def test_it_has_an_encoder_of_its_own_unless_encoders_are_frozen(encoder: str) -> None:
    batch = seen()
    decoder = decoder_for(batch, encoder=encoder, condition="none")
    names = {name.partition(".")[0] for name, _ in decoder.named_parameters()}
    assert ("second_encoder" in names) == (encoder != "frozen")
    tokens = decoder.observe(batch.first, batch.second[:, 0])
    places, channels = decoder.skill.observation_shape
    assert tokens.shape == (4, 2 * places, channels)
    if encoder == "tuned":  # both are copies of the skill model's, until they are trained
        expected = decoder.skill.observe(batch.second[:, 0])
        torch.testing.assert_close(tokens[:, places:], expected)
        decoder.loss(batch, 0)[0].backward()  # type: ignore[no-untyped-call]
        assert decoder.encoder is not None
        assert decoder.second_encoder is not None
        pairs = zip(decoder.encoder.parameters(), decoder.second_encoder.parameters(), strict=True)
        grads = [(one.grad, other.grad) for one, other in pairs if one.requires_grad]
        assert grads
        assert not any(torch.equal(*pair) for pair in grads)  # type: ignore[arg-type]


@pytest.mark.parametrize("encoder", ["tuned", "frozen"])
def test_what_only_the_second_camera_shows_can_be_learned(encoder: str) -> None:
    batch = pushes(16)
    bright = (batch.actions[:, 0, 1] > 0)[:, None, None, None]
    second = (bright * 255).to(torch.uint8).expand(-1, 3, 32, 32)
    blank = dataclasses.replace(batch, first=torch.zeros_like(batch.first))
    both = with_second(blank, second)
    decoder = decoder_for(both, condition="none", shift_px=0, encoder=encoder)
    fit(decoder, [both], 40)
    skill = decoder.skill_of(both)
    gripper = decoder.act(both.first, skill, second=second).values[..., 2]
    assert (gripper == both.actions[..., 2]).float().mean() > 0.95
    other = decoder.act(both.first, skill, second=255 - second).values[..., 2]
    assert (other == both.actions[..., 2]).float().mean() < 0.05  # it goes by nothing else
    blind = decoder_for(blank, condition="none", shift_px=0, second_camera=False)
    fit(blind, [blank], 40)
    guessed = blind.act(blank.first, blind.skill_of(blank)).values[..., 2]
    assert (guessed == blank.actions[..., 2]).float().mean() < 0.8


def test_its_shifts_are_drawn_apart_from_those_of_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = pushes(8)
    batch = with_second(plain, plain.first)  # the same picture in both
    decoder = decoder_for(batch, condition="none", encoder="frozen").train()
    given: list[tuple[torch.Tensor, torch.Tensor]] = []
    observe = decoder.observe

    def noted(image: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        given.append((image, second))
        return observe(image, second)

    monkeypatch.setattr(decoder, "observe", noted)
    for step in (0, 0, 1):
        decoder.loss(batch, step)
    (one, two), again, later = given
    assert torch.equal(one, again[0])
    assert torch.equal(two, again[1])
    assert not torch.equal(two, later[1])
    assert sum(torch.equal(a, b) for a, b in zip(one, two, strict=True)) < 3
    decoder.eval().loss(batch, 0)
    assert torch.equal(given[-1][1], batch.second[:, 0])


def test_a_history_goes_together_with_it() -> None:
    random = torch.Generator().manual_seed(5)
    earlier = torch.randint(256, (4, 2, 3, 32, 32), generator=random, dtype=torch.uint8)
    batch = SeenBatch.beside(pushes(4), earlier=earlier, second=seen().second)
    decoder = decoder_for(batch, condition="none", history=2)
    decoder.loss(batch, 0)[0].backward()  # type: ignore[no-untyped-call]
    places, channels = decoder.skill.observation_shape
    assert decoder.observe(batch.images, batch.second[:, 0]).shape == (4, 4 * places, channels)


def test_one_that_is_missing_or_not_read_is_told_of() -> None:
    batch = seen()
    reads = decoder_for(batch)
    blind = decoder_for(batch, second_camera=False)
    codes, second = reads.skill_of(batch), batch.second[:, 0]
    plain = pushes(4)
    for without in (plain, SeenBatch.beside(plain)):
        with pytest.raises(ConfigError, match=MISSING):
            reads.loss(without, 0)
    with pytest.raises(ConfigError, match=MISSING):
        reads.act(batch.first, codes)
    with pytest.raises(ConfigError, match=MISSING):
        reads(batch.first, codes.codes)
    with pytest.raises(ConfigError, match=MISSING):
        reads.observe(batch.first)
    with pytest.raises(ConfigError, match=UNREAD):
        blind.loss(batch, 0)
    with pytest.raises(ConfigError, match=UNREAD):
        blind.act(batch.first, codes, second=second)
    with pytest.raises(ConfigError, match=UNREAD):
        blind(batch.first, codes.codes, second=second)
    only_flow = decoder_for(batch, second_camera=False, condition="flow")
    with pytest.raises(ConfigError, match=UNREAD):
        only_flow.act(batch.first, codes, second=second)
    for wrong in (second[:3], second[:, None]):
        with pytest.raises(ContractError, match=r"second camera's images are \[4, 3, H, W\]"):
            reads.act(batch.first, codes, second=wrong)
    with pytest.raises(ContractError, match="second must be"):
        SeenBatch.beside(plain, second=second)
    with pytest.raises(ContractError, match="second must be uint8"):
        SeenBatch.beside(plain, second=batch.second.float())


@pytest.mark.parametrize("condition", ["flow", "motion"])
def test_conditions_without_an_image_refuse_it(condition: str) -> None:
    with pytest.raises(ConfigError, match=f"condition '{condition}' reads no second camera"):
        DecoderConfig.parse({"condition": condition, "second_camera": True})


def test_training_outside_the_benchmark_refuses_it() -> None:
    with pytest.raises(ConfigError, match=r"second_camera is true.*in the benchmark alone"):
        load_train_config(None, ["decoder.model.second_camera=true"])


def test_a_loaded_policy_is_given_it(tmp_path: Path) -> None:
    batch = seen()
    decoder = decoder_for(batch, condition="none").eval()
    skill = decoder.skill
    planner = Planner(PlannerConfig.parse({"prior": {"width": 32}}), skill, ("",))
    for name, model in {"skill": skill, "planner": planner, "decoder": decoder}.items():
        (tmp_path / name).mkdir()
        save_model(tmp_path / name, name, model)
    policy = load(tmp_path)
    assert policy.decoder.config.second_camera
    image, second = (each[0].permute(1, 2, 0).numpy() for each in (batch.first, batch.second[:, 0]))
    plan = policy.plan(image)
    taken = policy.act(image, plan, second=second).values
    expected = decoder.act(batch.first[:1], plan.first, second=batch.second[:1, 0]).values
    assert torch.equal(taken, expected)
    with pytest.raises(ConfigError, match=MISSING):
        policy.act(image, plan)
    with pytest.raises(ConfigError, match="1 images need as many of the second camera, got 2"):
        policy.act(image, plan, second=np.stack([second, second]))
    control = policy.control()
    assert np.array_equal(control.action(image, second=second), taken[0, 0].numpy())
    with pytest.raises(ConfigError, match=MISSING):
        policy.control().action(image)
    save_model(tmp_path / "decoder", "decoder", decoder_for(batch, second_camera=False))
    with pytest.raises(ConfigError, match=UNREAD):
        load(tmp_path).act(image, plan, second=second)


def test_without_it_a_decoder_is_what_it_was_before_there_was_this_key() -> None:
    # Computed with the version before it: the spec, and the names and sizes of all weights.
    batch = pushes(4)
    known = {
        ("tokens", "skill"): ("665969bdd174", "7b501fa3d668"),
        ("both", "none"): ("692c3f5b4284", "4282c9873431"),
    }
    for (head, condition), digests in known.items():
        build = {"width": 32, "layers": 1, "head": head, "condition": condition}
        config = DecoderConfig.parse(build | {"encoder": "tuned"})
        decoder = ActionDecoder(config, skill_model(), measure_actions([batch]))
        weights = [[name, list(each.shape)] for name, each in decoder.state_dict().items()]
        found = tuple(json_digest(each)[:12] for each in (decoder.spec(), weights))
        assert found == digests, (head, condition)
        spec = json.loads(json.dumps(decoder.spec()))
        assert "second_camera" not in spec["config"]
        assert not ActionDecoder.from_spec(spec, decoder.skill).config.second_camera
