"""Raw pictures as robots send them: rows of bytes with an encoding, as RGB or grey arrays.

Encodings are those of ROS's image_encodings.h and of foxglove.RawImage. What is no picture in
colours or grey (depth, disparity) is told apart by `is_depth`; an encoding that does not say what
its channels are, such as 8UC3, is not guessed: ROS and foxglove read it in different ways.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.video.sequences.images import DamagedImage

# By encoding: channels, and which of them are red, green, blue; one for grey.
_PLAIN: Mapping[str, tuple[int, tuple[int, ...]]] = {
    "rgb": (3, (0, 1, 2)),
    "bgr": (3, (2, 1, 0)),
    "rgba": (4, (0, 1, 2)),
    "bgra": (4, (2, 1, 0)),
    "mono": (1, (0,)),
}
# OpenCV names a pattern by its second row, from the right.
_BAYER = {"rggb": "BayerBG", "bggr": "BayerRG", "gbrg": "BayerGR", "grbg": "BayerGB"}
_YUV422 = {
    "yuv422": "UYVY",
    "uyvy": "UYVY",
    "yuv422_yuy2": "YUYV",
    "yuyv": "YUYV",
}
_YUV420 = ("nv12", "nv21")
_SAME = {"8uc1": "mono8", "8UC1": "mono8"}
_DEPTH = ("16UC1", "16SC1", "32FC1", "32SC1", "32UC1", "64FC1")


def is_depth(encoding: str) -> bool:
    """Whether an encoding is that of distances or the like rather than of a picture."""
    return encoding.strip().upper().startswith(_DEPTH)


def is_known(encoding: str) -> bool:
    """Whether a picture of this encoding can be read."""
    kind, _ = _depth_of(encoding)
    return kind in _PLAIN or kind in _BAYER or kind in _YUV422 or kind in _YUV420


def raw_image(
    encoding: str, size: tuple[int, int], step: int, is_bigendian: bool, data: Any
) -> NDArray[np.uint8]:
    """A raw picture as uint8 [H,W,3] of RGB, or [H,W] of grey; of 16 bits the upper 8.

    size: width and height, px. step: bytes a row, with what pads it; 0: nothing does. data: a
    buffer. Raises `DamagedImage` where it holds less than a picture, or nothing known.
    """
    kind, bits = _depth_of(encoding)
    if not is_known(encoding):
        raise DamagedImage(f"the encoding '{encoding:.40}' is none that can be read")
    if min(size) <= 0:
        raise DamagedImage(f"a picture of {size[0]}x{size[1]} px")
    if kind in _PLAIN:
        channels, order = _PLAIN[kind]
        values = _values(data, size, step, channels, bits, is_bigendian)
        return values[:, :, order] if channels > 1 else values[:, :, 0]
    if kind in _BAYER:
        values = _values(data, size, step, 1, bits, is_bigendian)
        return _converted(values[:, :, 0], f"{_BAYER[kind]}2RGB")
    if kind in _YUV422:
        if size[0] % 2:
            raise DamagedImage(f"{encoding}: {size[0]} px is no even width")
        return _converted(_values(data, size, step, 2, 8, False), f"YUV2RGB_{_YUV422[kind]}")
    if size[0] % 2 or size[1] % 2:
        raise DamagedImage(f"{encoding}: {size[0]}x{size[1]} px is no even size")
    rows = size[0], size[1] * 3 // 2
    planes = _values(data, rows, step, 1, 8, False)[:, :, 0]
    return _converted(planes, f"YUV2RGB_{kind.upper()}")


def shown_of_grey(encoding: str, grey: NDArray[Any]) -> NDArray[np.uint8]:
    """What uint8 or uint16 [H,W] of a packed picture show: its colours, or grey, as `raw_image`.

    encoding: a Bayer pattern, or "mono16". Raises `DamagedImage` where it cannot be converted.
    """
    upper = (grey >> 8).astype(np.uint8) if grey.dtype == np.uint16 else grey
    kind, _ = _depth_of(encoding)
    return _converted(upper, f"{_BAYER[kind]}2RGB") if kind in _BAYER else upper


def _depth_of(encoding: str) -> tuple[str, int]:
    """An encoding without its bits, and those: ("rgb", 16); "bayer_" is left out."""
    name = _SAME.get(encoding.strip(), encoding.strip().lower())
    if name in _YUV422 or name in _YUV420:
        return name, 8
    for bits in (8, 16):
        if name.endswith(str(bits)):
            return name.removesuffix(str(bits)).removeprefix("bayer_"), bits
    return "", 8


def _values(
    data: Any, size: tuple[int, int], step: int, channels: int, bits: int, is_bigendian: bool
) -> NDArray[np.uint8]:
    """uint8 [H,W,C] of rows that may be padded; of the last row the padding may be missing."""
    width, height = size
    row = width * channels * bits // 8
    step = step or row
    held = np.frombuffer(data, np.uint8)
    if step < row or len(held) < step * (height - 1) + row:
        what = f"{len(held)} bytes in rows of {step}"
        raise DamagedImage(f"{what} hold no {width}x{height} px of {channels * bits} bits")
    rows = np.lib.stride_tricks.as_strided(held, (height, row), (step, 1), writeable=False)
    if bits == 16:
        rows = rows[:, 0 if is_bigendian else 1 :: 2]
    return np.ascontiguousarray(rows).reshape(height, width, channels)


def _converted(values: NDArray[np.uint8], how: str) -> NDArray[np.uint8]:
    import cv2

    try:
        rgb: NDArray[np.uint8] = cv2.cvtColor(values, getattr(cv2, f"COLOR_{how}"))
    except cv2.error as error:
        raise DamagedImage(f"a picture cannot be converted: {error.err}") from None
    return rgb
