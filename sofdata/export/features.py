"""What a row of an export to LeRobot holds, and the rows of a stretch.

`observation.state` and `action` are the names that lerobot's policies ask for; both are numbers of
the windows, and what they are here is said by the names of their dimensions and in the card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import ContractError
from sofdata.export.rows import FLOW_NAMES, Stretch, joined

if TYPE_CHECKING:
    import pyarrow as pa

    from sofdata.export.skills import Skills

Form = Literal["windows", "videos"]
Act = Literal["actions", "skill", "flow"]
CAMERA = "observation.images.video"
CAMERA_MOTION = ("camera_px", "camera_share", "residual_px")
ACTIVE = "active_share"


@dataclass(frozen=True, slots=True)
class Feature:
    """A column: numbers of one dtype, of which each has a name; one alone is no list."""

    dtype: str
    names: tuple[str, ...]

    @property
    def arrow(self) -> pa.DataType:
        import pyarrow as pa

        kind = pa.type_for_alias(self.dtype)
        return kind if len(self.names) == 1 else pa.list_(kind, len(self.names))

    def column(self, rows: NDArray[Any]) -> pa.Array:
        """Rows [M] or [M,D] as it stores them. Raises `ContractError` for another width."""
        import pyarrow as pa

        values = rows.astype(self.dtype).ravel()
        if values.size != len(rows) * len(self.names):
            raise ContractError(f"{list(rows.shape)} are no rows of {self.names}")
        if len(self.names) == 1:
            return pa.array(values)
        return pa.FixedSizeListArray.from_arrays(values, type=self.arrow)

    def info(self) -> dict[str, Any]:
        """As `meta/info.json` describes it."""
        return {"dtype": self.dtype, "shape": [len(self.names)], "names": list(self.names)}


@dataclass(frozen=True, slots=True, eq=False)
class RowPlan:
    """How stretches become rows.

    form: a row a window, or a row a sampled frame of the video. act: what `action` holds.
    skills: None without any. motion: names of the window's statistics. action_names: of the
    dataset's actions, and slots: how many of them a row has room for.
    """

    form: Form
    act: Act
    skills: Skills | None
    motion: tuple[str, ...]
    action_names: tuple[str, ...] = ()
    slots: int = 1

    def features(self) -> dict[str, Feature]:
        """All columns of numbers by name, but for those that every LeRobot dataset has."""
        found = {
            "observation.state": Feature("float32", tuple(f"before_{n}" for n in FLOW_NAMES)),
            "action": Feature("float32", self._action_names()),
            "flow.ahead": Feature("float32", FLOW_NAMES),
            "flow.window": Feature("float32", self.motion),
            "window.number": Feature("int64", ("number",)),
            "window.step": Feature("int64", ("step",)),
            "time_s": Feature("float64", ("time_s",)),
        }
        if self.skills is not None:
            kind = "int64" if self.skills.codebook else "float32"
            found[f"skill.{self.skills.column}"] = Feature(kind, _skill_names(self.skills, "token"))
        if self.action_names:
            found["given_actions"] = Feature("int64", ("number",))
        return found

    def _action_names(self) -> tuple[str, ...]:
        if self.act == "actions" and self.slots == 1:
            return self.action_names
        if self.act == "actions":
            return tuple(f"{name}_{n}" for n in range(self.slots) for name in self.action_names)
        if self.act == "skill":
            assert self.skills is not None
            return _skill_names(self.skills, "" if self.skills.levels else "token")
        return tuple(f"ahead_{name}" for name in FLOW_NAMES)


def _skill_names(skills: Skills, word: str) -> tuple[str, ...]:
    """One for each token, if they are to stand for themselves, else one for each number."""
    if word and skills.codebook:
        return tuple(f"{word}_{n}" for n in range(skills.points))
    return tuple(f"skill_{n}_{d}" for n in range(skills.points) for d in range(skills.dim))


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of a stretch.

    times_s: float64 [T], of the frame of each, in the video. texts: of each. numbers: [T] or [T,D]
    by column. beyond: actions for which a row had no room.
    """

    times_s: NDArray[np.float64]
    texts: tuple[str, ...]
    numbers: Mapping[str, NDArray[Any]]
    beyond: int


def rows_of(stretch: Stretch, plan: RowPlan) -> Rows:
    """The rows of a stretch, a window or a frame each."""
    windows, every_s = stretch.windows, stretch.times_s
    if plan.form == "windows":
        times_s = np.array([window.start_s for window in windows])
        ends_s = np.array([window.end_s for window in windows])
    else:
        times_s, ends_s = every_s, np.append(every_s[1:], every_s[-1])
    at = stretch.window_at(times_s)
    steps = stretch.steps(every_s)
    places = np.searchsorted(every_s, times_s)
    before = [
        joined(steps[start:end]) for start, end in zip([0, *places[:-1]], places, strict=True)
    ]
    ahead = _ahead(stretch, plan, steps)
    numbers: dict[str, NDArray[Any]] = {
        "observation.state": np.stack(before),
        "flow.ahead": ahead,
        "flow.window": _motion(stretch, plan)[at],
        "window.number": np.array([windows[n].number for n in at]),
        "window.step": np.array(
            [np.searchsorted(windows[n].pts_s, t) for n, t in zip(at, times_s, strict=True)]
        ),
        "time_s": times_s,
    }
    beyond = 0
    if plan.skills is not None:
        skill = np.stack([window.skill for window in windows if window.skill is not None])[at]
        numbers[f"skill.{plan.skills.column}"] = skill
    if plan.action_names:
        taken, numbers["given_actions"], beyond = _actions(stretch, times_s, ends_s, plan)
    if plan.act == "actions":
        numbers["action"] = taken
    elif plan.act == "skill":
        assert plan.skills is not None
        numbers["action"] = _spread(skill, plan.skills)
    else:
        numbers["action"] = ahead
    return Rows(times_s, tuple(windows[n].text for n in at), numbers, beyond)


def _spread(skill: NDArray[Any], skills: Skills) -> NDArray[Any]:
    """Skills as numbers of which near ones are alike, as far as that is known of them."""
    return skills.centred(skill) if skills.levels else skill


def _ahead(stretch: Stretch, plan: RowPlan, steps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Statistics of the flow of a row's window, or of the step from its frame: [T,5]."""
    if plan.form == "windows":
        return np.stack([joined(window.steps) for window in stretch.windows])
    return np.concatenate([steps, np.zeros_like(steps[:1])])


def _motion(stretch: Stretch, plan: RowPlan) -> NDArray[np.float32]:
    rows = [[window.motion.get(name, 0.0) for name in plan.motion] for window in stretch.windows]
    return np.array(rows, np.float32)


def _actions(
    stretch: Stretch, times_s: NDArray[np.float64], ends_s: NDArray[np.float64], plan: RowPlan
) -> tuple[NDArray[np.float32], NDArray[np.int64], int]:
    """The actions of each row, [T,slots*A]; how many those are; and those for which is no room.

    They are those of the row's window, or those from its frame to the next. Free slots repeat the
    last of them, or else of the rows before.
    """
    taken_s, values = stretch.actions()
    half_s = np.diff(taken_s).min(initial=np.inf) / 2 if len(taken_s) > 1 else 0.0
    starts, ends = (np.searchsorted(taken_s, each - half_s) for each in (times_s, ends_s))
    rows, counts = [], np.minimum(ends - starts, plan.slots)
    for start, count in zip(starts, counts, strict=True):
        last = max(0, start + count - 1)
        chosen = [*range(start, start + count), *[last] * (plan.slots - count)]
        rows.append(values[np.minimum(chosen, len(values) - 1)].ravel())
    return np.stack(rows), counts, int((ends - starts - counts).sum())
