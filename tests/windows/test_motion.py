"""Motion statistics of flow whose values are known."""

from __future__ import annotations

import numpy as np
import pytest

from sofdata.windows.motion import (
    CAMERA_FIELDS,
    MOTION_FIELDS,
    flow_statistics,
    magnitudes,
    percentile_99,
)


def test_uniform_motion_has_its_length_everywhere() -> None:
    flow = np.full((8, 64, 64, 2), [3, -4], np.float32)
    assert flow_statistics(magnitudes(flow), active_px=0.5) == {
        "mean_px": 5.0,
        "p99_px": 5.0,
        "max_px": 5.0,
        "active_share": 1.0,
    }


def test_no_motion_is_zero() -> None:
    statistics = flow_statistics(np.zeros((2, 8, 8), np.float32), active_px=0.5)
    assert set(statistics.values()) == {0.0}


def test_a_moving_corner_shows_in_each_statistic() -> None:
    flow = np.zeros((4, 10, 10, 2), np.float32)
    flow[:, :5, :5, 0] = 2.0
    flow[0, 9, 9, 1] = -7.0
    statistics = flow_statistics(magnitudes(flow), active_px=0.5)
    assert statistics["mean_px"] == pytest.approx((100 * 2.0 + 7.0) / 400, rel=1e-5)
    assert statistics["p99_px"] == 2.0
    assert statistics["max_px"] == 7.0
    assert statistics["active_share"] == 101 / 400


def test_a_pixel_at_the_threshold_is_not_active() -> None:
    flow = np.full((1, 4, 4, 2), [0.5, 0.0], np.float32)
    assert flow_statistics(magnitudes(flow), active_px=0.5)["active_share"] == 0.0


def test_every_statistic_is_explained() -> None:
    statistics = flow_statistics(np.zeros((1, 4, 4), np.float32), active_px=0.5)
    assert {*statistics, *CAMERA_FIELDS} == set(MOTION_FIELDS)
    assert all(type(value) is float for value in statistics.values())


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100, 101, 102, 4096, 32768])
def test_the_percentile_is_that_of_numpy_to_the_last_digit(count: int) -> None:
    rng = np.random.default_rng(count)
    for values in (rng.exponential(3, count), rng.integers(0, 4, count), np.zeros(count)):
        single = values.astype(np.float32)
        assert percentile_99(single) == float(np.percentile(single, 99))


def test_magnitudes_are_lengths_of_vectors() -> None:
    found = magnitudes(np.array([[[3, 4], [0, -2]]], np.float32))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[5, 2]])
