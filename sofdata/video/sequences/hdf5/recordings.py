"""What was recorded together in an HDF5 file, and what is said of it: text, actions, states.

A recording is the nearest group above pictures that has actions (data/demo_0, or the whole file);
where there are none, the group in which the groups of observations and pictures lie.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.video.probe import Unusable
from sofdata.video.sequences.hdf5.fields import (
    attribute,
    first_texts,
    number,
    parsed,
    texts,
    upwards,
)
from sofdata.video.sequences.hdf5.files import find, translated
from sofdata.video.sequences.hdf5.numbers import numeric

ACTIONS = ("action", "actions")
# Names of groups that say what kind of thing lies in them, and not what was recorded.
_CONTAINERS = """
    obs observation observations images image rgb rgbs rgb_images color colors color_images
    cameras camera sensors sensor_data frames
"""
CONTAINERS = frozenset(_CONTAINERS.split())
TEXTS = (
    "language_instruction",
    "language_instructions",
    "instruction",
    "instructions",
    "language",
    "lang",
    "task_description",
    "task_goal",
    "prompt",
    "task",
)
# Of learners that keep all episodes one behind the other: whether a row is the last of one.
ENDS = ("terminals", "timeouts", "terminations", "truncations")
MOST_ROWS = 1 << 24  # of these
_OBSERVED = ("obs", "observations", "observation", "")
# What a robot says of itself, in this order; the first row of which there is anything counts.
STATES = (
    ("qpos",),  # ACT, ALOHA
    tuple(  # robosuite, as robomimic trains on them
        f"robot{arm}_{part}" for arm in range(4) for part in ("eef_pos", "eef_quat", "gripper_qpos")
    ),
    ("ee_states", "gripper_states", "joint_states"),  # LIBERO
    ("state",),
    ("proprio",),
)


@dataclass(frozen=True, slots=True)
class Numbers:
    """A dataset of numbers: its path in the recording, its shape, and the names it gives them."""

    name: str
    shape: tuple[int, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recording:
    """What is said of a recording.

    texts: what is done. env: the name of a simulated world. samples: how many steps it is said to
    have, -1 where nothing is said. ends: how many of its rows, but for the last one, are said to be
    the end of an episode. actions, states: where they are. other: names of further actions.
    compress: whether a recorder says that it compressed the pictures (ALOHA).
    """

    texts: tuple[str, ...]
    env: str
    samples: int
    ends: int
    actions: Numbers | None
    states: tuple[Numbers, ...]
    other: tuple[str, ...]
    compress: bool

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def recording_of(root: Any, path: str) -> str:
    """The path of the group of all that was recorded together with pictures; "" for the file."""
    parts = path.partition("*")[0].split("/")[:-1]
    for depth in range(len(parts), -1, -1):
        if _actions(root, "/".join(parts[:depth])):
            return "/".join(parts[:depth])
    while parts and parts[-1].lower() in CONTAINERS:
        parts.pop()
    return "/".join(parts)


def camera_of(path: str, recording: str) -> str:
    """What tells the pictures of a recording apart: "agentview_image", "base_camera"."""
    rest = path[len(recording) :].strip("/").split("/")
    told = [part for part in rest if part.lower() not in CONTAINERS and "*" not in part]
    return "/".join(told) or rest[0]


def about(root: Any, path: str) -> Recording:
    """What is said of a recording, by itself and by the groups in which it lies."""
    chain = [*upwards(root, path)]
    places = (find(root, f"{path}/{each}") for each in _OBSERVED if each)
    inside = [each for each in places if hasattr(each, "keys")]
    samples = number(attribute(chain[0], "num_samples"))
    return Recording(
        texts=tuple(_said([chain[0], *inside, *chain[1:]])),
        env=_env(chain),
        samples=-1 if samples is None else int(samples),
        ends=_ends(root, path),
        actions=_actions(root, path),
        states=_states(root, path),
        other=tuple(name for name in ("base_action",) if _numbers(root, path, name)),
        compress=bool(number(attribute(root, "compress"))),
    )


def _said(chain: list[Any]) -> list[str]:
    """What is done, as attributes, texts beside the pictures, or JSON in attributes say it."""
    if said := first_texts(chain, TEXTS):
        return said
    for found in chain:
        problem = parsed(attribute(found, "problem_info")).get("language_instruction")  # LIBERO
        episode = parsed(attribute(found, "ep_meta")).get("lang")  # RoboCasa
        for value in (problem, episode):
            words = " ".join(texts(value)).strip('" ')  # LIBERO's are a list of words at times
            if words:
                return [words]
    return []


def _env(chain: list[Any]) -> str:
    for found in chain:
        own = texts(attribute(found, "env_name")) or texts(attribute(found, "env"))
        said = own or texts(parsed(attribute(found, "env_args")).get("env_name"))
        if said:
            return said[0]
    return ""


def _ends(root: Any, path: str) -> int:
    """Rows before the last at which an episode ends; a flag that stays set ends one."""
    ends: NDArray[np.bool_] | None = None
    for name in ENDS:
        numbers = _numbers(root, path, name)
        if numbers is None or not prod(numbers.shape) == numbers.shape[0] <= MOST_ROWS:
            continue
        try:
            with translated(name):
                told = numeric(root, f"{path}/{name}")[...].ravel() != 0
        except Unusable:
            continue
        if ends is None or len(ends) == len(told):
            ends = told if ends is None else ends | told
    return 0 if ends is None else int((ends[:-1] & ~ends[1:]).sum())


def _actions(root: Any, path: str) -> Numbers | None:
    return next(filter(None, (_numbers(root, path, name) for name in ACTIONS)), None)


def _states(root: Any, path: str) -> tuple[Numbers, ...]:
    for place in _OBSERVED:
        for names in STATES:
            within = (f"{place}/{name}" if place else name for name in names)
            found = tuple(_all_numbers(root, path, within))
            if found:
                return found
    return ()


def _all_numbers(root: Any, path: str, names: Iterator[str]) -> Iterator[Numbers]:
    for name in names:
        if found := _numbers(root, path, name):
            yield found


def _numbers(root: Any, path: str, name: str) -> Numbers | None:
    """A dataset [M,...] of numbers, None where there is none."""
    found = find(root, f"{path}/{name}")
    shape = getattr(found, "shape", None)
    if not shape or found.dtype.kind not in "fiub":
        return None
    return Numbers(name, tuple(map(int, shape)), tuple(texts(attribute(found, "names"))))
