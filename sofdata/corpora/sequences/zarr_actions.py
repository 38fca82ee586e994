"""The actions of Zarr stores: the array `action` beside the pictures, and the robot's state.

No store says what the numbers of a row are called: they are action_0, action_1, ..., and those of a
state the name of its array with a number. UMI's stores have no actions: a policy's actions are made
of the poses in them by whoever trains it, so that there is nothing to store as one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sofdata.corpora.sequences import tracks
from sofdata.corpora.sequences.looking import rows_in
from sofdata.corpora.sequences.zarr_found import Found
from sofdata.corpora.sequences.zarr_stores import some_files
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location
from sofdata.types import STATE_NAME, ActionRef, ActionSpec, ActionTrack
from sofdata.video.sequences.base import Rows
from sofdata.video.sequences.place import SequencePlace

CLOCK = ("start", "end", "fps", "times", "unit")  # options of pictures that hold for actions, too
MORE = "\n"  # as `sofdata.video.sequences.zarr` parts paths
SAME_RATE = 0.05  # by which the rates of two recordings may differ that count as one


def spec_of(found: Found, fps: float, with_state: bool) -> ActionSpec:
    """What a row of a recording's actions is."""
    ((_, size),) = found.actions
    names = [f"action_{number}" for number in range(size)]
    for path, size in found.states if with_state else ():
        name = path.rpartition("/")[2]
        own = [name] if size == 1 else [f"{name}_{number}" for number in range(size)]
        names += [f"{STATE_NAME}{each}" for each in own]
    return ActionSpec(tuple(names), fps)


def usual_spec(specs: Sequence[ActionSpec]) -> ActionSpec:
    """The one that most recordings have; of equals the first. specs: one at least."""
    counts = Counter(spec.names for spec in specs)
    names = max(counts, key=lambda each: counts[each])
    rates = Counter(spec.fps for spec in specs if spec.names == names)
    return ActionSpec(names, max(rates, key=lambda each: rates[each]))


def difference(spec: ActionSpec, usual: ActionSpec) -> str:
    """Why actions cannot be stored among those of `usual`, "" where they can."""
    if spec.names != usual.names:
        return f"its actions are {_brief(spec)}; those of most are {_brief(usual)}"
    if abs(spec.fps - usual.fps) > SAME_RATE * usual.fps:
        return f"it has {spec.fps:g} actions a second; most have {usual.fps:g}"
    return ""


def _brief(spec: ActionSpec) -> str:
    return f"{spec.dimension} numbers ({', '.join(spec.names)})"[:200]


def ref_of(found: Found, where: Location, place: SequencePlace, with_state: bool) -> ActionRef:
    """Where the actions lie. place: of the pictures, whose rows and times they have."""
    more = MORE.join(path for path, _ in found.states) if with_state and found.states else None
    kept = {key: value for key, value in place.options if key in CLOCK}
    part = SequencePlace.of("zarr", found.actions[0][0], **kept, more=more)
    return ActionRef(where.uri, part.text, 0.0, found.end - found.start)


def no_actions(tree: Tree, poses: bool) -> ConfigError:
    """The error for stores without any. poses: whether they hold those of UMI."""
    what = f"the Zarr stores in {tree.name} have no array 'action' beside their pictures"
    if poses:
        what += (
            ": UMI's keep poses of the gripper (robot0_eef_pos, ...), which are states; actions "
            "are made of them where a policy is trained"
        )
    return ConfigError(f"{what}; leave out --with-actions to use the pictures alone")


def read_track(tree: Tree, ref: ActionRef, spec: ActionSpec) -> ActionTrack:
    """Raises `ActionError` where they cannot be read or do not fit."""
    return tracks.read_track(tree, ref, spec, _rows)


def _rows(tree: Tree, where: Location, place: SequencePlace) -> Rows:
    """Those of a place; of a remote folder its arrays alone are fetched."""
    if tree.is_on_disk(where) or not where.is_folder:
        return rows_in(tree, where, place)
    from sofdata.video.sequences.isolated import own_reader

    paths = [place.name, place.get("times"), *place.get("more").split(MORE)]
    wanted = tuple(f"{path}/" for path in paths if path)
    with some_files(tree, where, lambda rel: rel.startswith(wanted)) as copy:
        return own_reader().rows(copy, place)
