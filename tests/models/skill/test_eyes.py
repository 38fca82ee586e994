"""The image encoder's builds: key points, and images of other sizes."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from sofdata.errors import ConfigError
from sofdata.models.planner.config import PlannerConfig
from sofdata.models.planner.planner import Planner
from sofdata.models.saved import fingerprint
from sofdata.models.skill.config import SkillConfig
from sofdata.models.skill.eyes import check_image_px
from sofdata.models.skill.pixels import PointEncoder, key_points, observation_of, resized
from sofdata.models.skill.vae import SkillVAE
from tests.models.toy_actions import pushes, skill_model

BUILDS: tuple[dict[str, Any], ...] = (
    {"eyes": "points"},
    {"eyes": "points", "image_px": 128},
    {"eyes": "grid", "image_px": 96},
)


def test_a_key_point_lies_where_its_map_is_hot() -> None:
    heat, maps = torch.zeros(1, 2, 16, 16), torch.zeros(1, 2, 16, 16)
    heat[0, 0, 3, 12] = heat[0, 1, 15, 0] = 50.0
    maps[0, 0, 3, 12], maps[0, 1, 3, 12] = 7.0, 9.0
    x, y, seen = key_points(heat, maps)[0].T
    assert x.tolist() == pytest.approx([(12.5 - 8) / 8, (0.5 - 8) / 8], abs=1e-5)
    assert y.tolist() == pytest.approx([(3.5 - 8) / 8, (15.5 - 8) / 8], abs=1e-5)
    assert seen.tolist() == pytest.approx([7, 0], abs=1e-5)


def test_a_key_point_can_lie_between_cells() -> None:
    heat = torch.full((1, 1, 16, 16), -50.0)
    heat[0, 0, 8, 4] = heat[0, 0, 8, 5] = 0.0
    assert float(key_points(heat, heat)[0, 0, 0]) == pytest.approx((5 - 8) / 8, abs=1e-5)


def test_places_stay_as_they_are_in_an_observation_and_features_are_normalised() -> None:
    torch.manual_seed(0)
    features = PointEncoder((8, 16, 16))(torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8))
    tokens = observation_of(features)
    assert tokens.shape == (2, 19, 16)
    assert torch.equal(tokens[:, 16:], features[:, :, 16:].transpose(1, 2))
    assert tokens[:, :16].mean(2).abs().max() < 1e-5
    assert tokens[:, 16:18].abs().max() <= 1


@pytest.mark.parametrize("settings", BUILDS)
def test_every_build_learns_decodes_and_is_read_by_a_planner(settings: dict[str, Any]) -> None:
    vae, batch = skill_model(bottleneck="fsq", **settings), pushes(4)
    loss, _ = vae.loss(batch, 0)
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is not None for weight in vae.frame.parameters())
    places = 19 if settings["eyes"] == "points" else 16
    assert vae.observe(batch.first).shape == (4, places, 16) == (4, *vae.observation_shape)
    assert vae.decode(vae.skill_of(batch).codes, batch.first).shape == batch.flow.shape
    for mode in ("frozen", "tuned", "fresh"):
        config = PlannerConfig.parse({"prior": {"width": 32}, "image_encoder": mode})
        planner = Planner(config, vae, ("",))
        assert torch.isfinite(planner.loss(batch, 0)[0])
        plan = planner.plan(batch.first, [""] * 4, goal=batch.last)
        assert torch.isfinite(plan.score).all()


@pytest.mark.parametrize("settings", BUILDS)
def test_what_is_seen_does_not_depend_on_the_batch(settings: dict[str, Any]) -> None:
    vae, batch = skill_model(**settings), pushes(5)
    together = vae.observe(batch.first)
    alone = torch.cat([vae.observe(image[None]) for image in batch.first])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_detail_of_a_larger_image_is_seen_only_by_a_model_that_reads_it() -> None:
    fine = torch.zeros(1, 3, 128, 128, dtype=torch.uint8)
    fine[..., ::2] = 254  # stripes of 1 px, which are grey at 64 px
    grey = torch.full_like(fine, 127)
    for px, differs in ((64, False), (128, True)):
        vae = skill_model(eyes="points", image_px=px)
        assert (vae.observe(fine) - vae.observe(grey)).abs().max().gt(1e-4) == differs


def test_images_are_resized_by_means_of_areas() -> None:
    image = torch.arange(96.0).expand(1, 3, 96, 96)
    assert resized(image, 64)[0, 0, 0, 0] == pytest.approx(0.5)
    assert resized(image, 48)[0, 0, 0, :2].tolist() == [0.5, 2.5]
    assert resized(image, 96) is image


@pytest.mark.parametrize("settings", BUILDS)
def test_a_model_is_rebuilt_from_its_spec(settings: dict[str, Any]) -> None:
    vae = skill_model(**settings)
    spec = json.loads(json.dumps(vae.spec()))
    again = SkillVAE.from_spec(spec)
    again.load_state_dict(vae.state_dict())
    assert again.config == vae.config
    assert fingerprint(again) == fingerprint(vae)


def test_a_model_saved_before_there_were_eyes_is_the_same_model() -> None:
    vae = skill_model()
    spec = vae.spec()
    assert not {"eyes", "image_px"} & set(spec["config"])
    again = SkillVAE.from_spec(spec)
    assert (again.config.eyes, again.config.image_px) == ("grid", 64)


@pytest.mark.parametrize("px", [48, 100, 512])
def test_sizes_that_no_encoder_reads_are_refused(px: int) -> None:
    with pytest.raises(ConfigError, match="image_px"):
        SkillConfig.parse({"image_px": px})


def test_a_model_cannot_read_more_than_a_dataset_stores() -> None:
    check_image_px(64, 32)
    check_image_px(128, 128)
    with pytest.raises(ConfigError, match=r"image_px is 128.*frames of 96 px"):
        check_image_px(128, 96)
