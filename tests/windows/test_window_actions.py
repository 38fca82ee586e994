"""`sofdata.windows.actions`: a window gets the actions from its first frame to its last."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from sofdata.errors import ContractError
from sofdata.types import ActionTrack, ActionWindow, RejectedWindow, SkillWindow
from sofdata.windows.actions import attach_actions

FRAME = np.zeros((8, 8, 3), np.uint8)


def window(*pts_s: float, index: int = 3) -> SkillWindow:
    flow = np.ones((len(pts_s) - 1, 4, 4, 2), np.float32)
    return SkillWindow(index, flow, np.array(pts_s), FRAME, FRAME, "start", {"mean_px": 1.4})


def track(times_s: object, tolerance_s: float = 0.05, values: object = None) -> ActionTrack:
    seconds = np.asarray(times_s, np.float64)
    numbers = np.arange(len(seconds)) if values is None else values
    return ActionTrack(np.asarray(numbers, np.float32).reshape(-1, 1), seconds, tolerance_s)


def numbers(found: ActionWindow | RejectedWindow) -> list[float]:
    assert isinstance(found, ActionWindow)
    return [float(value) for value in found.actions[:, 0]]


def test_the_action_of_the_first_frame_counts_and_that_of_the_last_does_not() -> None:
    found = attach_actions(window(0.2, 0.3, 0.5), track(np.arange(10) / 10))
    assert numbers(found) == [2, 3, 4]
    assert isinstance(found, ActionWindow)
    assert found.action_times_s.tolist() == [0.2, 0.3, 0.4]
    assert (found.index, found.cut, found.motion) == (3, "start", {"mean_px": 1.4})


@pytest.mark.parametrize("drift_s", [-0.049, -1e-9, 0.0, 1e-9, 0.049])
def test_clocks_may_differ_by_less_than_half_the_time_between_actions(drift_s: float) -> None:
    times_s = np.arange(10).astype(np.float32) / np.float32(10)  # as LeRobot rounds them
    assert numbers(attach_actions(window(0.2, 0.5), track(times_s + drift_s))) == [2, 3, 4]


def test_windows_that_abut_share_no_action_and_lose_none() -> None:
    rng = np.random.default_rng(0)
    whole = track(np.sort(rng.uniform(0, 3, 200)), 0.0)
    borders = [0.0, *np.sort(rng.uniform(0, 3, 7)).tolist(), 3.0]
    parts = [numbers(attach_actions(window(start, end), whole)) for start, end in pairwise(borders)]
    assert [number for part in parts for number in part] == list(range(200))


def test_a_window_without_actions_is_rejected() -> None:
    found = attach_actions(window(5.0, 5.4), track(np.arange(10) / 10))
    assert isinstance(found, RejectedWindow)
    assert (found.index, found.start_s, found.end_s) == (3, 5.0, 5.4)
    assert found.reason == "no_actions"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_window_with_an_action_that_is_no_number_is_rejected(bad: float) -> None:
    values = np.arange(10.0)
    values[4] = bad
    whole = track(np.arange(10) / 10, values=values)
    found = attach_actions(window(0.2, 0.5), whole)
    assert isinstance(found, RejectedWindow)
    assert found.reason == "nan_actions"
    assert numbers(attach_actions(window(0.5, 0.8), whole)) == [5, 6, 7]


def test_a_window_of_actions_checks_them() -> None:
    bare = window(0.0, 0.1)
    fields = {name: getattr(bare, name) for name in SkillWindow.__slots__}
    wrong: tuple[tuple[Any, Any], ...] = (
        (np.zeros((2, 1), np.float64), np.array([0.0, 0.1])),
        (np.zeros((2, 1), np.float32), np.array([0.0])),
        (np.zeros((2, 1), np.float32), np.array([0.1, 0.0])),
        (np.full((2, 1), np.nan, np.float32), np.array([0.0, 0.1])),
        (np.zeros((0, 1), np.float32), np.zeros(0)),
    )
    for actions, times_s in wrong:
        with pytest.raises(ContractError, match="ActionWindow"):
            ActionWindow(**fields, actions=actions, action_times_s=times_s)
