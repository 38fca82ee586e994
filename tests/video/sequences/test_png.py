"""PNGs: of their header as little is read as says how large they are and how they are turned."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from sofdata.video.orientation import UPRIGHT
from sofdata.video.sequences.images import DamagedImage, kind_of, picture
from tests.sequences import encoded

_END = struct.pack(">I", 0) + b"IEND"


def exif(turn: int) -> bytes:
    found = Image.Exif()
    found[0x0112] = turn
    return found.tobytes()


def with_exif_behind(data: bytes, turn: int) -> bytes:
    """As other programs than Pillow write it: behind the pixels."""
    body = b"eXIf" + exif(turn).removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return data.replace(_END, chunk + _END)


def test_a_png_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(7, "PNG")

    def load(_: object) -> None:
        raise AssertionError("Pillow has unpacked it")

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", load)
    assert kind_of(data) == "png"
    assert picture(data, None).orientation == UPRIGHT


@pytest.mark.parametrize("is_behind", [False, True])
def test_a_png_is_turned_as_its_exif_says(is_behind: bool) -> None:
    data = encoded(7, "PNG", **({} if is_behind else {"exif": exif(6)}))
    if is_behind:
        data = with_exif_behind(data, 6)
    found = picture(data, None).orientation
    assert (found.transpose, found.flip_x, found.flip_y) == (True, True, False)


@pytest.mark.parametrize("shape", [(0, 4, 3), (4, 0, 3), (0, 0)])
def test_an_array_without_pixels_is_no_picture(shape: tuple[int, ...]) -> None:
    with pytest.raises(DamagedImage, match="a picture of"):
        picture(np.zeros(shape, np.uint8), None)
