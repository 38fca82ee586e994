"""Pictures of windows as bytes: flow that plays, strips of all steps, sprites of frames."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sofdata.pictures.colour import flow_to_rgba
from sofdata.pictures.sheet import flow_scale

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

JPEG_QUALITY = 88
SHORTEST_MS, LONGEST_MS = 40, 1000  # that a step is shown for


def coloured(flow: NDArray[np.floating], scale_px: float | None = None) -> NDArray[np.uint8]:
    """Flow [L,h,w,2] as colours on nothing, uint8 [L,h,w,4], at the scale of the window itself."""
    return flow_to_rgba(flow, flow_scale(flow) if scale_px is None else scale_px)


def playing(flow: NDArray[np.floating], pts_s: Sequence[float]) -> bytes:
    """Flow as an animated PNG, each step for as long as it lasts, over and over."""
    steps = [_image(step) for step in coloured(flow)]
    lasts_ms = np.diff(pts_s) * 1000
    durations = np.clip(lasts_ms.round(), SHORTEST_MS, LONGEST_MS).astype(int).tolist()
    buffer = io.BytesIO()
    options = {"duration": durations, "loop": 0, "disposal": 0, "blend": 0}
    steps[0].save(buffer, "PNG", save_all=True, append_images=steps[1:], **options)
    return buffer.getvalue()


def strip(flow: NDArray[np.floating], scale_px: float | None = None) -> bytes:
    """All steps of a window below each other, as a PNG of w x L*h px."""
    steps = coloured(flow, scale_px)
    return png(steps.reshape(-1, *steps.shape[2:]))


def sprite(frames: NDArray[np.uint8]) -> bytes:
    """Frames [T,H,W,3] below each other, as a JPEG of W x T*H px."""
    buffer = io.BytesIO()
    stacked = frames.reshape(-1, *frames.shape[2:])
    _image(stacked).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def png(picture: NDArray[np.uint8]) -> bytes:
    """A picture [H,W,3 or 4] as a PNG."""
    buffer = io.BytesIO()
    _image(picture).save(buffer, "PNG")
    return buffer.getvalue()


def main_motion(flow: NDArray[np.floating]) -> NDArray[np.float64]:
    """How what moves in a window moves, float64 [2] in px a step: the mean of its vectors, each
    counted by its length, so that a small thing before a still ground counts."""
    finite = np.where(np.isfinite(flow), flow, 0).reshape(-1, 2).astype(np.float64)
    speed = np.hypot(finite[:, 0], finite[:, 1])
    total = speed.sum()
    return finite.T @ speed / total if total else np.zeros(2)


def _image(picture: NDArray[np.uint8]) -> Picture:
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(picture))
