"""Frames are sampled by seconds of presentation time."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from sofdata.video.sampling import StepSampler, select

STEP_S = 0.13


@pytest.mark.parametrize(
    ("fps", "stride"), [(5, 1), (10, 1), (11, 1), (12, 2), (24, 3), (25, 3), (30, 4), (60, 8)]
)
def test_constant_frame_rate_gives_uniform_steps(fps: int, stride: int) -> None:
    pts_s = np.arange(20 * stride + 1) / fps
    assert select(pts_s, STEP_S).tolist() == list(range(0, 20 * stride + 1, stride))


def test_times_rounded_to_milliseconds_give_the_same_frames_as_exact_ones() -> None:
    for fps in (12, 24, 25, 30, 50, 60):
        exact = np.arange(200) / fps
        for step_s in (0.1, 0.125, 0.13, 0.15):
            chosen = select(exact, step_s)
            assert select(np.round(exact, 3), step_s).tolist() == chosen.tolist(), (fps, step_s)


def test_an_offset_of_the_first_frame_changes_nothing() -> None:
    pts_s = np.arange(100) / 30
    assert select(pts_s + 8.333, STEP_S).tolist() == select(pts_s, STEP_S).tolist()


def test_variable_frame_rate_takes_the_frame_nearest_to_the_target() -> None:
    pts_s = [0.0, 0.05, 0.12, 0.15, 0.24, 0.26, 0.40]
    # Targets: 0.13 -> 0.12, 0.25 -> 0.24 (as near as 0.26, and earlier), 0.37 -> 0.40.
    assert select(pts_s, STEP_S).tolist() == [0, 2, 4, 6]


def test_a_gap_is_stepped_over_without_a_tiny_step_before_it() -> None:
    pts_s = [0.0, 0.03, 5.0, 5.13]
    assert select(pts_s, STEP_S).tolist() == [0, 2, 3]


def test_the_last_frame_is_kept_only_if_it_lies_about_a_step_after() -> None:
    assert select([0.0, 0.13, 0.24], STEP_S).tolist() == [0, 1, 2]
    assert select([0.0, 0.13, 0.20], STEP_S).tolist() == [0, 1]


def test_times_that_do_not_increase_or_are_no_numbers_are_dropped_and_counted() -> None:
    sampler: StepSampler[str] = StepSampler(STEP_S)
    for time_s, name in [(0.0, "a"), (0.0, "b"), (math.nan, "c"), (-1.0, "d")]:
        assert [item for _, item in sampler.offer(time_s, name)] == (["a"] if name == "a" else [])
    assert sampler.offer(0.13, "e") == [(0.13, "e")]
    assert sampler.dropped == 3


def test_a_span_includes_its_start_and_excludes_its_end() -> None:
    pts_s = np.arange(20) / 10
    assert select(pts_s, 0.1, (0.5, 1.0)).tolist() == [5, 6, 7, 8, 9]
    assert select(pts_s, 0.1, (5.0, 6.0)).tolist() == []


def test_frames_between_the_chosen_ones_may_be_missing_without_changing_the_choice() -> None:
    rng = random.Random(4)
    pts_s = np.cumsum([rng.uniform(0.005, 0.06) for _ in range(400)])
    chosen = select(pts_s, STEP_S)
    present = sorted({*chosen.tolist(), *rng.sample(range(400), 150)})
    again = select(pts_s[present], STEP_S)
    assert [present[i] for i in again] == chosen.tolist()


def test_no_frames_give_no_choice() -> None:
    assert select([], STEP_S).shape == (0,)
    assert select([], STEP_S).dtype == np.int64


def test_after_rewinding_the_stream_comes_once_more() -> None:
    times = [0.0, 0.1, 0.2, 0.3, 0.4]
    sampler: StepSampler[int] = StepSampler(0.2)
    first = [time for i, t in enumerate(times[:4]) for time, _ in sampler.offer(t, i)]
    sampler.rewind()
    second = [time for i, t in enumerate(times) for time, _ in sampler.offer(t, i)]
    assert first + second == [0.0, 0.2, 0.4]
    assert sampler.dropped == 0
