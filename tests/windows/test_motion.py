"""Motion statistics of flow whose values are known."""

from __future__ import annotations

import numpy as np
import pytest

from sofdata.windows.motion import MOTION_FIELDS, flow_statistics, mean_px


def test_uniform_motion_has_its_length_everywhere() -> None:
    flow = np.full((8, 64, 64, 2), [3, -4], np.float32)
    assert flow_statistics(flow, active_px=0.5) == {
        "mean_px": 5.0,
        "p99_px": 5.0,
        "max_px": 5.0,
        "active_share": 1.0,
    }
    assert mean_px(flow) == 5.0


def test_no_motion_is_zero() -> None:
    statistics = flow_statistics(np.zeros((2, 8, 8, 2), np.float32), active_px=0.5)
    assert set(statistics.values()) == {0.0}


def test_a_moving_corner_shows_in_each_statistic() -> None:
    flow = np.zeros((4, 10, 10, 2), np.float32)
    flow[:, :5, :5, 0] = 2.0
    flow[0, 9, 9, 1] = -7.0
    statistics = flow_statistics(flow, active_px=0.5)
    assert statistics["mean_px"] == pytest.approx((100 * 2.0 + 7.0) / 400, rel=1e-5)
    assert statistics["p99_px"] == 2.0
    assert statistics["max_px"] == 7.0
    assert statistics["active_share"] == 101 / 400


def test_a_pixel_at_the_threshold_is_not_active() -> None:
    flow = np.full((1, 4, 4, 2), [0.5, 0.0], np.float32)
    assert flow_statistics(flow, active_px=0.5)["active_share"] == 0.0


def test_every_statistic_is_explained() -> None:
    statistics = flow_statistics(np.zeros((1, 4, 4, 2), np.float32), active_px=0.5)
    assert set(statistics) <= set(MOTION_FIELDS)
    assert all(type(value) is float for value in statistics.values())
