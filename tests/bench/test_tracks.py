"""The track arm: points are carried along by flow, predicted, and read by a policy."""

from __future__ import annotations

import pytest
import torch

from sofdata.bench.baselines.points import carried, grid_points
from sofdata.bench.baselines.tracks import TrackEvaluation, TrackModel
from sofdata.bench.baselines.tracks_config import TracksConfig, TracksStage
from sofdata.bench.study.arms import ARMS, Arm
from sofdata.bench.study.cells import actor_of, cell_settings, train_arm
from sofdata.bench.study.choice import DataBudget
from sofdata.bench.study.config import BenchConfig, load_bench_config
from sofdata.bench.study.frozen import chosen
from sofdata.bench.study.stage_settings import decoder_stage, latent_stage
from sofdata.bench.study.stages import Trainer
from sofdata.bench.study.wanted import wanted_cells
from sofdata.errors import ConfigError
from sofdata.models.skill.vae import FlowShape
from sofdata.types import Batch
from tests.bench.conftest import tiny

BUDGET = DataBudget(demos=1, videos=3, seed=0)
SIZE, STEPS = 16, 3


def everywhere(dx: float, dy: float) -> torch.Tensor:
    """The same flow at every pixel and step, [1, 3, 2, 16, 16]."""
    return torch.tensor([dx, dy]).view(1, 1, 2, 1, 1).expand(1, STEPS, 2, SIZE, SIZE)


def test_a_grid_lies_in_the_middles_of_its_cells() -> None:
    assert grid_points(2).tolist() == [[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]


def test_points_go_where_the_flow_leads_step_by_step() -> None:
    mask = torch.ones(1, STEPS, dtype=torch.bool)
    moved = carried(everywhere(1.0, -2.0), grid_points(4)[None], mask)
    assert moved.shape == (1, 16, STEPS, 2)
    px = moved * SIZE / 2
    assert torch.allclose(px[0, :, :, 0], torch.tensor([1.0, 2.0, 3.0]).expand(16, 3))
    assert torch.allclose(px[0, :, :, 1], torch.tensor([-2.0, -4.0, -6.0]).expand(16, 3))


def test_the_flow_of_a_step_is_read_where_the_point_is_by_then() -> None:
    flow = torch.zeros(1, 2, 2, SIZE, SIZE)
    flow[:, 0, 0] = 4.0  # all go 4 px to the right
    flow[:, 1, 1, :, SIZE // 2 :] = 3.0  # then the right half goes down
    points = torch.tensor([[[-0.25, 0.0], [-0.75, 0.0]]])  # 6 and 2 px from the left edge
    moved = carried(flow, points, torch.ones(1, 2, dtype=torch.bool)) * SIZE / 2
    assert torch.allclose(moved[0, 0, 1], torch.tensor([4.0, 3.0]))  # now at 10 px
    assert torch.allclose(moved[0, 1, 1], torch.tensor([4.0, 0.0]))  # now at 6 px


def test_steps_that_are_not_real_move_nothing() -> None:
    mask = torch.tensor([[True, False, False]])
    moved = carried(everywhere(2.0, 0.0), grid_points(1)[None], mask) * SIZE / 2
    assert torch.allclose(moved[0, 0, :, 0], torch.tensor([2.0, 2.0, 2.0]))


def sliding(number: int, seed: int) -> Batch:
    """A bright half of the image: it slides right if it is above, left if it is below."""
    generator = torch.Generator().manual_seed(seed)
    above = torch.randint(2, (number,), generator=generator).bool()
    first = torch.full((number, 3, 64, 64), 40, dtype=torch.uint8)
    flow = torch.zeros(number, STEPS, 2, SIZE, SIZE)
    for row in range(number):
        half = slice(0, 32) if above[row] else slice(32, 64)
        cells = slice(0, 8) if above[row] else slice(8, 16)
        first[row, :, half] = 220
        flow[row, :, 0, cells] = 1.0 if above[row] else -1.0
    mask = torch.ones(number, STEPS, dtype=torch.bool)
    ids = torch.zeros(number, dtype=torch.int64)
    return Batch(flow, first, first, mask, ids, tuple(f"s{seed}-{row}" for row in range(number)))


def small_model(**values: object) -> TrackModel:
    settings = {"side": 4, "width": 32, "heads": 2, "blocks": 1, "channels": (8, 16, 16), **values}
    return TrackModel(TracksConfig.parse(settings), FlowShape(STEPS, SIZE, 1.0), ("slide",))


def test_it_learns_where_points_of_an_image_will_go() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = small_model()
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    for step in range(120):
        loss, _ = model.loss(sliding(16, step), step)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    evaluation = TrackEvaluation(model.eval())
    evaluation.add(sliding(64, 1000))
    found = evaluation.result()
    assert found["motion_explained"] > 0.9
    assert found["track_px_still"] == pytest.approx(3.0, abs=0.1)  # three steps of a pixel
    assert found["track_px"] < 0.6


def test_a_samples_tracks_and_loss_do_not_depend_on_the_batch() -> None:
    torch.manual_seed(0)
    model, batch = small_model(), sliding(4, 7)
    alone = Batch(
        batch.flow[:1],
        batch.first[:1],
        batch.last[:1],
        batch.mask[:1],
        batch.text_ids[:1],
        batch.keys[:1],
    )
    assert torch.allclose(model.skill_of(batch).codes[:1], model.skill_of(alone).codes, atol=1e-6)
    assert torch.equal(model._jitter(batch.keys, 3)[:1], model._jitter(alone.keys, 3))
    assert not torch.equal(model._jitter(batch.keys, 3), model._jitter(batch.keys, 4))
    assert model._jitter(batch.keys, 3).abs().max() <= 1 / 4  # within a cell of half a half


def test_a_policy_may_learn_from_true_tracks_and_acts_by_predicted_ones() -> None:
    torch.manual_seed(0)
    model, batch = small_model(reads="true"), sliding(2, 1)
    points = grid_points(4).expand(2, -1, -1)
    true = model.skill_of(batch).codes
    assert torch.equal(true, model.true(batch, points).flatten(2))
    assert not torch.allclose(true, model.predict(batch.first, ["slide"] * 2).codes)


def test_the_arm_learns_tracks_from_videos_and_a_policy_from_demonstrations(
    trainer: Trainer,
) -> None:
    arm = ARMS["atm"]
    stages = train_arm(arm, BUDGET, trainer)
    assert set(stages) == {"tracks", "decoder"}
    assert stages["tracks"].record["windows"] == len(trainer.windows.unlabelled(BUDGET))
    assert stages["decoder"].record["windows"] == len(trainer.windows.demonstrations(BUDGET))
    images = trainer.windows.demonstrations(BUDGET).batch.first[:2]
    actor = actor_of(arm, BUDGET, trainer, stages)
    texts = [trainer.texts[0]] * 2
    once, again = actor.act(images, texts, 0).actions, actor.act(images, texts, 1).actions
    assert torch.equal(once, again)
    assert torch.allclose(once[:1], actor.act(images[:1], texts[:1], 0).actions, atol=1e-5)


def test_the_arm_differs_from_others_in_its_tracks_alone() -> None:
    config = tiny()
    mine, lapas = (decoder_stage(ARMS[name], config) for name in ("atm", "lapa"))
    assert mine == lapas  # updates, augmentation, encoder, what the decoder is told of the task
    assert latent_stage("tracks", config).model.channels == config.skill.model.channels
    cell = wanted_cells(tiny("arms=[atm]"), "validation")[0]
    assert "tracks" in cell_settings(cell, config)
    assert "planner" not in cell_settings(cell, config)
    assert cell.videos == config.videos


def test_settings_frozen_before_there_were_tracks_keep_their_hash() -> None:
    config = load_bench_config("smoke")
    assert "tracks" not in chosen(config)
    assert chosen(load_bench_config("smoke", ["tracks.run.log_every=7"])) == chosen(config)
    changed = load_bench_config("smoke", ["tracks.model.side=4"])
    assert chosen(changed)["tracks"]["model"]["side"] == 4


def test_tracks_are_neither_searched_for_nor_cloned_from() -> None:
    with pytest.raises(ConfigError, match="reads tracks as skills"):
        Arm("mine", "tracks without a reader", "tracks")
    with pytest.raises(ConfigError, match="reads tracks as skills"):
        Arm("mine", "cloned tracks", "tracks", skills=True, clones=True)


def settings_of(config: BenchConfig) -> TracksConfig:
    stage = latent_stage("tracks", config)
    assert isinstance(stage, TracksStage)
    return stage.model


def test_a_policy_learns_from_the_true_tracks_of_play_which_nobody_can_predict() -> None:
    play = load_bench_config("smoke", ["labels=play", "arms=[atm]", "more_arms=[]"])
    assert settings_of(play).reads == "true"
    assert settings_of(load_bench_config("smoke")).reads == "predicted"


def test_the_track_model_sees_as_the_skill_model_does() -> None:
    eyes = ["skill.model.eyes=points", "skill.model.image_px=128", "ingest.flow.size=128"]
    config = load_bench_config("smoke", eyes)
    settings = settings_of(config)
    assert (settings.eyes, settings.image_px) == ("points", 128)
    model = TrackModel(settings, FlowShape(STEPS, SIZE, 1.0), ("slide",))
    image = torch.zeros(2, 3, 128, 128, dtype=torch.uint8)
    assert model.observe(image).shape == (2, *model.observation_shape)
    assert TrackModel.from_spec(model.spec()).config == model.config
    with pytest.raises(ConfigError, match="tracks sees as"):
        load_bench_config("smoke", ["tracks.model.eyes=points"])
