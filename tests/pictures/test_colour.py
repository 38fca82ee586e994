"""Flow is coloured by the usual wheel: hue for direction, saturation for speed."""

from __future__ import annotations

import numpy as np
import pytest

from sofdata.pictures.colour import (
    colour_wheel,
    flow_to_rgb,
    flow_to_rgba,
    wheel_legend,
    wheel_picture,
    without_white,
)


def test_the_wheel_has_55_colours_with_the_six_corners_where_they_belong() -> None:
    wheel = colour_wheel()
    assert wheel.shape == (55, 3)
    for place, corner in zip(
        (0, 15, 21, 25, 36, 49),
        ((1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1)),
        strict=True,
    ):
        np.testing.assert_array_equal(wheel[place], corner)


@pytest.mark.parametrize(
    ("flow", "strong", "weak"),
    [((3, 0), 0, 1), ((0, 3), 0, 2), ((-3, 0), 2, 0), ((0, -3), 2, 1)],
    ids=["right is red", "down is yellow", "left is cyan", "up is blue"],
)
def test_directions_have_their_colours(flow: tuple[int, int], strong: int, weak: int) -> None:
    colour = flow_to_rgb(np.array(flow, np.float32), 3.0)
    assert colour[strong] == 255
    assert colour[weak] == 0


def test_still_is_white_and_half_the_speed_is_half_as_saturated() -> None:
    colours = flow_to_rgb(np.array([[0, 0], [1, 0], [2, 0], [9, 0]], np.float32), 2.0)
    assert colours.tolist() == [[255, 255, 255], [255, 128, 128], [255, 0, 0], [255, 0, 0]]


def test_colour_is_continuous_all_around() -> None:
    angle = np.linspace(0, 2 * np.pi, 2000, endpoint=True)
    colours = flow_to_rgb(np.stack([np.cos(angle), np.sin(angle)], -1), 1.0).astype(int)
    assert np.abs(np.diff(colours, axis=0)).max() <= 4


def test_flow_that_is_not_finite_is_black_and_a_scale_of_zero_is_no_error() -> None:
    assert flow_to_rgb(np.array([[np.nan, 1], [np.inf, 0]]), 1.0).tolist() == [[0, 0, 0]] * 2
    assert flow_to_rgb(np.zeros((2, 3, 2), np.float16), 0.0).min() == 255


def test_the_legend_is_white_in_the_middle_and_outside() -> None:
    picture = wheel_picture(65)
    assert picture[32, 32].tolist() == [255] * 3
    assert picture[0, 0].tolist() == [255] * 3
    assert picture[32, 64].tolist() == [255, 0, 0]


def test_on_white_flow_without_a_ground_looks_as_with_it() -> None:
    flow = np.random.default_rng(0).normal(0, 2, (40, 40, 2)).astype(np.float32)
    flow[:10] = 0
    flow[10, 0] = np.nan
    rgba, rgb = flow_to_rgba(flow, 3.0), flow_to_rgb(flow, 3.0)
    alpha = rgba[..., 3:] / 255
    on_white = alpha * rgba[..., :3] + (1 - alpha) * 255
    assert np.abs(on_white - rgb).max() <= 2
    assert not rgba[:10].any()  # still: nothing
    assert rgba[10, 0].tolist() == [0, 0, 0, 255]


def test_the_white_of_coloured_flow_can_be_taken_away() -> None:
    flow = np.random.default_rng(1).normal(0, 2, (40, 40, 2)).astype(np.float32)
    rgb = flow_to_rgb(flow, 3.0)
    rgba = without_white(rgb)
    alpha = rgba[..., 3:] / 255
    assert np.abs(alpha * rgba[..., :3] + (1 - alpha) * 255 - rgb).max() <= 1
    assert without_white(np.full((1, 1, 3), 255, np.uint8)).tolist() == [[[0, 0, 0, 0]]]


def test_the_legend_without_a_ground_is_empty_in_the_middle_and_outside() -> None:
    legend = wheel_legend(65)
    assert legend[32, 32, 3] == 0
    assert legend[0, 0].tolist() == [0] * 4
    assert legend[32, 64].tolist() == [255, 0, 0, 255]
