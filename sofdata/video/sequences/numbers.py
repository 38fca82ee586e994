"""Numbers that messages of robots hold: joints, velocities, poses and arrays, with their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import InputError

MOST_NAMES = 4096  # numbers in an action


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """An action, or a state. values: float32 [A], one for each name; NaN where one is missing."""

    names: tuple[str, ...]
    values: NDArray[np.float32]


class UnfitMessage(InputError):
    """A message of a type that may hold pictures or numbers, which holds none that can be used."""


def numbers_of(name: str, message: Any) -> Numbers:
    """The numbers of a parsed message of a type. Raises `UnfitMessage` where it holds none."""
    if name == "sensor_msgs/JointState":
        return _joints(message)
    if name.endswith("MultiArray"):
        return _array(message)
    for field in ("twist", "pose"):
        message = getattr(message, field, message)
    names = _paths(message)
    values = [_at(message, each) for each in names]
    with np.errstate(over="ignore"):
        return Numbers(names, np.array(values).astype(np.float32))


def _joints(message: Any) -> Numbers:
    """Positions, velocities and efforts of joints, those of the three that are there."""
    parts = [(kind, getattr(message, kind)) for kind in ("position", "velocity", "effort")]
    given = [(kind, values) for kind, values in parts if len(values)]
    joints = [str(name) for name in message.name]
    if not given or any(len(values) != len(joints) for _, values in given):
        counts = ", ".join(f"{len(values)} {kind}" for kind, values in parts)
        raise UnfitMessage(f"{len(joints)} joints have {counts}")
    alone = given[0][0] == "position" and len(given) == 1
    names = [name if alone else f"{name}.{kind}" for kind, _ in given for name in joints]
    return _checked(names, np.concatenate([values for _, values in given]))


def _array(message: Any) -> Numbers:
    values = message.data[int(message.layout.data_offset) :]
    return _checked([f"action_{number}" for number in range(len(values))], values)


def _checked(names: Sequence[str], values: NDArray[Any]) -> Numbers:
    if not names or len(names) > MOST_NAMES or len(set(names)) != len(names):
        raise UnfitMessage(f"{len(names)} numbers of {len(set(names))} names")
    with np.errstate(over="ignore"):
        return Numbers(tuple(names), np.asarray(values).astype(np.float32))


def _paths(message: Any, before: str = "") -> tuple[str, ...]:
    """The numbers in a message of parts, by name: linear.x, linear.y, ..."""
    found: list[str] = []
    for field in message.__dataclass_fields__:
        value = getattr(message, field)
        if hasattr(value, "__dataclass_fields__"):
            found += _paths(value, f"{before}{field}.")
        elif isinstance(value, float):
            found.append(f"{before}{field}")
    return tuple(found)


def _at(message: Any, path: str) -> float:
    for field in path.split("."):
        message = getattr(message, field)
    return float(message)
