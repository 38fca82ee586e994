"""The actions of a dataset: which features hold them, and what their numbers are called.

Most datasets have one feature, `action`. Open X-Embodiment's first ones keep parts of an action
apart (`action/world_vector`, `action/rotation_delta`, `action/open_gripper`): all that are numbers
are joined, in the order of features.json. Where it is asked for, the robot's own state follows.

By the rules of RLDS the action of the step that `is_last` marks means nothing: it is left out. No
window of actions is shorter for it, since the action at a window's last frame is never in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sofdata.corpora.sequences.rlds.features import Feature
from sofdata.corpora.sequences.rlds.layout import Layout, size_of
from sofdata.types import STATE_NAME

ACTIONS = ("action", "actions", "action_dict")
STATES = ("observation/state", "observation/proprio", "observation/robot_state")
# DROID has its state in parts, beside pictures.
STATE_PARTS = (
    "observation/cartesian_position",
    "observation/joint_position",
    "observation/joint_positions",
    "observation/gripper_position",
)
_NUMBERS = ("float16", "float32", "float64", "bfloat16", "bool")
_WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")


@dataclass(frozen=True, slots=True)
class ActionColumns:
    """Features whose numbers are joined. names: of the numbers. left_out: of features beside."""

    columns: tuple[Feature, ...]
    names: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """For the option `columns` of a place."""
        lines = [f"{size_of(each)} {each.coding} {each.dtype} {each.name}" for each in self.columns]
        return "\n".join(lines)


def find_actions(layout: Layout, group: str) -> ActionColumns | None:
    """The actions of the steps of a list; None where there are none that are numbers."""
    for name in ACTIONS:
        found, others = _numbers(layout, group, name)
        if found:
            rest = [other for other in ACTIONS if other != name]
            more = [
                each.short_name for each in layout.features.values() if _inside(each, group, rest)
            ]
            return ActionColumns(tuple(found), _names(found, name, "action_"), (*others, *more))
    return None


def find_state(layout: Layout, group: str) -> ActionColumns | None:
    """The robot's own state beside the actions; None where there is none."""
    for name in STATES:
        found, _ = _numbers(layout, group, name)
        if found:
            return ActionColumns(tuple(found), _of_state(_names(found, name, "")))
    parts = [each for name in STATE_PARTS for each in _numbers(layout, group, name)[0]]
    if not parts:
        return None
    return ActionColumns(tuple(parts), _of_state(_names(parts, "observation", "")))


def _of_state(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{STATE_NAME}{name}" for name in names)


def _inside(feature: Feature, group: str, names: Sequence[str]) -> bool:
    own = feature.short_name
    return feature.group == group and any(
        own == name or own.startswith(f"{name}/") for name in names
    )


def _numbers(layout: Layout, group: str, name: str) -> tuple[list[Feature], list[str]]:
    """The features of a name or below it that are numbers, and the names of the others."""
    inside = [each for each in layout.features.values() if _inside(each, group, [name])]
    found = [each for each in inside if _fits(each)]
    return found, [each.short_name for each in inside if each not in found]


def _fits(feature: Feature) -> bool:
    packed = feature.coding == "none"
    readable = feature.dtype in (*_NUMBERS, *_WHOLE) and (packed or feature.dtype != "bfloat16")
    plain = feature.kind == "tensor" and feature.depth == 1
    return plain and readable and "\n" not in feature.name and 0 < size_of(feature) <= 4096


def _names(columns: Sequence[Feature], top: str, plain: str) -> tuple[str, ...]:
    """A name for each number: action_0, ... of one feature, world_vector_0, ... of several."""
    if len(columns) == 1 and columns[0].short_name == top:
        return tuple(f"{plain}{number}" for number in range(size_of(columns[0])))
    names: list[str] = []
    for each in columns:
        own, size = each.short_name.removeprefix(f"{top}/"), size_of(each)
        names += [own] if size == 1 else [f"{own}_{number}" for number in range(size)]
    if len(set(names)) < len(names):  # parts called a_0 and a, say
        names = [f"{top}_{number}" for number in range(len(names))]
    return tuple(names)
