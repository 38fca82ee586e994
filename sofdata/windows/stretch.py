"""One stretch of a video, cut into windows as its steps come."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sofdata.types import Picture, RejectedWindow, SkillWindow
from sofdata.windows.config import WindowConfig
from sofdata.windows.cuts import Piece, make_cutter
from sofdata.windows.motion import CAMERA_FIELDS, flow_statistics, rounded
from sofdata.windows.quality import window_quality
from sofdata.windows.steps import Step
from sofdata.windows.texture import seen_motion

Outcome = SkillWindow | RejectedWindow


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A frame, and when it is shown, s."""

    picture: Picture
    pts_s: float


class Taker(Protocol):
    """Takes the steps of a stretch, each with the frame after it, and gives its windows."""

    def add(self, step: Step, shown: Shown) -> Iterator[Outcome]: ...
    def end(self) -> Iterator[Outcome]: ...


class Stretch:
    """Cuts a stretch into windows, and says of each whether it is kept.

    numbers: of the windows, in the order in which they end. cut: why the stretch begins.
    start: its first frame.
    """

    def __init__(
        self, config: WindowConfig, numbers: Iterator[int], cut: str, start: Shown
    ) -> None:
        self._config, self._numbers, self._cut = config, numbers, cut
        self._cutter = make_cutter(config)
        self._taken = 0
        # What a window still to come may need: the frame before its first step, and the steps.
        self._steps: deque[Step] = deque(maxlen=self._cutter.reach)
        self._shown: deque[Shown] = deque([start], maxlen=self._cutter.reach + 1)

    def add(self, step: Step, shown: Shown) -> Iterator[Outcome]:
        """See `Taker`."""
        self._steps.append(step)
        self._shown.append(shown)
        self._taken += 1
        yield from map(self._window, self._cutter.push(step))

    def end(self) -> Iterator[Outcome]:
        """See `Taker`. A stretch of less than `min_steps` steps is one reject."""
        if self._taken < self._config.min_steps:
            yield self._reject("too_short", self._shown[0], self._shown[-1])
        else:
            yield from map(self._window, self._cutter.end())

    def _window(self, piece: Piece) -> Outcome:
        """A piece as a window or a reject."""
        first = piece.begin - self._taken + len(self._steps)
        end = first + piece.end - piece.begin
        steps, shown = list(self._steps)[first:end], list(self._shown)[-len(self._steps) - 1 :]
        shown = shown[first : end + 1]
        statistics = flow_statistics(
            np.stack([step.magnitude for step in steps]), self._config.active_px
        )
        if statistics["p99_px"] < self._config.static_px:
            return self._reject("static", shown[0], shown[-1])
        if seen_motion([step.evidence for step in steps]) < self._config.min_texture:
            return self._reject("no_texture", shown[0], shown[-1])
        return SkillWindow(
            index=next(self._numbers),
            flow=np.stack([step.flow for step in steps]),
            pts_s=np.array([each.pts_s for each in shown]),
            first=shown[0].picture,
            last=shown[-1].picture,
            cut=piece.cut or self._cut,
            motion=statistics | _camera(steps),
            quality=window_quality([step.quality for step in steps]),
        )

    def _reject(self, reason: str, first: Shown, last: Shown) -> RejectedWindow:
        return RejectedWindow(next(self._numbers), first.pts_s, last.pts_s, reason)


def _camera(steps: Sequence[Step]) -> dict[str, float]:
    """Means of the camera's statistics over steps; none where it is off."""
    figures = [step.camera for step in steps if step.camera is not None]
    if not figures:
        return {}
    means = np.ascontiguousarray(np.array(figures).T).mean(axis=1)
    return dict(zip(CAMERA_FIELDS, map(rounded, means), strict=True))
