"""Opening a container with PyAV, safely, and reading the packets of one stream."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sofdata.video.formats import DEMUXERS
from sofdata.video.ranges import RangeFile, Source

FORMATS = ",".join(DEMUXERS)

# Packets to try for a first frame. Enough for any stream that starts between two key frames.
MAX_PACKETS_TO_FIRST_FRAME = 600

Ticks = TypeVar("Ticks", int, NDArray[np.int64])


def open_container(source: Source) -> Any:
    """Open a local file, or one that is read in ranges. Raises PyAV's errors."""
    import av

    if isinstance(source, RangeFile):
        source.seek(0)
    return av.open(
        # A path is never taken for an address such as "http:...".
        source if isinstance(source, RangeFile) else os.path.abspath(source),
        options={"protocol_whitelist": "file", "format_whitelist": FORMATS},
        **_tags_in_any_encoding(),
    )


@cache
def _tags_in_any_encoding() -> dict[str, str]:
    """Up to version 18, PyAV fails on tags that are no UTF-8 unless it is told to go on."""
    import av

    return {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}


def seconds(ticks: Ticks, time_base: Fraction) -> Any:
    """Times in seconds, the same for one time as for an array of them."""
    return ticks * (time_base.numerator / time_base.denominator)


def presented_pts(packet: Any) -> int | None:
    """Presentation time of a packet's frame, None for one that is not shown or has no time."""
    if packet.is_discard:  # cut off by an edit list: needed for decoding, but not shown
        return None
    pts = packet.pts if packet.pts is not None else packet.dts
    return None if pts is None else int(pts)


def packets(
    container: Any, stream: Any, seek_pts: int | None, span_s: tuple[float, float] | None
) -> Iterator[Any]:
    """Packets of a stream, in decoding order, up to the end of the span or of what can be read.

    stream.codec_context is set to one thread: sofdata runs one decoder a core.
    """
    import av

    if not stream.codec_context.is_open:
        stream.codec_context.thread_type = "NONE"
        stream.codec_context.thread_count = 1
    try:
        if seek_pts is not None:
            container.seek(seek_pts, stream=stream, backward=True, any_frame=False)
        for packet in container.demux(stream):
            if not packet.size:  # PyAV's sign to flush, not a packet of the file
                return
            yield packet
            if span_s is not None and _lies_after(packet, stream, span_s[1]):
                return
    except av.FFmpegError:
        return  # the rest of the file cannot be read; what was found so far counts


def _lies_after(packet: Any, stream: Any, end_s: float) -> bool:
    """Whether this and all later packets are shown after `end_s`: none is shown before its dts."""
    return packet.dts is not None and bool(seconds(packet.dts, stream.time_base) >= end_s)


@dataclass(slots=True)
class Scan:
    """What the packets of a stream tell; `rotation` and `size` are those of its first frame."""

    pts: list[int]
    packets: int = 0
    packet_bytes: int = 0
    undated: int = 0
    rotation: int = 0
    size: tuple[int, int] | None = None


def scan_stream(
    container: Any, stream: Any, seek_pts: int | None, span_s: tuple[float, float] | None
) -> Scan:
    """Read the packets of a stream (of a span), and decode up to its first frame."""
    scan = Scan([])
    for packet in packets(container, stream, seek_pts, span_s):
        scan.packets += 1
        scan.packet_bytes += packet.size
        scan.undated += packet.pts is None
        if (pts := presented_pts(packet)) is not None:
            scan.pts.append(pts)
        if scan.size is None and scan.packets <= MAX_PACKETS_TO_FIRST_FRAME:
            for frame in _try_decode(packet):
                scan.size = (frame.width, frame.height)
                scan.rotation = round(frame.rotation / 90) * 90 % 360
                break
    return scan


def _try_decode(packet: Any) -> Iterator[Any]:
    import av

    try:
        yield from packet.decode()
    except av.FFmpegError:
        return
