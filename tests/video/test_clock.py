"""Where a video's times count from, and a clock that goes on where the file's begins again."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest

from sofdata.video.clock import JOIN_GAP_S, JoinedClock, zero_pts

TICKS = Fraction(1, 90_000)


@dataclass
class Packet:
    pts: int | None
    dts: int | None


def _moved(*times: int | None) -> tuple[list[int | None], int]:
    clock = JoinedClock(Fraction(1, 1000))
    packets = [Packet(time, time) for time in times]
    for packet in packets:
        clock.move(packet)
    return [packet.dts for packet in packets], clock.restarts


def test_a_clock_that_runs_on_is_left_alone() -> None:
    assert _moved(0, 40, 80, 9000) == ([0, 40, 80, 9000], 0)


def test_each_restart_goes_on_after_a_gap() -> None:
    gap = round(1000 * JOIN_GAP_S)
    moved, restarts = _moved(500, 540, 0, 400, 0)
    assert moved == [500, 540, 540 + gap, 940 + gap, 940 + 2 * gap]
    assert restarts == 2


def test_slight_disorder_and_packets_without_times_are_no_restart() -> None:
    assert _moved(0, 100, 60, None, 140) == ([0, 100, 60, None, 140], 0)


def test_a_clock_of_33_bits_that_wraps_goes_on() -> None:
    clock = JoinedClock(TICKS)
    for time in ((1 << 33) - 3000, 0):
        packet = Packet(time, time)
        clock.move(packet)
    assert packet.dts == (1 << 33) - 3000 + round(JOIN_GAP_S / TICKS)


def _zero(folder: Path, name: str, head: bytes, start_s: float) -> float:
    path = folder / "a"
    path.write_bytes(head)
    container = SimpleNamespace(
        format=SimpleNamespace(name=name),
        start_time=round(1_000_000 * start_s),
        streams=[None, None],
    )
    stream = SimpleNamespace(time_base=TICKS, start_time=round(start_s / TICKS) + 90)
    return float(zero_pts(container, stream, path, None) * TICKS)


@pytest.mark.parametrize(
    ("name", "start_s", "zero_s"),
    [
        ("mov,mp4,m4a,3gp,3g2,mj2", 0.0, 0.0),
        ("mov,mp4,m4a,3gp,3g2,mj2", 8.0, 8.0),
        ("matroska,webm", -0.007, 0.0),
        ("mpegts", 1.4, 1.401),  # its first frame, though sound begins before
    ],
)
def test_times_count_from_the_start_of_the_file_or_of_a_transport_streams_first_frame(
    tmp_path: Path, name: str, start_s: float, zero_s: float
) -> None:
    assert _zero(tmp_path, name, b"", start_s) == pytest.approx(zero_s, abs=1e-4)


def _pack(seconds: float, *, mpeg2: bool) -> bytes:
    ticks = round(seconds * 90_000)
    high, middle, low = ticks >> 30 & 7, ticks >> 15 & 0x7FFF, ticks & 0x7FFF
    if mpeg2:
        bits = 1 << 46 | high << 43 | 1 << 42 | middle << 27 | 1 << 26 | low << 11 | 1 << 10
        return b"\x00\x00\x01\xba" + bits.to_bytes(6, "big") + b"\x01\x89\xc3\xf8"
    bits = 2 << 36 | high << 33 | 1 << 32 | middle << 17 | 1 << 16 | low << 1 | 1
    return b"\x00\x00\x01\xba" + bits.to_bytes(5, "big") + b"\x80\x00\x01"


@pytest.mark.parametrize("mpeg2", [False, True])
@pytest.mark.parametrize("clock_s", [0.0, 0.25, 70_000.5])
def test_a_program_stream_counts_from_the_clock_of_its_first_pack(
    tmp_path: Path, mpeg2: bool, clock_s: float
) -> None:
    head = _pack(clock_s, mpeg2=mpeg2)
    assert _zero(tmp_path, "mpeg", head, clock_s + 0.5) == pytest.approx(clock_s, abs=1e-4)


def test_a_program_stream_that_begins_with_no_pack_counts_from_its_start(tmp_path: Path) -> None:
    assert _zero(tmp_path, "mpeg", b"\x00\x00\x01\xe0" + bytes(20), 0.5) == 0.5
