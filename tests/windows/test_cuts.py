"""Windows that follow the motion, on clips whose stages are known to the step.

Frame t is shown at t / 10 s. A clip is written as stages: each a direction of flow, how many px a
step, and how many steps it lasts.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sofdata.types import FlowClip, Frames, RejectedWindow, SkillWindow
from sofdata.windows.config import WindowConfig
from sofdata.windows.segment import Outcome, Windower, make_steps

SIDE = 16
RIGHT, LEFT, DOWN, UP = (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)
REST = (0.0, 0.0)
Stage = tuple[tuple[float, float], int]


def config(**settings: Any) -> WindowConfig:
    fixed = {"size": SIDE, "camera": "off", "min_texture": 0, "cut": "motion", "length": 16}
    return WindowConfig.parse({**fixed, **settings})


def flow_of(stages: Sequence[Stage], seed: int = 0) -> NDArray[np.float32]:
    """Flow of a patch that moves in a frame at rest, 2 px a step, unsteady by a twentieth."""
    rng = np.random.default_rng(seed)
    steps = np.concatenate([np.tile(direction, (count, 1)) for direction, count in stages])
    flow = np.zeros((len(steps), SIDE, SIDE, 2), np.float32)
    noise = rng.normal(0, 0.1, (len(steps), 1, 1, 2)) * np.any(steps != 0, axis=1).reshape(
        -1, 1, 1, 1
    )
    flow[:, 4:12, 4:12] = 2 * steps[:, None, None] + noise
    return flow


def cut(
    flow: NDArray[np.float32],
    settings: WindowConfig,
    breaks: dict[int, str] | None = None,
    chunk: int = 1000,
) -> list[Outcome]:
    reasons = [(breaks or {}).get(step, "") for step in range(len(flow))]
    windower = Windower(settings)
    return [*_pushed(windower, flow, reasons, settings, chunk), *windower.close()]


def _pushed(
    windower: Windower,
    flow: NDArray[np.float32],
    reasons: list[str],
    settings: WindowConfig,
    chunk: int,
) -> Iterator[Outcome]:
    rgb = np.empty((len(flow) + 1, SIDE, SIDE, 3), np.uint8)
    rgb[:] = (np.arange(len(flow) + 1) % 256)[:, None, None, None]
    pts_s = np.arange(len(flow) + 1) / 10
    for begin in range(0, max(len(flow), 1), chunk):
        end = min(begin + chunk, len(flow))
        frames = Frames(rgb[begin : end + 1], pts_s[begin : end + 1])
        clip = FlowClip(flow[begin:end], np.diff(frames.pts_s))
        steps = make_steps(frames, clip, reasons[begin:end], settings)
        yield from windower.push(frames, steps, reasons[begin:end])


def told(outcomes: Sequence[Outcome]) -> list[tuple[int, int, str]]:
    """First step and the one after the last, and why it begins or is rejected."""
    return [
        (
            round(each.start_s * 10),
            round(each.end_s * 10),
            each.cut if isinstance(each, SkillWindow) else each.reason,
        )
        for each in outcomes
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("stages", "boundaries"),
    [
        ([(RIGHT, 7), (LEFT, 9)], [7]),
        ([(RIGHT, 6), (DOWN, 8), (LEFT, 5)], [6, 14]),
        ([(RIGHT, 5), (UP, 5), (RIGHT, 5), (DOWN, 5)], [5, 10, 15]),
        ([(RIGHT, 10), (REST, 6), (RIGHT, 10)], [10, 16]),
    ],
)
def test_windows_begin_where_the_direction_changes_or_motion_ends_and_begins(
    stages: list[Stage], boundaries: list[int], seed: int
) -> None:
    found = told(cut(flow_of(stages, seed), config(static_px=0)))
    assert [begin for begin, _, _ in found[1:]] == boundaries
    assert [why for _, _, why in found] == ["start", *["motion"] * len(boundaries)]


def test_a_pause_of_one_step_between_two_moves_the_same_way_is_a_boundary() -> None:
    found = told(cut(flow_of([(RIGHT, 8), (REST, 1), (RIGHT, 7)]), config()))
    (first, second) = found
    assert first[1] in (8, 9)
    assert second == (first[1], 16, "motion")


def test_a_thing_that_stops_while_another_begins_is_a_boundary() -> None:
    flow = np.zeros((16, SIDE, SIDE, 2), np.float32)
    flow[:9, :8, :8, 0] = 2
    flow[9:, 8:, 8:, 0] = 2  # the same direction, and as much of it
    assert told(cut(flow, config())) == [(0, 9, "start"), (9, 16, "motion")]


def test_motion_that_goes_on_is_cut_where_the_bound_is_reached() -> None:
    found = told(cut(flow_of([(RIGHT, 40)]), config()))
    assert all(3 <= end - begin <= 16 for begin, end, _ in found)
    assert [why for _, _, why in found] == ["start", *["length"] * (len(found) - 1)]
    steady = np.full((40, SIDE, SIDE, 2), 2, np.float32)
    assert [begin for begin, _, _ in told(cut(steady, config()))] == [0, 16, 32]


def test_shortest_keeps_boundaries_apart() -> None:
    turns = [(RIGHT, 8), (DOWN, 3), (RIGHT, 9)]
    for shortest in (2, 3, 5, 8):
        found = told(cut(flow_of(turns), config(shortest=shortest)))
        assert all(end - begin >= shortest for begin, end, _ in found)


@pytest.mark.parametrize("mode", ["motion", "text"])
@pytest.mark.parametrize(("length", "shortest"), [(16, 3), (8, 4), (6, 3), (2, 1), (12, 1)])
def test_every_step_lies_in_one_window_within_the_bounds(
    mode: str, length: int, shortest: int
) -> None:
    settings = config(cut=mode, length=length, shortest=shortest, min_steps=1, static_px=0)
    rng = np.random.default_rng(length)
    ways = np.array([RIGHT, LEFT, UP, DOWN])
    for steps in range(1, 60):
        lengths = [*rng.integers(1, 9, 60)]
        stages = [(tuple(ways[n % 4]), int(count)) for n, count in enumerate(lengths)]
        found = told(cut(flow_of(stages, steps)[:steps], settings))
        assert [begin for begin, _, _ in found] == [0, *(end for _, end, _ in found[:-1])]
        assert found[-1][1] == steps
        sizes = [end - begin for begin, end, _ in found]
        assert max(sizes) <= length
        assert min(sizes) >= min(shortest, steps)


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 16, 17, 64])
@pytest.mark.parametrize(
    "settings",
    [
        config(),
        config(length=8, trim=True),
        config(tail="mask", stride=1, trim=True),
        config(cut="text", length=8),
        config(cut="fixed", trim=True, trim_inside=9, length=8, static_px=0.5),
    ],
)
def test_the_result_does_not_depend_on_the_chunks(chunk: int, settings: WindowConfig) -> None:
    stages = [(REST, 12), (RIGHT, 9), (REST, 10), (LEFT, 6), (DOWN, 11), (REST, 3), (UP, 20)]
    flow, breaks = flow_of([*stages, (REST, 7)]), {30: "shot", 60: "text"}
    whole, parts = (cut(flow, settings, breaks, each) for each in (1000, chunk))
    assert told(whole) == told(parts)
    for a, b in zip(whole, parts, strict=True):
        assert (type(a), a.index) == (type(b), b.index)
        if isinstance(a, SkillWindow) and isinstance(b, SkillWindow):
            for name in ("flow", "pts_s", "first", "last"):
                np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
            assert a.motion == b.motion


def test_a_window_of_any_length_holds_its_own_steps_frames_and_times() -> None:
    flow = flow_of([(RIGHT, 5), (UP, 9), (LEFT, 6)])
    for index, window in enumerate(cut(flow, config())):
        assert isinstance(window, SkillWindow)
        begin, end = round(window.start_s * 10), round(window.end_s * 10)
        np.testing.assert_array_equal(window.flow, flow[begin:end])
        first, last = (np.asarray(each) for each in (window.first, window.last))
        assert (first.max(), last.min(), window.index) == (begin, end, index)
        assert window.motion["max_px"] == pytest.approx(
            np.linalg.norm(flow[begin:end], axis=-1).max(), rel=1e-4
        )


def test_segments_longer_than_a_window_are_divided_evenly_and_named() -> None:
    """Of 20 and 37 steps, with the step between two segments in none."""
    flow = flow_of([(RIGHT, 58)])
    found = told(cut(flow, config(cut="text"), breaks={20: "text"}))
    assert found == [
        (0, 10, "start"),
        (10, 20, "length"),
        (21, 37, "text"),
        (37, 48, "length"),
        (48, 58, "length"),
    ]


def test_with_masked_tails_what_is_left_of_a_window_is_one_too() -> None:
    flow = flow_of([(RIGHT, 9), (UP, 7)])
    found = told(cut(flow, config(tail="mask", stride=2)))
    assert found == [
        (0, 9, "start"),
        *[(begin, 9, "stride") for begin in (2, 4, 6)],
        (9, 16, "motion"),
        *[(begin, 16, "stride") for begin in (11, 13)],
    ]


def test_memory_does_not_grow_with_the_video() -> None:
    settings = config(trim=True, trim_inside=20)
    stages: list[Stage] = [(RIGHT, 40), (LEFT, 4), (REST, 120)]
    flow = flow_of(stages)
    rgb = np.zeros((len(flow) + 1, SIDE, SIDE, 3), np.uint8)
    windower = Windower(settings)

    def feed(rounds: range) -> int:
        for k in rounds:
            frames = Frames(rgb, np.arange(len(rgb), dtype=np.float64) + len(flow) * k)
            clip, reasons = FlowClip(flow, np.diff(frames.pts_s)), [""] * len(flow)
            for _ in windower.push(frames, make_steps(frames, clip, reasons, settings), reasons):
                pass
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        early, late = feed(range(5)), feed(range(5, 60))
    finally:
        tracemalloc.stop()
    assert late < early + 100_000


def test_what_hardly_moves_is_still_rejected_as_static() -> None:
    outcomes = cut(flow_of([(RIGHT, 10), (REST, 12)]), config())
    assert told(outcomes) == [(0, 10, "start"), (10, 22, "static")]
    assert isinstance(outcomes[1], RejectedWindow)
