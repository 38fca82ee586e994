"""Cutting a video into windows, on clips whose every frame and step is different.

Frame t has value t everywhere and time t / 10 s; step t, from frame t, has flow (t + 1, 0) px.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from sofdata.errors import ContractError
from sofdata.types import FlowClip, Frames, Picture, RejectedWindow, SkillWindow
from sofdata.windows.config import WindowConfig
from sofdata.windows.motion import MOTION_FIELDS
from sofdata.windows.segment import Outcome, Windower, make_steps

SIDE = 16
# The frames are plain, so that none of their motion could be seen.
CONFIG = WindowConfig(size=SIDE, camera="off", static_px=0.25, min_texture=0)
MASKED = CONFIG.model_copy(update={"tail": "mask"})


def grey(picture: Picture) -> int:
    """The value that a plain frame has everywhere."""
    assert isinstance(picture, np.ndarray)
    (value,) = np.unique(picture)
    return int(value)


def clip(steps: int) -> tuple[Frames, FlowClip, list[str]]:
    rgb = np.empty((steps + 1, SIDE, SIDE, 3), np.uint8)
    rgb[:] = np.arange(steps + 1)[:, None, None, None] % 256
    flow = np.zeros((steps, SIDE, SIDE, 2), np.float32)
    flow[..., 0] = np.arange(1, steps + 1)[:, None, None]
    pts_s = np.arange(steps + 1) / 10
    return Frames(rgb, pts_s), FlowClip(flow, np.diff(pts_s)), [""] * steps


def chunks(
    frames: Frames, flow: FlowClip, breaks: Sequence[str], chunk: int
) -> list[tuple[Frames, FlowClip, Sequence[str]]]:
    """Split into chunks of so many steps that overlap by a frame."""
    return [
        (
            Frames(frames.rgb[k : k + chunk + 1], frames.pts_s[k : k + chunk + 1]),
            FlowClip(flow.flow[k : k + chunk], flow.dt_s[k : k + chunk]),
            breaks[k : k + chunk],
        )
        for k in range(0, max(len(flow), 1), chunk)
    ]


def push(
    windower: Windower,
    frames: Frames,
    flow: FlowClip,
    breaks: Sequence[str],
    config: WindowConfig = CONFIG,
) -> Iterator[Outcome]:
    """Reduce the flow of a chunk to steps and push them. config: that of the windower."""
    return windower.push(frames, make_steps(frames, flow, breaks, config), breaks)


def cut(
    steps: int, breaks: dict[int, str] | None = None, config: WindowConfig = CONFIG, chunk: int = 64
) -> list[Outcome]:
    frames, flow, reasons = clip(steps)
    for step, reason in (breaks or {}).items():
        reasons[step] = reason
    windower = Windower(config)
    outcomes: list[Outcome] = []
    for part in chunks(frames, flow, reasons, chunk):
        outcomes.extend(push(windower, *part, config))
    outcomes.extend(windower.close())
    return outcomes


def steps_of(outcome: Outcome) -> tuple[int, int]:
    """The step that it begins with and the one after its last, read from the times."""
    return round(outcome.start_s * 10), round(outcome.end_s * 10)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (8, [(0, 8)]),
        (12, [(0, 8), (4, 12)]),
        (16, [(0, 8), (4, 12), (8, 16)]),
        (9, [(0, 8), (1, 9)]),
        (14, [(0, 8), (4, 12), (6, 14)]),
        (7, [(0, 7)]),
        (2, [(0, 2)]),
    ],
)
def test_windows_start_at_multiples_of_stride_and_one_more_reaches_the_end(
    steps: int, expected: list[tuple[int, int]]
) -> None:
    outcomes = cut(steps)
    assert [steps_of(outcome) for outcome in outcomes] == expected
    assert all(isinstance(outcome, SkillWindow) for outcome in outcomes)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (12, [(0, 8), (4, 12), (8, 12)]),
        (16, [(0, 8), (4, 12), (8, 16), (12, 16)]),
        (9, [(0, 8), (4, 9), (8, 9)]),
        (14, [(0, 8), (4, 12), (8, 14), (12, 14)]),
        (7, [(0, 7), (4, 7)]),
        (2, [(0, 2)]),
    ],
)
def test_with_masked_tails_windows_start_at_every_multiple_of_stride_and_the_last_are_short(
    steps: int, expected: list[tuple[int, int]]
) -> None:
    outcomes = cut(steps, config=MASKED)
    assert [steps_of(outcome) for outcome in outcomes] == expected
    assert [outcome.index for outcome in outcomes] == list(range(len(expected)))
    for outcome, (start, end) in zip(outcomes, expected, strict=True):
        assert isinstance(outcome, SkillWindow)
        assert outcome.flow[:, 0, 0, 0].tolist() == list(range(start + 1, end + 1))
        assert (grey(outcome.first), grey(outcome.last)) == (start, end)
        assert outcome.motion["mean_px"] == np.arange(start + 1, end + 1).mean()


@pytest.mark.parametrize("steps", range(1, 40))
@pytest.mark.parametrize(("length", "stride"), [(8, 4), (8, 8), (5, 3), (4, 1), (1, 1)])
def test_with_masked_tails_every_multiple_of_stride_begins_one_window(
    steps: int, length: int, stride: int
) -> None:
    sizes = {"size": SIDE, "length": length, "stride": stride, "min_steps": 1}
    config = WindowConfig.parse({**sizes, "camera": "off", "min_texture": 0, "tail": "mask"})
    spans = [steps_of(outcome) for outcome in cut(steps, config=config)]
    assert spans == [(k, min(k + length, steps)) for k in range(0, steps, stride)]


def test_a_short_window_obeys_the_same_filters_and_stretches() -> None:
    frames, flow, breaks = clip(20)
    breaks[9] = "shot"
    flow.flow[16:] = 0.0  # of (10, 18), (14, 20) and (18, 20) the last one alone hardly moves
    windower = Windower(MASKED)
    outcomes = [*push(windower, frames, flow, breaks, MASKED), *windower.close()]
    spans = [(0, 8), (4, 9), (8, 9), (10, 18), (14, 20), (18, 20)]
    assert [steps_of(outcome) for outcome in outcomes] == spans
    assert [getattr(outcome, "reason", "kept") for outcome in outcomes] == ["kept"] * 5 + ["static"]
    assert outcomes[-1].index == 5


def test_a_stretch_below_min_steps_is_one_reject_with_masked_tails_too() -> None:
    outcomes = cut(20, {9: "shot", 11: "shot"}, config=MASKED)
    reasons = [getattr(outcome, "reason", "") for outcome in outcomes]
    assert reasons == ["", "", "", "too_short", "", ""]
    assert steps_of(outcomes[3]) == (10, 11)


def test_a_window_holds_its_own_steps_frames_and_times() -> None:
    window = cut(12)[1]
    assert isinstance(window, SkillWindow)
    assert window.index == 1
    assert window.cut == "start"
    assert window.flow.shape == (8, SIDE, SIDE, 2)
    np.testing.assert_array_equal(window.flow[:, 0, 0, 0], np.arange(5, 13))
    np.testing.assert_allclose(window.pts_s, np.arange(4, 13) / 10)
    assert (grey(window.first), grey(window.last)) == (4, 12)
    assert window.motion["max_px"] == 12
    assert window.motion["mean_px"] == np.arange(5, 13).mean()


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 8, 13, 40])
@pytest.mark.parametrize("config", [CONFIG, MASKED, WindowConfig(size=8, length=5, stride=3)])
def test_the_result_does_not_depend_on_the_chunks(chunk: int, config: WindowConfig) -> None:
    breaks = {9: "shot", 10: "gap", 14: "shot", 27: "gap"}
    whole, parts = cut(40, breaks, config), cut(40, breaks, config, chunk)
    assert len(whole) == len(parts)
    for a, b in zip(whole, parts, strict=True):
        assert type(a) is type(b)
        assert (a.index, a.start_s, a.end_s) == (b.index, b.start_s, b.end_s)
        if isinstance(a, SkillWindow) and isinstance(b, SkillWindow):
            for name in ("flow", "pts_s", "first", "last"):
                np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
            assert (a.cut, a.motion) == (b.cut, b.motion)
        elif isinstance(a, RejectedWindow) and isinstance(b, RejectedWindow):
            assert a.reason == b.reason


def test_no_window_holds_a_step_with_a_break_and_the_next_stretch_names_it() -> None:
    outcomes = cut(30, {10: "shot", 20: "gap"})
    assert [steps_of(outcome) for outcome in outcomes] == [
        *[(0, 8), (2, 10)],
        *[(11, 19), (12, 20)],
        *[(21, 29), (22, 30)],
    ]
    named = [outcome.cut for outcome in outcomes if isinstance(outcome, SkillWindow)]
    assert named == ["start", "start", "shot", "shot", "gap", "gap"]


@pytest.mark.parametrize("steps", range(1, 40))
@pytest.mark.parametrize(("length", "stride"), [(8, 4), (8, 8), (5, 3), (4, 1), (1, 1)])
def test_every_step_lies_in_a_window(steps: int, length: int, stride: int) -> None:
    config = WindowConfig(size=SIDE, camera="off", length=length, stride=stride, min_steps=1)
    outcomes = cut(steps, config=config)
    spans = [steps_of(outcome) for outcome in outcomes]
    assert set(range(steps)) == {step for start, end in spans for step in range(start, end)}
    assert len(set(spans)) == len(spans)
    assert all(end - start == min(length, steps) for start, end in spans)
    assert [outcome.index for outcome in outcomes] == list(range(len(outcomes)))


def test_a_stretch_below_min_steps_is_one_reject() -> None:
    outcomes = cut(20, {9: "shot", 11: "shot"})
    assert [steps_of(outcome) for outcome in outcomes] == [(0, 8), (1, 9), (10, 11), (12, 20)]
    rejected = outcomes[2]
    assert isinstance(rejected, RejectedWindow)
    assert (rejected.index, rejected.reason) == (2, "too_short")
    assert (rejected.start_s, rejected.end_s) == (1.0, 1.1)
    assert [outcome.index for outcome in outcomes] == [0, 1, 2, 3]


@pytest.mark.parametrize("steps", [0, 1])
def test_a_video_of_one_or_two_frames_is_one_reject(steps: int) -> None:
    (rejected,) = cut(steps)
    assert isinstance(rejected, RejectedWindow)
    assert rejected.reason == "too_short"


def test_a_lone_frame_between_two_breaks_is_counted_too() -> None:
    outcomes = cut(18, {8: "shot", 9: "shot"})
    assert [steps_of(outcome) for outcome in outcomes] == [(0, 8), (9, 9), (10, 18)]


def test_breaks_at_both_ends_leave_lone_frames() -> None:
    outcomes = cut(10, {0: "shot", 9: "shot"})
    assert [steps_of(outcome) for outcome in outcomes] == [(0, 0), (1, 9), (10, 10)]


def test_a_video_without_a_frame_gives_nothing() -> None:
    assert list(Windower(CONFIG).close()) == []


def test_closing_twice_gives_nothing_more() -> None:
    windower = Windower(CONFIG)
    assert len(list(push(windower, *clip(10)))) == 1
    assert len(list(windower.close())) == 1
    assert list(windower.close()) == []


def test_a_window_that_hardly_moves_is_rejected_as_static_and_still_counted() -> None:
    frames, flow, breaks = clip(24)
    still = flow.flow.copy()
    still[:16] = 0.1
    windower = Windower(CONFIG)
    outcomes = [*push(windower, frames, FlowClip(still, flow.dt_s), breaks), *windower.close()]
    kinds = [getattr(outcome, "reason", "kept") for outcome in outcomes]
    assert kinds == ["static", "static", "static", "kept", "kept"]
    assert [outcome.index for outcome in outcomes] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("px", "kept"), [(0.24, False), (0.26, True)])
def test_static_is_judged_at_the_stored_size(px: float, kept: bool) -> None:
    frames, flow, breaks = clip(8)
    moving = np.full((8, 2 * SIDE, 2 * SIDE, 2), [2 * px, 0], np.float32)
    windower = Windower(CONFIG)
    outcomes = [*push(windower, frames, FlowClip(moving, flow.dt_s), breaks), *windower.close()]
    assert [isinstance(outcome, SkillWindow) for outcome in outcomes] == [kept]


def test_static_px_zero_keeps_a_still_window() -> None:
    frames, flow, breaks = clip(8)
    config = WindowConfig(size=SIDE, static_px=0)
    windower = Windower(config)
    still = FlowClip(np.zeros_like(flow.flow), flow.dt_s)
    (window,) = [*push(windower, frames, still, breaks, config), *windower.close()]
    assert isinstance(window, SkillWindow)


def test_a_pan_is_kept_when_recorded_and_static_when_subtracted() -> None:
    for mode, kind in (("record", SkillWindow), ("subtract", RejectedWindow)):
        config = WindowConfig.parse({"size": SIDE, "camera": mode, "min_texture": 0})
        outcomes = cut(8, config=config)
        assert [type(outcome) for outcome in outcomes] == [kind]
        for outcome in outcomes:
            if isinstance(outcome, SkillWindow):
                assert set(outcome.motion) == set(MOTION_FIELDS)
                assert outcome.motion["camera_px"] == pytest.approx(4.5)
                assert outcome.motion["residual_px"] == pytest.approx(0, abs=1e-4)


def test_chunks_that_do_not_follow_each_other_are_refused() -> None:
    frames, flow, breaks = clip(10)
    windower = Windower(CONFIG)
    list(push(windower, frames, flow, breaks))
    with pytest.raises(ContractError, match=r"begins at 0\.0 s"):
        list(push(windower, frames, flow, breaks))


def test_a_chunk_whose_parts_do_not_fit_is_refused() -> None:
    frames, flow, breaks = clip(4)
    with pytest.raises(ContractError, match="5 frames need 4"):
        list(push(Windower(CONFIG), frames, flow, breaks[1:]))
    with pytest.raises(ContractError, match="fade"):
        list(push(Windower(CONFIG), frames, flow, ["", "fade", "", ""]))


def test_the_flow_of_a_step_with_a_break_is_not_looked_at() -> None:
    frames, flow, breaks = clip(12)
    broken = flow.flow.copy()
    broken[3] = np.nan
    breaks[3] = "shot"
    windower = Windower(CONFIG)
    outcomes = [*push(windower, frames, FlowClip(broken, flow.dt_s), breaks), *windower.close()]
    windows = [outcome for outcome in outcomes if isinstance(outcome, SkillWindow)]
    assert len(windows) == 2
    assert all(np.isfinite(window.flow).all() for window in windows)


def test_memory_does_not_grow_with_the_video() -> None:
    windower = Windower(CONFIG)
    frames, flow, breaks = clip(64)
    frames = Frames(frames.rgb, np.arange(65.0))  # whole seconds, so that chunks meet exactly

    def feed(rounds: range) -> int:
        for k in rounds:
            later = Frames(frames.rgb, frames.pts_s + len(flow) * k)
            for _ in push(windower, later, flow, breaks):
                pass
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        early = feed(range(5))
        late = feed(range(5, 100))
    finally:
        tracemalloc.stop()
    assert late < early + 100_000


def test_steps_of_a_gradual_change_are_one_rejected_window_and_no_other_spans_them() -> None:
    for chunk in (1, 4, 12, 30):
        found = cut(30, dict.fromkeys(range(10, 15), "gradual"), chunk=chunk)
        changes = [w for w in found if isinstance(w, RejectedWindow)]
        assert [(w.start_s, w.end_s, w.reason) for w in changes] == [(1.0, 1.5, "gradual")]
        assert all(w.end_s <= 1.0 or w.start_s >= 1.5 for w in found if w not in changes)
        assert [w.index for w in found] == list(range(len(found)))
        assert {w.cut for w in found if isinstance(w, SkillWindow)} == {"start", "gradual"}


@pytest.mark.parametrize("where", [range(4), range(26, 30), range(30)])
def test_a_gradual_change_may_begin_or_end_a_video(where: range) -> None:
    found = cut(30, dict.fromkeys(where, "gradual"), chunk=7)
    (change,) = [w for w in found if isinstance(w, RejectedWindow)]
    assert (change.reason, steps_of(change)) == ("gradual", (where.start, where.stop))


def test_gradual_changes_beside_other_breaks_stay_what_they_are() -> None:
    breaks = {10: "gradual", 11: "redacted", 12: "gradual", 13: "gradual"}
    found = [w for w in cut(30, breaks, chunk=5) if isinstance(w, RejectedWindow)]
    said = [(w.start_s, w.reason) for w in found if w.reason != "too_short"]
    assert said == [(1.0, "gradual"), (1.1, "redacted"), (1.2, "gradual")]
