"""One stored step: reduced with its vectors, with or without the camera."""

from __future__ import annotations

import numpy as np
import pytest

from sofdata.windows.camera import camera_flow
from sofdata.windows.config import WindowConfig
from sofdata.windows.motion import MOTION_FIELDS
from sofdata.windows.steps import make_step, resize_flow


@pytest.mark.parametrize("side", [128, 64, 100, 32])
def test_vectors_scale_with_the_frame(side: int) -> None:
    small = resize_flow(np.full((side, side, 2), [4, -2], np.float32), 64)
    assert small.dtype == np.float32
    assert small.shape == (64, 64, 2)
    np.testing.assert_allclose(small, np.full((64, 64, 2), [4, -2]) * (64 / side), rtol=1e-5)


def test_each_axis_scales_by_its_own_factor() -> None:
    small = resize_flow(np.full((96, 128, 2), [8, 6], np.float32), 32)
    np.testing.assert_allclose(small, np.full((32, 32, 2), [2, 2]), rtol=1e-5)


def test_reducing_averages() -> None:
    flow = np.zeros((4, 4, 2), np.float32)
    flow[0, 0] = (8, 4)
    small = resize_flow(flow, 2)
    np.testing.assert_allclose(small[0, 0], (1, 0.5))
    assert not small[1, 1].any()


def test_the_same_size_is_copied_not_shared() -> None:
    flow = np.ones((16, 16, 2), np.float32)
    small = resize_flow(flow, 16)
    np.testing.assert_array_equal(small, flow)
    assert not np.shares_memory(small, flow)


def test_camera_motion_is_recorded_subtracted_or_left_alone() -> None:
    pan = camera_flow(np.array([[1.0, 0, 6], [0, 1, -2]]), 128, 128)
    pan[40:60, 40:60] += (0, 10)
    off, record, subtract = (
        make_step(pan, WindowConfig.parse({"camera": mode}))
        for mode in ("off", "record", "subtract")
    )
    assert off.camera == {}
    np.testing.assert_array_equal(record.flow, off.flow)
    assert subtract.camera == record.camera
    assert set(record.camera) <= set(MOTION_FIELDS)
    assert record.camera["camera_px"] == pytest.approx(np.hypot(3, 1), abs=0.01)
    assert record.camera["camera_share"] > 0.9
    np.testing.assert_allclose(subtract.flow[:16], 0, atol=0.01)
    np.testing.assert_allclose(subtract.flow[25, 25], (0, 5), atol=0.01)
    moved_share = (20 / 128) ** 2
    assert record.camera["residual_px"] == pytest.approx(5 * moved_share, abs=0.02)
