"""How much motion changes at a frame: known values for known motion."""

from __future__ import annotations

import numpy as np
import pytest

from sofdata.windows.change import REACH, Motion, change, motion_of
from sofdata.windows.config import WindowConfig
from sofdata.windows.steps import reduced_steps

CONFIG = WindowConfig(camera="off", min_texture=0)


def moving(dx: float, dy: float, size: int = 64) -> Motion:
    flow = np.zeros((1, size, size, 2), np.float32)
    flow[:, size // 4 : size // 2] = dx, dy
    (step,) = reduced_steps(flow, CONFIG.model_copy(update={"size": size}))
    return motion_of(step)


def score(before: tuple[float, float], after: tuple[float, float]) -> float:
    return change([moving(*before)] * REACH, [moving(*after)] * REACH)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((2, 0), (2, 0), 0.0),
        ((0, 0), (0, 0), 0.0),
        ((2, 0), (-2, 0), 1.0),
        ((2, 0), (0, 2), 0.5),
        ((2, 0), (0, 0), 0.5),
        ((0, 0), (0, 3), 0.5),
        ((2, 0), (4, 0), 0.1),  # (4 - 2)² / (2 · (4² + 2²))
    ],
)
def test_known_changes_have_known_scores(
    before: tuple[float, float], after: tuple[float, float], expected: float
) -> None:
    assert score(before, after) == pytest.approx(expected, abs=0.01)


def test_motion_that_dies_down_and_comes_up_again_has_a_score_near_one() -> None:
    fast, slow = moving(2, 0), moving(0.02, 0)
    assert change([fast] * 3 + [slow], [fast] * 4) > 0.9
    assert change([fast] * 3 + [moving(1, 0)], [fast] * 4) == pytest.approx(0.5, abs=0.06)


def test_motion_too_small_to_see_is_rest() -> None:
    assert score((0.005, 0), (-0.005, 0)) < 0.05


@pytest.mark.parametrize("size", [8, 32, 50, 128])
def test_the_stored_size_makes_no_difference(size: int) -> None:
    scale = size / 64
    before, after = moving(2 * scale, 0, size), moving(0, scale, size)
    assert change([before], [after]) == pytest.approx(score((2, 0), (0, 1)), abs=0.02)


def test_fewer_steps_at_the_end_of_a_stretch_are_enough() -> None:
    assert change([moving(2, 0)], [moving(0, 2)]) == pytest.approx(0.5, abs=0.01)
