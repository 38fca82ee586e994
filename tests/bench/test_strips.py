"""`sofdata.bench.strips`: planned and measured flow are drawn on one scale."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sofdata.bench.strips import measured


@pytest.mark.parametrize("side", [32, 64])
def test_measured_flow_is_in_px_of_the_planned_one(side: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    texture = cv2.GaussianBlur(noise, (0, 0), 2)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    (flow,) = measured([texture[:, 16:80], texture[:, 12:76]], side)
    assert flow is not None
    assert flow.shape == (side, side, 2)
    middle = np.median(flow, axis=(0, 1))
    assert middle == pytest.approx((4 * side / 64, 0), abs=0.2 * side / 64)
