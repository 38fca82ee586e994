"""One stored step: reduced with its vectors, with or without the camera."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sofdata.windows.camera import camera_flow
from sofdata.windows.config import WindowConfig
from sofdata.windows.motion import CAMERA_FIELDS, magnitudes
from sofdata.windows.steps import Step, reduced_steps, resize_flow


@pytest.mark.parametrize("side", [128, 64, 100, 32])
def test_vectors_scale_with_the_frame(side: int) -> None:
    small = resize_flow(np.full((3, side, side, 2), [4, -2], np.float32), 64)
    assert small.dtype == np.float32
    assert small.shape == (3, 64, 64, 2)
    np.testing.assert_allclose(small, np.full((3, 64, 64, 2), [4, -2]) * (64 / side), rtol=1e-5)


def test_each_axis_scales_by_its_own_factor() -> None:
    small = resize_flow(np.full((1, 96, 128, 2), [8, 6], np.float32), 32)
    np.testing.assert_allclose(small[0], np.full((32, 32, 2), [2, 2]), rtol=1e-5)


def test_reducing_averages() -> None:
    flow = np.zeros((1, 4, 4, 2), np.float32)
    flow[0, 0, 0] = (8, 4)
    (small,) = resize_flow(flow, 2)
    np.testing.assert_allclose(small[0, 0], (1, 0.5))
    assert not small[1, 1].any()


def test_the_same_size_is_copied_not_shared() -> None:
    flow = np.ones((2, 16, 16, 2), np.float32)
    small = resize_flow(flow, 16)
    np.testing.assert_array_equal(small, flow)
    assert not np.shares_memory(small, flow)


PAN = camera_flow(np.array([[1.0, 0, 6], [0, 1, -2]]), 128, 128)


def one_step(flow: NDArray[np.float32], **settings: str) -> Step:
    (step,) = reduced_steps(flow[None], WindowConfig.parse(settings))
    return step


@pytest.mark.parametrize("fit", ["consensus", "ransac"])
def test_camera_motion_is_recorded_subtracted_or_left_alone(fit: str) -> None:
    flow = PAN.copy()
    flow[40:60, 40:60] += (0, 10)
    off, record, subtract = (
        one_step(flow, camera=mode, camera_fit=fit) for mode in ("off", "record", "subtract")
    )
    assert off.camera is None
    np.testing.assert_array_equal(record.flow, off.flow)
    assert record.camera is not None
    assert subtract.camera == record.camera
    named = dict(zip(CAMERA_FIELDS, record.camera, strict=True))
    assert named["camera_px"] == pytest.approx(np.hypot(3, 1), abs=0.01)
    assert named["camera_share"] > 0.9
    np.testing.assert_allclose(subtract.flow[:16], 0, atol=0.01)
    np.testing.assert_allclose(subtract.flow[25, 25], (0, 5), atol=0.01)
    moved_share = (20 / 128) ** 2
    # Of 16 x 16 points 2 x 2 or 3 x 3 lie on what moves.
    assert named["residual_px"] == pytest.approx(5 * moved_share, abs=0.06)


def test_the_magnitude_is_that_of_the_flow_as_it_is_stored() -> None:
    for mode in ("off", "record", "subtract"):
        step = one_step(PAN, camera=mode)
        np.testing.assert_array_equal(step.magnitude, magnitudes(step.flow))


def test_a_still_step_follows_a_camera_that_stands_still() -> None:
    moving, still, again = reduced_steps(np.stack([PAN, 0 * PAN, PAN]), WindowConfig())
    assert still.camera == (0.0, 1.0, 0.0)
    assert not still.flow.any()
    assert still.flow.shape == moving.flow.shape
    assert moving.camera == again.camera


@pytest.mark.parametrize("fit", ["consensus", "ransac"])
def test_a_step_is_the_same_alone_as_among_many(fit: str) -> None:
    rng = np.random.default_rng(3)
    flow = rng.normal(0, 2, (40, 128, 128, 2)).astype(np.float32)
    flow[::7] = 0
    config = WindowConfig.parse({"camera_fit": fit})
    together = list(reduced_steps(flow, config))
    assert len(together) == 40
    for number, step in enumerate(together):
        (alone,) = reduced_steps(flow[number : number + 1], config)
        np.testing.assert_array_equal(alone.flow, step.flow)
        assert alone.camera == step.camera


def test_one_step_is_resized_as_among_several() -> None:
    flow = np.random.default_rng(0).normal(0, 3, (2, 96, 96, 2)).astype(np.float32)
    np.testing.assert_array_equal(resize_flow(flow[1], 40), resize_flow(flow, 40)[1])
