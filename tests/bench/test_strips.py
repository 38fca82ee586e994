"""`sofdata.bench.study.strips`: planned and measured flow are drawn on one scale."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sofdata.bench.study.strips import measured


def texture(height: int, width: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    return np.asarray(cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX), np.uint8)


@pytest.mark.parametrize("side", [32, 64])
def test_measured_flow_is_in_px_of_the_planned_one(side: int) -> None:
    wide = texture(64, 96)
    flow = measured([wide[:, 16:80], wide[:, 12:76]], side)
    assert flow.shape == (side, side, 2)
    middle = np.median(flow, axis=(0, 1))
    assert middle == pytest.approx((4 * side / 64, 0), abs=0.2 * side / 64)


def test_a_small_thing_that_moves_far_is_followed_by_the_frames_between() -> None:
    def frame(left: int) -> NDArray[np.uint8]:
        picture = np.full((64, 64, 3), 90, np.uint8)
        picture[20:44, left : left + 8] = texture(24, 8)
        return picture

    frames = [frame(left) for left in range(4, 53, 6)]
    steps = measured(frames, 32)
    at_once = measured([frames[0], frames[-1]], 32)
    assert steps[12:20, 2:28, 0].max() > 2 * max(at_once[12:20, 2:28, 0].max(), 1)
    assert np.abs(steps[:, :, 1]).max() < steps[:, :, 0].max() / 2
