"""Where to begin to decode, and which packets to read for a span of a video.

A container with an index is entered before the span, at a key packet from which pictures are whole;
any other is read up to it. What a container does not say well, such as when its first frame is
shown, its first packets do.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sofdata.video.container import (
    START,
    EntryPoint,
    Key,
    Scan,
    open_container,
    packets,
    scan_stream,
    shown_pts,
)
from sofdata.video.ranges import Source

# Containers whose index says where a time lies.
INDEXED = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})
# Those that say well where their timeline begins, and when frames are shown.
TRUSTED = INDEXED | {"mpegts", "mpeg", "avi"}
HEAD_PACKETS = 32
# How far before a span to seek to, s, and which key packets before it to begin with, counted back,
# where a decoder needs longer to recover than its container promises.
SEEK_BACK_S = (2.0, 8.0, 32.0)
KEYS_BACK = (1, 2, 4, 8, 16)
ORDER_MARGIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Head:
    """The first packets of a stream: when the first frame is shown; whether all lack that time."""

    first_pts: int | None = None
    by_order: bool = False


def look_ahead(source: Source, index: int) -> Head:
    """Look at the first packets, for what the container itself does not say well."""
    with open_container(source) as container:
        stream = container.streams[index]
        first = list(itertools.islice(packets(container, stream), HEAD_PACKETS))
        times = [pts for packet in first if (pts := shown_pts(packet)) is not None]
        by_order = container.format.name == "mxf" and all(
            packet.pts in (None, packet.dts) for packet in first
        )
        return Head(min(times, default=None), by_order)


def has_decoding_times_only(container: Any, stream: Any) -> bool:
    """Whether packets state when they are decoded and never when they are shown.

    That is so in AVI, and in Matroska for streams that were taken over from AVI (V_MS/VFW/FOURCC,
    the only ones there that have a tag).
    """
    name = container.format.name
    return name == "avi" or ("matroska" in name and _has_tag(stream.codec_context.codec_tag))


def _has_tag(tag: str) -> bool:
    return bool(tag.strip("\0")) and "[0]" not in tag


def scan_packets(
    container: Any,
    stream: Any,
    *,
    by_order: bool,
    span: tuple[int, int] | None,
    source: Source,
    max_pixels: int | None = None,
) -> tuple[Scan, tuple[EntryPoint, ...]]:
    """Read the packets around a span, or all; and where to begin to decode, the nearest first.

    by_order: as `VideoInfo.by_order`. span: (first, end) in the stream's time base, None for all.
    source: to open the file once more where it cannot seek back.

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
    with open_container(
        source, max_pixels
    ) as again:  # what cannot seek cannot go back to the start either
        found = scan_stream(again, again.streams[stream.index], False, START, end)
        return found, _entries_before(found.keys, span[0])


def _enter(
    container: Any, stream: Any, span: tuple[int, int]
) -> tuple[Scan, tuple[EntryPoint, ...]] | None:
    """Seek to before a span; None where only the start of the file is before it."""
    import av

    backs = [max(1, int(each / stream.time_base)) for each in SEEK_BACK_S]
    first, target, back = stream.start_time or 0, span[0], backs[0]
    found: list[EntryPoint] = []
    scan = None
    try:
        while target > first:
            scan = scan_stream(container, stream, False, EntryPoint(target), span[1])
            key = scan.keys[0] if scan.keys else None
            if key and key.number == 0 and key.pts <= span[0]:
                found.append(EntryPoint(target))
                if key.is_whole or len(found) > 1:
                    break
                target = key.dts - 1  # to the key before: what lies between makes it whole
            else:
                target, back = target - back, 4 * back  # each try reads on to the span's end
    except MemoryError:
        raise
    except av.FFmpegError:
        found = []
    if not found or scan is None:
        return None
    nearest = found[-1].seek_pts or first
    earlier = (nearest - each for each in backs)
    return scan, (found[-1], *(EntryPoint(each) for each in earlier if each > first), START)


def _entries_before(keys: Sequence[Key], start: int) -> tuple[EntryPoint, ...]:
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
    return (*(EntryPoint(skipped=number) for number in chosen if number), START)
