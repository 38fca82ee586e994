"""Condition "motion": actions are named by the flow that was seen, in a window and around it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from sofdata.errors import ConfigError, ContractError
from sofdata.models.action.config import DecoderConfig
from sofdata.models.action.decoder import ActionDecoder
from sofdata.models.action.evaluation import ActionEvaluation
from sofdata.models.action.layers import MotionReader
from sofdata.models.action.space import measure_actions
from sofdata.types import ActionBatch
from tests.models.toy_actions import ACTIONS, pushes, skill_model

CONTEXT = 2


def wide(size: int, seed: int = 0) -> ActionBatch:
    """Pushes that are seen in the steps after the window alone."""
    batch = pushes(size, seed)
    still = torch.zeros_like(batch.flow)
    flow = torch.cat([still[:, :CONTEXT], still, batch.flow[:, :CONTEXT]], 1)
    return replace(batch, flow=flow, mask=torch.ones(flow.shape[:2], dtype=torch.bool))


def decoder_for(batch: ActionBatch, **settings: Any) -> ActionDecoder:
    torch.manual_seed(1)
    base = {"width": 32, "shift_px": 2, "condition": "motion", "encoder": "fresh"}
    config = DecoderConfig.parse(base | settings)
    return ActionDecoder(config, skill_model(), measure_actions([batch]))


def test_what_is_seen_after_a_window_tells_its_actions() -> None:
    batches = [wide(32, seed) for seed in range(8)]
    decoder = decoder_for(batches[0], context=CONTEXT)
    optimiser = torch.optim.AdamW(decoder.parameters(), 3e-3)
    for step in range(60):
        optimiser.zero_grad()
        decoder.loss(batches[step % 8], step)[0].backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    evaluation = ActionEvaluation(decoder.eval())
    evaluation.add(wide(32, seed=99))
    found = evaluation.result()
    assert found["action_error"] < 0.7 * found["action_error_mean_action"]
    assert found["action_error"] < 0.7 * found["action_error_wrong_skill"]


def test_a_decoder_of_motion_cannot_act_and_says_so() -> None:
    batch = pushes(3)
    decoder = decoder_for(batch)
    with pytest.raises(ContractError, match="flow that was seen"):
        decoder.act(batch.first, decoder.skill_of(batch))


def test_what_is_named_does_not_depend_on_the_batch_or_on_the_skill_model() -> None:
    batch = wide(5)
    decoder = decoder_for(batch, context=CONTEXT).eval()
    named = decoder.named(batch)
    names = ("flow", "first", "last", "mask", "text_ids", "keys", "actions", "action_mask")
    alone = ActionBatch(**{name: getattr(batch, name)[2:3] for name in names})
    assert torch.allclose(decoder.named(alone), named[2:3], atol=1e-5)
    other = ActionDecoder(decoder.config, skill_model(seed=9), decoder.space)
    other.load_state_dict(decoder.state_dict())
    assert torch.equal(other.eval().named(batch), named)


def test_spec_and_weights_rebuild_it_and_a_spec_of_before_has_no_context() -> None:
    batch = wide(3)
    decoder = decoder_for(batch, context=CONTEXT).eval()
    spec = json.loads(json.dumps(decoder.spec()))
    other = ActionDecoder.from_spec(spec, decoder.skill)
    other.load_state_dict(decoder.state_dict())
    assert torch.equal(other.eval().named(batch), decoder.named(batch))
    assert "context" not in decoder_for(batch).spec()["config"]


def test_context_must_hold_a_whole_number_of_actions() -> None:
    with pytest.raises(ConfigError, match=r"context=1 .* give a multiple of 2"):
        decoder_for(pushes(2), context=1)
    assert MotionReader(ACTIONS, (4, 8), 4, context=2, width=8, layers=1).around == 3


def test_context_is_refused_where_it_is_not_read() -> None:
    with pytest.raises(ConfigError, match="condition 'motion' alone"):
        DecoderConfig.parse({"context": 2})


def test_frames_before_the_window_are_seen_beside_what_moves() -> None:
    batch = pushes(3)
    decoder = decoder_for(batch, history=1).eval()
    images = torch.stack([batch.last, batch.first], 1)  # uint8 [B,2,3,H,W]
    named = decoder.named(batch, images)
    assert named.shape == batch.actions.shape
    assert not torch.allclose(decoder.named(batch, images.flip(1)), named)
