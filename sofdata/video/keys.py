"""Whether a decoder that begins with a key packet gives whole pictures from there on.

Containers mark packets as keys that hold no picture of its own (an IDR picture of H.264, an IRAP
picture of HEVC) but a recovery point: with intra refresh, a picture is whole only after the next
ones have each brought a part of it (ITU-T H.264, D.2.8).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_H264_IDR = 5
_H264_PICTURES = range(1, 6)
_HEVC_IRAP = range(16, 24)
_HEVC_PICTURES = range(32)


def is_whole(packet: Any, codec: Any) -> bool:
    """Whether a key packet holds a picture that needs no other; only H.264 and HEVC may not."""
    name = codec.codec.canonical_name
    if name not in ("h264", "hevc"):
        return True
    pictures, whole = (
        (_H264_PICTURES, {_H264_IDR}) if name == "h264" else (_HEVC_PICTURES, set(_HEVC_IRAP))
    )
    for kind in _units(bytes(packet), codec.extradata or b"", name):
        if kind in pictures:
            return kind in whole
    return True


def _units(data: bytes, extradata: bytes, name: str) -> Iterator[int]:
    """The types of the NAL units in a packet."""
    place = 4 if name == "h264" else 21
    if extradata[:1] == b"\x01" and len(extradata) > place:  # avcC, hvcC: each has its length
        size = (extradata[place] & 3) + 1
        at = 0
        while at + size < len(data):
            yield _type(data[at + size], name)
            at += size + int.from_bytes(data[at : at + size], "big")
        return
    at = data.find(b"\x00\x00\x01")  # Annex B: each has a start code
    while 0 <= at < len(data) - 3:
        yield _type(data[at + 3], name)
        at = data.find(b"\x00\x00\x01", at + 3)


def _type(first: int, name: str) -> int:
    return first & 31 if name == "h264" else first >> 1 & 63
