"""Windows: the flow of a video, fed chunk by chunk, cut into pieces.

    windower = Windower(config)
    for frames, flow, breaks in chunks:
        steps = make_steps(frames, flow, breaks, config)
        yield from windower.push(frames, steps, breaks)
    yield from windower.close()

Holds a bounded number of steps and their frames, however long the video is, and gives the same
windows however the video was split into chunks.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from sofdata.errors import ContractError
from sofdata.types import FlowClip, Frames, Pictures, RejectedWindow
from sofdata.windows.config import WindowConfig
from sofdata.windows.quality import QualityConfig
from sofdata.windows.steps import Step, reduced_steps
from sofdata.windows.stretch import Outcome, Shown, Stretch, Taker
from sofdata.windows.trim import TrimmedStretch

__all__ = ["BREAKS", "Outcome", "Windower", "check_fit", "make_steps"]

BREAKS = ("", "shot", "gap", "redacted", "text", "gradual")


def make_steps(
    frames: Frames,
    flow: FlowClip,
    breaks: Sequence[str],
    config: WindowConfig,
    quality: QualityConfig = QualityConfig(),  # noqa: B008 - frozen
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
            seen = frames.rgb[first : end + 1]
            made += reduced_steps(flow.flow[first:end], config, seen, quality)
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

    A stretch is what lies between two breaks; with `trim`, without what is idle at its ends (see
    `sofdata.windows.trim`). `cut` says how it is divided (see `sofdata.windows.cuts`). With "fixed"
    windows of `length` steps start at multiples of `stride`; where the last of them does not reach
    the stretch's end, one more is cut that does, so that every step lies in a window. A stretch
    shorter than `length` is one short window, or, below `min_steps`, one `RejectedWindow`
    "too_short". With `tail` "mask", windows start at every multiple of `stride`, and those for
    which fewer than `length` steps are left are short.

    A window whose stored flow hardly moves is a `RejectedWindow` "static"; one that moves, but
    whose frames hold too little texture to see it, "no_texture", however short it is. All of these
    are numbered in the order in which they end, and those that end together as they begin. Steps in
    a row in which a shot changes gradually to the next one are a `RejectedWindow` "gradual".
    """

    def __init__(self, config: WindowConfig) -> None:
        self._config = config
        self._numbers = itertools.count()  # of candidates
        self._stretch: Taker | None = None
        self._taken = 0  # steps of it so far
        self._gradual_s: tuple[float, float] | None = None  # of the change that is under way
        self._last_s: float | None = None  # when the last frame so far is shown

    def push(
        self, frames: Pictures, steps: Sequence[Step | None], breaks: Sequence[str]
    ) -> Iterator[Outcome]:
        """Take a chunk and give the windows that it completes; go through all before the next push.

        frames: T frames; the first is the last one of the chunk before.
        steps: the T - 1 steps between them, as `make_steps` gives them; None for a break.
        breaks: for each step "", or why no window may hold it (`BREAKS`). One that leaps over
            redacted frames is a rejected window itself.
        Raises `ContractError` when the chunk does not fit together or does not follow the last.
        """
        self._check(frames, steps, breaks)
        stretch = self._stretch or self._begin("start", frames, 0)
        for number, (step, reason) in enumerate(zip(steps, breaks, strict=True)):
            if reason == "gradual":
                yield from self._enter_gradual(stretch, frames, number)
                continue
            if self._gradual_s is not None:
                yield self._gradual_change(*self._gradual_s)
                stretch = self._begin("gradual", frames, number)
            if step is None:
                yield from stretch.end()
                if reason == "redacted":
                    before_s, after_s = frames.pts_s[number : number + 2].tolist()
                    yield RejectedWindow(next(self._numbers), before_s, after_s, reason)
                stretch = self._begin(reason, frames, number + 1)
            else:
                self._taken += 1
                yield from stretch.add(step, _shown(frames, number + 1))
        self._last_s = float(frames.pts_s[-1])

    def close(self) -> Iterator[Outcome]:
        """Give what the end of the video completes. Nothing may be pushed afterwards."""
        if self._gradual_s is not None:
            yield self._gradual_change(*self._gradual_s)
        elif self._stretch is not None:
            yield from self._stretch.end()
        self._stretch = self._last_s = self._gradual_s = None

    def _begin(self, cut: str, frames: Pictures, first: int) -> Taker:
        kind = TrimmedStretch if self._config.trim else Stretch
        self._stretch = kind(self._config, self._numbers, cut, _shown(frames, first))
        self._taken, self._gradual_s = 0, None
        return self._stretch

    def _enter_gradual(self, stretch: Taker, frames: Pictures, number: int) -> Iterator[Outcome]:
        """Take a step in which one shot becomes another; all of them in a row are one reject."""
        begin_s, end_s = frames.pts_s[number : number + 2].tolist()
        if self._gradual_s is not None:
            begin_s = self._gradual_s[0]
        elif self._taken:
            yield from stretch.end()
        self._gradual_s = begin_s, end_s

    def _gradual_change(self, begin_s: float, end_s: float) -> RejectedWindow:
        return RejectedWindow(next(self._numbers), begin_s, end_s, "gradual")

    def _check(self, frames: Pictures, steps: Sequence[Step | None], breaks: Sequence[str]) -> None:
        check_fit(frames, len(steps), breaks)
        if [step is None for step in steps] != [reason != "" for reason in breaks]:
            raise ContractError("there is a step wherever there is no break, and nowhere else")
        if self._last_s is not None and self._last_s != frames.pts_s[0]:
            raise ContractError(
                f"a chunk must begin with the last frame of the one before, at {self._last_s} "
                f"s; it begins at {frames.pts_s[0]} s"
            )


def _shown(frames: Pictures, number: int) -> Shown:
    return Shown(frames.picture(number), float(frames.pts_s[number]))
