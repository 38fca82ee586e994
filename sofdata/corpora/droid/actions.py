"""The actions of DROID: which numbers of a step they are, and where those of an episode lie."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sofdata.corpora.droid.episodes import TRAJECTORY
from sofdata.corpora.droid.trajectories import Clock, Steps
from sofdata.corpora.entry import Entry
from sofdata.corpora.sequences.arrays import Layout, most_common, told
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location
from sofdata.types import STATE_NAME, ActionRef
from sofdata.video.sequences.place import SequencePlace

HZ = 15.0  # of the robot's steps, as DROID's documentation has it; times are read
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


def common_layout(tree: Tree, trajectories: Iterable[Steps | str], arrays: Sequence[str]) -> Layout:
    """The arrays of most episodes. Raises `ConfigError` where none has what is asked for."""
    wanted = [kind for kind in (ACTIONS, STATES) if set(kind) & set(arrays)]
    found = most_common(
        each.sizes
        for each in trajectories
        if isinstance(each, Steps) and all(set(kind) & each.sizes.keys() for kind in wanted)
    )
    if found is None:
        names = " and ".join(f"{kind[0]}, ..." for kind in wanted)
        raise ConfigError(
            f"no {TRAJECTORY} in {tree.name} has {names} for each step; leave out --with-actions "
            "to use the videos alone"
        )
    return found


def with_actions(
    entry: Entry, rel: str, steps: Steps | str, serial: str, layout: Layout, clock: Clock | None
) -> Entry:
    """An entry with the place of its actions, or as a reject.

    rel: of its trajectory. clock: of its frames, None for a constant rate.
    """
    if isinstance(steps, str):
        return replace(entry, problem="no_actions_file", detail=steps)
    if steps.sizes != layout:
        detail = f"its actions are {told(steps.sizes)}; those of most episodes {told(layout)}"
        return replace(entry, problem="other_actions", detail=detail)
    own = steps.clock(serial)
    if own is None or clock is None:
        detail = f"{TRAJECTORY} does not say when its steps were taken"
        return replace(entry, problem="no_times", detail=detail)
    arrays = ",".join(layout)
    place = SequencePlace.of(
        "hdf5", "", arrays=arrays, times=own.path, unit="ms", origin=clock.first_ms
    )
    return replace(entry, actions=ActionRef(Location(rel).uri, place.text, 0.0, steps.count))
