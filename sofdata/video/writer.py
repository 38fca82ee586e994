"""Writes video files from frames; the same frames give the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.system.priority import own_priority

_CODECS: dict[str, tuple[str, dict[str, str]]] = {
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "34", "b": "0"}),
    "vp8": ("libvpx", {"deadline": "realtime", "cpu-used": "8", "crf": "10", "b": "2M"}),
    "h264": ("libx264", {"preset": "ultrafast", "crf": "18"}),
    "mpeg4": ("mpeg4", {"flags": "+qscale", "global_quality": "354"}),
    "av1": ("libsvtav1", {"preset": "12", "crf": "35", "svtav1-params": "lp=1"}),
    "ffv1": ("ffv1", {}),
}


def write_video(
    path: str | Path,
    frames: Iterable[NDArray[np.uint8]],
    fps: float = 12.0,
    codec: str = "vp9",
    *,
    pts_s: Sequence[float] | None = None,
    options: Mapping[str, str] | None = None,
) -> None:
    """Encode frames into the container that `path`'s suffix names; the same bytes every time.

    frames: uint8 [H,W,3] each. H.264 and AV1 need even sizes.
    codec: vp9, vp8, h264, mpeg4, av1 or ffv1 (the last is lossless but for its 4:2:0 colour).
    pts_s: presentation time of each frame, for a variable rate or a start other than zero.
    options: encoder options that add to or replace ours, such as {"crf": "10"}.
    """
    with Film(path, fps, codec, dated=pts_s is not None, options=options) as film:
        for index, frame in enumerate(frames):
            film.add(frame, None if pts_s is None else pts_s[index])


class Film:
    """A video file that is written frame by frame, in a `with` block; see `write_video`.

    dated: each frame comes with its presentation time; otherwise they are 1 / fps apart.
    """

    def __init__(
        self,
        path: str | Path,
        fps: float = 12.0,
        codec: str = "vp9",
        *,
        dated: bool = False,
        options: Mapping[str, str] | None = None,
    ) -> None:
        import av

        self.frames = 0
        self._rate = Fraction(fps).limit_denominator(1001)
        self._base = Fraction(1, 90_000) if dated else 1 / self._rate
        self._encoder, ours = _CODECS[codec]
        self._options = {**ours, **(options or {})}
        self._out = av.open(str(path), "w", container_options={"fflags": "+bitexact"})
        self._stream: Any = None

    def __enter__(self) -> Film:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, frame: NDArray[np.uint8], pts_s: float | None = None) -> None:
        """Encode the next frame, uint8 [H,W,3]."""
        import av

        if self._stream is None:
            self._stream = self._begin(*frame.shape[:2])
        picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
        picture.pts = self.frames if pts_s is None else round(pts_s / self._base)
        picture.time_base = self._base
        with own_priority():  # the first frame opens the encoder
            packets = self._stream.encode(picture)
        self._out.mux(packets)
        self.frames += 1

    def close(self) -> None:
        """Finish the file."""
        if self._stream is not None:
            self._out.mux(self._stream.encode(None))
        self._out.close()

    def _begin(self, height: int, width: int) -> Any:
        stream = self._out.add_stream(self._encoder, rate=self._rate)
        stream.height, stream.width = height, width
        stream.pix_fmt = "yuv420p"
        stream.options = self._options
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = self._base
        return stream
