"""The stages between a decoder and a shard: which steps are estimated, and what they become."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from sofdata.ingest.config import IngestConfig
from sofdata.ingest.stages import estimate_flow, still_steps
from sofdata.types import Frames

SIDE = 40
ALLOWED = 4  # of 4800 values a frame, one in a thousand and no more


class Counting:
    """A `FlowSource` whose flow is how many pairs it has been asked for so far."""

    name, depth = "counting", 0

    def __init__(self) -> None:
        self.pairs: list[tuple[int, int]] = []

    def submit(
        self, first: NDArray[np.uint8], second: NDArray[np.uint8]
    ) -> Callable[[], NDArray[np.float32]]:
        begun = len(self.pairs)
        self.pairs += zip(first[:, 0, 0, 0].tolist(), second[:, 0, 0, 0].tolist(), strict=True)
        numbers = np.arange(begun, len(self.pairs), dtype=np.float32) + 1
        return lambda: np.broadcast_to(
            numbers[:, None, None, None], (len(numbers), SIDE, SIDE, 2)
        ).copy()


def frames(*levels: int) -> Frames:
    rgb = np.repeat(np.array(levels, np.uint8), SIDE * SIDE * 3).reshape(-1, SIDE, SIDE, 3)
    return Frames(rgb, np.arange(len(levels), dtype=np.float64) / 8)


@pytest.mark.parametrize(("changed", "is_still"), [(0, True), (ALLOWED, True), (5, False)])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_step_is_still_up_to_one_changed_value_in_a_thousand(
    changed: int, is_still: bool, sign: int
) -> None:
    rgb = np.full((2, SIDE, SIDE, 3), 100, np.uint8)
    rgb[1].reshape(-1)[:changed] = 100 + 2 * sign
    assert still_steps(rgb, 1.0).tolist() == [is_still]


@pytest.mark.parametrize(
    ("still_diff", "difference", "is_still"),
    [
        *((1.0, 1, True), (1.0, 2, False), (1.5, 1, True), (1.5, 2, False), (0.5, 1, False)),
        *((0.0, 0, True), (0.0, 1, False), (255.0, 255, True)),
    ],
)
def test_values_change_by_more_than_still_diff(
    still_diff: float, difference: int, is_still: bool
) -> None:
    rgb = np.stack([np.zeros((SIDE, SIDE, 3)), np.full((SIDE, SIDE, 3), difference)])
    assert still_steps(rgb.astype(np.uint8), still_diff).tolist() == [is_still]


def test_only_identical_frames_are_still_where_still_diff_is_zero() -> None:
    rgb = np.zeros((2, SIDE, SIDE, 3), np.uint8)
    rgb[1, 0, 0, 0] = 1
    assert still_steps(rgb, 0.0).tolist() == [False]


def test_one_frame_has_no_steps() -> None:
    assert still_steps(np.zeros((1, SIDE, SIDE, 3), np.uint8), 1.0).shape == (0,)


@pytest.mark.parametrize(
    ("levels", "moves"),
    [
        ((10, 20, 30), [True, True]),
        ((10, 10, 20, 30, 30), [False, True, True, False]),
        ((10, 20, 20, 30), [True, False, True]),
        ((10, 10, 10), [False, False]),
        ((10,), []),
    ],
)
def test_flow_is_estimated_for_steps_that_move_and_zero_elsewhere(
    levels: tuple[int, ...], moves: list[bool]
) -> None:
    source = Counting()
    config = IngestConfig.parse({"flow": {"size": SIDE}, "windows": {"shots": False}})
    (chunk,) = estimate_flow([frames(*levels)], source, config)
    expected = np.cumsum(moves) * moves
    assert chunk.clip.flow.shape == (len(moves), SIDE, SIDE, 2)
    np.testing.assert_array_equal(chunk.clip.flow[:, 0, 0, 0], expected)
    pairs = zip(levels[:-1], levels[1:], moves, strict=True)
    assert source.pairs == [(a, b) for a, b, is_moving in pairs if is_moving]
