"""Messages, schemas, channels and metadata of an MCAP file, in the order of the file.

Chunks of any size are unpacked as they are read, so that memory is that of one message. What is cut
off or damaged ends no reading: it is told as `Damage` or with the `ChunkEnd`, and what comes behind
it is read on.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

from sofdata.video.progress import PROGRESS
from sofdata.video.sequences.mcaps.chunks import Content, Place, chunk_head
from sofdata.video.sequences.mcaps.records import (
    CHANNEL,
    CHUNK,
    HEAD_BYTES,
    MAGIC,
    MESSAGE,
    METADATA,
    MOST_BODY_BYTES,
    SCHEMA,
    Damage,
    Record,
    parsed,
    parsed_body,
    records,
)

MESSAGE_HEAD = struct.Struct("<HIQQ")
Event = Any  # Schema, Channel or Metadata of mcap.records; Message, ChunkEnd, Damage


class Message(NamedTuple):
    """A message that the walk stands at.

    chunk: where the body of the chunk begins in which it lies, packed or not; 0 for none.
    read: its first bytes, as many as asked for; once, while the walk stands here.
    """

    chunk: int
    place: Place
    channel: int
    log_ns: int
    publish_ns: int
    length: int
    read: Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class ChunkEnd:
    """All messages of a chunk have been walked over. why: what is wrong with them, "" if nothing.

    is_cut: the file ends in it, which says nothing against the messages before the cut.
    """

    start: int
    why: str
    is_cut: bool = False


def walk(
    file: BinaryIO, size: int, is_wanted: Callable[[int], bool] = lambda _: True
) -> Iterator[Event]:
    """All that the data hold, in the order of the file.

    is_wanted: whether the chunk whose body begins at a byte is to be looked into.
    """
    for record in records(file, len(MAGIC), size):
        if isinstance(record, Damage):
            yield record
        elif record.kind == CHUNK:
            if is_wanted(record.start):
                yield from walk_chunk(file, record)
        elif record.kind == MESSAGE and not record.is_cut:
            if (message := _plain_message(file, record)) is not None:
                yield message
        elif record.kind in (SCHEMA, CHANNEL, METADATA) and not record.is_cut:
            yield parsed(file, record)


def walk_chunk(file: BinaryIO, record: Record) -> Iterator[Event]:
    """What a chunk holds, and a `ChunkEnd`."""
    try:
        content = Content(file, chunk_head(file, record))
    except ValueError as error:
        yield ChunkEnd(record.start, f"the chunk at byte {record.start}: {error}")
        return
    try:
        yield from _inside(content, record)
        content.drain()
        yield ChunkEnd(record.start, content.verdict(record.is_cut), record.is_cut)
    except ValueError as error:
        why = "" if record.is_cut else f"the chunk at byte {record.start}: {error}"
        yield ChunkEnd(record.start, why, record.is_cut)


def _inside(content: Content, record: Record) -> Iterator[Event]:
    while len(head := content.read(HEAD_BYTES)) == HEAD_BYTES:
        kind, length = struct.unpack("<BQ", head)
        PROGRESS.packets += 1
        end = content.position + length
        if kind == MESSAGE and length >= MESSAGE_HEAD.size:
            fields = content.read(MESSAGE_HEAD.size)
            if len(fields) < MESSAGE_HEAD.size:
                return
            channel, _, log_ns, publish_ns = MESSAGE_HEAD.unpack(fields)
            place = content.place(record.start)
            left = length - MESSAGE_HEAD.size
            if content.has(left, record.is_cut):
                read = _reader(content, left)
                yield Message(record.start, place, channel, log_ns, publish_ns, left, read)
            elif not record.is_cut:
                raise ValueError("a message in it is longer than itself")
        elif kind in (SCHEMA, CHANNEL) and length <= MOST_BODY_BYTES:
            yield parsed_body(kind, content.read(length))
        content.skip(end - content.position)


def _reader(content: Content, left: int) -> Callable[[int], bytes]:
    return lambda size: content.read(min(size, left))


def _plain_message(file: BinaryIO, record: Record) -> Message | None:
    """A message that lies in no chunk; None for one that is too short to be one."""
    fields = file.read(MESSAGE_HEAD.size) if record.length >= MESSAGE_HEAD.size else b""
    if len(fields) < MESSAGE_HEAD.size:
        return None
    channel, _, log_ns, publish_ns = MESSAGE_HEAD.unpack(fields)
    place = Place(0, record.start + MESSAGE_HEAD.size)
    left = record.length - MESSAGE_HEAD.size

    def read(size: int) -> bytes:
        file.seek(place.offset)
        return file.read(min(size, left))

    return Message(0, place, channel, log_ns, publish_ns, left, read)
