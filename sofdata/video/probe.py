"""What a video file holds: its container, its video stream and all presentation times.

Packets are read but, apart from the first frame, not decoded: 27 ms for ten seconds of 720p.
The content decides, never the name. A crafted file can make FFmpeg open no other file and no
network address: only the demuxers of self-contained formats may run, over local files only.
"""

from __future__ import annotations

import itertools
import math
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import DecodeError, InputError
from sofdata.video.clock import zero_pts
from sofdata.video.container import (
    START,
    Entry,
    Key,
    Scan,
    open_container,
    packets,
    scan_stream,
    seconds,
    shown_pts,
)
from sofdata.video.geometry import pixel_aspect, square_size
from sofdata.video.hdr import hdr_transfer
from sofdata.video.orientation import UPRIGHT, Orientation, orientation_of
from sofdata.video.ranges import RangeFile, Source

# Containers whose index says where a time lies.
INDEXED = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})
# Those that say well where their timeline begins, and when frames are shown.
TRUSTED = INDEXED | {"mpegts", "mpeg", "avi"}
HEAD_PACKETS = 32
# How far before a span to seek to, s, and which key packets before it to begin with, counted back,
# where a decoder needs longer to recover than its container promises.
SEEK_BACK_S = (0.0, 2.0, 8.0, 32.0)
KEYS_BACK = (1, 2, 4, 8, 16)
ORDER_MARGIN_S = 2.0
NEVER = 1 << 62


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
    entries: tuple[Entry, ...]

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
        return _read(container, stream, span_s, path)


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


def _read(
    container: Any, stream: Any, span_s: tuple[float, float] | None, source: Source
) -> VideoInfo:
    head = _look_ahead(source, stream.index) if container.format.name not in TRUSTED else _Head()
    zero = zero_pts(container, stream, source, head.first_pts)
    by_order = head.by_order or has_decoding_times_only(container, stream)
    span = _ticks(span_s, zero, stream.time_base) if span_s else None
    scan, entries = _scan(container, stream, by_order, span, source)
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
    )


@dataclass(frozen=True, slots=True)
class _Head:
    """The first packets of a stream: when the first frame is shown; whether all lack that time."""

    first_pts: int | None = None
    by_order: bool = False


def _look_ahead(source: Source, index: int) -> _Head:
    """Look at the first packets, for what the container itself does not say well."""
    with _open(source) as container:
        stream = container.streams[index]
        first = list(itertools.islice(packets(container, stream), HEAD_PACKETS))
        times = [pts for packet in first if (pts := shown_pts(packet)) is not None]
        by_order = container.format.name == "mxf" and all(
            packet.pts in (None, packet.dts) for packet in first
        )
        return _Head(min(times, default=None), by_order)


def has_decoding_times_only(container: Any, stream: Any) -> bool:
    """Whether packets state when they are decoded and never when they are shown.

    That is so in AVI, and in Matroska for streams that were taken over from AVI (V_MS/VFW/FOURCC,
    the only ones there that have a tag).
    """
    name = container.format.name
    return name == "avi" or ("matroska" in name and _has_tag(stream.codec_context.codec_tag))


def _has_tag(tag: str) -> bool:
    return bool(tag.strip("\0")) and "[0]" not in tag


def _ticks(span_s: tuple[float, float], zero: int, time_base: Fraction) -> tuple[int, int]:
    """A span on the clock of the container."""
    start, end = (Fraction(each) / time_base for each in span_s)
    return zero + math.floor(start), zero + math.ceil(end)


def _scan(
    container: Any, stream: Any, by_order: bool, span: tuple[int, int] | None, source: Source
) -> tuple[Scan, tuple[Entry, ...]]:
    """Read the packets around a span, or all; and where to begin to decode, the nearest first.

    Only containers with an index, and a clock that never begins again, are entered in the middle;
    others are read up to the span.
    """
    if span is None:
        return scan_stream(container, stream, by_order), (START,)
    end = span[1]
    if by_order:
        margin = int(ORDER_MARGIN_S / stream.time_base)
        return scan_stream(container, stream, True, START, end + margin), (START,)
    if container.format.name not in INDEXED:
        found = scan_stream(container, stream, False, START, end)
        return found, _entries_before(found.keys, span[0])
    if entered := _enter(container, stream, span):
        return entered
    with _open(source) as again:  # what cannot seek cannot go back to the start either
        found = scan_stream(again, again.streams[stream.index], False, START, end)
        return found, _entries_before(found.keys, span[0])


def _enter(
    container: Any, stream: Any, span: tuple[int, int]
) -> tuple[Scan, tuple[Entry, ...]] | None:
    """Seek to before a span; None where only the start of the file is before it."""
    import av

    backs = [int(each / stream.time_base) for each in SEEK_BACK_S]
    first, target = stream.start_time or 0, span[0]
    found: list[Entry] = []
    scan = None
    try:
        while len(found) < len(backs) and target > first:
            scan = scan_stream(container, stream, False, Entry(target), span[1])
            key = scan.keys[0] if scan.keys else None
            if key and key.number == 0 and key.pts <= span[0]:
                found.append(Entry(target))
                if key.is_whole or len(found) > 1:
                    break
                target = key.dts - 1  # to the key before: what lies between makes it whole
            else:
                target -= max(1, backs[len(found) + 1])
    except av.FFmpegError:
        found = []
    if not found or scan is None:
        return None
    nearest = found[-1].seek_pts or first
    earlier = (nearest - back for back in backs[1:])
    return scan, (found[-1], *(Entry(each) for each in earlier if each > first), START)


def _entries_before(keys: Sequence[Key], start: int) -> tuple[Entry, ...]:
    """The packets to begin with for a span: the last key before it, and ever earlier ones.

    Keys count only as long as their times increase: some files show a time twice.
    """
    before = [
        key
        for latest, key in zip(itertools.accumulate((k.pts for k in keys), max), keys, strict=True)
        if latest == key.pts <= start
    ]
    if before and not before[-1].is_whole:
        before.pop()  # what lies between makes the last one whole
    chosen = [before[-back].number for back in KEYS_BACK if back <= len(before)]
    return (*(Entry(skipped=number) for number in chosen if number), START)


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
