"""Whether a decoder that begins with a key packet gives whole pictures from there on.

Containers mark packets as keys that hold no picture of its own (an IDR picture of H.264, an IRAP
picture of HEVC) but a recovery point: with intra refresh, a picture is whole only after the next
ones have each brought a part of it (ITU-T H.264, D.2.8).

With which packets a decoder can begin and give, from the picture of that packet on, exactly what it
gives when it comes from further ahead, is another question: a picture of its own is not enough,
since later ones may refer to what lies before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# Codecs of which an exact beginning is known from their key packets; a key frame of VP9 and AV1
# leaves nothing of what was before.
RESTARTABLE = frozenset({"h264", "hevc", "vp9", "av1"})

_H264_IDR = 5
_H264_SEI = 6
_H264_PICTURES = range(1, 6)
_H264_SETS = (7, 8, 13)
_HEVC_IRAP = range(16, 24)
_HEVC_PICTURES = range(32)
_HEVC_SETS = (32, 33, 34)
_RECOVERY_POINT = 6
_SEI_BYTES = 256  # no more of a message is looked at


def is_whole(packet: Any, codec: Any) -> bool:
    """Whether a key packet holds a picture that needs no other; only H.264 and HEVC may not."""
    name = codec.codec.canonical_name
    if name not in ("h264", "hevc"):
        return True
    pictures, whole = (
        (_H264_PICTURES, {_H264_IDR}) if name == "h264" else (_HEVC_PICTURES, set(_HEVC_IRAP))
    )
    for kind, _ in _units(bytes(packet), codec.extradata or b"", name):
        if kind in pictures:
            return kind in whole
    return True


def is_exact(packet: Any, codec: Any) -> bool:
    """Whether all that is shown from a key packet's picture on is the same for who begins there.

    So it is for an IDR picture of H.264, for one that a recovery point says to be exact at once
    (ITU-T H.264, D.2.8), as encoders write where pictures shown earlier refer across it, and for an
    IRAP picture of HEVC (ITU-T H.265, 8.1.3).
    """
    name = codec.codec.canonical_name
    if name not in RESTARTABLE:
        return False
    if name not in ("h264", "hevc"):
        return True
    recovers = False
    for kind, unit in _units(bytes(packet), codec.extradata or b"", name):
        if name == "h264" and kind == _H264_SEI:
            recovers = recovers or _recovers_at_once(unit)
        if name == "h264" and kind in _H264_PICTURES:
            return kind == _H264_IDR or recovers
        if name == "hevc" and kind in _HEVC_PICTURES:
            return kind in _HEVC_IRAP
    return False


def brings_sets(packet: Any, codec: Any) -> bool:
    """Whether a packet of H.264 or HEVC brings sets of parameters, which later ones may need."""
    name = codec.codec.canonical_name
    if name not in ("h264", "hevc"):
        return False
    sets = _H264_SETS if name == "h264" else _HEVC_SETS
    return any(kind in sets for kind, _ in _units(bytes(packet), codec.extradata or b"", name))


def _recovers_at_once(sei: bytes) -> bool:
    """Whether a unit of SEI messages holds a recovery point of 0 frames with an exact match."""
    data = sei[1:_SEI_BYTES].replace(b"\0\0\3", b"\0\0")
    at = 0
    while at + 2 < len(data):
        kind, at = _sei_number(data, at)
        size, at = _sei_number(data, at)
        if kind == _RECOVERY_POINT:
            # ue(v) of 0 is one bit, 1; the next one is exact_match_flag
            return at < len(data) and data[at] >> 6 == 0b11
        at += size
    return False


def _sei_number(data: bytes, at: int) -> tuple[int, int]:
    """A number of any size, and where the next one begins."""
    total = 0
    while at < len(data) and data[at] == 255:
        total, at = total + 255, at + 1
    return (total + data[at] if at < len(data) else total), at + 1


def _units(data: bytes, extradata: bytes, name: str) -> Iterator[tuple[int, bytes]]:
    """The type and the first bytes of each NAL unit in a packet."""
    place = 4 if name == "h264" else 21
    if extradata[:1] == b"\x01" and len(extradata) > place:  # avcC, hvcC: each has its length
        size = (extradata[place] & 3) + 1
        at = 0
        while at + size < len(data):
            begin = at + size
            yield _type(data[begin], name), data[begin : begin + _SEI_BYTES]
            at = begin + int.from_bytes(data[at:begin], "big")
        return
    at = data.find(b"\x00\x00\x01")  # Annex B: each has a start code
    while 0 <= at < len(data) - 3:
        yield _type(data[at + 3], name), data[at + 3 : at + 3 + _SEI_BYTES]
        at = data.find(b"\x00\x00\x01", at + 3)


def _type(first: int, name: str) -> int:
    return first & 31 if name == "h264" else first >> 1 & 63
