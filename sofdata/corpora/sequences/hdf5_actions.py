"""Actions of HDF5 files: which of them a dataset has, and those of one recording.

robomimic and LIBERO keep them as `actions`, ACT and ALOHA as `action`, a row for each picture of
the recording; where there is one picture more (ManiSkill), it was taken after the last action. They
are on the clock of the pictures.

The robot's own state, where it is asked for, is what `STATES` lists in
`sofdata.video.sequences.hdf5.recordings`, joined in that order: `qpos`; or of each arm
`robotN_eef_pos`, `robotN_eef_quat`, `robotN_gripper_qpos`; or `ee_states`, `gripper_states`,
`joint_states`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sofdata.corpora.base import counted
from sofdata.corpora.entry import Entry
from sofdata.corpora.sequences.hdf5_looks import FoundNumbers, Listed
from sofdata.errors import ConfigError
from sofdata.types import STATE_NAME, ActionRef, ActionSpec
from sofdata.video.sequences.place import SequencePlace

SAME_RATE = 0.05  # share by which rates that come of times may differ
ONE_MORE = "recording has a picture more than actions; it was taken after the last one"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The entries of a listing with their actions, what these are, and sentences on them."""

    entries: list[Entry]
    spec: ActionSpec
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Actions:
    """Those of one sequence: the datasets, and what they are together."""

    parts: tuple[FoundNumbers, ...]
    spec: ActionSpec


def choose_actions(source: str, listed: Sequence[Listed], with_state: bool) -> Chosen:
    """Those that most recordings have; others, and such as have none, become rejects.

    source: what it is called in messages.

    Raises `ConfigError` where no recording has actions, or states where these are asked for.
    """
    found = [_actions(each, with_state) for each in listed]
    spec = _most_common(source, found, with_state)
    entries = [_entry(one, actions, spec) for one, actions in zip(listed, found, strict=True)]
    more = [
        one.entry.id
        for one, actions in zip(listed, found, strict=True)
        if isinstance(actions, _Actions) and actions.parts[0].rows == one.sequence.steps - 1
    ]
    other = [one.entry.id for one in listed if one.recording.other]
    notes = [counted(more, ONE_MORE)] if more else []
    if other:
        notes.append(counted(other, "base_action lies beside the actions, and is left out"))
    return Chosen(entries, spec, tuple(notes))


def _actions(one: Listed, with_state: bool) -> _Actions | tuple[str, str]:
    """Those of a sequence, or reason and detail of why it has none."""
    recording, sequence = one.recording, one.sequence
    count = sequence.steps if one.fps else sequence.count  # of a picture that is missing, too
    if recording.actions is None:
        return "no_actions", f"there are no actions beside {sequence.path}"
    if with_state and not recording.states:
        return "no_actions", f"there is no state of the robot beside {sequence.path}"
    parts = (recording.actions, *(recording.states if with_state else ()))
    rows = {part.rows for part in parts}
    fits = (count, count - 1) if one.fps and not with_state else (count,)
    if len(rows) > 1 or not rows <= set(fits):
        told = ", ".join(f"{part.rows} of {part.name}" for part in parts)
        missing = f", {count - sequence.count} of them missing" if count > sequence.count else ""
        return "other_length", f"{told} for {count} pictures of {sequence.path}{missing}"
    names = [*recording.actions.named()]
    for part in parts[1:]:
        names += [f"{STATE_NAME}{name}" for name in part.named()]
    fps = one.fps or (count / sequence.lasts_s if sequence.lasts_s else 0.0)
    if not fps or not names:
        return "no_actions", f"{recording.actions.name} is {recording.actions.shape}"
    return _Actions(parts, ActionSpec(tuple(names), fps))


def _most_common(
    source: str, found: Sequence[_Actions | tuple[str, str]], with_state: bool
) -> ActionSpec:
    specs = [each.spec for each in found if isinstance(each, _Actions)]
    if specs:
        (names, _), *_ = Counter(spec.names for spec in specs).most_common()
        rates = [spec.fps for spec in specs if spec.names == names]
        (rate, often), *_ = Counter(rates).most_common()
        usual = rate if 2 * often > len(rates) else sorted(rates)[len(rates) // 2]
        return ActionSpec(names, usual)
    reasons = [each[1] for each in found if not isinstance(each, _Actions)]
    what = "actions and states of the robot" if with_state else "actions"
    why = f": {reasons[0]}" if reasons else ""
    raise ConfigError(
        f"{source} holds no pictures with {what} (datasets called action or actions){why}; "
        "leave out --with-actions to use the pictures alone"
    )


def _entry(one: Listed, actions: _Actions | tuple[str, str], spec: ActionSpec) -> Entry:
    entry = one.entry
    if entry.problem:
        return entry
    if not isinstance(actions, _Actions):
        return replace(entry, span_s=None, problem=actions[0], detail=actions[1])
    if why := _differs(actions.spec, spec, one.fps is None):
        return replace(entry, span_s=None, problem="other_actions", detail=why)
    names = ",".join(part.name for part in actions.parts)
    place = SequencePlace.of("hdf5", one.sequence.recording, arrays=names, **one.clock)
    ref = ActionRef(one.item.uri, place.text, 0.0, actions.parts[0].rows)
    return replace(entry, actions=ref)


def _differs(own: ActionSpec, spec: ActionSpec, by_times: bool) -> str:
    """Why actions are not those of the dataset, "" where they are."""
    if own.names != spec.names:
        shown = ", ".join(own.names)[:200]
        return f"its actions are {own.dimension} ({shown}), those of most are {spec.dimension}"
    if not math.isclose(own.fps, spec.fps, rel_tol=SAME_RATE if by_times else 1e-9):
        return f"its actions come {own.fps:g} times a second, those of most {spec.fps:g} times"
    return ""
