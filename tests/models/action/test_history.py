"""Earlier frames beside the present one."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

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
from sofdata.train.config import load_train_config
from sofdata.types import ActionBatch
from tests.models.action.test_action_decoder import fit
from tests.models.toy_actions import ACTIONS, pushes, skill_model

CONDITIONS = ("skill", "flow", "flow+image", "none")


def with_earlier(batch: ActionBatch, earlier: torch.Tensor) -> SeenBatch:
    return SeenBatch.beside(batch, earlier=earlier)


def seen(number: int, size: int = 4) -> SeenBatch:
    random = torch.Generator().manual_seed(3)
    earlier = torch.randint(256, (size, number, 3, 32, 32), generator=random, dtype=torch.uint8)
    return with_earlier(pushes(size), earlier)


def decoder_for(batch: ActionBatch, **settings: Any) -> ActionDecoder:
    torch.manual_seed(1)
    chosen = {"width": 32, "layers": 1, "shift_px": 2, "history": 2, "encoder": "tuned"} | settings
    return ActionDecoder(DecoderConfig.parse(chosen), skill_model(), measure_actions([batch]))


@pytest.mark.parametrize("head", ["tokens", "flat"])
@pytest.mark.parametrize("condition", CONDITIONS)
def test_every_condition_and_head_reads_a_history(condition: str, head: str) -> None:
    batch = seen(2)
    decoder = decoder_for(batch, condition=condition, head=head)
    decoder.loss(batch, 0)[0].backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is not None for weight in decoder.parameters())
    assert decoder.act(batch.images, decoder.skill_of(batch)).values.shape == (4, ACTIONS, 3)
    evaluation = ActionEvaluation(decoder.eval())
    evaluation.add(batch)
    assert evaluation.result()["action_error"] > 0


def test_actions_depend_on_the_order_of_the_frames_but_not_on_other_samples() -> None:
    batch = seen(2)
    decoder = decoder_for(batch, condition="none").eval()
    codes = torch.zeros(4, 0, 1)
    images = batch.images
    together = decoder(images, codes)
    alone = torch.cat([decoder(image[None], codes[:1]) for image in images])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    assert (decoder(images.flip(1), codes) - together).abs().max() > 1e-4


def test_what_only_an_earlier_frame_shows_can_be_learned() -> None:
    batch = pushes(16)
    bright = (batch.actions[:, :1, 1] > 0)[:, :, None, None, None]
    batch = with_earlier(batch, (bright * 255).to(torch.uint8).expand(-1, 1, 3, 32, 32))
    blank = dataclasses.replace(batch, first=torch.zeros_like(batch.first))
    decoder = decoder_for(blank, condition="none", history=1, shift_px=0)
    fit(decoder, [blank], 40)
    gripper = decoder.act(blank.images, decoder.skill_of(blank)).values[..., 2]
    assert (gripper == blank.actions[..., 2]).float().mean() > 0.95


def test_all_frames_of_a_sample_are_shifted_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    same = pushes(4)
    batch = with_earlier(same, same.first[:, None].expand(-1, 2, -1, -1, -1))
    decoder = decoder_for(batch, condition="none", encoder="frozen")
    offsets = torch.tensor([[2, 0], [0, -2], [1, 1], [0, 0]])
    seen_by: list[torch.Tensor] = []
    observe = decoder.observe

    def noted(image: torch.Tensor, second: torch.Tensor | None = None) -> torch.Tensor:
        seen_by.append(image)
        return observe(image, second)

    monkeypatch.setattr(decoder, "observe", noted)
    decoder(batch.images, torch.zeros(4, 0, 1), offsets=offsets)
    (images,) = seen_by
    assert torch.equal(images[:, 0], images[:, 2])
    assert not torch.equal(images[:3, 0], batch.first[:3])


def test_as_many_images_as_the_decoder_was_made_for_are_needed() -> None:
    batch = seen(2)
    decoder = decoder_for(batch)
    for images in (batch.first, batch.images[:, 1:]):
        with pytest.raises(ContractError, match="history=2 needs images"):
            decoder.act(images, decoder.skill_of(batch))
    with pytest.raises(ConfigError, match="in the benchmark alone"):
        decoder.loss(pushes(4), 0)
    with pytest.raises(ContractError, match="earlier must be"):
        with_earlier(pushes(4), batch.earlier[:3])


def test_a_planner_sees_the_present_image_alone() -> None:
    batch = seen(2)
    planner = Planner(PlannerConfig.parse({"prior": {"width": 32}}), skill_model(), ("",))
    assert torch.equal(planner.observe(batch.images), planner.observe(batch.first))


def test_a_decoder_with_a_history_is_rebuilt_from_its_spec() -> None:
    batch = seen(2)
    decoder = decoder_for(batch)
    assert "history" not in decoder_for(batch, history=0).spec()["config"]
    again = ActionDecoder.from_spec(json.loads(json.dumps(decoder.spec())), decoder.skill)
    again.load_state_dict(decoder.state_dict())
    assert again.config.history == 2


def test_training_outside_the_benchmark_refuses_a_history() -> None:
    with pytest.raises(ConfigError, match=r"decoder\.model\.history is 2.*leave it at 0"):
        load_train_config(None, ["decoder.model.history=2"])
