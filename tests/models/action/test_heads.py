"""The decoder's heads: tokens, everything laid flat, and both."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from sofdata.errors import ContractError
from sofdata.models.action.config import DecoderConfig
from sofdata.models.action.decoder import ActionDecoder
from sofdata.models.action.layers import SumReader
from sofdata.models.action.space import measure_actions
from sofdata.types import ActionBatch
from tests.models.action.test_action_decoder import fit, loss_of, part_of
from tests.models.toy_actions import ACTIONS, batch_of, pushes, skill_model

HEADS = ("flat", "both")
CONDITIONS = ("skill", "flow", "flow+image", "none")


def decoder_for(batch: ActionBatch, **settings: Any) -> ActionDecoder:
    torch.manual_seed(1)
    chosen = {"width": 32, "layers": 1, "shift_px": 2, "head_width": 64} | settings
    skill = skill_model(eyes="points")
    return ActionDecoder(DecoderConfig.parse(chosen), skill, measure_actions([batch]), ("", "push"))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_head_gives_a_chunk_from_every_condition(head: str, condition: str) -> None:
    batch = pushes(4)
    settings: dict[str, Any] = {"code_noise": 0.1, "image_dropout": 0.5, "task": "id"}
    decoder = decoder_for(batch, head=head, condition=condition, encoder="tuned", **settings)
    decoder.loss(batch, 0)[0].backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is not None for weight in decoder.parameters())
    acted = decoder.act(batch.first, decoder.skill_of(batch), ["push"] * 4)
    assert acted.values.shape == (4, ACTIONS, 3)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("condition", ["skill", "flow+image", "none"])
def test_splitting_a_batch_does_not_change_its_loss(head: str, condition: str) -> None:
    random = torch.Generator().manual_seed(2)
    actions = torch.randn(6, ACTIONS, 3, generator=random)
    batch = batch_of(torch.rand(6, 2, generator=random), actions, lengths=[6, 1, 3, 0, 6, 2])
    decoder = decoder_for(batch, head=head, condition=condition, image_dropout=0.5).train()
    parts = [part_of(batch, rows) for rows in (slice(0, 6), slice(0, 3), slice(3, 6))]
    losses = [loss_of(decoder, part) for part in parts]
    assert losses[0] == pytest.approx((losses[1] + losses[2]) / 2, rel=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_one_batch_can_be_learned_by_heart_from_images_alone(head: str) -> None:
    random = torch.Generator().manual_seed(5)
    actions = torch.randn(4, ACTIONS, 2, generator=random)
    batch = batch_of(torch.rand(4, 2, generator=random), actions)
    decoder = decoder_for(batch, head=head, condition="none", encoder="tuned", shift_px=0)
    fit(decoder, [batch], 60)
    error = (decoder.act(batch.first, decoder.skill_of(batch)).values - actions).abs().mean()
    assert error < 0.15  # of a standard deviation of 1


def test_both_is_the_sum_of_the_two_and_each_alone_makes_no_other_layers() -> None:
    batch = pushes(3)
    built = {head: decoder_for(batch, head=head) for head in ("tokens", "flat", "both")}
    names = {
        head: {name.removeprefix("reader.") for name, _ in decoder.reader.named_parameters()}
        for head, decoder in built.items()
    }
    assert not any(name.startswith(("flat", "network")) for name in names["tokens"])
    assert names["both"] == {f"tokens.{name}" for name in names["tokens"]} | {
        f"flat.{name}" for name in names["flat"]
    }
    both = built["both"]
    seen, codes = both.observe(batch.first), both.skill_of(batch).codes
    reader = both.reader
    assert isinstance(reader, SumReader)
    parts = reader.tokens(seen, codes) + reader.flat(seen, codes)
    assert torch.equal(reader(seen, codes), parts)


def test_a_flat_head_that_was_built_for_tasks_needs_the_task() -> None:
    batch = pushes(2)
    decoder = decoder_for(batch, head="flat", task="words")
    with pytest.raises(ContractError, match="needs the task"):
        decoder(batch.first, decoder.skill_of(batch).codes)


@pytest.mark.parametrize("head", ["tokens", *HEADS])
def test_a_decoder_is_rebuilt_from_its_spec(head: str) -> None:
    batch = pushes(3)
    decoder = decoder_for(batch, head=head)
    spec = json.loads(json.dumps(decoder.spec()))
    assert ("head" in spec["config"]) == (head != "tokens")
    again = ActionDecoder.from_spec(spec, decoder.skill)
    again.load_state_dict(decoder.state_dict())
    skill = decoder.skill_of(batch)
    assert torch.equal(again.act(batch.first, skill).values, decoder.act(batch.first, skill).values)
