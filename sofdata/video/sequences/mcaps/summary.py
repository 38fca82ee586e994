"""The summary at the end of an MCAP file: its topics, its chunks, and how many messages it has."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, BinaryIO

from sofdata.video.sequences.mcaps.records import (
    FOOTER,
    HEAD_BYTES,
    MAGIC,
    MOST_BODY_BYTES,
    PIECE_BYTES,
    Damage,
    records,
)

MOST_SUMMARY_BYTES = 1 << 29
FOOTER_BYTES = HEAD_BYTES + 20


@dataclass(slots=True)
class Summary:
    """What the end of a file says of it. counts: messages by channel, None where it does not say.

    span_ns: (first, last) time of the log. metadata_count: that there are, whether named or not.
    """

    schemas: dict[int, Any] = field(default_factory=dict)
    channels: dict[int, Any] = field(default_factory=dict)
    chunks: list[Any] = field(default_factory=list)
    metadata: list[Any] = field(default_factory=list)
    counts: Mapping[int, int] | None = None
    span_ns: tuple[int, int] | None = None
    metadata_count: int = 0

    @property
    def names_all(self) -> bool:
        """Whether it says of every channel what it holds."""
        schemas = {channel.schema_id for channel in self.channels.values()} - {0}
        return bool(self.channels) and schemas <= set(self.schemas)


def read_summary(file: BinaryIO, size: int) -> Summary | None:
    """The summary of a file, None where it has none that is whole."""
    end = size - len(MAGIC) - FOOTER_BYTES
    file.seek(max(0, end))
    tail = file.read(FOOTER_BYTES + len(MAGIC))
    if end < len(MAGIC) or not tail.endswith(MAGIC):
        return None
    kind, length, start, _, crc = struct.unpack("<BQQQI", tail[:FOOTER_BYTES])
    if (kind, length) != (FOOTER, 20) or not len(MAGIC) < start < end:
        return None
    if end - start > MOST_SUMMARY_BYTES or (crc and crc != _crc(file, start, end + 25)):
        return None
    return _summary(file, start, size)


def _crc(file: BinaryIO, start: int, end: int) -> int:
    file.seek(start)
    crc, left = 0, end - start
    while left > 0 and (piece := file.read(min(PIECE_BYTES, left))):
        crc, left = zlib.crc32(piece, crc), left - len(piece)
    return crc


def _summary(file: BinaryIO, start: int, size: int) -> Summary | None:
    from mcap import records as known
    from mcap.data_stream import ReadDataStream
    from mcap.exceptions import McapError

    kinds: dict[int, Any] = {0x03: known.Schema, 0x04: known.Channel, 0x08: known.ChunkIndex}
    kinds |= {0x0B: known.Statistics, 0x0D: known.MetadataIndex}
    summary = Summary()
    try:
        for record in records(file, start, size):
            if isinstance(record, Damage) or record.is_cut or record.length > MOST_BODY_BYTES:
                return None
            if record.kind in kinds:
                file.seek(record.start)
                body = ReadDataStream(BytesIO(file.read(record.length)))
                _put(summary, kinds[record.kind].read(body))
    except (McapError, struct.error, ValueError):
        return None
    summary.chunks.sort(key=lambda each: int(each.chunk_start_offset))
    return summary


def _put(summary: Summary, record: Any) -> None:
    kind = type(record).__name__
    if kind == "Schema":
        summary.schemas[record.id] = record
    elif kind == "Channel":
        summary.channels[record.id] = record
    elif kind == "ChunkIndex":
        summary.chunks.append(record)
    elif kind == "MetadataIndex":
        summary.metadata.append(record)
    else:
        summary.counts = dict(record.channel_message_counts)
        summary.metadata_count = record.metadata_count
        if record.message_count:
            summary.span_ns = (record.message_start_time, record.message_end_time)
