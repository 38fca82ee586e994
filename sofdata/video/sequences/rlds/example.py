"""`tf.train.Example` in its wire form: where the features of one lie, without reading their values.

    message Example   { Features features = 1; }
    message Features  { map<string, Feature> feature = 1; }
    message Feature   { oneof kind { BytesList bytes_list = 1; FloatList float_list = 2;
                                     Int64List int64_list = 3; } }
    message BytesList { repeated bytes value = 1; }        and so on, numbers packed as a rule

tensorflow/core/example/{example,feature}.proto; https://protobuf.dev/programming-guides/encoding.
An episode of several GiB is one such message, of which protobuf's own library would make objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from sofdata.video.progress import PROGRESS
from sofdata.video.sequences.base import damaged

BYTES, FLOATS, INTS = 1, 2, 3  # fields of Feature
KINDS = {BYTES: "bytes", FLOATS: "floats", INTS: "integers"}
MOST_FEATURES = 100_000
MOST_NAME_BYTES = 1 << 12
MOST_COUNTED_BYTES = 1 << 20  # of integers that are counted
MOST_VALUES_BYTES = 1 << 28  # of a feature that is read as a whole
_CHUNK_BYTES = 1 << 20
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5  # types of wire
_MOST_SHIFT = 63


@dataclass(slots=True)
class StoredFeature:
    """Where a feature lies: its kind, and (start, end) of the bodies of its list, one as a rule."""

    kind: int = 0
    parts: list[tuple[int, int]] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        return sum(end - start for start, end in self.parts)


def features(file: BinaryIO, start: int, end: int) -> dict[str, StoredFeature]:
    """The features of the Example in [start, end) of a file. Raises `Unusable` where it is none."""
    found: dict[str, StoredFeature] = {}
    for number, wire, at, stop in _fields(file, start, end):
        if (number, wire) == (1, _LENGTH):
            for name, feature in _entries_of_map(file, at, stop):
                found[name] = feature  # the last of a name counts
                if len(found) > MOST_FEATURES:
                    raise damaged(f"the record at byte {start} has over {MOST_FEATURES} features")
    return found


def values(file: BinaryIO, feature: StoredFeature) -> Iterator[tuple[int, int]]:
    """(start, end) of each value of a list of bytes; none of them is read."""
    for start, end in feature.parts:
        for number, wire, at, stop in _fields(file, start, end):
            if (number, wire) == (1, _LENGTH):
                yield at, stop


def numbers(file: BinaryIO, feature: StoredFeature) -> NDArray[np.float32] | NDArray[np.int64]:
    """The values of a list of numbers: float32 or int64 [n]. Raises `Unusable`."""
    check_size(feature)
    pieces = [_numbers(file, feature.kind, *place) for place in number_parts(file, feature)]
    if not pieces:
        pieces = [np.empty(0, np.float32) if feature.kind == FLOATS else np.empty(0, np.int64)]
    joined: Any = np.concatenate(pieces)  # which are of one type
    found: NDArray[np.float32] | NDArray[np.int64] = joined
    return found


def number_parts(file: BinaryIO, feature: StoredFeature) -> Iterator[tuple[int, int]]:
    """(start, end) of the stretches in which numbers lie packed, or of each that lies alone."""
    alone = _FIXED32 if feature.kind == FLOATS else _VARINT
    for start, end in feature.parts:
        for number, wire, at, stop in _fields(file, start, end):
            if number == 1 and wire in (_LENGTH, alone):
                yield at, stop


def check_size(feature: StoredFeature) -> None:
    """Raise `Unusable` for a feature that is too large to be read as a whole."""
    if feature.size_bytes > MOST_VALUES_BYTES:
        raise damaged(f"a feature of numbers or texts has {feature.size_bytes} bytes")


def offsets_of(file: BinaryIO, start: int, end: int, every: int) -> NDArray[np.int64]:
    """Where each `every`-th of the packed integers in [start, end) begins, and the end: [n + 1].

    Reads them through, a piece at a time. Raises `Unusable` where their number is no multiple.
    """
    found, ended, position = [start], 0, start
    file.seek(start)
    while position < end:
        PROGRESS.packets += 1
        data = np.frombuffer(file.read(min(_CHUNK_BYTES, end - position)), np.uint8)
        if not len(data):
            raise damaged("the file ends within its numbers")
        ends = np.flatnonzero(data < 0x80)
        first = -(ended + 1) % every  # of these, the first that ends a group
        found += (ends[first::every] + position + 1).tolist()
        ended, position = ended + len(ends), position + len(data)
    if ended % every or found[-1] != end:
        raise damaged(f"{ended} numbers are no whole number of pictures of {every}")
    return np.array(found, np.int64)


def integers(data: bytes) -> NDArray[np.int64]:
    """Packed varints as int64 [n]. Raises `Unusable` for what is none."""
    raw = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(raw < 0x80)
    if len(raw) and (not len(ends) or ends[-1] != len(raw) - 1):
        raise damaged("packed integers end in the middle of one")
    if len(ends) == len(raw):  # flags and small numbers
        return raw.astype(np.int64)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 10:
        raise damaged("a packed integer has more than ten bytes")
    found = np.zeros(len(ends), np.uint64)
    for place in range(int(lengths.max())):
        there = lengths > place
        bits = (raw[starts[there] + place] & 0x7F).astype(np.uint64)
        found[there] |= bits << np.uint64(7 * place)
    return found.view(np.int64)


def read_at(file: BinaryIO, start: int, end: int) -> bytes:
    """The bytes [start, end). Raises `Unusable` where the file ends before."""
    file.seek(start)
    data = file.read(end - start)
    if len(data) != end - start:
        raise damaged(f"the file ends before byte {end}")
    return data


def _numbers(
    file: BinaryIO, kind: int, start: int, end: int
) -> NDArray[np.float32] | NDArray[np.int64]:
    data = read_at(file, start, end)
    if kind == INTS:
        return integers(data)
    if len(data) % 4:
        raise damaged("packed floats end in the middle of one")
    return np.frombuffer(data, "<f4").astype(np.float32)


def _entries_of_map(file: BinaryIO, start: int, end: int) -> Iterator[tuple[str, StoredFeature]]:
    for number, wire, at, stop in _fields(file, start, end):
        if (number, wire) != (1, _LENGTH):
            continue
        PROGRESS.packets += 1
        name, feature = "", StoredFeature()
        for part, form, inner, last in _fields(file, at, stop):
            if (part, form) == (1, _LENGTH):
                name = _name(file, inner, last)
            elif (part, form) == (2, _LENGTH):
                feature = _feature(file, inner, last)
        yield name, feature


def _name(file: BinaryIO, start: int, end: int) -> str:
    if end - start > MOST_NAME_BYTES:
        raise damaged(f"the name of a feature has {end - start} bytes")
    return read_at(file, start, end).decode("utf-8", "replace")


def _feature(file: BinaryIO, start: int, end: int) -> StoredFeature:
    found = StoredFeature()
    for number, wire, at, stop in _fields(file, start, end):
        if wire == _LENGTH and number in KINDS:
            if number != found.kind:  # of a oneof the last counts; of one kind they are merged
                found = StoredFeature(number)
            found.parts.append((at, stop))
    return found


def _fields(file: BinaryIO, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(number, type of wire, start, end) of each field of the message in [start, end).

    The file may be moved between two of them.
    """
    while start < end:
        file.seek(start)
        key, start = _varint(file, start, end)
        wire = key & 7
        if wire == _VARINT:
            _, stop = _varint(file, start, end)
        elif wire == _LENGTH:
            size, start = _varint(file, start, end)
            stop = start + size
        elif wire in (_FIXED64, _FIXED32):
            stop = start + (8 if wire == _FIXED64 else 4)
        else:
            raise damaged(f"at byte {start} is no field of a message")
        if stop > end:
            raise damaged(
                f"a field that ends at byte {stop} leaves its message, which ends at {end}"
            )
        yield key >> 3, wire, start, stop
        start = stop


def _varint(file: BinaryIO, start: int, end: int) -> tuple[int, int]:
    """A number where the file stands, and where it ends."""
    value = 0
    for shift in range(0, _MOST_SHIFT + 1, 7):
        byte = file.read(1)
        start += 1
        if not byte or start > end:
            raise damaged(f"a message ends within a number at byte {start}")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value, start
    raise damaged(f"a number at byte {start} has more than ten bytes")
