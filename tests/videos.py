"""Small videos for tests, made with PyAV."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MILLISECOND = Fraction(1, 1000)


def write_video(
    path: Path,
    frames: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    fps: int,
    codec: str = "libx264",
    pts: Sequence[float] | None = None,
    rotation: int = 0,
    options: dict[str, str] | None = None,
    muxing: dict[str, str] | None = None,
) -> Path:
    """Encode frames [T,H,W,3] at `fps`, or at the presentation times `pts` in seconds.

    rotation: degrees counter-clockwise by which a player must turn the stored frames.
    options, muxing: of FFmpeg, for the encoder and for the container.
    """
    import av

    height, width = frames[0].shape[:2]
    with av.open(str(path), "w", options=muxing or {}) as container:
        stream: Any = container.add_stream(codec, rate=fps, options=options or {})
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv420p" if width % 2 == 0 and height % 2 == 0 else "yuv444p"
        if rotation:
            stream.set_display_rotation(rotation)
        if pts is not None:
            stream.codec_context.time_base = MILLISECOND
        for index, rgb in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            if pts is not None:
                frame.pts, frame.time_base = round(pts[index] * 1000), MILLISECOND
            else:
                frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_audio(path: Path) -> Path:
    """A second of silence, without any video."""
    import av

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=16000)
        silence = np.zeros((1, 16000), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
        frame.rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def moving_square(count: int, width: int = 96, height: int = 64) -> NDArray[np.uint8]:
    """Frames [T,H,W,3]: a bright square that moves 2 px a frame over a gradient."""
    rows, columns = np.mgrid[0:height, 0:width]
    frames = np.empty((count, height, width, 3), dtype=np.uint8)
    frames[:] = np.stack([rows, columns, (rows + columns) // 2], axis=-1).astype(np.uint8)
    for index in range(count):
        left = (2 * index) % (width - 16)
        frames[index, 16:32, left : left + 16] = 230
    return frames


def quadrants(count: int, width: int = 96, height: int = 64) -> NDArray[np.uint8]:
    """Frames [T,H,W,3]: red upper left, green upper right, blue lower left, grey lower right.

    The colours darken by one level a frame, so that no two frames are equal.
    """
    frames = np.empty((count, height, width, 3), dtype=np.uint8)
    half_h, half_w = height // 2, width // 2
    for index in range(count):
        level = 220 - 4 * index
        frames[index, :half_h, :half_w] = (level, 0, 0)
        frames[index, :half_h, half_w:] = (0, level, 0)
        frames[index, half_h:, :half_w] = (0, 0, level)
        frames[index, half_h:, half_w:] = level // 2
    return frames


def cut_off(path: Path, share: float, target: Path) -> Path:
    """Keep the first `share` of a file's bytes."""
    data = path.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target
