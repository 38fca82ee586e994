"""JPEG pictures of a size that is known from elsewhere: it is compared before they are decoded."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import InputError

if TYPE_CHECKING:
    from PIL.JpegImagePlugin import JpegImageFile

MOST_VALUES = 1 << 26  # of a picture or the flow of a window: 256 MiB as float32
# What Pillow raises over headers and data that are broken.
_BROKEN = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, AttributeError, LookupError),
    *(ArithmeticError, MemoryError, RecursionError, struct.error),
)


def check_values(values: int, what: str) -> None:
    """Raise `InputError` for an array or picture of more values than are read."""
    if values > MOST_VALUES:
        raise InputError(f"{what} has {values} values, more than the {MOST_VALUES} that are read")


@contextmanager
def opened_jpeg(data: bytes, size: tuple[int, int]) -> Iterator[JpegImageFile]:
    """A JPEG of this height and width, px, whose header was read and whose pixels were not.

    What goes wrong with it within the block is an `InputError`, too.
    """
    # Not `Image.open`, which warns of large pictures where it should not open them.
    from PIL.JpegImagePlugin import JpegImageFile

    try:
        with JpegImageFile(io.BytesIO(data)) as image:
            width, height = image.size
            if (height, width) != tuple(size):
                raise InputError(f"it is {height} x {width} px, its record says {list(size)}")
            check_values(height * width * len(image.getbands()), "a picture")
            yield image
    except _BROKEN as error:
        raise InputError(f"it is no readable JPEG: {str(error)[:200]}") from None


def read_rgb(data: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The pixels of a JPEG, uint8 [H,W,3]. Raises `InputError`."""
    with opened_jpeg(data, size) as image:
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
