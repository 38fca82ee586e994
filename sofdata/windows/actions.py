"""Which actions of a demonstration belong to a window."""

from __future__ import annotations

import numpy as np

from sofdata.types import ActionTrack, ActionWindow, RejectedWindow, SkillWindow


def attach_actions(window: SkillWindow, track: ActionTrack) -> ActionWindow | RejectedWindow:
    """Give a window all actions whose time lies in [start_s, end_s), up to the track's tolerance.

    An action is recorded with the frame at which it is taken, so those of a window are the ones
    that lead from its first frame to its last; the action at the last frame leads on and is not
    among them. Both borders are moved back by `tolerance_s`, half the time between two actions, as
    action and frame times are rounded apart (LeRobot: float32 seconds on one side, ticks of the
    container on the other). So the choice is exact as long as the two clocks differ by less than
    that, and windows that abut share no action and lose none.

    A window without any action is rejected as "no_actions", one in which an action is missing or
    not finite as "nan_actions".
    """
    borders = np.array([window.start_s, window.end_s]) - track.tolerance_s
    first, end = np.searchsorted(track.times_s, borders)
    actions = track.values[first:end]
    if not len(actions):
        return _rejected(window, "no_actions")
    if not np.isfinite(actions).all():
        return _rejected(window, "nan_actions")
    return ActionWindow(
        index=window.index,
        flow=window.flow,
        pts_s=window.pts_s,
        first=window.first,
        last=window.last,
        cut=window.cut,
        motion=window.motion,
        quality=window.quality,
        actions=actions,
        action_times_s=track.times_s[first:end],
    )


def _rejected(window: SkillWindow, reason: str) -> RejectedWindow:
    return RejectedWindow(window.index, window.start_s, window.end_s, reason)
