"""Windows: the flow of a video, fed chunk by chunk, cut into pieces of fixed length.

    windower = Windower(config)
    for frames, flow, breaks in chunks:
        steps = make_steps(frames, flow, breaks, config)
        yield from windower.push(frames, steps, breaks)
    yield from windower.close()

Holds no more than `length` steps and their frames at a time, however long the video is, and gives
the same windows however the video was split into chunks.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np

from sofdata.errors import ContractError
from sofdata.types import FlowClip, Frames, Picture, Pictures, RejectedWindow, SkillWindow
from sofdata.windows.config import WindowConfig
from sofdata.windows.motion import CAMERA_FIELDS, flow_statistics, rounded
from sofdata.windows.steps import Step, reduced_steps
from sofdata.windows.texture import seen_motion

BREAKS = ("", "shot", "gap", "redacted", "text", "gradual")
Outcome = SkillWindow | RejectedWindow


def make_steps(
    frames: Frames, flow: FlowClip, breaks: Sequence[str], config: WindowConfig
) -> list[Step | None]:
    """What the windower needs of each step; None for a break, whose flow is not looked at.

    frames: T frames. flow: the T - 1 steps between them, at any resolution. breaks: as of `push`.
    Nothing of one step depends on another: most of the work of cutting windows is done here.
    Raises `ContractError` when these do not fit together.
    """
    check_fit(frames, len(flow), breaks)
    made: list[Step | None] = []
    for is_break, run in itertools.groupby(breaks, lambda reason: reason != ""):
        first, end = len(made), len(made) + len(list(run))
        if is_break:
            made += [None] * (end - first)
        else:
            made += reduced_steps(flow.flow[first:end], config, frames.rgb[first : end + 1])
    return made


def check_fit(frames: Pictures, steps: int, breaks: Sequence[str]) -> None:
    """Raise `ContractError` unless frames, steps and breaks fit together."""
    if not len(frames) - 1 == steps == len(breaks):
        raise ContractError(
            f"{len(frames)} frames need {len(frames) - 1} steps and breaks, got {steps} and "
            f"{len(breaks)}"
        )
    unknown = set(breaks) - set(BREAKS)
    if unknown:
        raise ContractError(f"a break is one of {BREAKS}, got {sorted(unknown)}")


class Windower:
    """Cuts one video into windows.

    A stretch is what lies between two breaks. Windows of `length` steps start at its multiples of
    `stride`; where the last of them does not reach the stretch's end, one more is cut that does, so
    that every step lies in a window. A stretch shorter than `length` is one short window, or, below
    `min_steps`, one `RejectedWindow` "too_short". With `tail` "mask", windows start at every
    multiple of `stride`, and those for which fewer than `length` steps are left are short.

    A window whose stored flow hardly moves is a `RejectedWindow` "static"; one that moves, but
    whose frames hold too little texture to see it, "no_texture", however short it is. All of these
    are numbered in the order in which they end, and those that end together as they begin. Steps in
    a row in which a shot changes gradually to the next one are a `RejectedWindow` "gradual".
    """

    def __init__(self, config: WindowConfig) -> None:
        self._config = config
        self._count = 0  # candidates so far
        self._cut = "start"
        self._taken = 0  # steps of this stretch so far
        self._covered = 0  # steps of this stretch that lie in a window already
        self._gradual_s: tuple[float, float] | None = None  # of the change that is under way
        # What a window still to come may need: the frame before the first step, and the steps.
        self._steps: deque[Step] = deque(maxlen=config.length)
        self._frames: deque[Picture] = deque(maxlen=config.length + 1)
        self._pts_s: deque[float] = deque(maxlen=config.length + 1)

    def push(
        self, frames: Pictures, steps: Sequence[Step | None], breaks: Sequence[str]
    ) -> Iterator[Outcome]:
        """Take a chunk and give the windows that it completes; go through all before the next push.

        frames: T frames; the first is the last one of the chunk before.
        steps: the T - 1 steps between them, as `make_steps` gives them; None for a break.
        breaks: for each step "", or why no window may hold it (`BREAKS`). One that leaps over
            redacted frames is a rejected window itself, and so are all "gradual" ones in a row.
        Raises `ContractError` when the chunk does not fit together or does not follow the last.
        """
        self._check(frames, steps, breaks)
        if not self._frames:
            self._begin_stretch("start", frames, 0)
        for number, (step, reason) in enumerate(zip(steps, breaks, strict=True)):
            if reason == "gradual":
                yield from self._enter_gradual(frames, number)
                continue
            yield from self._leave_gradual(frames, number)
            if step is None:
                yield from self._end_stretch()
                if reason == "redacted":
                    before_s, after_s = frames.pts_s[number : number + 2].tolist()
                    yield RejectedWindow(self._number(), before_s, after_s, reason)
                self._begin_stretch(reason, frames, number + 1)
            else:
                self._steps.append(step)
                self._add_frame(frames, number + 1)
                self._taken += 1
                yield from self._full_window()

    def close(self) -> Iterator[Outcome]:
        """Give what the end of the video completes. Nothing may be pushed afterwards."""
        if self._gradual_s is not None:
            yield self._gradual_change(*self._gradual_s)
        else:
            yield from self._end_stretch()
        self._frames.clear()
        self._pts_s.clear()

    def _check(self, frames: Pictures, steps: Sequence[Step | None], breaks: Sequence[str]) -> None:
        check_fit(frames, len(steps), breaks)
        if [step is None for step in steps] != [reason != "" for reason in breaks]:
            raise ContractError("there is a step wherever there is no break, and nowhere else")
        if self._pts_s and self._pts_s[-1] != frames.pts_s[0]:
            raise ContractError(
                f"a chunk must begin with the last frame of the one before, at {self._pts_s[-1]} "
                f"s; it begins at {frames.pts_s[0]} s"
            )

    def _enter_gradual(self, frames: Pictures, number: int) -> Iterator[Outcome]:
        """Take a step in which one shot becomes another; all of them in a row are one reject."""
        begin_s, end_s = frames.pts_s[number : number + 2].tolist()
        if self._gradual_s is not None:
            begin_s = self._gradual_s[0]
        elif self._taken:
            yield from self._end_stretch()
        self._gradual_s = begin_s, end_s
        self._add_frame(frames, number + 1)  # the next chunk is to begin with it

    def _leave_gradual(self, frames: Pictures, number: int) -> Iterator[Outcome]:
        if self._gradual_s is not None:
            yield self._gradual_change(*self._gradual_s)
            self._gradual_s = None
            self._begin_stretch("gradual", frames, number)

    def _gradual_change(self, begin_s: float, end_s: float) -> RejectedWindow:
        return RejectedWindow(self._number(), begin_s, end_s, "gradual")

    def _begin_stretch(self, cut: str, frames: Pictures, first: int) -> None:
        self._cut, self._taken, self._covered = cut, 0, 0
        self._steps.clear()
        self._frames.clear()
        self._pts_s.clear()
        self._add_frame(frames, first)

    def _add_frame(self, frames: Pictures, number: int) -> None:
        self._frames.append(frames.picture(number))
        self._pts_s.append(float(frames.pts_s[number]))

    def _full_window(self) -> Iterator[Outcome]:
        begun = self._taken - self._config.length
        if begun >= 0 and begun % self._config.stride == 0:
            yield self._window(self._config.length)

    def _end_stretch(self) -> Iterator[Outcome]:
        """Cut what the stretch still holds; the steps kept are its last `length` ones."""
        if not self._frames:
            return
        if self._taken < self._config.min_steps:
            yield self._reject("too_short", self._taken)
        elif self._config.tail == "mask":
            yield from map(self._window, self._tails())
        elif self._covered < self._taken:
            yield self._window(len(self._steps))

    def _tails(self) -> Iterator[int]:
        """Steps that are left at each multiple of `stride` where they do not fill a window."""
        length, stride = self._config.length, self._config.stride
        first = max(0, (self._taken - length) // stride * stride + stride)
        return (self._taken - start for start in range(first, self._taken, stride))

    def _window(self, number: int) -> Outcome:
        """The last `number` steps of the stretch, of those kept, as a window or a reject."""
        self._covered = self._taken
        steps = list(self._steps)[-number:]
        statistics = flow_statistics(
            np.stack([step.magnitude for step in steps]), self._config.active_px
        )
        if statistics["p99_px"] < self._config.static_px:
            return self._reject("static", number)
        if seen_motion([step.evidence for step in steps]) < self._config.min_texture:
            return self._reject("no_texture", number)
        return SkillWindow(
            index=self._number(),
            flow=np.stack([step.flow for step in steps]),
            pts_s=np.array(list(self._pts_s)[-number - 1 :]),
            first=self._frames[-number - 1],
            last=self._frames[-1],
            cut=self._cut,
            motion=statistics | _camera(steps),
        )

    def _reject(self, reason: str, number: int) -> RejectedWindow:
        """The last `number` steps as a reject."""
        return RejectedWindow(self._number(), self._pts_s[-number - 1], self._pts_s[-1], reason)

    def _number(self) -> int:
        self._count += 1
        return self._count - 1


def _camera(steps: Sequence[Step]) -> dict[str, float]:
    """Means of the camera's statistics over steps; none where it is off."""
    figures = [step.camera for step in steps if step.camera is not None]
    if not figures:
        return {}
    means = np.ascontiguousarray(np.array(figures).T).mean(axis=1)
    return dict(zip(CAMERA_FIELDS, map(rounded, means), strict=True))
