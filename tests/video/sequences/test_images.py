"""Pictures of TIFF, which Pillow decodes; the other kinds are in test_stream.py."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from sofdata.video.probe import Unusable
from sofdata.video.pyav_reader import Converter
from sofdata.video.sequences.images import DamagedImage, picture
from tests.conformance.barcode import draw, read

SIDE = 192


def tiff(rgb: np.ndarray, mode: str = "RGB", **options: object) -> bytes:
    target = io.BytesIO()
    Image.fromarray(rgb).convert(mode).save(target, "TIFF", **options)
    return target.getvalue()


def shown(data: bytes) -> np.ndarray:
    return Converter(1.0, SIDE, "stretch", "")(picture(data, None))


@pytest.mark.parametrize(
    ("mode", "compression"),
    [(mode, how) for mode in ("RGB", "CMYK") for how in ("jpeg", "tiff_lzw", None)]
    + [("RGBA", "tiff_lzw"), ("RGBA", None)],  # of which there is no JPEG
)
def test_kinds_of_tiff(mode: str, compression: str | None) -> None:
    options = {"compression": compression} if compression else {}
    found = shown(tiff(draw(42, SIDE, SIDE), mode, **options))
    assert np.abs(found.astype(int) - draw(42, SIDE, SIDE)).mean() < 3


def test_a_tiff_of_several_pictures_gives_the_first() -> None:
    more = [Image.fromarray(draw(9, SIDE, SIDE))]
    data = tiff(draw(42, SIDE, SIDE)[::-1], save_all=True, append_images=more, tiffinfo={0x112: 4})
    assert read(shown(data)).number == 42


def test_what_is_damaged_or_shows_depth_is_refused() -> None:
    whole = tiff(draw(42, SIDE, SIDE))
    for data in (whole[: len(whole) // 2], tiff(draw(42, SIDE, SIDE), compression="raw")[:200]):
        with pytest.raises(DamagedImage):
            picture(data, None)
    with pytest.raises(Unusable, match="a depth map"):
        picture(tiff(draw(42, SIDE, SIDE), "F"), None)
    with pytest.raises(Unusable, match="depth map"):
        picture(tiff(np.zeros((8, 8), np.uint16), "I;16"), None)
    with pytest.raises(Unusable, match="pixels"):
        picture(whole, 100)
