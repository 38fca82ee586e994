"""The latent action model learns what differs between two frames."""

from typing import Any

import numpy as np
import pytest
import torch

from sofdata.bench.baselines.framed import (
    FramedActionBatch,
    FramedBatch,
    FramedSeenBatch,
    places_between,
)
from sofdata.bench.baselines.lapa import LapaEvaluation, LatentActions
from sofdata.bench.baselines.lapa_config import LapaConfig
from sofdata.bench.study.arms import ARMS, Source
from sofdata.bench.study.cells import actor_of, train_arm
from sofdata.bench.study.choice import DataBudget
from sofdata.bench.study.config import load_bench_config
from sofdata.bench.study.data import BenchData
from sofdata.bench.study.frozen import chosen_hash
from sofdata.bench.study.memory import read_windows
from sofdata.bench.study.stage_settings import decoder_stage, latent_stage
from sofdata.bench.study.stages import Trainer
from sofdata.errors import ConfigError, ContractError
from sofdata.models.skill.vae import FlowShape
from sofdata.types import ActionBatch, Batch
from tests.bench.conftest import tiny

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
    assert model.predict(model.skill_of(batch).codes, batch.first).shape == (4, 1, 3, 64, 64)
    assert LatentActions.from_spec(model.spec()).config == model.config
    evaluation = LapaEvaluation(model)
    evaluation.add(batch)
    assert evaluation.result()["change_explained"] < 1


def test_the_benchmark_gives_it_the_skill_models_eyes() -> None:
    eyes = ["skill.model.eyes=points", "skill.model.image_px=128", "ingest.flow.size=128"]
    config = load_bench_config("smoke", eyes)
    sources: tuple[tuple[Source, str], ...] = (("frames", "lapa"), ("tracks", "tracks"))
    for source, name in sources:
        model = latent_stage(source, config).model
        assert (model.eyes, model.image_px) == ("points", 128)
        with pytest.raises(ConfigError, match=f"{name} sees as"):
            load_bench_config("smoke", [f"{name}.model.eyes=points"])


def moving_on(number: int, seed: int) -> FramedBatch:
    """Squares that move on in three equal steps."""
    batch, which = moving_squares(number, seed)
    between = batch.first[:, None].repeat(1, 2, 1, 1, 1)
    for row in range(number):
        y, x = (batch.first[row, 0] == 220).nonzero()[0].tolist()
        dx, dy = MOVES[int(which[row])]
        for step in (1, 2):
            between[row, step - 1] = 40
            top, left = y + dy * step // 3, x + dx * step // 3
            between[row, step - 1, :, top : top + 12, left : left + 12] = 220
    flow, mask = torch.zeros(number, 3, 2, 16, 16), torch.ones(number, 3, dtype=torch.bool)
    return FramedBatch(
        flow=flow,
        first=batch.first,
        last=batch.last,
        mask=mask,
        text_ids=batch.text_ids,
        keys=batch.keys,
        between=between,
    )


def test_it_may_read_and_predict_the_frame_after_every_step() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    small = {"levels": (4, 4), "tokens": 2, "width": 32, "heads": 2, "channels": (16, 24, 32)}
    config = LapaConfig.parse({**small, "reads": "frames", "conditions": "frames"})
    model = LatentActions(config, FlowShape(3, 16, 2.0))
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    fading = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.02, 200)
    for step in range(200):  # at a constant rate what is explained swings, otherwise on each CPU
        loss, _ = model.loss(moving_on(32, step), step)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        fading.step()
    held_out = moving_on(64, 1000)
    evaluation = LapaEvaluation(model)
    evaluation.add(held_out)
    assert evaluation.result()["change_explained"] > 0.4
    codes = model.skill_of(held_out).codes
    frames = model.predict(codes, held_out.first)
    assert frames.shape == (64, 3, 3, 64, 64)
    read = model.decode(codes, held_out.first) / 2.0  # in units of the 99th percentile
    assert read.shape == (64, 3, 2, 16, 16)
    grey = torch.nn.functional.avg_pool2d(frames[:, 1].mean(1, keepdim=True), 4)[:, 0]
    assert torch.allclose(read[:, 1, 0], grey, atol=1e-5)
    assert torch.allclose(read[:, 1, 1], read[:, 1, 0] - read[:, 0, 0], atol=1e-5)
    with pytest.raises(ContractError, match="windows of 2 frames for a model that reads 4"):
        model.skill_of(moving_squares(2, 0)[0])
    assert LatentActions.from_spec(model.spec()).config == config


def test_decoders_read_frames_only_of_a_model_that_predicts_them() -> None:
    with pytest.raises(ConfigError, match="set reads=frames"):
        load_bench_config("smoke", ["lapa.model.conditions=frames"])
    flow = "decoder.model.condition=flow+image"
    frames = ["lapa.model.reads=frames", "lapa.model.conditions=frames", flow]
    by_frames = decoder_stage(ARMS["lapa"], load_bench_config("smoke", frames))
    assert by_frames.model.condition == "flow+image"
    by_codes = decoder_stage(ARMS["lapa"], load_bench_config("smoke", [*frames[:1], flow]))
    assert by_codes.model.condition == "skill"
    assert chosen_hash(load_bench_config("smoke", ["lapa.model.reads=pair"])) == chosen_hash(
        load_bench_config("smoke")
    )


def test_frames_between_are_first_or_last_frames_of_other_windows() -> None:
    sources = ["a", "a", "b", "a"]
    starts = np.array([0.0, 0.1, 0.0, 0.2])
    ends = np.array([0.3, 0.4, 0.3, 0.5])
    places = places_between(sources, starts, ends, np.array([3, 3, 3, 3]), 3)
    assert places.tolist() == [[1, 3], [3, 0 + 4], [2, 2], [0 + 4, 1 + 4]]
    short = places_between(["a"], np.array([0.0]), np.array([0.1]), np.array([1]), 3)
    assert short.tolist() == [[0 + 1, 0 + 1]]  # it stays at its last frame


def test_windows_in_memory_find_the_frames_between(data: BenchData) -> None:
    windows = read_windows(data.folders["demos"], frames=True)
    batch = windows.rows(range(12))
    assert isinstance(batch, FramedActionBatch)
    steps = windows.geometry.steps
    assert batch.between.shape[:2] == (12, steps - 1)
    same = [key.rpartition("-")[0] for key in batch.keys]
    assert same[0] == same[1]
    assert torch.equal(batch.between[0, 0], batch.first[1])
    assert torch.equal(batch.between[1, 0], batch.between[0, 1])
    plain = read_windows(data.folders["demos"]).rows(range(2))
    assert type(plain) is ActionBatch
    both = windows.with_history(2).rows(range(12))
    assert isinstance(both, FramedSeenBatch)
    assert torch.equal(both.between, batch.between)
    assert both.earlier.shape[:2] == (12, 2)


def test_arms_of_latent_actions_run_on_all_frames(trainer: Trainer) -> None:
    settings = ["lapa.model.reads=frames", "lapa.model.conditions=frames"]
    config = tiny(*settings, "decoder.model.condition=flow+image")
    framed = Trainer(config, trainer.data, trainer.texts, trainer.out)
    budget = DataBudget(demos=1, videos=3, seed=0)
    for name in ("lapa", "lapa+clone"):
        stages = train_arm(ARMS[name], budget, framed)
        assert stages["decoder"].model.config.condition == "flow+image"
        actor = actor_of(ARMS[name], budget, framed, stages)
        images = framed.windows.demonstrations(budget).batch.first[:2]
        assert actor.act(images, [framed.texts[0]] * 2, 0).actions.isfinite().all()
