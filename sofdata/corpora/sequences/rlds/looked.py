"""What the look into a shard says, checked: it comes of a file that nobody vouches for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sofdata.video.sequences.rlds.steps import Part

Reason = tuple[str, str]  # of a reject, and its detail


@dataclass(frozen=True, slots=True)
class Times:
    """The feature that tells when the steps were.

    unit_s: seconds in one of its numbers. fps: usual steps a second. last_s, rows: of each part the
    latest, and how many rows of numbers it has. all_s: of each step, or nothing where they are not
    needed. All from the first step of a part on.
    """

    name: str
    unit_s: float
    fps: float
    last_s: tuple[float, ...]
    rows: tuple[int, ...]
    all_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of one list of a record.

    texts: by feature, (step, text) where it changes. lacks: why pictures cannot be had, by feature.
    """

    count: int
    parts: tuple[Part, ...]
    texts: Mapping[str, tuple[tuple[int, str], ...]]
    times: Times | None
    lacks: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """A record. alone: values of the whole episode by feature."""

    at: int
    size: int
    wrong: Reason | None
    alone: Mapping[str, str | float | None]
    steps: Mapping[str, Steps]


def found_in(look: Any) -> tuple[list[Found], Reason | None]:
    """The records of a shard, and why there are no more, if there should be.

    Raises `ValueError` for what no look says.
    """
    try:
        return [_found(each) for each in look["episodes"]], _reason(look["wrong"])
    except (ArithmeticError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no look into a shard: {error!r}") from None


def _found(told: dict[str, Any]) -> Found:
    at, size, wrong = int(told["at"]), int(told["bytes"]), _reason(told["wrong"])
    if at < 0 or size < 0:
        raise ValueError("a record lies nowhere")
    if wrong:
        return Found(at, size, wrong, {}, {})
    alone = {str(name): _value(value) for name, value in told["alone"].items()}
    return Found(at, size, None, alone, {k: _steps(v) for k, v in told["groups"].items()})


def _steps(told: dict[str, Any]) -> Steps:
    count = int(told["steps"])
    parts = tuple(Part(int(first), int(end), bool(last)) for first, end, last in told["parts"])
    edges = [edge for part in parts for edge in (part.first, part.end)]
    if edges != sorted(edges) or edges[:1] != [0] or edges[-1:] != [count]:
        raise ValueError(f"{edges[:9]} are no parts of {count} steps")
    texts = {str(name): _runs(runs, count) for name, runs in told["texts"].items()}
    lacks = {str(name): str(why) for name, why in told["lacks"].items()}
    return Steps(count, parts, texts, _times(told["times"], parts), lacks)


def _runs(told: Any, count: int) -> tuple[tuple[int, str], ...]:
    runs = tuple((int(at), str(text)) for at, text in told)
    steps = [at for at, _ in runs]
    if steps != sorted(set(steps)) or not all(0 <= at < count for at in steps):
        raise ValueError("texts of steps that are not there")
    return runs


def _times(told: Any, parts: tuple[Part, ...]) -> Times | None:
    if told is None:
        return None
    times = Times(
        name=str(told["name"]),
        unit_s=float(told["unit"]),
        fps=float(told["fps"]),
        last_s=tuple(map(float, told["last_s"])),
        rows=tuple(map(int, told["rows"])),
        all_s=tuple(map(float, told["all"])),
    )
    since_s = (*times.last_s, *times.all_s)
    if not all(map(math.isfinite, (times.unit_s, times.fps, *since_s))):
        raise ValueError("times that are none")
    if min(times.unit_s, times.fps) <= 0 or min(since_s, default=0) < 0:
        raise ValueError("times that are none")
    if not len(times.last_s) == len(times.rows) == len(parts):
        raise ValueError("times of other episodes")
    if len(times.all_s) not in (0, parts[-1].end):
        raise ValueError("times of other steps")
    if not all(0 <= n <= p.end - p.first for n, p in zip(times.rows, parts, strict=True)):
        raise ValueError("more rows than steps")
    return times


def _value(told: Any) -> str | float | None:
    if told is None or isinstance(told, str | int | float):
        return told
    raise ValueError(f"{told!r:.60} is no value of an episode")


def _reason(told: Any) -> Reason | None:
    return None if told is None else (str(told[0]), str(told[1]))
