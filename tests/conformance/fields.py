"""H.264 whose frames are coded as two fields (PAFF), as AVCHD cameras write it.

No encoder that can be had here codes fields as pictures of their own (x264 has macroblock pairs
only), so these pictures are written by hand, after ITU-T H.264: every macroblock is I_PCM, its
samples as they are (7.3.5), so that headers are all there is to code. What a reader must cope
with is real: two pictures a frame, packets of half a frame each, frames shown in another order
than coded, frames that no other refers to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from tests.conformance.barcode import Picture

WIDTH, HEIGHT = 160, 128  # of whole macroblock pairs
TICKS = 90_000  # a second

_START = b"\x00\x00\x00\x01"
_SPS, _PPS, _IDR, _SLICE, _DELIMITER = 7, 8, 5, 1, 9
_I_SLICE, _P_SLICE = 7, 5
_PCM_IN_I, _PCM_IN_P = 25, 30


@dataclass(frozen=True, slots=True)
class Access:
    """A coded frame: its bytes, which frame it is in the order of showing, and if it is a start."""

    data: bytes
    shown_as: int
    key: bool


class _Bits:
    def __init__(self) -> None:
        self._bits: list[str] = []

    def u(self, width: int, value: int) -> _Bits:
        self._bits.append(f"{value:0{width}b}")
        return self

    def ue(self, value: int) -> _Bits:
        code = f"{value + 1:b}"
        self._bits.append("0" * (len(code) - 1) + code)
        return self

    def align(self, bit: str = "0") -> _Bits:
        used = sum(map(len, self._bits)) % 8
        self._bits.append(bit * ((8 - used) % 8))
        return self

    def end(self) -> bytes:
        self._bits.append("1")
        return self.align().data()

    def data(self) -> bytes:
        text = "".join(self._bits)
        return bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))


def headers(rate: int) -> bytes:
    """Sequence and picture parameter sets."""
    sps = _Bits().u(8, 77).u(8, 0).u(8, 40).ue(0)  # Main profile, level 4.0
    sps.ue(4).ue(0).ue(4)  # frame numbers and picture orders of 8 bits
    sps.ue(4).u(1, 0)  # four reference frames
    sps.ue(WIDTH // 16 - 1).ue(HEIGHT // 32 - 1)
    sps.u(1, 0).u(1, 0).u(1, 1)  # fields may be pictures; no macroblock pairs
    sps.u(1, 0).u(1, 1)  # no cropping; usability information:
    sps.u(1, 0).u(1, 0).u(1, 0).u(1, 0)
    sps.u(1, 1).u(32, 1).u(32, 2 * rate).u(1, 1)  # fields a second
    sps.u(1, 0).u(1, 0).u(1, 0)
    sps.u(1, 1).u(1, 1).ue(0).ue(0).ue(10).ue(10).ue(1).ue(4)  # one frame may be reordered
    pps = _Bits().ue(0).ue(0).u(1, 0).u(1, 0).ue(0).ue(0).ue(0).u(1, 0).u(2, 0)
    pps.ue(0).ue(0).ue(0).u(1, 1).u(1, 0).u(1, 0)
    return _unit(3, _SPS, sps.end()) + _unit(3, _PPS, pps.end())


def coded(
    frames: Sequence[Picture], rate: int, group: int = 12, whole_every: int = 0
) -> Iterator[Access]:
    """Code frames: a key frame, then pairs, the later frame first, the other for no reference.

    whole_every: one in so many reference frames is coded as one picture instead of two.
    """
    reference_number = references = 0
    for shown_as, is_reference, key in _order(len(frames), group):
        if key:
            reference_number = 0
        whole = bool(whole_every) and is_reference and references % whole_every == 1
        references += is_reference
        order = 2 * (shown_as - shown_as // group * group)
        parts = [_unit(0, _DELIMITER, b"\xf0")]
        if key:
            parts.append(headers(rate))
        fields = (None,) if whole else (0, 1)
        for field in fields:
            idr = key and field in (None, 0)
            kind = _IDR if idr else _SLICE
            slice_type = _P_SLICE if is_reference and field == 1 else _I_SLICE
            header = _Bits().ue(0).ue(slice_type).ue(0).u(8, reference_number % 256)
            header.u(1, int(field is not None))
            if field is not None:
                header.u(1, field)
            if idr:
                header.ue(shown_as // group % 2)
            header.u(8, (order + (field or 0)) % 256)
            if slice_type == _P_SLICE:
                header.u(1, 0).u(1, 0)  # one reference, in the usual order
            if is_reference:
                header.u(2 if idr else 1, 0)
            header.ue(0).ue(1)  # no change of the quantiser, no deblocking
            rows = frames[shown_as] if field is None else frames[shown_as][field::2]
            payload = _samples(header, rows, slice_type)
            parts.append(_unit(2 if is_reference else 0, kind, payload))
        yield Access(b"".join(parts), shown_as, key)
        reference_number += is_reference


def _order(count: int, group: int) -> Iterator[tuple[int, bool, bool]]:
    """(which frame, whether others may refer to it, whether decoding can start) in coding order."""
    for start in range(0, count, group):
        end = min(count, start + group)
        yield start, True, True
        place = start + 1
        while place < end:
            if place + 1 < end:
                yield place + 1, True, False
                yield place, False, False
                place += 2
            else:
                yield place, True, False
                place += 1


def _samples(header: _Bits, rows: Picture, slice_type: int) -> bytes:
    import av

    height, width = rows.shape[:2]
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rows), format="rgb24")
    planes = frame.reformat(format="yuv420p").to_ndarray()
    luma = np.maximum(planes[:height], 1)
    quarter = height * width // 4
    chroma = np.maximum(planes[height:].reshape(-1), 1)
    both = [chroma[:quarter], chroma[quarter:]]
    blocks = [_blocks(luma, 16)]
    blocks += [_blocks(plane.reshape(height // 2, width // 2), 8) for plane in both]
    macroblocks = np.concatenate(blocks, axis=1)  # [M,384]
    in_p = slice_type == _P_SLICE
    if in_p:
        header.ue(0)  # no macroblock is skipped before the first
    header.ue(_PCM_IN_P if in_p else _PCM_IN_I).align()
    again = _Bits()
    if in_p:
        again.ue(0)
    between = again.ue(_PCM_IN_P if in_p else _PCM_IN_I).align().data()
    return header.data() + between.join(m.tobytes() for m in macroblocks) + b"\x80"


def _blocks(plane: Picture, side: int) -> Picture:
    height, width = plane.shape
    cut = plane.reshape(height // side, side, width // side, side).swapaxes(1, 2)
    return np.ascontiguousarray(cut.reshape(-1, side * side))


def _unit(importance: int, kind: int, payload: bytes) -> bytes:
    """A NAL unit with its start code (Annex B), and no start code within it."""
    head = payload[:64]
    escaped = bytearray()
    zeros = 0
    for byte in head:
        if zeros >= 2 and byte <= 3:
            escaped.append(3)
            zeros = 0
        escaped.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    assert b"\x00\x00" not in payload[62:]
    return _START + bytes([importance << 5 | kind]) + bytes(escaped) + payload[64:]


def write(path: Path, accesses: Iterable[Access], rate: int) -> None:
    """Wrap coded frames as a transport stream, or for `.m2ts` as AVCHD cameras do."""
    import av

    frame = TICKS // rate
    options = {"mpegts_m2ts_mode": "1"} if path.suffix == ".m2ts" else {}
    with av.open(str(path), "w", format="mpegts", options=options) as out:
        stream = out.add_mux_stream("h264", rate=rate, width=WIDTH, height=HEIGHT)
        stream.time_base = Fraction(1, TICKS)
        for place, access in enumerate(accesses):
            packet = av.Packet(access.data)
            packet.stream, packet.time_base = stream, Fraction(1, TICKS)
            packet.dts, packet.pts = place * frame, (access.shown_as + 1) * frame
            packet.is_keyframe = access.key
            packet.duration = frame
            out.mux_one(packet)
