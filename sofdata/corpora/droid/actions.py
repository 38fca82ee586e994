"""The actions of DROID: which numbers of a step they are, and where those of an episode lie."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sofdata.corpora.droid.episodes import TRAJECTORY
from sofdata.corpora.droid.trajectories import Clock, Steps
from sofdata.corpora.entry import Entry
from sofdata.corpora.sequences import arrays
from sofdata.corpora.sequences.arrays import Layout, other_actions
from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location
from sofdata.types import STATE_NAME, ActionRef
from sofdata.video.sequences.place import SequencePlace

HZ = 15.0  # of the robot's steps, as DROID's documentation has it; times are read
APART_S = 60.0  # between the first frame and the first step: more is another clock
# As DROID's own RLDS version has them, in its order.
ACTIONS = (
    "action/cartesian_position",
    "action/cartesian_velocity",
    "action/gripper_position",
    "action/gripper_velocity",
    "action/joint_position",
    "action/joint_velocity",
)
STATES = (
    "observation/robot_state/cartesian_position",
    "observation/robot_state/gripper_position",
    "observation/robot_state/joint_positions",
)
HEADS = {array: array.rpartition("/")[2] for array in ACTIONS}
HEADS |= {array: STATE_NAME + array.rpartition("/")[2] for array in STATES}


def common_layout(tree: Tree, trajectories: Iterable[Steps | str], wanted: Sequence[str]) -> Layout:
    """The arrays of most episodes. Raises `ConfigError` where none has what is asked for."""
    kinds = [kind for kind in (ACTIONS, STATES) if set(kind) & set(wanted)]
    sizes = (each.sizes for each in trajectories if isinstance(each, Steps))
    return arrays.common_layout(tree, sizes, kinds, TRAJECTORY, "step")


def with_actions(
    entry: Entry, rel: str, steps: Steps | str, serial: str, layout: Layout, clock: Clock | None
) -> Entry:
    """An entry with the place of its actions, or as a reject.

    rel: of its trajectory. clock: of its frames, None for a constant rate.
    """
    if isinstance(steps, str) or steps.unread:
        why = steps if isinstance(steps, str) else f"{TRAJECTORY}: {steps.unread}"
        return replace(entry, problem="no_actions_file", detail=why)
    if steps.sizes != layout:
        return other_actions(entry, steps.sizes, layout)
    own = steps.clock(serial)
    if own is None or clock is None:
        detail = f"{TRAJECTORY} does not say when its steps were taken"
        return replace(entry, problem="no_times", detail=detail)
    apart_s = abs(own.first_ms - clock.first_ms) / 1000
    if apart_s > APART_S:
        detail = f"its frames and its steps begin {apart_s:.0f} s apart: their clocks are not one"
        return replace(entry, problem="other_clock", detail=detail)
    names = ",".join(layout)
    place = SequencePlace.of(
        "hdf5", "", arrays=names, times=own.path, unit="ms", origin=clock.first_ms
    )
    return replace(entry, actions=ActionRef(Location(rel).uri, place.text, 0.0, steps.count))
