"""Chunks of a ROS 1 bag, in which its messages lie, packed or not."""

from __future__ import annotations

import io
from collections import OrderedDict
from dataclasses import dataclass
from typing import BinaryIO

from sofdata.video.sequences.bags import records
from sofdata.video.sequences.bags.records import BadRecord, Record, record_at
from sofdata.video.sequences.bags.unpack import unpacked

KEPT_CHUNKS = 2


@dataclass(frozen=True, slots=True)
class Chunk:
    """data: where its messages lie, packed or not. bytes: how many when unpacked."""

    position: int
    data_pos: int
    data_bytes: int
    compression: str
    unpacked_bytes: int

    @property
    def end(self) -> int:
        return self.data_pos + self.data_bytes

    @property
    def is_plain(self) -> bool:
        """Whether it is not compressed."""
        return self.compression in ("", "none")


class Chunks:
    """The chunks of an open bag."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._unpacked: OrderedDict[int, bytes] = OrderedDict()

    def opened(self, chunk: Chunk) -> tuple[BinaryIO, int, int]:
        """A file in which its records lie, from where to where. Raises `BadRecord`."""
        if chunk.is_plain:
            return self._file, chunk.data_pos, chunk.end
        return io.BytesIO(self._content(chunk)), 0, chunk.unpacked_bytes

    def at(self, position: int) -> Chunk:
        """The chunk that begins at a byte. Raises `BadRecord`."""
        record = record_at(self._file, position)
        if record.op != records.CHUNK:
            raise BadRecord(f"no chunk lies at byte {position}")
        return Chunk(
            position,
            record.data_pos,
            record.data_bytes,
            record.text("compression"),
            record.uint32("size"),
        )

    def _content(self, chunk: Chunk) -> bytes:
        """What a compressed chunk holds; the last ones are kept. Raises `BadRecord`."""
        if chunk.position not in self._unpacked:
            self._unpacked[chunk.position] = self._unpack(chunk)
            if len(self._unpacked) > KEPT_CHUNKS:
                self._unpacked.popitem(last=False)
        self._unpacked.move_to_end(chunk.position)
        return self._unpacked[chunk.position]

    def _unpack(self, chunk: Chunk) -> bytes:
        if max(chunk.unpacked_bytes, chunk.data_bytes) > records.MOST_CHUNK_BYTES:
            raise BadRecord(f"a compressed chunk of {chunk.unpacked_bytes} bytes is not read")
        record = Record({}, chunk.data_pos, chunk.data_bytes)
        data = records.data_of(self._file, record, records.MOST_CHUNK_BYTES)
        content = unpacked(data, chunk.compression, chunk.unpacked_bytes)
        if content is None or len(content) != chunk.unpacked_bytes:
            raise BadRecord(f"a chunk is damaged ({chunk.compression})")
        return content
