"""Camera motion: recovered from flow that is mostly its own, and kept apart from things moving."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sofdata.windows.camera import camera_flow, camera_motion

ZOOM_AND_TURN = np.array([[[1.02, -0.03, 1.5], [0.025, 0.98, -2.0]]])


def test_the_flow_of_a_known_map_is_what_the_map_says() -> None:
    flow = camera_flow(ZOOM_AND_TURN[0], 48, 64)
    assert flow.shape == (48, 64, 2)
    assert flow.dtype == np.float32
    x, y = 50, 20
    expected = ZOOM_AND_TURN[0] @ (x, y, 1) - (x, y)
    np.testing.assert_allclose(flow[y, x], expected, atol=1e-4)


def test_several_maps_give_several_flows() -> None:
    maps = np.concatenate([ZOOM_AND_TURN, np.eye(2, 3)[None]])
    flow = camera_flow(maps, 16, 16)
    assert flow.shape == (2, 16, 16, 2)
    assert not flow[1].any()
    np.testing.assert_array_equal(flow[0], camera_flow(ZOOM_AND_TURN[0], 16, 16))


@pytest.mark.parametrize("shape", [(64, 64), (48, 64), (32, 33), (8, 8), (128, 128)])
def test_a_camera_that_zooms_and_turns_is_recovered(shape: tuple[int, int]) -> None:
    maps, shares = camera_motion(camera_flow(ZOOM_AND_TURN, *shape), inlier_px=0.5)
    np.testing.assert_allclose(maps, ZOOM_AND_TURN, atol=1e-3)
    np.testing.assert_array_equal(shares, [1.0])


def test_a_thing_that_moves_on_its_own_does_not_mislead() -> None:
    flow = camera_flow(ZOOM_AND_TURN, 64, 64)
    flow[:, 10:50, 10:50] += (6.0, 4.0)  # two fifths of the frame
    maps, shares = camera_motion(flow, inlier_px=0.5)
    np.testing.assert_allclose(maps, ZOOM_AND_TURN, atol=0.02)
    assert shares[0] == pytest.approx(1 - (40 / 64) ** 2, abs=0.06)


def test_noise_of_estimated_flow_is_tolerated() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, (1, 64, 64, 2)).astype(np.float32)
    maps, _ = camera_motion(camera_flow(ZOOM_AND_TURN, 64, 64) + noise, inlier_px=0.5)
    error = camera_flow(maps, 64, 64) - camera_flow(ZOOM_AND_TURN, 64, 64)
    assert np.abs(error).max() < 0.15


def test_a_still_camera_has_the_identity() -> None:
    maps, shares = camera_motion(np.zeros((3, 64, 64, 2), np.float32), inlier_px=0.5)
    np.testing.assert_allclose(maps, np.tile(np.eye(2, 3), (3, 1, 1)), atol=1e-9)
    np.testing.assert_array_equal(shares, [1, 1, 1])


def test_flow_without_any_order_has_few_followers() -> None:
    rng = np.random.default_rng(1)
    flow = rng.uniform(-20, 20, (1, 64, 64, 2)).astype(np.float32)
    _, shares = camera_motion(flow, inlier_px=0.5)
    assert shares[0] < 0.1


def test_steps_do_not_influence_each_other_and_repeat_exactly() -> None:
    rng = np.random.default_rng(2)
    flow = camera_flow(np.repeat(ZOOM_AND_TURN, 4, axis=0), 64, 64)
    flow += rng.normal(0, 2, flow.shape).astype(np.float32)
    maps, shares = camera_motion(flow, inlier_px=0.5)
    for step in reversed(range(4)):
        again, share = camera_motion(flow[step : step + 1], inlier_px=0.5)
        np.testing.assert_array_equal(again[0], maps[step])
        assert share[0] == shares[step]


def test_no_steps_give_no_maps() -> None:
    flow: NDArray[np.float32] = np.zeros((0, 64, 64, 2), np.float32)
    maps, shares = camera_motion(flow, inlier_px=0.5)
    assert maps.shape == (0, 2, 3)
    assert shares.shape == (0,)
