"""A video as it passes: frames as they are decoded, and the steps of flow that windows hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.view.film import SAME_S
from sofdata.view.opened import Opened

COLUMNS = ("window", "start_s", "end_s", "text", "p99_px", "cut")

Frame = tuple[float, NDArray[np.uint8]]


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A step of a window: when it begins and ends, its flow [h,w,2], its place in the window.

    window: its row of the index, without the columns that a film has no use for. ends: the first or
    the last frame of the window as stored, where the step begins with the first or ends with the
    last one; else None.
    """

    at_s: float
    end_s: float
    flow: NDArray[np.float32]
    number: int
    steps: int
    window: dict[str, Any]
    first: NDArray[np.uint8] | None = None
    last: NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What is to be seen from a time on: a frame where one is shown then, a step if any window has
    one."""

    at_s: float
    rgb: NDArray[np.uint8] | None
    step: Step | None


def steps_of(opened: Opened, rows: Sequence[int]) -> Iterator[Step]:
    """The steps of a video's windows in the order of time, each once though windows overlap.

    rows: of the index, of one video. One sample is in memory at a time. Raises `InputError` for
    one that is damaged.
    """
    entries = opened.rows(rows, COLUMNS)
    order = sorted(range(len(rows)), key=lambda at: (entries[at]["start_s"], -entries[at]["end_s"]))
    until_s = -np.inf
    for at in order:
        sample = opened.sample(rows[at])
        pts_s, steps = sample.record.pts_s, len(sample.flow)
        for number, flow in enumerate(sample.flow):
            if pts_s[number] < until_s - SAME_S:
                continue  # an earlier window has it
            until_s = pts_s[number + 1]
            first = sample.first if number == 0 else None
            last = sample.last if number == steps - 1 else None
            place = (number, steps, entries[at], first, last)
            yield Step(pts_s[number], until_s, flow, *place)


def scenes(steps: Iterable[Step], frames: Iterable[Frame]) -> Iterator[Scene]:
    """Frames and steps as one stream; where neither is left after a step, nothing is shown of it.

    frames: none where the source is not reachable.
    """
    left, coming = iter(steps), iter(frames)
    step, frame = next(left, None), next(coming, None)
    ends_s: float | None = None
    while step is not None or frame is not None:
        at_s = min(step.at_s if step else np.inf, frame[0] if frame else np.inf)
        if ends_s is not None and ends_s < at_s - SAME_S:
            yield Scene(ends_s, None, None)
        rgb, now = None, None
        if frame is not None and frame[0] <= at_s + SAME_S:
            rgb, frame = frame[1], next(coming, None)
        if step is not None and step.at_s <= at_s + SAME_S:
            now, step = step, next(left, None)
        ends_s = now.end_s if now else None
        yield Scene(at_s, rgb, now)
    if ends_s is not None:
        yield Scene(ends_s, None, None)
