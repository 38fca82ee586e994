"""The stages between a decoder and a shard: flow, windows, actions.

Each is a generator over what the stage before it yields, so that a video of any length takes the
memory of a few chunks. `sofdata.ingest.pipeline` strings them together.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sofdata.flow.estimator import Estimator
from sofdata.flow.opencv import load_cv2
from sofdata.ingest.config import IngestConfig
from sofdata.types import (
    ActionTrack,
    Annotations,
    FlowClip,
    Frames,
    Pictures,
    RejectedWindow,
    SkillWindow,
)
from sofdata.windows.actions import attach_actions
from sofdata.windows.config import WindowConfig
from sofdata.windows.gradual import GradualCuts
from sofdata.windows.kept import NEVER, KeptSteps, observed_steps
from sofdata.windows.quality import QualityConfig
from sofdata.windows.segment import BREAKS, Windower, make_steps
from sofdata.windows.shots import shot_changes, small_frames
from sofdata.windows.steps import Step

_STOPS = ("shot", "gap", "redacted")  # breaks over which no gradual change reaches
STILL_SHARE = 0.001  # of a step's colour values may differ: noise of the codec, not motion

Images = NDArray[np.uint8]  # [N,H,W,3]
Flow = NDArray[np.float32]  # [N,H,W,2]


class FlowSource(Protocol):
    """Where flow comes from: this process, or an actor that serves several workers.

    `submit` starts the estimation for N pairs and returns a function that waits for the result.
    `depth` is how many chunks may be under way at once beside the one that is waited for.
    """

    name: str
    depth: int

    def submit(self, first: Images, second: Images) -> Callable[[], Flow]: ...


class LocalFlow:
    """Estimates flow in this process, when the result is asked for."""

    depth = 0

    def __init__(self, estimator: Estimator) -> None:
        self.name = estimator.name
        self._estimator = estimator

    def submit(self, first: Images, second: Images) -> Callable[[], Flow]:
        return lambda: self._estimator.estimate(first, second)


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Consecutive frames of a video, the flow between them, and where no window may run on.

    clip: flow of the T-1 steps between T frames.
    breaks: of each step, why it cannot be part of a window, one of `segment.BREAKS`; "" if it can.
    """

    frames: Frames
    clip: FlowClip
    breaks: list[str]


@dataclass(frozen=True, slots=True, eq=False)
class StepChunk:
    """As `Chunk`, with what windows need of each step; None for a break.

    kept: what is kept of all steps (`flow.keep`); None where nothing is.
    """

    frames: Frames
    steps: list[Step | None]
    breaks: list[str]
    kept: KeptSteps | None = None

    @property
    def small(self) -> Images:
        """Its frames, as `shots.small_frames` gives them."""
        return self.kept.small if self.kept else small_frames(self.frames.rgb)


class WindowSteps(Protocol):
    """Consecutive steps as windows are cut of them: decoded just now, or kept."""

    @property
    def frames(self) -> Pictures: ...
    @property
    def steps(self) -> list[Step | None]: ...
    @property
    def breaks(self) -> list[str]: ...
    @property
    def small(self) -> Images: ...


@dataclass(frozen=True, slots=True, eq=False)
class _MarkedSteps:
    """Other steps and breaks of a `WindowSteps`."""

    frames: Pictures
    steps: list[Step | None]
    breaks: list[str]
    small: Images


def estimate_flow(
    chunks: Iterable[Frames],
    flow: FlowSource,
    config: IngestConfig,
    annotations: Annotations = Annotations(),  # noqa: B008 - frozen
) -> Iterator[Chunk]:
    """Attach flow and breaks to each chunk; later chunks decode while flow is under way.

    chunks: consecutive frames; each chunk after the first begins with the last frame of the one
        before. How the video is split into chunks makes no difference to the windows.
    annotations: what the corpus says of stretches of the video, which may break windows.
    """
    under_way: deque[Callable[[], Chunk]] = deque()  # oldest first, so that the order stays
    for frames in chunks:
        breaks = _breaks(frames, config, annotations)
        under_way.append(_begin(frames, breaks, config, flow))
        if len(under_way) > flow.depth:
            yield under_way.popleft()()
    for wait in under_way:
        yield wait()


def reduce_flow(
    chunks: Iterable[Chunk],
    config: WindowConfig,
    quality: QualityConfig = QualityConfig(),  # noqa: B008 - frozen
    kept_size: int | None = None,
) -> Iterator[StepChunk]:
    """Reduce flow to its stored size and describe each step, which needs no other one.

    kept_size: side in px at which flow is kept as well; None where it is not. quality: what else to
        compute of frames and flow.
    """
    for chunk in chunks:
        parts = (chunk.frames, chunk.clip, chunk.breaks)
        steps = make_steps(*parts, config, quality)
        kept = observed_steps(*parts, steps, kept_size, quality) if kept_size else None
        yield StepChunk(chunk.frames, steps, chunk.breaks, kept)


def join_steps(
    chunks: Iterable[WindowSteps],
    config: WindowConfig,
    annotations: Annotations = Annotations(),  # noqa: B008 - frozen
) -> Iterator[SkillWindow | RejectedWindow]:
    """Cut the consecutive chunks of a video into skill windows, and say which are rejected."""
    windower = Windower(config)
    if config.gradual_s:
        chunks = mark_gradual(chunks, config)
    for chunk in chunks:
        for window in windower.push(chunk.frames, chunk.steps, chunk.breaks):
            yield _with_text(window, config, annotations)
    for window in windower.close():
        yield _with_text(window, config, annotations)


def mark_gradual(chunks: Iterable[WindowSteps], config: WindowConfig) -> Iterator[WindowSteps]:
    """Make breaks of the steps in which a shot changes gradually to the next one.

    This looks at all steps in their order, so that it comes after the parts of a video are joined.
    A chunk is held back for as long as a later frame might still mark a step of it: `gradual_s`.
    No change reaches over a hard cut, a gap or what is redacted.
    """
    cuts = GradualCuts(config.gradual_s, config.shot_threshold)
    held: deque[WindowSteps] = deque()
    for chunk in chunks:
        cuts.push(chunk.small, chunk.frames.pts_s, [reason in _STOPS for reason in chunk.breaks])
        held.append(chunk)
        while held and cuts.settled() >= len(held[0].breaks):
            yield _with_marks(held.popleft(), cuts)
    for chunk in held:
        yield _with_marks(chunk, cuts)


def _with_marks(chunk: WindowSteps, cuts: GradualCuts) -> WindowSteps:
    marks = cuts.take(len(chunk.breaks))
    if not any(marks):
        return chunk
    steps = [None if mark else step for step, mark in zip(chunk.steps, marks, strict=True)]
    breaks = ["gradual" if m else reason for reason, m in zip(chunk.breaks, marks, strict=True)]
    return _MarkedSteps(chunk.frames, steps, breaks, chunk.small)


def cut_windows(
    chunks: Iterable[Chunk],
    config: WindowConfig,
    annotations: Annotations = Annotations(),  # noqa: B008 - frozen
) -> Iterator[SkillWindow | RejectedWindow]:
    """`join_steps` of what `reduce_flow` makes of the chunks."""
    return join_steps(reduce_flow(chunks, config), config, annotations)


def with_actions(
    windows: Iterable[SkillWindow | RejectedWindow], actions: ActionTrack | None
) -> Iterator[SkillWindow | RejectedWindow]:
    """Give each window its actions; where none were asked for, the windows as they are."""
    for window in windows:
        if actions is None or isinstance(window, RejectedWindow):
            yield window
        else:
            yield attach_actions(window, actions)


def _with_text(
    window: SkillWindow | RejectedWindow, config: WindowConfig, annotations: Annotations
) -> SkillWindow | RejectedWindow:
    """A window, or its rejection where one without a text of its time is not wanted."""
    if isinstance(window, RejectedWindow) or config.texts != "only":
        return window
    if annotations.text_at(window.start_s, window.end_s):
        return window
    return RejectedWindow(window.index, window.start_s, window.end_s, "no_text")


def _breaks(frames: Frames, config: IngestConfig, annotations: Annotations) -> list[str]:
    """Why each step cannot be part of a window: one of `segment.BREAKS`, "" if it can."""
    shots = np.zeros(len(frames) - 1, np.bool_)
    if config.windows.shots:
        shots = shot_changes(frames.rgb, config.windows.shot_threshold)
    return breaks_of(frames.pts_s, shots, config, annotations)


def breaks_of(
    pts_s: NDArray[np.float64],
    shots: NDArray[np.bool_],
    config: IngestConfig,
    annotations: Annotations,
) -> list[str]:
    """Why each step between frames cannot be part of a window.

    pts_s: times [T] of the frames. shots: bool [T-1]; which steps are shot changes.
    """
    breaks = ["shot" if change else "" for change in shots]
    longest_s = config.flow.max_step_s or np.inf
    for step in np.flatnonzero(np.diff(pts_s) > longest_s):
        breaks[step] = "gap"
    if config.windows.texts != "label" or config.windows.cut == "text":
        for step in _changes(_texts_at(pts_s, annotations)):
            breaks[step] = "text"
    ends_s = [end for _, end in annotations.hidden_s]
    for step in _changes(np.searchsorted(ends_s, pts_s)):  # hidden stretches passed so far
        breaks[step] = "redacted"
    return breaks


def _changes(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The steps [S] between neighbours that differ."""
    return np.flatnonzero(np.diff(values))


def _texts_at(pts_s: NDArray[np.float64], annotations: Annotations) -> NDArray[np.int64]:
    """Number of the text at each time, of several the one that began last; -1 for none."""
    found = np.full(len(pts_s), -1, np.int64)
    for number, text in enumerate(annotations.texts):
        found[(text.start_s <= pts_s) & (pts_s < text.end_s)] = number
    return found


def _begin(
    frames: Frames, breaks: list[str], config: IngestConfig, flow: FlowSource
) -> Callable[[], Chunk]:
    """Start the flow of all steps that need it; the function returned waits for it.

    Still steps and breaks have zero flow: no window is moved by the ones or holds the others, and
    flow is most of the work. Where flow is kept, that of breaks is estimated which other settings
    of windows do without.
    """
    first, second = frames.rgb[:-1], frames.rgb[1:]  # [T-1,H,W,3]
    never = NEVER if config.flow.keep else BREAKS[1:]
    wanted = np.array([reason not in never for reason in breaks], np.bool_)
    steps = _chosen(wanted & ~still_steps(frames.rgb, config.flow.still_diff))
    estimate = None if steps is None else flow.submit(first[steps], second[steps])

    def wait() -> Chunk:
        found = None if estimate is None else estimate()
        if found is None or len(found) < len(first):
            field = np.zeros((*first.shape[:3], 2), np.float32)
            if found is not None:
                field[steps] = found
            found = field
        return Chunk(frames, FlowClip(found, np.diff(frames.pts_s)), breaks)

    return wait


def _chosen(wanted: NDArray[np.bool_]) -> slice | NDArray[np.int64] | None:
    """An index for the steps that are wanted: a slice, which copies no frames, where they adjoin.

    None if no step is wanted.
    """
    steps = np.flatnonzero(wanted)
    if not len(steps):
        return None
    first, end = int(steps[0]), int(steps[-1]) + 1
    return slice(first, end) if len(steps) == end - first else steps


def still_steps(rgb: Images, still_diff: float) -> NDArray[np.bool_]:
    """Which steps [T-1] between frames [T,H,W,3] show no change worth estimating flow for.

    A step is still when at most one in a thousand of its colour values differs by more than
    `still_diff` grey levels.
    """
    cv2 = load_cv2()
    more_than = int(still_diff)  # differences are whole numbers
    allowed = 0 if still_diff == 0 else STILL_SHARE * rgb[0].size
    changed = [
        np.count_nonzero(cv2.absdiff(before, after) > more_than)
        for before, after in itertools.pairwise(rgb)
    ]
    return np.array(changed, np.int64) <= allowed
