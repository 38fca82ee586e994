"""The clock of a video: where it begins to count, and one that goes on where the file's does not.

Times are counted from where players begin to count. MP4, Matroska and most others have a timeline
of their own: it begins at zero, or with the earliest stream of the file where all begin later. The
clock of a transport stream starts anywhere (ISO/IEC 13818-1, 2.4.2.1), so that it counts from the
first frame. A program stream states its clock in every pack, and counts from that of the first.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from sofdata.video.ranges import RangeFile, Source

# A clock that goes back by more than this begins again; less is disorder within a stream.
RESTART_S = 0.1
# Nobody knows how long the pause was when a clock begins again. It is put at this, which no window
# spans (flow.max_step_s).
JOIN_GAP_S = 1.0
_PACK = b"\x00\x00\x01\xba"
_PACK_BYTES = 10


def zero_pts(container: Any, stream: Any, source: Source, first: int | None) -> int:
    """The time of a stream's clock, in its time base, from which its times are counted.

    first: the time of its first frame, where it has been looked for.
    """
    if container.format.name == "mpegts":
        return int(stream.start_time or 0)
    if first is not None and len(container.streams) == 1:
        return max(0, first)
    start_s = Fraction(container.start_time or 0, 1_000_000)
    if container.format.name == "mpeg" and (clock := _first_pack_s(source)) is not None:
        start_s = clock
    zero: int = round(start_s / stream.time_base)
    return max(0, zero)


def _first_pack_s(source: Source) -> Fraction | None:
    """The system clock of a program stream's first pack, s; None where it begins with none."""
    if isinstance(source, RangeFile):
        source.seek(0)
        head = source.read(_PACK_BYTES)
    else:
        with open(source, "rb") as file:
            head = file.read(_PACK_BYTES)
    if len(head) < _PACK_BYTES or not head.startswith(_PACK):
        return None
    bits = int.from_bytes(head[4:9], "big")
    if head[4] >> 6 == 1:  # MPEG-2: '01', 3 bits, 1, 15 bits, 1, 15 bits, 1, ...
        ticks = (bits >> 35 & 7) << 30 | (bits >> 19 & 0x7FFF) << 15 | bits >> 3 & 0x7FFF
    elif head[4] >> 4 == 2:  # MPEG-1: '0010', 3 bits, 1, 15 bits, 1, 15 bits, 1
        ticks = (bits >> 33 & 7) << 30 | (bits >> 17 & 0x7FFF) << 15 | bits >> 1 & 0x7FFF
    else:
        return None
    return Fraction(ticks, 90_000)


class JoinedClock:
    """Moves the times of packets, as they come, so that a clock that begins again goes on.

    Recordings that were joined byte by byte (`cat`) begin again in the middle, as do 33-bit clocks
    after 26.5 hours. restarts: how often that was. may_restart: False for a container whose times
    step back where an edit list shows frames again, or hides some that are decoded.
    """

    def __init__(self, time_base: Fraction, may_restart: bool = True) -> None:
        self.restarts = 0
        self._may_restart = may_restart
        self._tolerance = int(RESTART_S / time_base)
        self._gap = int(JOIN_GAP_S / time_base)
        self._offset = 0
        self._last: int | None = None

    def move(self, packet: Any) -> None:
        """Set the times of the next packet in decoding order."""
        if packet.dts is not None and self._may_restart:
            if self._last is not None and packet.dts + self._offset < self._last - self._tolerance:
                self.restarts += 1
                self._offset = self._last + self._gap - packet.dts
            self._last = packet.dts + self._offset
        if self._offset:
            packet.dts = None if packet.dts is None else packet.dts + self._offset
            packet.pts = None if packet.pts is None else packet.pts + self._offset
