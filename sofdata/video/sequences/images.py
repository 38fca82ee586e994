"""Stored pictures as frames that are converted like those of a video.

Encoded ones are decoded by FFmpeg, which is told to refuse what is damaged: half a JPEG, a PNG
with a wrong checksum. Of a TIFF it then refuses every tag that it does not know, as that of how it
has to be turned, so that Pillow decodes those. Pillow reads the headers of all: the size, before
any decoding, and how they have to be turned (Exif), which PyAV does not hand on.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import DecodeError
from sofdata.video.container import ADDED_PIXELS
from sofdata.video.limits import size_message, too_large
from sofdata.video.orientation import UPRIGHT, Orientation, orientation_of
from sofdata.video.probe import Unusable
from sofdata.video.pyav_reader import Picture
from sofdata.video.sequences.base import StoredImage

# Pillow's name of a kind of picture, and FFmpeg's decoder for it.
DECODERS = {
    "JPEG": "mjpeg",
    "MPO": "mjpeg",  # JPEG with further ones behind it, from cameras and phones
    "PNG": "png",
    "WEBP": "webp",
    "BMP": "bmp",
    "TIFF": "tiff",
    "PPM": "ppm",
}
_LIGHT = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB")  # of a TIFF
_DEEP = ("I;16", "I;16B")  # grey of 16 bits
OPENED = tuple(name for name in DECODERS if name != "MPO")  # which its reader of JPEG finds
_EXIF_ORIENTATION = 0x0112
# What a PNG calls those of its parts that may say how it is to be turned.
_TURNED_PNG = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")
# Exif 2.32, 4.6.4: what makes a stored picture upright.
_TURNS = {
    1: UPRIGHT,
    2: Orientation(flip_x=True),
    3: Orientation(flip_x=True, flip_y=True),
    4: Orientation(flip_y=True),
    5: Orientation(transpose=True),
    6: Orientation(transpose=True, flip_x=True),
    7: Orientation(transpose=True, flip_x=True, flip_y=True),
    8: Orientation(transpose=True, flip_y=True),
}


class DamagedImage(DecodeError):
    """One picture that cannot be decoded; the sequence goes on without it."""


@dataclass(frozen=True, slots=True, eq=False)
class GreyCoded:
    """An encoded picture whose grey stands for something else, such as the pattern of a sensor.

    shown: makes of uint8 or uint16 [H,W] of grey what it shows, uint8 [H,W,3] of RGB or [H,W].
    """

    data: bytes
    shown: Callable[[NDArray[Any]], NDArray[np.uint8]]


def picture(image: StoredImage, max_pixels: int | None) -> Picture:
    """A stored picture as a frame of PyAV and how it has to be turned.

    Raises `DamagedImage` for one that cannot be decoded, and `Unusable` for one that is too large.
    """
    if image is None:
        raise DamagedImage("a picture is missing")
    if isinstance(image, DamagedImage):
        raise image
    if isinstance(image, bytes):
        return _decoded(image, max_pixels)
    if isinstance(image, GreyCoded):
        return _of_grey(image, max_pixels)
    if isinstance(image, np.ndarray):
        return Picture(None, _raw(image, max_pixels), UPRIGHT)
    if why := too_large(image, max_pixels):
        raise Unusable("too_large", why)
    return Picture(None, image, orientation_of(image) or UPRIGHT)


def kind_of(data: bytes) -> str:
    """FFmpeg's name of the decoder for an encoded picture. Raises `DamagedImage` for none."""
    return DECODERS[_header(data)[0]]


def _header(data: bytes) -> tuple[str, tuple[int, int], Orientation]:
    """Kind, (width, height) and orientation of an encoded picture."""
    from PIL import Image

    try:
        with (
            warnings.catch_warnings(action="ignore"),  # on its size, which is judged later
            Image.open(io.BytesIO(data), formats=OPENED) as found,
        ):
            return str(found.format), found.size, _turn(found, data)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        what = "is no picture that can be read" if data else "holds no byte"
        raise DamagedImage(f"{what} ({type(error).__name__})") from None


def _turn(found: Any, data: bytes) -> Orientation:
    """How a picture has to be turned. Pillow unpacks a whole PNG to see what lies behind it."""
    if found.format == "PNG" and not any(part in data for part in _TURNED_PNG):
        return UPRIGHT
    return _TURNS.get(found.getexif().get(_EXIF_ORIENTATION, 1), UPRIGHT)


def _decoded(data: bytes, max_pixels: int | None, is_depth_told: bool = False) -> Picture:
    """is_depth_told: grey of more than 8 bits is known to be no depth map."""
    import av

    kind, size, turn = _header(data)
    if max_pixels is not None and size[0] * size[1] > max_pixels:
        raise Unusable("too_large", size_message(*size, 8, max_pixels))
    if kind == "TIFF":
        return _tiff(data, max_pixels, is_depth_told)
    decoder: Any = av.CodecContext.create(DECODERS[kind], "r")
    decoder.thread_count, decoder.thread_type = 1, "NONE"
    bound = {} if max_pixels is None else {"max_pixels": str(2 * max_pixels + ADDED_PIXELS)}
    decoder.options = {"err_detect": "explode", **bound}
    try:
        frames = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
    except MemoryError:
        raise
    except (av.FFmpegError, ValueError) as error:
        raise DamagedImage(f"{kind}: {getattr(error, 'strerror', None) or error}") from None
    if not frames or frames[0].is_corrupt:
        raise DamagedImage(f"{kind}: gives no picture")
    if why := too_large(frames[0], max_pixels):
        raise Unusable("too_large", why)
    if not is_depth_told and _grey_bits(frames[0]) > 8:
        raise _depth(kind)
    return Picture(None, frames[0], turn)


def _tiff(data: bytes, max_pixels: int | None, is_depth_told: bool) -> Picture:
    from PIL import Image

    try:
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(data), formats=("TIFF",)) as found,
        ):
            is_deep = found.mode in _DEEP and is_depth_told
            if found.mode not in _LIGHT and not is_deep:
                raise _depth("TIFF")
            found.load()  # which turns a single picture as its tag says, and takes that off
            turn = _TURNS.get(found.getexif().get(_EXIF_ORIENTATION, 1), UPRIGHT)
            shown = np.asarray(found if is_deep or found.mode == "L" else found.convert("RGB"))
            shown = shown.astype(np.uint16) if is_deep else shown
            return Picture(None, _raw(shown, max_pixels), turn)
    except (OSError, SyntaxError, ValueError, LookupError, struct.error) as error:
        raise DamagedImage(f"TIFF: {error}") from None


def _depth(kind: str) -> Unusable:
    return Unusable("depth", f"a grey {kind} of more than 8 bits: a depth map, no picture")


def _of_grey(image: GreyCoded, max_pixels: int | None) -> Picture:
    found = _decoded(image.data, max_pixels, is_depth_told=True)
    if not (bits := _grey_bits(found.frame)):
        return found  # it has its colours already
    grey = found.frame.to_ndarray(format="gray" if bits <= 8 else "gray16le")
    return found._replace(frame=_raw(image.shown(grey), max_pixels))


def _grey_bits(frame: Any) -> int:
    """Of grey that is all that a frame has, 0 for colours."""
    return int(frame.format.components[0].bits) if frame.format.name.startswith("gray") else 0


def _raw(image: NDArray[np.uint8] | NDArray[np.uint16], max_pixels: int | None) -> Any:
    from av import VideoFrame

    height, width = image.shape[:2]
    if not height or not width:
        raise DamagedImage(f"a picture of {width}x{height} px")
    if max_pixels is not None and width * height > max_pixels:
        raise Unusable("too_large", size_message(width, height, 8, max_pixels))
    grey = "gray16le" if image.dtype == np.uint16 else "gray"
    kind = grey if image.ndim == 2 else "rgb24"
    return VideoFrame.from_ndarray(np.ascontiguousarray(image), format=kind)
