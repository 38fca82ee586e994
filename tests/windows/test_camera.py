"""Camera motion: recovered from flow that is mostly its own, and kept apart from things moving."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from sofdata.windows.camera import CameraMotion, camera_flow, ransac_motion
from sofdata.windows.consensus import consensus_motion

Find = Callable[[NDArray[np.float32], float], CameraMotion]
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


@pytest.fixture(params=[consensus_motion, ransac_motion])
def find(request: pytest.FixtureRequest) -> Find:
    """Each way to find the camera's motion."""
    chosen: Find = request.param
    return chosen


@pytest.mark.parametrize("shape", [(64, 64), (48, 64), (32, 33), (8, 8), (128, 128)])
def test_a_camera_that_zooms_and_turns_is_recovered(shape: tuple[int, int], find: Find) -> None:
    found = find(camera_flow(ZOOM_AND_TURN, *shape), 0.5)
    np.testing.assert_allclose(found.maps, ZOOM_AND_TURN, atol=1e-3)
    np.testing.assert_array_equal(found.share, [1.0])


def test_a_thing_that_moves_on_its_own_does_not_mislead(find: Find) -> None:
    flow = camera_flow(ZOOM_AND_TURN, 64, 64)
    flow[:, 10:50, 10:50] += (6.0, 4.0)  # two fifths of the frame
    found = find(flow, 0.5)
    np.testing.assert_allclose(found.maps, ZOOM_AND_TURN, atol=0.02)
    assert found.share[0] == pytest.approx(1 - (40 / 64) ** 2, abs=0.06)


def test_noise_of_estimated_flow_is_tolerated(find: Find) -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, (1, 64, 64, 2)).astype(np.float32)
    found = find(camera_flow(ZOOM_AND_TURN, 64, 64) + noise, 0.5)
    error = camera_flow(found.maps, 64, 64) - camera_flow(ZOOM_AND_TURN, 64, 64)
    assert np.abs(error).max() < 0.15


def test_a_still_camera_has_the_identity(find: Find) -> None:
    found = find(np.zeros((3, 64, 64, 2), np.float32), 0.5)
    np.testing.assert_allclose(found.maps, np.tile(np.eye(2, 3), (3, 1, 1)), atol=1e-9)
    np.testing.assert_array_equal(found.share, [1, 1, 1])


def test_flow_without_any_order_has_few_followers(find: Find) -> None:
    rng = np.random.default_rng(1)
    flow = rng.uniform(-20, 20, (1, 64, 64, 2)).astype(np.float32)
    found = find(flow, 0.5)
    assert found.share[0] < 0.1


def test_steps_do_not_influence_each_other_and_repeat_exactly(find: Find) -> None:
    rng = np.random.default_rng(2)
    flow = camera_flow(np.repeat(ZOOM_AND_TURN, 4, axis=0), 64, 64)
    flow += rng.normal(0, 2, flow.shape).astype(np.float32)
    found = find(flow, 0.5)
    for step in reversed(range(4)):
        again = find(flow[step : step + 1], 0.5)
        np.testing.assert_array_equal(again.maps[0], found.maps[step])
        assert again.share[0] == found.share[step]
        assert again.residual_px[0] == found.residual_px[step]


def test_no_steps_give_no_maps(find: Find) -> None:
    flow: NDArray[np.float32] = np.zeros((0, 64, 64, 2), np.float32)
    found = find(flow, 0.5)
    assert found.maps.shape == (0, 2, 3)
    assert found.share.shape == (0,)
    assert found.camera_px.shape == found.residual_px.shape == (0,)


def test_its_mean_motion_and_what_it_leaves_are_measured(find: Find) -> None:
    flow = camera_flow(np.array([[[1.0, 0, 3], [0, 1, -4]]]), 64, 64)
    flow[:, 8:24, 8:24] += (0, 2)  # 4 x 4 of 16 x 16 points
    found = find(flow, 0.5)
    np.testing.assert_allclose(found.camera_px, [5.0], atol=1e-3)
    np.testing.assert_allclose(found.residual_px, [2 / 16], atol=1e-3)
    np.testing.assert_allclose(found.share, [15 / 16])


def test_a_camera_is_found_where_two_fifths_of_the_frame_move_in_any_direction(find: Find) -> None:
    rng = np.random.default_rng(4)
    flow = camera_flow(np.repeat(ZOOM_AND_TURN, 20, axis=0), 64, 64)
    flow += rng.normal(0, 0.1, flow.shape).astype(np.float32)
    flow[:, 38:] = rng.uniform(-15, 15, (20, 26, 64, 2))
    error = camera_flow(find(flow, 0.5).maps, 64, 64) - camera_flow(ZOOM_AND_TURN, 64, 64)
    assert np.abs(error).mean(axis=(1, 2, 3)).max() < 0.2


def test_points_on_a_line_give_no_map() -> None:
    flow = np.random.default_rng(5).uniform(-50, 50, (1, 64, 64, 2)).astype(np.float32)
    found = consensus_motion(flow, 1e-6)  # nobody follows but the three points of a triple
    assert found.share[0] <= 3 / 256
    assert np.isfinite(found.maps).all()
