"""What a video file holds: its container, its video stream and all presentation times.

Packets are read but, apart from the first frame, not decoded: 27 ms for ten seconds of 720p.
The content decides, never the name. A crafted file can make FFmpeg open no other file and no
network address: only the demuxers of self-contained formats may run, over local files only.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import DecodeError, InputError
from sofdata.video.container import open_container, scan_stream, seconds
from sofdata.video.ranges import RangeFile, Source


class Unusable(InputError):
    """A file that holds no video to read, which is an outcome rather than a failure.

    reason: "missing", "is_a_directory", "unreadable", "empty_file", "not_a_video",
        "no_video_stream" or "no_frames".
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True, eq=False)
class VideoInfo:
    """A video stream, without its pixels.

    container, codec: FFmpeg's names.
    width, height: pixels as shown, after rotation; of square pixels.
    rotation: degrees counter-clockwise by which decoded frames must be turned: 0, 90, 180 or 270.
    fps: average frame rate that the container states, 0 where it states none.
    duration_s: length of the stream that the container states, None where it states none.
    start_s: first presentation time of the stream.
    frames_declared: number of frames that the container states, None where it states none.
    pts: int64 [n]; presentation times of all packets that are shown, sorted, in `time_base`.
    pts_s: float64 [n]; the same in seconds.
    packets: number of packets, those that are not shown and those without a time included.
    packet_bytes: their size.
    undated: packets without a presentation time of their own (their decoding time stands in).
    stream_index: which stream of the container this is.
    is_best: whether FFmpeg's own choice of stream is this one.
    whole: False where only the packets around a span were read.
    seek_pts: where to seek to before decoding a span, None to read from the start.
    """

    container: str
    codec: str
    width: int
    height: int
    rotation: int
    fps: float
    duration_s: float | None
    start_s: float
    frames_declared: int | None
    pts: NDArray[np.int64]
    pts_s: NDArray[np.float64]
    time_base: Fraction
    packets: int
    packet_bytes: int
    undated: int
    stream_index: int
    is_best: bool
    whole: bool
    seek_pts: int | None

    @property
    def frame_s(self) -> float:
        """Usual time between frames, in seconds; 0 where there is but one."""
        return float(np.median(np.diff(self.pts_s))) if len(self.pts_s) > 1 else 0.0


def probe(path: Source, span_s: tuple[float, float] | None = None) -> VideoInfo:
    """Read what a file holds; with a span, only the packets around it.

    Raises `Unusable` where there is no video to read, `DecodeError` where there is one that cannot
    be read.
    """
    if not isinstance(path, RangeFile):
        _check_file(Path(path))
    with _open(path) as container:
        if not container.streams:
            raise DecodeError(
                f"{path}: begins like {container.format.long_name}, but lists no streams; the file "
                "is damaged or cut off"
            )
        stream = choose_stream(container)
        if stream is None:
            raise Unusable("no_video_stream", f"{path}: holds {_streams(container)}, but no video")
        if stream.codec_context is None:
            raise DecodeError(f"{path}: PyAV has no decoder for the video stream")
        return _read(container, stream, span_s, str(path))


def choose_stream(container: Any) -> Any:
    """The video stream to use: FFmpeg's choice, as decord takes it, but never a cover picture."""
    from av.stream import Disposition

    videos = [s for s in container.streams.video if Disposition.attached_pic not in s.disposition]
    best = container.streams.best("video")
    if best is None or not videos:
        return None
    by_index = {stream.index: stream for stream in videos}
    return by_index.get(best.index, max(videos, key=lambda s: (s.width * s.height, -s.index)))


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
    except FileNotFoundError:
        what = "is a link to a file that does not exist" if path.is_symlink() else "does not exist"
        raise Unusable("missing", f"{path}: {what}") from None
    except OSError as error:
        raise Unusable("unreadable", f"{path}: {error.strerror}") from None
    if stat.S_ISDIR(status.st_mode):
        raise Unusable("is_a_directory", f"{path}: is a directory, not a video file")
    if not stat.S_ISREG(status.st_mode):
        raise Unusable("not_a_video", f"{path}: is a device or a pipe, not a regular file")
    if not os.access(path, os.R_OK):
        raise Unusable("unreadable", f"{path}: no permission to read this file")
    if status.st_size == 0:
        raise Unusable("empty_file", f"{path}: the file has 0 bytes")


def _open(path: Source) -> Any:
    import av

    try:
        return open_container(path)
    except (av.FFmpegError, ValueError, OSError) as error:
        kind = _signature(path)
        reason = getattr(error, "strerror", None) or str(error)
        if kind:
            raise DecodeError(
                f"{path}: begins like {kind}, but its header cannot be read ({reason}); the file "
                "is damaged or cut off"
            ) from None
        raise Unusable(
            "not_a_video", f"{path}: the content is no video format that can be read ({reason})"
        ) from None


def _signature(source: Source) -> str:
    """The container that the first bytes promise, "" for none."""
    if isinstance(source, RangeFile):
        source.seek(0)
        head = source.read(12)
    else:
        with open(source, "rb") as file:
            head = file.read(12)
    if head[4:8] in (b"ftyp", b"moov", b"mdat"):
        return "MP4"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "WebM or Matroska"
    return "AVI" if head.startswith(b"RIFF") and head[8:12] == b"AVI " else ""


def _streams(container: Any) -> str:
    return ", ".join(sorted({stream.type for stream in container.streams})) + " streams"


def _read(container: Any, stream: Any, span_s: tuple[float, float] | None, path: str) -> VideoInfo:
    seek_pts = _seek_target(stream, span_s)
    scan = scan_stream(container, stream, seek_pts, span_s)
    if seek_pts is not None and (not scan.pts or min(scan.pts) > seek_pts):
        # The container has no usable index: read it from its start.
        container.seek(0)
        seek_pts = None
        scan = scan_stream(container, stream, None, span_s)
    pts = np.sort(np.array(scan.pts, dtype=np.int64))
    if not len(pts):
        raise _no_packets(stream, span_s, path)
    turned = scan.rotation in (90, 270)
    width, height = scan.size or (stream.width, stream.height)
    best = container.streams.best("video")
    return VideoInfo(
        container=container.format.name,
        codec=stream.codec_context.codec.canonical_name,
        width=height if turned else width,
        height=width if turned else height,
        rotation=scan.rotation,
        fps=float(stream.average_rate or 0),
        duration_s=_duration_s(container, stream),
        start_s=float(
            seconds(pts[0] if stream.start_time is None else stream.start_time, stream.time_base)
        ),
        frames_declared=stream.frames or None,
        pts=pts,
        pts_s=seconds(pts, stream.time_base),
        time_base=stream.time_base,
        packets=scan.packets,
        packet_bytes=scan.packet_bytes,
        undated=scan.undated,
        stream_index=stream.index,
        is_best=best is not None and best.index == stream.index,
        whole=span_s is None,
        seek_pts=seek_pts,
    )


def _no_packets(stream: Any, span_s: tuple[float, float] | None, path: str) -> InputError:
    if stream.frames and span_s is None:
        return DecodeError(
            f"{path}: the header declares {stream.frames} frames, and 0 are in the file; it is "
            "damaged or cut off"
        )
    where = f" between {span_s[0]} s and {span_s[1]} s" if span_s else ""
    return Unusable("no_frames", f"{path}: the video stream has no frames{where}")


def _seek_target(stream: Any, span_s: tuple[float, float] | None) -> int | None:
    """Where to start reading for a span, in the stream's time base; None for the start."""
    start = stream.start_time or 0
    if span_s is None:
        return None
    target = int(Fraction(span_s[0]) / stream.time_base)
    return target if target > start else None


def _duration_s(container: Any, stream: Any) -> float | None:
    """Stated length of the video: of its stream, or of the container where it is alone there."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    tag = stream.metadata.get("DURATION", "")  # Matroska: "00:00:04.000000000"
    try:
        hours, minutes, rest = tag.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(rest)
    except ValueError:
        pass
    alone = len(container.streams) == 1
    return container.duration / 1_000_000 if container.duration and alone else None
