"""Quality columns: numbers with known answers, the same however frames come."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sofdata.errors import ConfigError
from sofdata.flow.config import FlowConfig
from sofdata.flow.estimator import make_estimator
from sofdata.types import FlowClip, Frames, RejectedWindow, SkillWindow
from sofdata.windows.camera import camera_flow
from sofdata.windows.config import WindowConfig
from sofdata.windows.consistency import backward_flow, disagreement
from sofdata.windows.frame_quality import blur, bright_share, dark_share, grey_frames
from sofdata.windows.quality import (
    COLUMNS,
    QUALITY_FIELDS,
    QualityConfig,
    stored_columns,
    window_quality,
)
from sofdata.windows.segment import Windower, make_steps
from sofdata.windows.steps import reduced_steps

SIDE = 128
ALL = QualityConfig.parse({"columns": "all"})
RNG = np.random.default_rng(5)
_NOISE = RNG.integers(0, 256, (400, 400, 3), np.uint8)
TEXTURE: NDArray[np.uint8] = np.asarray(
    cv2.normalize(cv2.GaussianBlur(_NOISE, (0, 0), 2), np.empty(0), 0, 255, cv2.NORM_MINMAX)
)


def pan(number: int, px: int = 2) -> NDArray[np.uint8]:
    """A texture that passes by."""
    return np.stack([TEXTURE[40 : 40 + SIDE, px * k : px * k + SIDE] for k in range(number)])


def moving_object(number: int, px: int = 2) -> NDArray[np.uint8]:
    """A square that moves over a texture that stands still."""
    frames = np.repeat(TEXTURE[None, :SIDE, :SIDE], number, axis=0)
    for k, frame in enumerate(frames):
        frame[40:80, 20 + px * k : 60 + px * k] = TEXTURE[300:340, 300:340]
    return frames


def quality_of(
    rgb: NDArray[np.uint8], config: QualityConfig = ALL, **settings: object
) -> dict[str, float]:
    """The numbers of one window over all frames, with flow that is estimated."""
    flow = make_estimator(FlowConfig()).estimate(rgb[:-1], rgb[1:])
    windows = WindowConfig.parse({"static_px": 0, **settings})
    return window_quality([step.quality for step in reduced_steps(flow, windows, rgb, config)])


def test_a_blurred_copy_is_blurrier_the_more_the_more_it_is_blurred() -> None:
    sharp = _NOISE[:SIDE, :SIDE]
    copies = [sharp, *(cv2.GaussianBlur(sharp, (0, 0), spread) for spread in (0.6, 1, 2, 4))]
    found = blur(grey_frames(np.stack(copies)))
    assert (np.diff(found) > 0.02).all()
    assert ((found >= 0) & (found <= 1)).all()


def test_blur_in_one_direction_alone_is_blur() -> None:
    sharp = _NOISE[:SIDE, :SIDE]
    rows = cv2.blur(sharp, (9, 1))
    found = blur(grey_frames(np.stack([sharp, rows, rows.transpose(1, 0, 2)])))
    assert found[1] > found[0] + 0.1
    assert found[2] == pytest.approx(found[1])


def test_blur_is_the_same_at_half_the_contrast() -> None:
    frame = TEXTURE[:SIDE, :SIDE] // 2 * 2
    one, half = blur(grey_frames(np.stack([frame, frame // 2])))
    assert half == pytest.approx(one, abs=0.02)


def test_a_frame_of_one_colour_has_no_edge_at_all() -> None:
    assert blur(grey_frames(np.full((2, 16, 16, 3), 77, np.uint8))).tolist() == [1, 1]


def test_dark_and_bright_pixels_are_counted_exactly() -> None:
    rgb = np.full((2, 10, 20, 3), 128, np.uint8)
    rgb[0, :3, :10] = 16  # 30 of 200
    rgb[0, 5, 5] = 17
    rgb[0, 9, :5] = 250
    rgb[0, 8, :5] = 249
    rgb[1] = (255, 0, 0)  # red is 76
    grey = grey_frames(rgb)
    assert dark_share(grey, 16).tolist() == [0.15, 0]
    assert bright_share(grey, 250).tolist() == [0.025, 0]
    assert grey[1, 0, 0] == 76


def test_exposure_of_a_window_is_the_mean_over_its_frames() -> None:
    rgb = pan(4) // 2 + 60
    rgb[1, :64] = 0  # half of one of four frames
    rgb[3] = 255
    config = QualityConfig.parse({"columns": ["exposure"]})
    found = quality_of(rgb, config)
    assert found == {"dark_share": 0.125, "bright_share": 0.25}


def flow_of(dx: float, dy: float, side: int = 64) -> NDArray[np.float32]:
    return np.broadcast_to(np.array([dx, dy], np.float32), (1, side, side, 2)).copy()


@pytest.mark.parametrize(
    ("forward", "backward", "consistency"),
    [
        ((2, -1), (-2, 1), 1.0),
        ((2, 0), (0, 0), 0.0),
        ((2, 0), (2, 0), 0.0),
        ((2, 0), (-1, 0), 1 - 1 / 3),
        ((3, 0), (0, 4), 1 - 5 / 7),
    ],
)
def test_consistency_of_known_flow(
    forward: tuple[float, float], backward: tuple[float, float], consistency: float
) -> None:
    ((apart_px, moved_px),) = disagreement(flow_of(*forward), flow_of(*backward))
    assert 1 - apart_px / moved_px == pytest.approx(consistency, abs=1e-6)


def test_flow_backwards_is_looked_up_where_the_flow_leads() -> None:
    forward, backward = flow_of(0, 0), flow_of(0, 0)
    forward[0, 20:30, 20:30] = (5, 0)
    backward[0, 20:30, 25:35] = (-5, 0)
    ((apart_px, moved_px),) = disagreement(forward, backward)
    # What the thing covers, at 30 to 35, does not move and is led to by nothing but itself.
    assert moved_px * 64**2 == pytest.approx(10 * 10 * 10 + 5 * 10 * 5)
    assert apart_px * 64**2 == pytest.approx(5 * 10 * 5)


def test_vectors_that_leave_the_frame_do_not_count() -> None:
    ((apart_px, moved_px),) = disagreement(flow_of(64, 0), flow_of(3, 0))
    assert (apart_px, moved_px) == (0, 0)


def test_flow_backwards_of_a_pan_undoes_it() -> None:
    backward = backward_flow(pan(3, px=4), 64)
    assert backward.shape == (2, 64, 64, 2)
    np.testing.assert_allclose(backward[:, 8:-8, 8:-8].mean(axis=(1, 2)), [[2, 0]] * 2, atol=0.05)


def test_flow_of_a_film_is_consistent_that_of_noise_less_and_that_of_another_not() -> None:
    config = QualityConfig.parse({"columns": ["consistency"]})
    assert quality_of(pan(6), config)["consistency"] > 0.97
    assert quality_of(moving_object(6), config)["consistency"] > 0.8
    noise = RNG.integers(0, 256, (6, SIDE, SIDE, 3), np.uint8)
    assert quality_of(noise, config)["consistency"] < 0.6  # noise finds its like in both ways
    flow = make_estimator(FlowConfig()).estimate(moving_object(6)[:-1], moving_object(6)[1:])
    steps = reduced_steps(
        flow, WindowConfig(), TEXTURE[None, 200:328, 200:328].repeat(6, 0), config
    )
    assert window_quality([step.quality for step in steps])["consistency"] < 0.05


@pytest.mark.parametrize("camera", ["record", "subtract", "off"])
@pytest.mark.parametrize("fit", ["consensus", "ransac"])
def test_the_camera_makes_all_motion_of_a_pan_and_none_of_an_object(camera: str, fit: str) -> None:
    config = QualityConfig.parse({"columns": ["camera"]})
    panned = quality_of(pan(6), config, camera=camera, camera_fit=fit)
    moved = quality_of(moving_object(6), config, camera=camera, camera_fit=fit)
    assert panned["camera_motion_share"] > 0.9
    assert moved["camera_motion_share"] < 0.1


def test_the_cameras_share_of_known_flow() -> None:
    """A tenth of the frame moves by 8 px more than the camera's 2 px."""
    flow = np.repeat(camera_flow(np.array([[1.0, 0, 4], [0, 1, 0]]), SIDE, SIDE)[None], 3, axis=0)
    flow[:, 32:96, 32:58] += (0, 16)
    share = 64 * 26 / SIDE**2
    rgb = np.zeros((4, SIDE, SIDE, 3), np.uint8)
    windows, config = WindowConfig(), QualityConfig.parse({"columns": ["camera"]})
    steps = reduced_steps(flow, windows, rgb, config)
    found = window_quality([step.quality for step in steps])["camera_motion_share"]
    whole = 2 * (1 - share) + np.hypot(2, 8) * share
    assert found == pytest.approx(1 - 8 * share / whole, abs=0.01)


def test_nothing_that_moves_is_consistent_and_not_the_cameras() -> None:
    rgb = np.repeat(TEXTURE[None, :SIDE, :SIDE], 3, axis=0)
    found = quality_of(rgb)
    assert (found["consistency"], found["camera_motion_share"]) == (1, 0)
    assert 0 < found["blur"] < 1


def test_only_what_is_asked_is_computed_and_without_frames_nothing() -> None:
    for name, columns in COLUMNS.items():
        found = quality_of(pan(3), QualityConfig.parse({"columns": [name]}))
        assert tuple(found) == columns
    assert quality_of(pan(3), QualityConfig()) == {}
    flow = np.ones((2, SIDE, SIDE, 2), np.float32)
    assert [step.quality for step in reduced_steps(flow, WindowConfig(), None, ALL)] == [None] * 2
    assert tuple(quality_of(pan(3))) == tuple(QUALITY_FIELDS)


def test_steps_are_the_same_with_and_without_quality() -> None:
    rgb = moving_object(5)
    flow = make_estimator(FlowConfig()).estimate(rgb[:-1], rgb[1:])
    for camera in ("record", "subtract", "off"):
        config = WindowConfig.parse({"camera": camera})
        pairs = zip(
            reduced_steps(flow, config, rgb), reduced_steps(flow, config, rgb, ALL), strict=True
        )
        for plain, judged in pairs:
            np.testing.assert_array_equal(plain.flow, judged.flow)
            np.testing.assert_array_equal(plain.magnitude, judged.magnitude)
            assert plain.camera == judged.camera


def windows_of(rgb: NDArray[np.uint8], chunk: int) -> list[dict[str, float]]:
    estimator, config = make_estimator(FlowConfig()), WindowConfig.parse({"static_px": 0})
    windower, found = Windower(config), list[SkillWindow | RejectedWindow]()
    for first in range(0, len(rgb) - 1, chunk):
        part = rgb[first : first + chunk + 1]
        frames = Frames(part, np.arange(first, first + len(part)) / 8)
        flow = estimator.estimate(part[:-1], part[1:])
        breaks = ["shot" if first + k == 13 else "" for k in range(len(flow))]
        steps = make_steps(frames, FlowClip(flow, np.diff(frames.pts_s)), breaks, config, ALL)
        found += windower.push(frames, steps, breaks)
    found += windower.close()
    return [dict(window.quality) for window in found if isinstance(window, SkillWindow)]


@pytest.mark.parametrize("chunk", [1, 2, 7, 20])
def test_how_frames_come_in_chunks_makes_no_difference(chunk: int) -> None:
    rgb = np.concatenate([pan(9), pan(9)[-1:].repeat(5, axis=0), moving_object(12)])
    whole = windows_of(rgb, len(rgb))
    assert len(whole) > 4
    assert all(tuple(found) == tuple(QUALITY_FIELDS) for found in whole)
    assert windows_of(rgb, chunk) == whole


@pytest.mark.parametrize(
    ("given", "columns"),
    [
        ([], ()),
        ("all", tuple(COLUMNS)),
        ("camera, blur", ("blur", "camera")),
        (["camera", "blur", "camera"], ("blur", "camera")),
        ("", ()),
    ],
)
def test_columns_are_named_in_any_order_and_kept_in_one(
    given: object, columns: tuple[str, ...]
) -> None:
    assert QualityConfig.parse({"columns": given}).columns == columns


def test_a_column_that_there_is_not_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="exposure"):
        QualityConfig.parse({"columns": "blurr"})


def test_what_dataset_json_says_gives_the_columns_of_the_index() -> None:
    assert stored_columns({}) == ()
    assert stored_columns({"quality": {"columns": ["camera", "exposure"]}}) == (
        "dark_share",
        "bright_share",
        "camera_motion_share",
    )
    for odd in (None, 3, {"columns": 7}, {"columns": {"blur": 1}}, {"columns": ["x"]}):
        assert stored_columns({"quality": odd}) == ()
