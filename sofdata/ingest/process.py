"""One video: frames to flow to windows, as a stream that holds a few chunks at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sofdata.flow.estimator import Estimator
from sofdata.ingest.config import IngestConfig
from sofdata.types import Annotations, FlowClip, Frames, RejectedWindow, SkillWindow
from sofdata.windows.segment import Windower
from sofdata.windows.shots import shot_changes

STILL_SHARE = 0.001

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


def windows_of(
    chunks: Iterable[Frames],
    config: IngestConfig,
    flow: FlowSource,
    annotations: Annotations = Annotations(),  # noqa: B008 - frozen
) -> Iterator[SkillWindow | RejectedWindow]:
    """Cut a video into skill windows.

    chunks: consecutive frames; each chunk after the first begins with the last frame of the one
        before. How the video is split into chunks makes no difference to the windows.
    annotations: what the corpus says of stretches of the video, which may break windows.
    """
    windower = Windower(config.windows)
    for frames, clip, breaks in _clips(chunks, config, flow, annotations):
        for window in windower.push(frames, clip, breaks):
            yield _told(window, config, annotations)
    for window in windower.close():
        yield _told(window, config, annotations)


def _told(
    window: SkillWindow | RejectedWindow, config: IngestConfig, annotations: Annotations
) -> SkillWindow | RejectedWindow:
    """A window, or its rejection where one without a text of its time is not wanted."""
    if isinstance(window, RejectedWindow) or config.windows.texts != "only":
        return window
    if annotations.text_at(window.start_s, window.end_s):
        return window
    return RejectedWindow(window.index, window.start_s, window.end_s, "no_text")


def _clips(
    chunks: Iterable[Frames], config: IngestConfig, flow: FlowSource, annotations: Annotations
) -> Iterator[tuple[Frames, FlowClip, list[str]]]:
    """Attach flow and breaks to each chunk; later chunks decode while flow is under way."""
    under_way: deque[tuple[Frames, Callable[[], FlowClip], list[str]]] = deque()
    for frames in chunks:
        breaks = _breaks(frames, config, annotations)
        under_way.append((frames, _submit(frames, breaks, config, flow), breaks))
        if len(under_way) > flow.depth:
            ready, clip, ready_breaks = under_way.popleft()
            yield ready, clip(), ready_breaks
    for ready, clip, ready_breaks in under_way:
        yield ready, clip(), ready_breaks


def _breaks(frames: Frames, config: IngestConfig, annotations: Annotations) -> list[str]:
    """Why each step cannot be part of a window: one of `segment.BREAKS`, "" if it can."""
    breaks = [""] * (len(frames) - 1)
    if config.windows.shots:
        changes = shot_changes(frames.rgb, config.windows.shot_threshold)
        breaks = ["shot" if change else "" for change in changes]
    longest_s = config.flow.max_step_s or np.inf
    for step in np.flatnonzero(np.diff(frames.pts_s) > longest_s):
        breaks[step] = "gap"
    if config.windows.texts != "label":
        for step in _changes(_texts_at(frames.pts_s, annotations)):
            breaks[step] = "text"
    ends_s = [end for _, end in annotations.hidden_s]
    for step in _changes(np.searchsorted(ends_s, frames.pts_s)):  # hidden stretches passed so far
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


def _submit(
    frames: Frames, breaks: list[str], config: IngestConfig, flow: FlowSource
) -> Callable[[], FlowClip]:
    """Start the flow of all steps that need it. Still steps and breaks have zero flow."""
    first, second = frames.rgb[:-1], frames.rgb[1:]
    dt_s = np.diff(frames.pts_s)
    wanted = ~still_steps(frames.rgb, config.flow.still_diff) & (np.array(breaks) == "")
    estimate = flow.submit(first[wanted], second[wanted]) if wanted.any() else None

    def finish() -> FlowClip:
        field = np.zeros((*first.shape[:3], 2), np.float32)
        if estimate is not None:
            field[wanted] = estimate()
        return FlowClip(field, dt_s)

    return finish


def still_steps(rgb: Images, still_diff: float) -> NDArray[np.bool_]:
    """Which steps [T-1] between frames [T,H,W,3] show no change worth estimating flow for.

    A step is still when at most one in a thousand of its colour values differs by more than
    `still_diff` grey levels.
    """
    before, after = rgb[:-1], rgb[1:]
    change = np.maximum(before, after) - np.minimum(before, after)
    changed = np.count_nonzero(change > still_diff, axis=(1, 2, 3))
    allowed = 0 if still_diff == 0 else STILL_SHARE * change[0].size if len(change) else 0
    return np.asarray(changed <= allowed)
