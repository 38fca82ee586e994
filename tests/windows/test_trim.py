"""Idle parts of a clip: trimmed at its ends, told as rejects, and never lost."""

from __future__ import annotations

import pytest

from sofdata.types import RejectedWindow, SkillWindow
from tests.windows.test_cuts import DOWN, REST, RIGHT, UP, Stage, config, cut, flow_of, told

TRIMMED = config(trim=True)
FIXED = config(trim=True, cut="fixed", length=8, stride=4)


def test_both_ends_are_trimmed_all_but_a_margin() -> None:
    stages: list[Stage] = [(REST, 9), (RIGHT, 8), (DOWN, 6), (REST, 7)]
    assert told(cut(flow_of(stages), TRIMMED)) == [
        (0, 8, "idle"),
        (8, 17, "start"),
        (17, 24, "motion"),
        (24, 30, "idle"),
    ]


@pytest.mark.parametrize("margin", [0, 2, 5])
def test_the_margin_is_as_configured_and_no_longer_than_what_is_idle(margin: int) -> None:
    stages: list[Stage] = [(REST, 3), (RIGHT, 10), (REST, 9)]
    settings = config(trim=True, trim_margin=margin, cut="fixed", length=32)
    found = told(cut(flow_of(stages), settings))
    begin = max(0, 3 - margin)
    idle = [(0, begin, "idle")] if begin else []
    assert found == [*idle, (begin, 13 + margin, "start"), (13 + margin, 22, "idle")]


def test_fixed_windows_begin_with_what_moves_and_the_last_ends_with_it() -> None:
    stages: list[Stage] = [(REST, 5), (RIGHT, 12), (REST, 5)]
    assert told(cut(flow_of(stages), FIXED)) == [
        (0, 4, "idle"),
        (4, 12, "start"),
        (8, 16, "start"),
        (10, 18, "start"),
        (18, 22, "idle"),
    ]


def test_a_short_rest_within_a_clip_stays() -> None:
    stages: list[Stage] = [(RIGHT, 6), (REST, 9), (RIGHT, 6)]
    found = told(cut(flow_of(stages), config(trim=True, trim_inside=10, cut="fixed", length=8)))
    assert "idle" not in [why for _, _, why in found]
    assert found == told(cut(flow_of(stages), config(cut="fixed", length=8)))


def test_a_long_rest_within_a_clip_is_trimmed_and_parts_it() -> None:
    stages: list[Stage] = [(RIGHT, 6), (REST, 30), (UP, 7)]
    outcomes = cut(flow_of(stages), config(trim=True, trim_inside=10))
    assert told(outcomes) == [(0, 7, "start"), (7, 35, "idle"), (35, 43, "idle")]
    assert isinstance(outcomes[1], RejectedWindow)
    assert isinstance(outcomes[2], SkillWindow), "its stretch begins after what is idle"


def test_a_clip_that_never_moves_is_one_idle_part() -> None:
    (rejected,) = cut(flow_of([(REST, 40)]), config(trim=True, trim_inside=10))
    assert isinstance(rejected, RejectedWindow)
    assert told([rejected]) == [(0, 40, "idle")]


def test_the_ends_of_every_stretch_are_trimmed() -> None:
    stages: list[Stage] = [(RIGHT, 8), (REST, 10), (UP, 8)]
    assert told(cut(flow_of(stages), TRIMMED, breaks={12: "shot"})) == [
        (0, 9, "start"),
        (9, 12, "idle"),
        (13, 17, "idle"),
        (17, 26, "shot"),
    ]


def test_what_is_left_of_a_stretch_may_be_too_short() -> None:
    stages: list[Stage] = [(REST, 6), (RIGHT, 1), (REST, 6)]
    settings = config(trim=True, trim_margin=0)
    assert told(cut(flow_of(stages), settings)) == [
        (0, 6, "idle"),
        (6, 7, "too_short"),
        (7, 13, "idle"),
    ]


def test_lone_frames_are_counted_as_ever() -> None:
    found = told(cut(flow_of([(RIGHT, 10)]), TRIMMED, breaks={0: "shot", 9: "shot"}))
    assert [why for _, _, why in found] == ["too_short", "shot", "too_short"]


@pytest.mark.parametrize("inside", [3, 8, 64])
def test_every_step_is_in_a_window_or_idle_and_numbers_go_up(inside: int) -> None:
    stages: list[Stage] = [(REST, 7), (RIGHT, 9), (REST, 12), (UP, 5), (REST, 3), (DOWN, 4)]
    outcomes = cut(flow_of([*stages, (REST, 20)]), config(trim=True, trim_inside=inside))
    found = told(outcomes)
    assert [begin for begin, _, _ in found] == [0, *(end for _, end, _ in found[:-1])]
    assert found[-1][1] == 60
    assert [each.index for each in outcomes] == list(range(len(outcomes)))
