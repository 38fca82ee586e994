"""Changes to MP4 files that no muxer makes: other display matrices, samples of no bytes.

Only what this needs of ISO/IEC 14496-12 is understood: boxes within boxes, and the tables of a
file with one track. Sizes of boxes before the sample data must not change.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PARENTS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts"}
# Offsets in the payload of a track header of version 0 (8.3.2).
MATRIX_AT = 40


@dataclass(slots=True)
class Box:
    """A box: its type, and either other boxes or bytes."""

    kind: bytes
    payload: bytes = b""
    inside: list[Box] = field(default_factory=list)

    def data(self) -> bytes:
        body = b"".join(box.data() for box in self.inside) if self.inside else self.payload
        return struct.pack(">I4s", len(body) + 8, self.kind) + body

    def find(self, *path: bytes) -> Box:
        if not path:
            return self
        return next(box for box in self.inside if box.kind == path[0]).find(*path[1:])


def set_matrix(path: Path, matrix: Sequence[int]) -> None:
    """Give the track of a file another display matrix: 9 numbers of 32 bits, as they are stored."""
    boxes = _read(path)
    header = _moov(boxes).find(b"trak", b"tkhd")
    assert header.payload[0] == 0
    packed = struct.pack(">9i", *matrix)
    header.payload = header.payload[:MATRIX_AT] + packed + header.payload[MATRIX_AT + 36 :]
    _write(path, boxes)


def empty_samples(path: Path, numbers: Collection[int]) -> None:
    """Take the bytes of some samples away: QuickTime's way to show the frame before for longer."""
    boxes = _read(path)
    assert boxes[-1].kind == b"moov", "the tables must come last, since their size changes"
    table = _moov(boxes).find(b"trak", b"mdia", b"minf", b"stbl")
    sizes = _sizes(table.find(b"stsz").payload)
    places = _places(table, sizes)
    for number in numbers:
        sizes[number] = 0
    table.find(b"stsz").payload = struct.pack(f">III{len(sizes)}I", 0, 0, len(sizes), *sizes)
    table.find(b"stsc").payload = struct.pack(">IIIII", 0, 1, 1, 1, 1)
    table.find(b"stco").payload = struct.pack(f">II{len(places)}I", 0, len(places), *places)
    _write(path, boxes)


def _moov(boxes: list[Box]) -> Box:
    return next(box for box in boxes if box.kind == b"moov")


def _read(path: Path) -> list[Box]:
    return _parse(path.read_bytes())


def _write(path: Path, boxes: list[Box]) -> None:
    path.write_bytes(b"".join(box.data() for box in boxes))


def _parse(data: bytes) -> list[Box]:
    boxes, at = [], 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        assert size >= 8, "boxes of 64 bits are not understood here"
        body = data[at + 8 : at + size]
        boxes.append(Box(kind, inside=_parse(body)) if kind in PARENTS else Box(kind, body))
        at += size
    return boxes


def _sizes(payload: bytes) -> list[int]:
    _, same, count = struct.unpack_from(">III", payload)
    return [same] * count if same else list(struct.unpack_from(f">{count}I", payload, 12))


def _places(table: Box, sizes: Sequence[int]) -> list[int]:
    """Where each sample lies in the file."""
    payload = table.find(b"stco").payload
    chunks = struct.unpack_from(f">{struct.unpack_from('>I', payload, 4)[0]}I", payload, 8)
    payload = table.find(b"stsc").payload
    runs = [
        struct.unpack_from(">III", payload, 8 + 12 * run)
        for run in range(struct.unpack_from(">I", payload, 4)[0])
    ]
    places: list[int] = []
    for number, start in enumerate(chunks, 1):
        samples = next(run[1] for run in reversed(runs) if run[0] <= number)
        for _ in range(samples):
            places.append(start)
            start += sizes[len(places) - 1]
    return places


def set_edits(path: Path, edits: Sequence[tuple[float, float]]) -> None:
    """Show these pieces of the track only, one after the other: (start, length) of each, s."""
    boxes = _read(path)
    moov = _moov(boxes)
    track = moov.find(b"trak")
    movie_ticks = struct.unpack_from(">I", moov.find(b"mvhd").payload, 12)[0]
    media_ticks = struct.unpack_from(">I", track.find(b"mdia", b"mdhd").payload, 12)[0]
    entries = b"".join(
        struct.pack(">IiI", round(length * movie_ticks), round(start * media_ticks), 1 << 16)
        for start, length in edits
    )
    payload = struct.pack(">II", 0, len(edits)) + entries
    track.inside = [box for box in track.inside if box.kind != b"edts"]
    track.inside.insert(1, Box(b"edts", inside=[Box(b"elst", payload)]))
    _write(path, boxes)
