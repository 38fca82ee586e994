"""Compressed pieces of a bag, never beyond the size that they may have."""

from __future__ import annotations

import bz2
from typing import Any

from sofdata.video.progress import PROGRESS

_STEP_BYTES = 1 << 22


def unpacked(data: bytes, compression: str, most_bytes: int) -> bytes | None:
    """The content of a piece; None where it is damaged, larger, or compressed in another way.

    compression: "none", "bz2", "lz4" or "zstd".
    """
    if compression in ("", "none"):
        return data if len(data) <= most_bytes else None
    make = _DECOMPRESSORS.get(compression)
    return None if make is None else _bounded(make(), data, most_bytes)


def unpacked_head(data: bytes, size: int) -> bytes | None:
    """The first bytes of what is packed with zstd, or less where it is shorter."""
    try:
        head: bytes = _zstd().decompress(data, size)
    except (EOFError, ValueError, _zstd_error()):
        return None
    return head


def _bounded(decompressor: Any, data: bytes, most_bytes: int) -> bytes | None:
    found = bytearray()
    try:
        while not decompressor.eof:
            step = min(_STEP_BYTES, most_bytes + 1 - len(found))
            piece = decompressor.decompress(data, step)
            PROGRESS.packets += 1
            found += piece
            if len(found) > most_bytes or (not piece and decompressor.needs_input):
                return None
            data = b""
    except (OSError, EOFError, ValueError, RuntimeError, _zstd_error()):
        return None
    return bytes(found)


def _lz4() -> Any:
    from lz4.frame import LZ4FrameDecompressor

    return LZ4FrameDecompressor()


def zstd_module() -> Any:
    """What rosbags brings along: zstd as Python 3.14 has it."""
    from backports import zstd

    return zstd


def _zstd() -> Any:
    return zstd_module().ZstdDecompressor()


def _zstd_error() -> type[Exception]:
    error: type[Exception] = zstd_module().ZstdError
    return error


_DECOMPRESSORS = {"bz2": bz2.BZ2Decompressor, "lz4": _lz4, "zstd": _zstd}
