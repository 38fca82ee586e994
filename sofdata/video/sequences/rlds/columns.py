"""The numbers of a feature, a row a step: actions, and the robot's state."""

from __future__ import annotations

import zlib
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from sofdata.video.sequences.base import damaged
from sofdata.video.sequences.rlds import example, steps
from sofdata.video.sequences.rlds.steps import Features

# As tfds.features.Tensor writes them to bytes. By name, for nothing else may be made of bytes.
DTYPES = (
    *("float16", "float32", "float64", "bool"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"),
)


def column_of(file: BinaryIO, features: Features, line: str, count: int) -> NDArray[np.float32]:
    """float32 [count, size] of a feature, as a line of `columns` describes it. Raises `Unusable`.

    Floats of 64 bits are stored as ones of 32 by TFDS itself.
    """
    size, coding, dtype, name = line.split(" ", 3)
    if coding == "none":
        values = steps.numbers_of(file, features, name)
    else:
        values = _decoded(file, features, name, int(size), coding, dtype)
    if len(values) != count * int(size):
        what = f"has {len(values)} numbers, where {count} steps have {size} each"
        raise damaged(f"the record's feature '{name}' {what}")
    return values.reshape(count, int(size)).astype(np.float32)


def _decoded(
    file: BinaryIO, features: Features, name: str, size: int, coding: str, dtype: str
) -> NDArray[np.float32]:
    if dtype not in DTYPES:
        raise damaged(f"'{name}' is of type {dtype:.40}, which is not read")
    feature = steps.needed(features, name, example.BYTES)
    example.check_size(feature)
    kind = np.dtype(dtype).newbyteorder("<")
    rows = [
        np.frombuffer(unpacked(example.read_at(file, *at), coding, size * kind.itemsize), kind)
        for at in example.values(file, feature)
    ]
    return np.concatenate(rows).astype(np.float32) if rows else np.empty(0, np.float32)


def unpacked(data: bytes, coding: str, size_bytes: int) -> bytes:
    """The bytes of an array of this size. Raises `Unusable` where they are not as many."""
    if coding == "zlib":
        try:
            data = zlib.decompressobj().decompress(data, size_bytes + 1)
        except zlib.error as error:
            raise damaged(f"an array cannot be decompressed: {error}") from None
    if len(data) != size_bytes:
        raise damaged(f"an array has {len(data)} bytes, not {size_bytes}")
    return data
