"""What a video file holds: its container, its video stream and all presentation times.

Packets are read but, apart from the first frame, not decoded: 27 ms for ten seconds of 720p.
The content decides, never the name. A crafted file can make FFmpeg open no other file and no
network address: only the demuxers of self-contained formats may run, over local files only.
"""

from __future__ import annotations

import math
import os
import stat
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import DecodeError, InputError
from sofdata.video.clock import zero_pts
from sofdata.video.container import EntryPoint, Key, open_container, refused_size, seconds
from sofdata.video.entries import (
    ORDER_MARGIN_S,
    TRUSTED,
    Head,
    has_decoding_times_only,
    look_ahead,
    scan_packets,
)
from sofdata.video.formats import HEAD_BYTES
from sofdata.video.formats import container as format_of
from sofdata.video.geometry import pixel_aspect, square_size
from sofdata.video.hdr import hdr_transfer
from sofdata.video.limits import size_message, too_large
from sofdata.video.orientation import UPRIGHT, Orientation, orientation_of
from sofdata.video.ranges import RangeFile, Source

NEVER = 1 << 62
_TITLES = {"iso-bmff": "MP4", "quicktime": "MP4", "ebml": "WebM or Matroska", "avi": "AVI"}


class Unusable(InputError):
    """A file that holds no video to read, which is an outcome rather than a failure.

    reason: "missing", "is_a_directory", "unreadable", "empty_file", "not_a_video",
        "no_video_stream", "no_frames" or "too_large".
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
    width, height: pixels as shown, upright and square.
    orientation: how the first frame has to be turned and mirrored to be upright.
    pixel_aspect: width of a stored pixel over its height.
    is_hdr: whether the first frame is of high dynamic range (`sofdata.video.hdr`).
    fps: average frame rate that the container states, 0 where it states none.
    duration_s: length of the stream that the container states, None where it states none.
    start_s: first presentation time of the stream, on the container's own clock.
    zero_pts: what that clock shows where times begin to be counted (`sofdata.video.clock`).
    frames_declared: number of frames that the container states, None where it states none.
    pts: int64 [n]; presentation times of all frames that are shown, sorted, in `time_base`.
    pts_s: float64 [n]; the same in seconds, counted from `zero_pts`.
    by_order: the container states times of decoding only: the frames take these in the order in
        which the decoder gives them.
    packets: number of packets, those that are not shown and those without a time included.
    packet_bytes: their size.
    repeats: packets without content, which repeat the frame before.
    undated: packets without a presentation time of their own.
    restarts: how often the container's clock begins again.
    stream_index: which stream of the container this is.
    is_best: whether FFmpeg's own choice of stream is this one.
    whole: False where only the packets around a span were read.
    is_end: whether the end of the file was reached, which it is not where a span ends before.
    entries: where to begin to decode; the next one if what that gives begins too late.
    keys: the packets that a decoder can begin with.
    max_pixels: no larger frame is to be decoded, whatever the header says.
    """

    container: str
    codec: str
    width: int
    height: int
    orientation: Orientation
    pixel_aspect: float
    is_hdr: bool
    fps: float
    duration_s: float | None
    start_s: float
    zero_pts: int
    frames_declared: int | None
    pts: NDArray[np.int64]
    pts_s: NDArray[np.float64]
    time_base: Fraction
    by_order: bool
    packets: int
    packet_bytes: int
    repeats: int
    undated: int
    restarts: int
    stream_index: int
    is_best: bool
    whole: bool
    is_end: bool
    entries: tuple[EntryPoint, ...]
    keys: tuple[Key, ...] = ()
    max_pixels: int | None = None

    def seconds(self, pts: int) -> float:
        """A presentation time in seconds, counted from `zero_pts`."""
        return float(seconds(pts - self.zero_pts, self.time_base))

    def ticks(self, span_s: tuple[float, float] | None) -> tuple[int, int]:
        """(first, end) of a span in `time_base`; of all that can be where it is None."""
        if span_s is None:
            return -NEVER, NEVER
        return _ticks(span_s, self.zero_pts, self.time_base)

    def packets_end(self, end: int) -> int:
        """The time of decoding from which on no packet has a part in frames before `end`.

        By order, a frame is shown at the time of a packet that comes some packets earlier.
        """
        return end + int(ORDER_MARGIN_S / self.time_base) if self.by_order else end

    @property
    def frame_s(self) -> float:
        """Usual time between frames, in seconds; 0 where there is but one."""
        if self.undated and self.fps:
            return 1 / self.fps
        return _median(np.diff(self.pts_s)) if len(self.pts_s) > 1 else 0.0


def _median(values: NDArray[np.float64]) -> float:
    """As `np.median` of at least one finite value, which imports masked arrays for it."""
    ordered, middle = np.sort(values), len(values) // 2
    if len(values) % 2:
        return float(ordered[middle])
    return float((ordered[middle - 1] + ordered[middle]) / 2)


def probe(
    path: Source, span_s: tuple[float, float] | None = None, max_pixels: int | None = None
) -> VideoInfo:
    """Read what a file holds; with a span, only the packets around it.

    max_pixels: as `video.max_pixels`.

    Raises `Unusable` where there is no video to read, or one of frames too large, and
    `DecodeError` where there is one that cannot be read.
    """
    if not isinstance(path, RangeFile):
        _check_file(Path(path))
    with _open(path, max_pixels) as container:
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
        if why := too_large(stream.codec_context, max_pixels):
            raise Unusable("too_large", f"{path}: {why}")
        return _read(container, stream, span_s, path, max_pixels)


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


def _open(path: Source, max_pixels: int | None) -> Any:
    import av

    try:
        return open_container(path, max_pixels)
    except MemoryError:
        raise
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
        head = source.read(HEAD_BYTES)
    else:
        with open(source, "rb") as file:
            head = file.read(HEAD_BYTES)
    if head[4:8] in (b"moov", b"mdat"):  # of any size
        return "MP4"
    found = format_of(head)
    return _TITLES.get(found, found)


def _streams(container: Any) -> str:
    return ", ".join(sorted({stream.type for stream in container.streams})) + " streams"


def _read(
    container: Any,
    stream: Any,
    span_s: tuple[float, float] | None,
    source: Source,
    max_pixels: int | None,
) -> VideoInfo:
    head = look_ahead(source, stream.index) if container.format.name not in TRUSTED else Head()
    zero = zero_pts(container, stream, source, head.first_pts)
    by_order = head.by_order or has_decoding_times_only(container, stream)
    span = _ticks(span_s, zero, stream.time_base) if span_s else None
    scan, entries = scan_packets(
        container, stream, by_order=by_order, span=span, source=source, max_pixels=max_pixels
    )
    if scan.first is not None and (why := too_large(scan.first, max_pixels)):
        raise Unusable("too_large", f"{source}: {why}")
    if scan.first is None and max_pixels is not None:
        size = refused_size(source, stream.index, max_pixels)
        if size is not None:
            raise Unusable("too_large", f"{source}: {size_message(*size, 8, max_pixels)}")
    pts = np.array(sorted(scan.pts), dtype=np.int64)
    if not len(pts):
        raise _no_packets(stream, span_s, str(source))
    stored = (scan.first.width, scan.first.height) if scan.first else (stream.width, stream.height)
    orientation = (orientation_of(scan.first) if scan.first else None) or UPRIGHT
    aspect = pixel_aspect(stream)
    width, height = orientation.shown_size(*square_size(*stored, aspect))
    best = container.streams.best("video")
    return VideoInfo(
        container=container.format.name,
        codec=stream.codec_context.codec.canonical_name,
        width=round(width),
        height=round(height),
        orientation=orientation,
        pixel_aspect=aspect,
        is_hdr=bool(scan.first and hdr_transfer(scan.first.color_trc)),
        fps=float(stream.average_rate or 0),
        duration_s=_duration_s(container, stream),
        start_s=float(
            seconds(pts[0] if stream.start_time is None else stream.start_time, stream.time_base)
        ),
        zero_pts=zero,
        frames_declared=stream.frames or None,
        pts=pts,
        pts_s=seconds(pts - zero, stream.time_base),
        time_base=stream.time_base,
        by_order=by_order,
        packets=scan.packets,
        packet_bytes=scan.packet_bytes,
        repeats=scan.repeats,
        undated=0 if by_order else scan.undated,
        restarts=scan.restarts,
        stream_index=stream.index,
        is_best=best is not None and best.index == stream.index,
        whole=span_s is None,
        is_end=scan.is_end,
        entries=entries,
        keys=tuple(scan.keys),
        max_pixels=max_pixels,
    )


def _ticks(span_s: tuple[float, float], zero: int, time_base: Fraction) -> tuple[int, int]:
    """A span on the clock of the container."""
    start, end = (Fraction(each) / time_base for each in span_s)
    return zero + math.floor(start), zero + math.ceil(end)


def _no_packets(stream: Any, span_s: tuple[float, float] | None, path: str) -> InputError:
    if stream.frames and span_s is None:
        return DecodeError(
            f"{path}: the header declares {stream.frames} frames, and 0 are in the file; it is "
            "damaged or cut off"
        )
    where = f" between {span_s[0]} s and {span_s[1]} s" if span_s else ""
    return Unusable("no_frames", f"{path}: the video stream has no frames{where}")


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
