"""The latent action model learns what differs between two frames."""

from typing import Any

import pytest
import torch

from sofdata.bench.baselines.lapa import LapaEvaluation, LatentActions
from sofdata.bench.baselines.lapa_config import LapaConfig
from sofdata.bench.study.config import load_bench_config
from sofdata.bench.study.stage_settings import latent_stage
from sofdata.errors import ConfigError
from sofdata.models.skill.vae import FlowShape
from sofdata.types import Batch

MOVES = ((12, 0), (-12, 0), (0, 12), (0, -12))


def moving_squares(number: int, seed: int) -> tuple[Batch, torch.Tensor]:
    """A bright square that moves in one of four directions; and which."""
    generator = torch.Generator().manual_seed(seed)
    first = torch.full((number, 3, 64, 64), 40, dtype=torch.uint8)
    last = first.clone()
    which = torch.randint(4, (number,), generator=generator)
    places = torch.randint(16, 36, (number, 2), generator=generator)
    for row in range(number):
        x, y = places[row].tolist()
        dx, dy = MOVES[int(which[row])]
        first[row, :, y : y + 12, x : x + 12] = 220
        last[row, :, y + dy : y + dy + 12, x + dx : x + dx + 12] = 220
    nothing = torch.zeros(number, 1, 2, 16, 16)
    mask = torch.ones(number, 1, dtype=torch.bool)
    ids = torch.zeros(number, dtype=torch.int64)
    keys = tuple(f"square-{seed}-{row:06d}" for row in range(number))
    return Batch(nothing, first, last, mask, ids, keys), which


def test_it_predicts_the_last_frame_and_its_codes_follow_the_motion() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = LapaConfig.parse(
        {"levels": (4, 4), "tokens": 2, "width": 32, "heads": 2, "channels": (16, 24, 32)}
    )
    model = LatentActions(config, FlowShape(1, 16, 1.0))
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    for step in range(160):
        batch, _ = moving_squares(32, step)
        loss, _ = model.loss(batch, step)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    held_out, which = moving_squares(128, 1000)
    evaluation = LapaEvaluation(model)
    evaluation.add(held_out)
    assert evaluation.result()["change_explained"] > 0.4
    names = [tuple(tokens) for tokens in model.skill_of(held_out).tokens.tolist()]
    most: dict[tuple[int, ...], list[int]] = {}
    for name, move in zip(names, which.tolist(), strict=True):
        most.setdefault(name, []).append(move)
    predictable = sum(max(map(moves.count, moves)) for moves in most.values())
    assert predictable / len(names) > 0.7


@pytest.mark.parametrize("settings", [{"eyes": "points"}, {"eyes": "points", "image_px": 96}])
def test_it_sees_with_the_eyes_that_it_is_given(settings: dict[str, Any]) -> None:
    sizes = {"levels": (4, 4), "tokens": 2, "width": 32, "heads": 2, "channels": (16, 24, 32)}
    model = LatentActions(LapaConfig.parse({**sizes, **settings}), FlowShape(1, 16, 1.0))
    batch, _ = moving_squares(4, 0)
    loss, _ = model.loss(batch, 0)
    loss.backward()  # type: ignore[no-untyped-call]
    seen = [*model.frame.parameters(), *model.change.parameters()]
    assert all(weight.grad is not None for weight in seen)
    assert model.observe(batch.first).shape == (4, 19, 32) == (4, *model.observation_shape)
    assert model.predict(model.skill_of(batch).codes, batch.first).shape == (4, 3, 64, 64)
    assert LatentActions.from_spec(model.spec()).config == model.config
    evaluation = LapaEvaluation(model)
    evaluation.add(batch)
    assert evaluation.result()["change_explained"] < 1


def test_the_benchmark_gives_it_the_skill_models_eyes() -> None:
    eyes = ["skill.model.eyes=points", "skill.model.image_px=128"]
    config = load_bench_config("smoke", eyes)
    model = latent_stage("frames", config).model
    assert (model.eyes, model.image_px) == ("points", 128)
    with pytest.raises(ConfigError, match="lapa sees as"):
        load_bench_config("smoke", ["lapa.model.eyes=points"])
