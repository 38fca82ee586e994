"""Opening a container with PyAV, safely, and reading the packets of one stream."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sofdata.video.clock import JoinedClock
from sofdata.video.formats import DEMUXERS
from sofdata.video.keys import brings_sets, is_exact, is_whole
from sofdata.video.progress import PROGRESS
from sofdata.video.ranges import RangeFile, Source

FORMATS = ",".join(DEMUXERS)

# Packets to try for a first frame. Enough for any stream that starts between two key frames.
MAX_PACKETS_TO_FIRST_FRAME = 600
PACKETS_TO_REFUSAL = 3
ADDED_PIXELS = 1 << 20
_REFUSED = re.compile(r"Picture size (\d+)x(\d+) ")  # "exceeds ...", or "is invalid"

# Containers that are written as they come, so that joining two files gives a file.
RESTARTING = frozenset({"mpegts", "mpeg", "flv", "ogg", "asf"})

Ticks = TypeVar("Ticks", int, NDArray[np.int64])


def open_container(source: Source, max_pixels: int | None = None) -> Any:
    """Open a local file, or one that is read in ranges. Raises PyAV's errors.

    max_pixels: no frame of more than about twice as many is decoded, whatever the header says (some
        decoders count what they add to its sides); None for FFmpeg's own bound.
    """
    import av

    if isinstance(source, RangeFile):
        source.seek(0)
    bound = {} if max_pixels is None else {"max_pixels": str(2 * max_pixels + ADDED_PIXELS)}
    container = av.open(
        # Playlists and the like name other files and hosts, which FFmpeg would open: it may use its
        # file protocol and self-contained formats only. A path is never an address ("http:...").
        source if isinstance(source, RangeFile) else os.path.abspath(source),
        options={"protocol_whitelist": "file", "format_whitelist": FORMATS, **bound},
        **_tags_in_any_encoding(),
    )
    for stream in container.streams.video:
        if stream.codec_context:
            stream.codec_context.options = bound
    return container


def refused_size(source: Source, index: int, max_pixels: int) -> tuple[int, int] | None:
    """Width and height of the first frame of a stream, if it is refused for being too large.

    FFmpeg reports that in its log only: width and height are 0 once it has refused a frame.
    """
    import av

    level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # also what was said of the video before
    try:
        with av.logging.Capture() as said, open_container(source, max_pixels) as container:
            stream = container.streams[index]
            for packet in itertools.islice(packets(container, stream), PACKETS_TO_REFUSAL):
                next(_try_decode(packet), None)
    except av.FFmpegError:
        return None
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skips)
    found = (_REFUSED.search(message) for _, _, message in said)
    sizes = ((int(each[1]), int(each[2])) for each in found if each)
    return next((size for size in sizes if size[0] * size[1] > max_pixels), None)


@cache
def _tags_in_any_encoding() -> dict[str, str]:
    """Up to version 18, PyAV fails on tags that are no UTF-8 unless it is asked to ignore them."""
    import av

    return {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}


def seconds(ticks: Ticks, time_base: Fraction) -> Any:
    """Ticks in seconds, the same for one as for an array of them."""
    return ticks * (time_base.numerator / time_base.denominator)


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """Where in a file to begin to decode.

    seek_pts: what to seek to, in the stream's time base; None for the start of the file.
    skipped: how many packets of the stream to pass over from there.
    """

    seek_pts: int | None = None
    skipped: int = 0


START = EntryPoint()


def packets(
    container: Any,
    stream: Any,
    entry: EntryPoint = START,
    end_pts: int | None = None,
    clock: JoinedClock | None = None,
) -> Iterator[Any]:
    """Packets of a stream in decoding order, up to `end_pts` or to the end of what can be read.

    Their times are those of `clock`, which never begins again. Packets without content are among
    them: QuickTime, AVI and Ogg so repeat a frame. stream.codec_context is set to one thread:
    sofdata runs one decoder a core. Raises PyAV's errors where it cannot seek.
    """
    import av

    if not stream.codec_context.is_open:
        stream.codec_context.thread_type = "NONE"
        stream.codec_context.thread_count = 1
    if entry.seek_pts is not None:
        container.seek(entry.seek_pts, stream=stream, backward=True, any_frame=False)
    clock = clock or joined_clock(container, stream)
    try:
        for number, packet in enumerate(container.demux(stream)):
            PROGRESS.packets += 1
            if not packet.size and packet.pts is None and packet.dts is None:
                continue  # PyAV's sign to flush, not a packet of the file
            clock.move(packet)
            if number >= entry.skipped:
                yield packet
            if _is_after(packet, end_pts):
                return
    except MemoryError:  # FFmpeg's own, too: the rest could be read with more
        raise
    except av.FFmpegError:
        return  # the rest of the file cannot be read; what was found so far counts


def _is_after(packet: Any, end_pts: int | None) -> bool:
    """Whether no later packet is shown before `end_pts`: no frame is, before its packet's dts.

    An edit list hides packets whose times do not say where they belong.
    """
    return (
        end_pts is not None
        and packet.dts is not None
        and packet.dts >= end_pts
        and not packet.is_discard
    )


def joined_clock(container: Any, stream: Any) -> JoinedClock:
    """A clock for the packets of a stream."""
    return JoinedClock(stream.time_base, container.format.name in RESTARTING)


def shown_pts(packet: Any) -> int | None:
    """Presentation time of a packet's frame, None for one that is not shown or has no time."""
    if packet.is_discard or not packet.size:
        return None  # cut off by an edit list, or no frame of its own
    pts = packet.pts if packet.pts is not None else packet.dts
    return None if pts is None else int(pts)


@dataclass(frozen=True, slots=True)
class Key:
    """A packet that a decoder can begin with: its number and its times.

    is_whole: whether its picture is whole at once (`sofdata.video.keys`).
    is_exact: whether all frames from its own on, and no packet before it, give what is shown then.
    brings_sets: whether it brings sets of parameters of its own.
    """

    number: int
    pts: int
    dts: int
    is_whole: bool
    is_exact: bool = False
    brings_sets: bool = False


@dataclass(slots=True)
class Scan:
    """What was found in the packets of a stream.

    pts: of the frames that are shown, each once; times of decoding where `by_order`.
    keys: the packets that a decoder can begin with.
    packets, packet_bytes: all that have content. repeats: packets without.
    undated: packets without a presentation time, or with that of another.
    restarts: how often the clock begins again.
    is_end: whether the end of the file was reached. first: the first frame that decodes.
    """

    pts: set[int] = field(default_factory=set)
    keys: list[Key] = field(default_factory=list)
    packets: int = 0
    packet_bytes: int = 0
    repeats: int = 0
    undated: int = 0
    restarts: int = 0
    is_end: bool = True
    first: Any = None


def scan_stream(
    container: Any,
    stream: Any,
    by_order: bool,
    entry: EntryPoint = START,
    end_pts: int | None = None,
) -> Scan:
    """Read the packets of a stream, and decode up to its first frame."""
    scan, clock = Scan(), joined_clock(container, stream)
    latest: int | None = None  # presentation time so far
    for number, packet in enumerate(packets(container, stream, entry, end_pts, clock)):
        scan.is_end = not _is_after(packet, end_pts)
        if not packet.size:
            scan.repeats += 1
            continue
        scan.packets += 1
        scan.packet_bytes += packet.size
        scan.undated += packet.pts is None
        pts = packet.dts if by_order and not packet.is_discard else shown_pts(packet)
        if pts is not None:
            scan.undated += pts in scan.pts
            scan.pts.add(pts)
            if packet.is_keyframe:
                follows = latest is None or latest < pts
                scan.keys.append(_key(number, pts, packet, stream.codec_context, follows))
            latest = pts if latest is None else max(latest, pts)
        if scan.first is None and scan.packets <= MAX_PACKETS_TO_FIRST_FRAME:
            scan.first = next(_try_decode(packet), None)
    scan.restarts = clock.restarts
    return scan


def _key(number: int, pts: int, packet: Any, codec: Any, follows: bool) -> Key:
    """follows: whether all packets before it are shown before it."""
    return Key(
        number=number,
        pts=pts,
        dts=pts if packet.dts is None else packet.dts,
        is_whole=is_whole(packet, codec),
        is_exact=follows and packet.dts is not None and is_exact(packet, codec),
        brings_sets=brings_sets(packet, codec),
    )


def _try_decode(packet: Any) -> Iterator[Any]:
    import av

    try:
        yield from packet.decode()
    except MemoryError:
        raise
    except (av.FFmpegError, ValueError):  # PyAV 19: ValueError after a decoder was refused once
        return
