"""Records of an MCAP file, one after the other, of which none is held that is not asked for.

https://mcap.dev/spec. The library `mcap` parses what is small: schemas, channels, the summary. Its
own reader takes every record into memory, and a chunk as a whole however far it unpacks; here
chunks of any size are unpacked as they are read (`chunks`), so memory stays that of one message.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple

from sofdata.video.progress import PROGRESS
from sofdata.video.sequences.base import damaged

MAGIC = b"\x89MCAP0\r\n"
HEAD_BYTES = 9  # of a record: its kind, and the length of its body
MOST_BODY_BYTES = 1 << 26  # of a record that is parsed as a whole
MOST_MESSAGE_BYTES = 1 << 28
PIECE_BYTES = 1 << 17
SCHEMA, CHANNEL, MESSAGE, CHUNK = 0x03, 0x04, 0x05, 0x06
FOOTER, DATA_END, METADATA = 0x02, 0x0F, 0x0C
LAST_KNOWN = 0x0F  # what comes behind is reserved, and from 0x80 on everyone's own


@dataclass(frozen=True, slots=True)
class Damage:
    """What is wrong with the file, in words."""

    what: str


class Record(NamedTuple):
    """kind: its opcode. start: of its body. length: of the body, as far as the file has it."""

    kind: int
    start: int
    length: int
    is_cut: bool


def size_of(file: BinaryIO) -> int:
    """Bytes of an open file."""
    return file.seek(0, 2)


def check_magic(file: BinaryIO, name: str) -> None:
    """Raises `Unusable` where a file does not begin as one of MCAP does."""
    file.seek(0)
    found = file.read(len(MAGIC))
    if found != MAGIC:
        raise damaged(f"{name}: is no MCAP file: it begins with {found.hex() or 'nothing'}")


def records(file: BinaryIO, start: int, size: int) -> Iterator[Record | Damage]:
    """The records from `start` on, up to the end of the data or of the file.

    Those of kinds that are not known are given as well: newer versions may have more.
    """
    while True:
        file.seek(start)
        head = file.read(HEAD_BYTES)
        if len(head) < HEAD_BYTES:
            yield Damage(f"the file is cut off at byte {size}")
            return
        kind, length = struct.unpack("<BQ", head)
        start += HEAD_BYTES
        is_cut = start + length > size
        if not kind or (kind > LAST_KNOWN and is_cut):
            yield Damage(f"what begins at byte {start - HEAD_BYTES} of {size} is no record")
            return
        PROGRESS.packets += 1
        yield Record(kind, start, min(length, size - start), is_cut)
        start += length
        if kind in (DATA_END, FOOTER):
            return
        if is_cut:
            yield Damage(f"the file is cut off at byte {size}")
            return


def parsed(file: BinaryIO, record: Record) -> Any:
    """A record of a kind that the library parses, or `Damage`."""
    if record.length > MOST_BODY_BYTES:
        return Damage(f"the record at byte {record.start} has {record.length} bytes")
    file.seek(record.start)
    return parsed_body(record.kind, file.read(record.length))


def parsed_body(kind: int, body: bytes) -> Any:
    """As `parsed`, of the body of a record."""
    from mcap import records as known
    from mcap.data_stream import ReadDataStream
    from mcap.exceptions import McapError

    classes = {SCHEMA: known.Schema, CHANNEL: known.Channel, METADATA: known.Metadata}
    try:
        return classes[kind].read(ReadDataStream(BytesIO(body)))
    except (McapError, struct.error, ValueError, TypeError) as error:
        return Damage(f"a record of {len(body)} bytes cannot be read: {error!r:.80}")
