"""Reads the frames of the shared cases, which carry their number and marks in their corners."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.video.config import Fit, VideoConfig
from sofdata.video.reader import VideoStream, open_video
from sofdata.video.sampling import Sampling

BITS = 12


@dataclass(frozen=True, slots=True)
class Read:
    """What came out of a video: times, frames, the number that each carries, and its report."""

    pts_s: NDArray[np.float64]
    rgb: NDArray[np.uint8]
    stream: VideoStream

    @property
    def numbers(self) -> list[int]:
        return [number(frame) for frame in self.rgb]

    @property
    def are_upright(self) -> bool:
        return all(is_upright(frame) for frame in self.rgb)


def read_frames(
    path: Path, step_s: float = 0.001, span_s: tuple[float, float] | None = None, **options: Any
) -> Read:
    """Read a video as sofdata does; a step below that of the file takes every frame."""
    fit: Fit = options.pop("fit", "stretch")
    sampling = Sampling(options.pop("size", 192), step_s, span_s, **options)
    stream = open_video(path, VideoConfig(fit=fit), sampling)
    chunks = list(stream)
    frames = [chunks[0].rgb, *(chunk.rgb[1:] for chunk in chunks[1:])]
    times = [chunks[0].pts_s, *(chunk.pts_s[1:] for chunk in chunks[1:])]
    return Read(np.concatenate(times), np.concatenate(frames), stream)


def number(rgb: NDArray[np.uint8]) -> int:
    """The number that a frame carries: twelve bits across its top sixth, white for 1."""
    height, width = rgb.shape[:2]
    band = rgb[height // 24 : height // 8].mean((0, 2))
    cells = [band[round((bit + 0.5) * width / BITS)] for bit in range(BITS)]
    return sum(1 << (BITS - 1 - place) for place, cell in enumerate(cells) if cell > 125)


def is_upright(rgb: NDArray[np.uint8]) -> bool:
    """Whether red lies in the lower left corner and green in the lower right one."""
    height, width = rgb.shape[:2]
    rows = slice(height - height // 9, height - height // 24)
    left = rgb[rows, width // 16 : width // 5].mean((0, 1))
    right = rgb[rows, -width // 5 : -width // 16].mean((0, 1))
    return bool(left.argmax() == 0 and right.argmax() == 1 and np.ptp(left) > 60 < np.ptp(right))
