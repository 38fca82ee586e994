"""The names of what DIS spends: what they stand for, what counts over them, and what they err."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from sofdata.errors import ConfigError
from sofdata.flow.config import FlowConfig
from sofdata.flow.estimator import make_estimator, resolve
from sofdata.flow.quality import NOTES, QUALITIES, DisSettings, Quality, name_of
from sofdata.ingest.config import IngestConfig, completed, load_config, stored_config
from sofdata.scenes import moving_texture

# The digest of the defaults before there were names: what units of such datasets are named by.
BEFORE = "8872900fe9ecdd1bd6798a931fbf0ca7ed1638a3e5b9f2e8e3bdbd3c35bbd683"
BEFORE_DIS = {
    "preset": "medium",
    "finest_scale": 0,
    "patch_size": 8,
    "patch_stride": 3,
    "gradient_descent_iterations": 16,
    "variational_refinement_iterations": 5,
    "variational_refinement_alpha": 30.0,
    "mean_normalization": True,
}
THEN = ["flow.quality=earlier", "windows.camera_fit=ransac"]
# Mean error, px, of a texture of 128 px that moves by so much: about twice what was found.
BOUNDS_PX: dict[Quality, float] = {"fine": 0.08, "standard": 0.08, "fast": 0.12, "earlier": 0.08}


@pytest.mark.parametrize("quality", QUALITIES)
def test_a_texture_that_moves_2_px_has_flow_near_2(quality: Quality) -> None:
    film = moving_texture(2, 0, 2, (128, 128))
    estimator = make_estimator(FlowConfig(estimator="dis", quality=quality))
    inner = estimator.estimate(film[:1], film[1:])[0, 16:-16, 16:-16]
    assert np.abs(inner.mean(axis=(0, 1)) - [2, 0]).max() < 0.05
    assert np.linalg.norm(inner - [2, 0], axis=-1).mean() < BOUNDS_PX[quality]


def test_every_name_is_described() -> None:
    assert NOTES.keys() == QUALITIES.keys()


def test_a_resolved_configuration_states_every_value() -> None:
    resolved = resolve(FlowConfig(estimator="dis", quality="fast"))
    assert resolved.dis.model_dump() == asdict(QUALITIES["fast"])
    assert resolve(resolved) == resolved
    assert (
        IngestConfig(flow=resolved).content()
        == IngestConfig(flow=FlowConfig(estimator="dis", quality="fast", device="cpu")).content()
    )


def test_a_value_that_is_given_counts_over_the_name() -> None:
    config = load_config(None, ["flow.quality=fast", "flow.dis.patch_stride=3"])
    assert config.flow.dis_settings() == replace(QUALITIES["fast"], patch_stride=3)
    assert config.content()["flow"]["dis"]["patch_stride"] == 3
    assert config.content()["flow"]["dis"]["finest_scale"] == 1


def test_the_default_is_fine() -> None:
    assert FlowConfig().dis_settings() == QUALITIES["fine"] == DisSettings()


def test_the_name_itself_is_no_part_of_a_dataset() -> None:
    """Two ways to ask for the same flow give the same units."""
    named = load_config(None, ["flow.quality=standard"])
    values = [f"flow.dis.{key}={value}" for key, value in asdict(QUALITIES["standard"]).items()]
    assert load_config(None, values).digest() == named.digest()


def test_earlier_is_what_datasets_were_made_with_before_there_were_names() -> None:
    config = load_config(None, THEN)
    assert config.content()["flow"]["dis"] == BEFORE_DIS
    assert config.digest() == BEFORE


def test_a_dataset_from_before_is_read_with_the_flow_that_it_has() -> None:
    content = load_config(None, THEN).content()
    settings = stored_config(content).flow.dis_settings()
    assert settings == QUALITIES["earlier"]
    assert (settings.region, settings.smoothing_px) == ("whole", 0)
    assert stored_config(content).digest() == BEFORE


@pytest.mark.parametrize("quality", QUALITIES)
def test_a_stored_configuration_has_the_values_that_it_was_made_with(quality: Quality) -> None:
    content = load_config(None, [f"flow.quality={quality}"]).content()
    assert stored_config(content).flow.dis_settings() == QUALITIES[quality]
    assert stored_config(content).content() == content
    assert completed(content)["flow"]["dis"] == asdict(QUALITIES[quality])


@pytest.mark.parametrize("estimator", ["farneback", "ptlflow:raft"])
def test_a_dataset_of_another_estimator_is_as_before(estimator: str) -> None:
    config = load_config(None, [f"flow.estimator={estimator}"])
    assert config.content()["flow"]["dis"] == BEFORE_DIS


def test_a_name_beside_another_estimator_is_refused() -> None:
    with pytest.raises(ConfigError, match="says how DIS searches, and estimator is 'farneback'"):
        FlowConfig.parse({"quality": "fast", "estimator": "farneback"})


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="'fine', 'standard', 'fast' or 'earlier'"):
        FlowConfig.parse({"quality": "finest"})


def test_frames_too_small_for_the_finest_octave_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"finest_scale is 1 .*take flow.size 46 or more"):
        resolve(FlowConfig(estimator="dis", quality="fast", size=32))
    assert resolve(FlowConfig(estimator="dis", quality="fast", size=46)).dis.finest_scale == 1


def test_earlier_is_opencvs_search_of_the_whole_grey_frame() -> None:
    import cv2

    film = moving_texture(1.5, -1, 2, (96, 96))
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    search.setPatchSize(8)
    search.setPatchStride(3)
    search.setGradientDescentIterations(16)
    search.setVariationalRefinementIterations(5)
    search.setVariationalRefinementAlpha(30)
    search.setUseMeanNormalization(True)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in film]
    estimator = make_estimator(FlowConfig(estimator="dis", quality="earlier"))
    flow = estimator.estimate(film[:1], film[1:])[0]
    assert np.array_equal(flow, search.calc(grey[0], grey[1], None))


def test_a_dataset_has_the_name_of_the_quality_whose_values_it_has() -> None:
    dis = completed(load_config(None, ["flow.quality=earlier"]).content())["flow"]["dis"]
    assert name_of(dis) == "earlier"
    assert name_of({**dis, "patch_stride": 5}) is None
