"""Pictures packed by the library imagecodecs, as a codec of numcodecs that checks what it unpacks.

UMI's stores have a JPEG XL in each chunk. Only the codecs of `allowed.PICTURES` are reached so, by
what a store calls them, and with none of the settings that it has for them: decoding needs none.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numcodecs.abc import Codec
from numcodecs.registry import register_codec
from numpy.typing import NDArray

from sofdata.video.sequences.zarrs.allowed import PICTURE_CODEC, PICTURES


class PackedPicture(Codec):  # type: ignore[misc]
    """Unpacks a picture, which must be of the shape and the type of its chunk.

    kind: one of `PICTURES`. shape: of the chunk without its sides of 1.
    """

    codec_id = PICTURE_CODEC

    def __init__(self, kind: str, shape: list[int], dtype: str) -> None:
        self.kind = kind
        self.shape = list(shape)
        self.dtype = dtype

    def encode(self, buf: Any) -> Any:
        """Nothing is ever written by it."""
        raise NotImplementedError

    def decode(self, buf: Any, out: Any = None) -> NDArray[Any]:
        """Raises `ValueError` for another picture than the chunk has."""
        import imagecodecs

        if self.kind not in PICTURES.values():
            raise ValueError(f"'{self.kind}' is no kind of picture")
        decode = getattr(imagecodecs, f"{self.kind}_decode")
        found: NDArray[Any] = np.ascontiguousarray(decode(bytes(buf)))
        sides = [size for size in found.shape if size != 1]
        if sides != self.shape or found.dtype != np.dtype(self.dtype):
            raise ValueError(
                f"a picture is {found.dtype} {list(found.shape)}, where its array says "
                f"{self.dtype} {self.shape}"
            )
        return found


@cache
def register() -> None:
    """Make the codec known to numcodecs, once in a process."""
    register_codec(PackedPicture)
