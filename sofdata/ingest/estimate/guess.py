"""What a header says of the work that a video is: seconds, frames to decode, steps, windows.

These are what costs go with. A cost itself is measured; where the constants here are wrong for a
machine or an estimator, the sample is chosen less well and ranges are wider, no more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sofdata.ingest.config import IngestConfig
from sofdata.types import VideoRef

# CPU ms: of a decoded frame and of a million pixels of it, PyAV, H.264 and VP9; of a step with its
# flow and all that follows from it. On the machine of benchmarks/README.md, by ingest_stages.py.
FRAME_MS, MEGAPIXEL_MS, STEP_MS = 0.45, 3.2, 12.0
USUAL_FPS = 30.0  # where a header states no rate


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of a file states. fps, duration_s: 0 where it states none."""

    width: int
    height: int
    fps: float
    duration_s: float

    @property
    def frame_ms(self) -> float:
        """What decoding a frame is taken to cost."""
        return FRAME_MS + MEGAPIXEL_MS * self.width * self.height / 1e6


@dataclass(frozen=True, slots=True)
class Guess:
    """What a video is expected to be.

    decode: what decoding goes with. steps: of flow. windows: that could be cut, if none were
    rejected and no shot changed.
    """

    seconds: float
    decode: float
    steps: float
    windows: float

    @property
    def cost(self) -> float:
        """What it is taken to cost in all; for choosing a sample."""
        return self.decode + STEP_MS * self.steps


def bounds_s(ref: VideoRef, header: Header) -> tuple[float, float] | None:
    """(start, end) of what is used of a video; None where neither plan nor header gives its end."""
    start, end = ref.span_s or (0.0, math.inf)
    end = min(end, header.duration_s or math.inf)
    return None if math.isinf(end) else (start, max(start, end))


def guess(ref: VideoRef, header: Header, config: IngestConfig) -> Guess | None:
    """What a video is expected to be; None where nothing says how long it is."""
    found = bounds_s(ref, header)
    if found is None:
        return None
    seconds = max(0.0, found[1] - found[0])
    return of_seconds(seconds, header, config)


def of_seconds(seconds: float, header: Header, config: IngestConfig) -> Guess:
    """What so many seconds of a video are expected to be."""
    frames = seconds * (header.fps or USUAL_FPS)
    steps = max(0.0, (seconds - 1 / (header.fps or USUAL_FPS)) / step_s(header.fps, config))
    return Guess(
        seconds=seconds,
        decode=frames * header.frame_ms,
        steps=steps,
        windows=candidates(math.floor(steps), config),
    )


def step_s(fps: float, config: IngestConfig) -> float:
    """The time between sampled frames: a whole number of frames, the one nearest to `step_s`."""
    wanted = config.flow.step_s
    return max(1, math.floor(wanted * fps + 0.5)) / fps if fps else wanted


def candidates(steps: int, config: IngestConfig) -> float:
    """How many windows a stretch of so many steps is cut into, as `Windower` does.

    With `windows.cut` motion that is for the steps to tell: windows are taken to be of middle size.
    """
    length, stride = config.windows.length, config.windows.stride
    if steps < config.windows.min_steps:
        return 0.0
    if config.windows.cut == "motion":
        return float(math.ceil(2 * steps / (length + config.windows.shortest)))
    if config.windows.cut == "text":
        return float(math.ceil(steps / length))
    if config.windows.tail == "mask":
        return float(math.ceil(steps / stride))
    return 1.0 + max(0, math.ceil((steps - length) / stride))
