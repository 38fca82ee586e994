"""Files of a few hundred KB whose frames, decoded, are larger than most memories."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

from tests.videos import moving_square, write_video

SIDE = 16384
_SHOWN = (512, 256)  # what the container says at first


def large_picture(path: Path, width: int = SIDE, height: int = SIDE, frames: int = 4) -> Path:
    """A QuickTime file of PNG pictures, grey, that its header says to be 512 x 256."""
    import av

    picture = _png(width, height)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("png", rate=10)
        stream.width, stream.height = _SHOWN
        stream.pix_fmt = "gray"
        for index in range(frames):
            packet = av.Packet(picture)
            packet.stream, packet.time_base = stream, Fraction(1, 10)
            packet.pts = packet.dts = index
            packet.is_keyframe = True
            container.mux(packet)
    return path


def large_header(path: Path, width: int = SIDE, height: int = SIDE) -> Path:
    """The same, whose header tells of the true size."""
    data = large_picture(path, width, height).read_bytes()
    shown = struct.pack(">HH", *_SHOWN)  # in the description of the samples
    assert data.count(shown) == 1
    path.write_bytes(data.replace(shown, struct.pack(">HH", width, height)))
    return path


def lying_header(path: Path) -> Path:
    """A Matroska file of small FFV1 frames whose header says that they are large."""
    write_video(path, moving_square(10, *_SHOWN), 10, codec="ffv1")
    data = path.read_bytes()
    for element, size in ((b"\xb0\x82", _SHOWN[0]), (b"\xba\x82", _SHOWN[1])):
        told = element + struct.pack(">H", size)
        assert data.count(told) == 1
        data = data.replace(told, element + struct.pack(">H", SIDE))
    path.write_bytes(data)
    return path


def _png(width: int, height: int) -> bytes:
    row, packer = bytes(1 + width), zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
