"""Arrays in numpy's format, of a type and shape that are known from elsewhere.

Nothing is taken from the header: it must say what is expected, and the bytes after it must be those
of such an array. So no size is believed, and nothing can be unpickled.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_GZIP = 31  # zlib's window, and that a gzip header stands before
_HEADER_BYTES = 1 << 10  # more than a .npy has before its values
_MAGIC = b"\x93NUMPY\x01\x00"
_FIELDS = re.compile(
    r"\{'descr': '([<>|=]?[a-zA-Z][0-9]{1,2})', 'fortran_order': (True|False), "
    r"'shape': \(([0-9]{0,19}(?:, ?[0-9]{1,19}){0,7},?)\),? ?\} *\n"
)


def read_npy(data: bytes, dtype: str, shape: Sequence[int]) -> NDArray[Any]:
    """The array in a .npy, a view of its bytes.

    dtype: as numpy writes it, such as "<f4". Raises `ValueError` for another type or shape than
    these, for another number of bytes, and for what is no .npy.
    """
    if data[: len(_MAGIC)] != _MAGIC or len(data) < len(_MAGIC) + 2:
        raise ValueError("it is no .npy of version 1")
    start = len(_MAGIC) + 2
    end = start + int.from_bytes(data[len(_MAGIC) : start], "little")
    found = _FIELDS.fullmatch(data[start:end].decode("latin-1"))
    if found is None:
        raise ValueError("the header of the .npy is not as numpy writes one")
    sides = [int(side) for side in found[3].replace(",", " ").split()]
    if (found[1], found[2], sides) != (dtype, "False", list(shape)):
        order = " in Fortran's order" if found[2] == "True" else ""
        raise ValueError(f"it is {found[1]} {sides}{order}, its record says {[*shape]}")
    wanted = math.prod(sides) * np.dtype(dtype).itemsize
    if len(data) - end != wanted:
        raise ValueError(
            f"{found[1]} {sides} takes {wanted} bytes, and {len(data) - end} are there"
        )
    return np.frombuffer(data, dtype, offset=end).reshape(sides)


def read_npy_gz(data: bytes, dtype: str, shape: Sequence[int]) -> NDArray[Any]:
    """The array in a .npy.gz. Raises as `read_npy`, having unpacked no more than such an array."""
    most = math.prod(shape) * np.dtype(dtype).itemsize + _HEADER_BYTES
    unpacker = zlib.decompressobj(_GZIP)
    try:
        unpacked = unpacker.decompress(data, most)
    except zlib.error as error:
        raise ValueError(f"it is no gzip file: {error}") from None
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("its gzip data is longer or shorter than its record says")
    return read_npy(unpacked, dtype, shape)
