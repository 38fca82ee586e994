"""DIS in the part of a frame that changed: the same flow there, none elsewhere, nothing missed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from sofdata.flow.dis import Dis, coarsest_octave, side_with_octave
from sofdata.flow.quality import QUALITIES
from sofdata.flow.region import GRID, Box, changed_box
from sofdata.scenes import moving_texture

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]
FINE = QUALITIES["fine"]
INSIDE = Dis(FINE)
WHOLE = Dis(replace(FINE, region="whole"))


def thing_before_a_still_wall(dx: float, side: int = 24, at: int = 40, noise: float = 0) -> Pair:
    """A pair [1,128,128,3] in which a textured square moves by dx px to the right."""
    wall = moving_texture(0, 0, 1, (128, 128), seed=1)[0]
    rng = np.random.default_rng(0)
    frames = []
    for place in (0.0, dx):
        whole = int(place)
        thing = moving_texture(place - whole, 0, 2, (side, side), seed=2)[1]
        frame = wall.copy()
        frame[at : at + side, at + whole : at + whole + side] = thing
        noisy = frame + rng.normal(0, noise, (128, 128, 1))
        frames.append(np.clip(np.rint(noisy), 0, 255).astype(np.uint8)[None])
    return frames[0], frames[1]


def true_flow(dx: float, side: int = 24, at: int = 40) -> NDArray[np.float32]:
    flow = np.zeros((128, 128, 2), np.float32)
    flow[at : at + side, at : at + side, 0] = dx
    return flow


def error_px(flow: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(flow - truth, axis=-1).mean())


@pytest.mark.parametrize("dx", [1, 2, 6])
def test_a_thing_before_a_still_wall_has_the_same_error_as_in_the_whole_frame(dx: int) -> None:
    pair = thing_before_a_still_wall(dx)
    inside, whole = INSIDE.estimate(*pair)[0], WHOLE.estimate(*pair)[0]
    assert error_px(inside, true_flow(dx)) < 1.02 * error_px(whole, true_flow(dx)) + 0.001
    middle = inside[46:58, 46:58]
    assert np.abs(middle.mean(axis=(0, 1)) - [dx, 0]).max() < 0.1


def test_flow_is_zero_outside_the_box_and_its_margin() -> None:
    first, second = thing_before_a_still_wall(2)
    flow = INSIDE.estimate(first, second)[0]
    rows, columns, _ = np.nonzero(flow)
    reach = FINE.region_margin_px + GRID + GRID // 2
    assert rows.min() >= 40 - reach
    assert rows.max() < 64 + reach
    assert columns.min() >= 40 - reach
    assert columns.max() < 66 + reach


def test_noise_of_a_codec_does_not_make_the_box_the_frame() -> None:
    first, second = thing_before_a_still_wall(2, noise=0.5)
    assert not INSIDE.estimate(first, second)[0][100:].any()


def test_slow_motion_of_little_contrast_is_not_lost() -> None:
    film = moving_texture(0.5, 0, 2, (128, 128), seed=3).astype(np.float32)
    faint = np.rint(128 + (film - film.mean()) / 4).astype(np.uint8)  # 12 levels of contrast
    flow = INSIDE.estimate(faint[:1], faint[1:])[0, 16:-16, 16:-16]
    assert np.abs(flow.mean(axis=(0, 1)) - [0.5, 0]).max() < 0.1


def test_a_camera_that_moves_gives_the_flow_of_the_whole_frame() -> None:
    film = moving_texture(2, 1, 2, (128, 128))
    assert np.array_equal(INSIDE.estimate(film[:1], film[1:]), WHOLE.estimate(film[:1], film[1:]))


def test_frames_that_do_not_change_have_no_flow() -> None:
    frame = moving_texture(0, 0, 1, (128, 128))
    assert not INSIDE.estimate(frame, frame).any()


def test_a_pair_has_the_same_flow_alone_as_in_any_batch() -> None:
    pairs = [thing_before_a_still_wall(dx, side, at) for dx, side, at in ((2, 24, 40), (1, 60, 8))]
    film = moving_texture(2, 1, 2, (128, 128))
    pairs = [*pairs, (film[:1], film[1:]), pairs[0]]
    first, second = (np.concatenate(side) for side in zip(*pairs, strict=True))
    together = INSIDE.estimate(first, second)
    for index, pair in enumerate(pairs):
        assert np.array_equal(together[index], INSIDE.estimate(*pair)[0])


def test_a_film_in_chunks_has_the_flow_of_the_film() -> None:
    film = np.concatenate([*thing_before_a_still_wall(2), thing_before_a_still_wall(3)[1]])
    whole = INSIDE.estimate(film[:-1], film[1:])
    chunks = [INSIDE.estimate(film[at : at + 1], film[at + 1 : at + 2]) for at in (0, 1)]
    assert np.array_equal(whole, np.concatenate(chunks))


@pytest.mark.parametrize("side", [32, 45, 64, 100, 131])
def test_frames_of_any_size_have_flow_in_a_region(side: int) -> None:
    frame = moving_texture(0, 0, 1, (side, side))
    other = frame.copy()
    other[:, 4:12, 4:12] += 40
    flow = INSIDE.estimate(frame, other)
    assert flow.shape == (1, side, side, 2)
    assert np.isfinite(flow).all()


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [
        ((40, 50), (60, 70), (slice(16, 72), slice(40, 96))),  # grown to 46 px
        ((0, 4), (120, 128), (slice(0, 48), slice(80, 128))),  # moved into the frame
        ((20, 100), (20, 100), (slice(8, 112), slice(8, 112))),  # on the grid
    ],
)
def test_a_box_holds_what_changed_and_its_margin(
    rows: tuple[int, int], columns: tuple[int, int], expected: tuple[slice, slice]
) -> None:
    before = np.zeros((128, 128), np.uint8)
    after = before.copy()
    after[slice(*rows), slice(*columns)] = 200
    box = changed_box(before, after, diff=1, margin_px=8, least_px=46)
    assert box == Box(*expected)
    assert changed_box(before, before, diff=0, margin_px=8, least_px=46) is None


def test_octaves_are_those_that_opencv_searches() -> None:
    assert [coarsest_octave(side, side, 8) for side in (7, 32, 45, 46, 90, 91, 128)] == [
        *(-1, 0, 0, 1, 1, 2, 2)
    ]
    for octave in (1, 2, 3):
        side = side_with_octave(octave, 8)
        assert coarsest_octave(side, side, 8) == octave
        assert coarsest_octave(side - 1, side - 1, 8) == octave - 1
