"""`sofdata.models.skill.vae`: shapes, masks, what it learns, and how it is measured."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from sofdata.errors import ConfigError, ContractError
from sofdata.models.skill.config import SkillConfig
from sofdata.models.skill.evaluation import SkillEvaluation
from sofdata.models.skill.pixels import moved, turned
from sofdata.models.skill.vae import FlowShape, SkillVAE, steps_of
from sofdata.types import Batch

SMALL: dict[str, Any] = {"width": 32, "heads": 2, "channels": (8, 12, 16), "tokens": 4}
STEPS, SIZE = 5, 32


def model(**settings: Any) -> SkillVAE:
    torch.manual_seed(0)
    config = SkillConfig.parse({**SMALL, **settings})
    return SkillVAE(config, FlowShape(STEPS, SIZE, 2.0)).eval()


def batch(size: int = 4, seed: int = 0) -> Batch:
    """A square of another place and direction in each window; the last window is short."""
    rng = np.random.default_rng(seed)
    flow = torch.zeros(size, STEPS, 2, SIZE, SIZE)
    first = torch.full((size, 3, 40, 40), 90, dtype=torch.uint8)
    for row in range(size):
        y, x = rng.integers(2, SIZE - 12, 2)
        flow[row, :, :, y : y + 10, x : x + 10] = torch.tensor(
            rng.uniform(-2, 2, (2, 1, 1))
        ).float()
        first[row, :, y : y + 12, x : x + 12] = 200
    mask = torch.ones(size, STEPS, dtype=torch.bool)
    mask[-1, 3:] = False
    flow[-1, 3:] = 0
    keys = tuple(f"window-{seed}-{row}" for row in range(size))
    ids = torch.zeros(size, dtype=torch.int64)
    return Batch(flow, first, first, mask, ids, keys)


@pytest.mark.parametrize("decoder", ["transformer", "rnn"])
@pytest.mark.parametrize("bottleneck", ["fsq", "kl"])
def test_shapes(bottleneck: str, decoder: str) -> None:
    vae, data = model(bottleneck=bottleneck, decoder=decoder), batch()
    skill = vae.encode(data.flow, data.first, data.mask)
    assert skill.codes.shape == (4, vae.tokens, vae.code_dim)
    assert skill.tokens.shape == (4, vae.tokens if bottleneck == "fsq" else 0)
    assert vae.decode(skill.codes, data.first).shape == data.flow.shape
    assert vae.observe(data.first).shape == (4, *vae.observation_shape)
    assert vae.observe(torch.zeros(2, 3, 70, 50, dtype=torch.uint8)).shape[0] == 2
    loss, metrics = vae.train().loss(data, 0)
    assert loss.ndim == 0
    assert "energy_explained" in metrics
    if bottleneck == "fsq":
        assert torch.equal(vae.codes_of(skill.tokens), skill.codes)
        assert torch.equal(vae.tokens_of(skill.codes), skill.tokens)
    else:
        with pytest.raises(ContractError, match="no tokens"):
            vae.codes_of(skill.tokens)


def test_padded_steps_change_nothing() -> None:
    vae, data = model(bottleneck="kl"), batch()
    other = data.flow.clone()
    other[-1, 3:] = 100.0
    short = vae.encode(data.flow[-1:, :3], data.first[-1:], data.mask[-1:, :3]).codes
    for flow in (data.flow, other):
        long = vae.encode(flow, data.first, data.mask).codes[-1:]
        torch.testing.assert_close(long, short, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("bottleneck", ["fsq", "kl"])
def test_a_window_does_not_see_its_neighbours(bottleneck: str) -> None:
    vae, data = model(bottleneck=bottleneck).train(), batch()
    whole, _ = vae.loss(data, 3)
    parts = []
    for rows in (slice(0, 1), slice(1, 2), slice(2, 4)):
        part = Batch(
            data.flow[rows],
            data.first[rows],
            data.last[rows],
            data.mask[rows],
            data.text_ids[rows],
            data.keys[rows],
        )
        loss, _ = vae.loss(part, 3)
        parts.append(loss * len(part.keys))
    torch.testing.assert_close(sum(parts) / 4, whole, atol=1e-6, rtol=1e-4)


def test_steps_to_decode_belong_to_the_sample_and_are_real_ones_if_there_are_enough() -> None:
    mask = torch.ones(200, 6, dtype=torch.bool)
    mask[:100, 3:] = False
    keys = [str(number) for number in range(200)]
    chosen = steps_of(keys, 7, mask, 3)
    assert all(sorted(row) == [0, 1, 2] for row in chosen[:100].tolist())
    assert all(len(set(row)) == 3 for row in chosen.tolist())
    counts = torch.bincount(chosen[100:].flatten(), minlength=6)
    assert counts.min() > 30  # of 50 on average
    assert torch.equal(steps_of(keys[50:60], 7, mask[50:60], 3), chosen[50:60])
    assert not torch.equal(steps_of(keys, 8, mask, 3), chosen)


def test_it_learns_a_batch_by_heart() -> None:
    vae, data = model(mirror=False).train(), batch(8)
    optimizer = torch.optim.AdamW(vae.parameters(), 3e-3)
    for step in range(150):
        loss, metrics = vae.loss(data, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert metrics["energy_explained"] > 0.9
    evaluation = SkillEvaluation(vae.eval())
    evaluation.add(data)
    assert evaluation.result()["flow_energy_explained"] > 0.85


def test_metrics_of_known_answers() -> None:
    vae, data = model(), batch()
    answers = {"right": data.flow, "none": torch.zeros_like(data.flow)}
    found = {}
    for name, answer in answers.items():
        evaluation = SkillEvaluation(vae)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(vae, "decode", lambda codes, first, answer=answer: answer)
            evaluation.add(data)
        found[name] = evaluation.result()
        assert evaluation.pictures()["reconstructions"].shape[-1] == 3
    assert found["right"]["flow_energy_explained"] == pytest.approx(1)
    assert found["right"]["epe_px"] == 0
    assert found["none"]["flow_energy_explained"] == pytest.approx(0)
    assert found["none"]["epe_px"] == pytest.approx(found["none"]["epe_zero_px"])
    assert 0 < found["none"]["codes_used_share"] <= 4 * vae.tokens / 1000
    real = data.mask.sum(0)[:, None, None, None]
    rest = data.flow - (data.flow.sum(0) / real)
    energy = (rest.square() * data.mask[:, :, None, None, None]).sum() / data.flow.square().sum()
    assert found["none"]["flow_energy_explained_mean_flow"] == pytest.approx(
        1 - float(energy), abs=1e-5
    )


def test_kl_tells_of_its_units() -> None:
    evaluation = SkillEvaluation(vae := model(bottleneck="kl"))
    evaluation.add(batch())
    result = evaluation.result()
    assert result["units"] == vae.tokens * vae.code_dim
    assert 0 <= result["active_units"] <= result["units"]
    assert result["kl_nats"] > 0


def test_a_spec_and_weights_make_the_same_model() -> None:
    vae, data = model(), batch()
    again = SkillVAE.from_spec(json.loads(json.dumps(vae.spec())))
    again.load_state_dict(vae.state_dict())
    one, two = (each.encode(data.flow, data.first, data.mask).codes for each in (vae, again.eval()))
    assert torch.equal(one, two)


def test_turned_windows_move_as_their_pictures_do() -> None:
    flow = torch.zeros(8, 1, 2, 16, 16)
    flow[:, :, 0, 2, 5], flow[:, :, 1, 2, 5] = 1.0, 2.0  # at x 5, y 2: right by 1, down by 2
    image = torch.zeros(8, 3, 16, 16)
    image[:, :, 2, 5] = 1.0
    turned_flow, turned_image = turned(flow, image, torch.arange(8))
    for turn in range(8):
        x, y, vector = 5, 2, [1.0, 2.0]
        if turn & 1:
            x, vector = 15 - x, [-vector[0], vector[1]]
        if turn & 2:
            y, vector = 15 - y, [vector[0], -vector[1]]
        if turn & 4:
            x, y, vector = y, x, vector[::-1]
        assert turned_image[turn, 0, y, x] == 1
        assert turned_flow[turn, 0, :, y, x].tolist() == vector


def test_moved_features_lie_where_they_were_moved_to() -> None:
    maps = torch.zeros(1, 2, 8, 8)
    maps[0, :, 3, 2] = 1.0
    places = torch.tensor([[[0.0, 0.0, 0.5, 0.25]]])  # first group stays; second: x by 2, y by 1
    found = moved(maps, places)
    assert found.shape == (1, 1, 2, 8, 8)
    assert found[0, 0, 0, 3, 2] == 1
    assert found[0, 0, 1, 4, 4] == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"levels": (8, 2)}, "three or more"),
        ({"tokens": 0}, "tokens"),
        ({"heads": 3}, "multiple of heads"),
        ({"detail": 40}, "multiple of 16"),
        ({"parts": 0}, "parts"),
        ({"bottelneck": "fsq"}, "did you mean 'bottleneck'"),
    ],
)
def test_settings_without_meaning_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SkillConfig.parse({**SMALL, **settings})


def test_windows_of_an_odd_size_are_refused() -> None:
    with pytest.raises(ConfigError, match="multiple"):
        SkillVAE(SkillConfig(), FlowShape(8, 40, 1.0))
