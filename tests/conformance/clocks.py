"""Films whose clocks start late, start anew, run over, jump, or run unevenly."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from tests.conformance.encoding import FPS, HEIGHT, WIDTH, add_silence, pictures, rewrap
from tests.conformance.films import CONTAINERS, FRAMES, Film, Make, film_of, steady, write
from tests.conformance.rule import Shown

SOUND_FIRST_S = 0.5


def clock_films() -> list[Film]:
    """Clocks that start late, start anew, run over, jump, or run unevenly."""
    films = [
        film_of(container, codec, f"starts at {start_s} s", _late(container, codec, start_s))
        for container, codec, start_s in (
            ("TS", "H.264 B", 1.4),
            ("TS", "MPEG-2", 40_000.0),
            ("MP4", "H.264 B", 0.5),
            ("MOV", "MJPEG", 2.0),
            ("MKV", "H.264 B", 2.0),
            ("WebM", "VP9", 7.5),
            ("FLV", "H.264", 3.0),
            ("NUT", "MPEG-4", 3.0),
            ("fragmented MP4", "H.264 B", 10.0),
        )
    ]
    wrap_s = float(Fraction(1 << 33, 90_000))
    for codec in ("H.264 B", "MPEG-2", "H.264 intra refresh"):
        films.append(film_of("TS", codec, "clock runs over", _late("TS", codec, wrap_s - 1.5)))
    for container, codec in (
        ("TS", "H.264"),
        ("TS", "H.264 B"),
        ("TS", "MPEG-2"),
        ("PS", "MPEG-2"),
    ):
        make = _joined(container, codec)
        films.append(film_of(container, codec, "two joined by cat", make, damaged=None))
    for container, begins_s in (("MP4", SOUND_FIRST_S), ("MKV", SOUND_FIRST_S), ("TS", 0.0)):
        make = _after_sound(container)
        films.append(film_of(container, "H.264 B", "sound before it", make, begins_s=begins_s))
    films.append(film_of("TS", "H.264 B", "clock jumps ahead", _jumping))
    films.append(film_of("TS", "H.264", "times that repeat", _repeating, undated=True))
    for container, codec in (
        ("MP4", "H.264 B"),
        ("MOV", "MJPEG"),
        ("MKV", "H.264 B"),
        ("WebM", "VP9"),
        ("TS", "H.264 B"),
        ("FLV", "H.264"),
        ("NUT", "MPEG-4"),
    ):
        films.append(film_of(container, codec, "variable rate", _uneven(container, codec)))
    for codec in ("MJPEG", "MPEG-4", "H.264 B"):
        films.append(film_of("AVI", codec, "null frames", _gaps_in_avi(codec)))
    return films


def _late(container: str, codec: str, start_s: float) -> Make:
    def make(path: Path) -> Sequence[Shown]:
        early = path.with_suffix(".early" + path.suffix)
        write(early, container, codec, pictures(FRAMES, WIDTH, HEIGHT))
        wrapper, _, muxing = CONTAINERS[container]
        rewrap(early, path, container=wrapper, muxing=muxing, shift_s=start_s)
        return steady(FRAMES, start_s=start_s)

    return make


def _after_sound(container: str) -> Make:
    """Sound from the start, pictures later. In a transport stream the video counts alone."""

    def make(path: Path) -> Sequence[Shown]:
        silent = path.with_suffix(".silent" + path.suffix)
        write(silent, container, "H.264 B", pictures(FRAMES, WIDTH, HEIGHT))
        add_silence(silent, path, container=CONTAINERS[container][0], shift_s=SOUND_FIRST_S)
        return steady(FRAMES)

    return make


def _joined(container: str, codec: str) -> Make:
    def make(path: Path) -> Sequence[Shown]:
        parts = []
        for number in range(2):
            part = path.with_suffix(f".{number}{path.suffix}")
            write(part, container, codec, pictures(FRAMES, WIDTH, HEIGHT, number * FRAMES))
            parts.append(part.read_bytes())
        path.write_bytes(b"".join(parts))
        # A clock that starts anew is put a second after the last frame.
        again_s = (FRAMES - 1) / FPS + 1.0
        return [*steady(FRAMES), *steady(FRAMES, first=FRAMES, start_s=again_s)]

    return make


def _jumping(path: Path) -> Sequence[Shown]:
    parts = []
    for number in range(2):
        early = path.with_suffix(f".early{number}{path.suffix}")
        part = path.with_suffix(f".{number}{path.suffix}")
        write(early, "TS", "H.264 B", pictures(FRAMES, WIDTH, HEIGHT, number * FRAMES))
        rewrap(early, part, container="mpegts", shift_s=10.0 * number)
        parts.append(part.read_bytes())
    path.write_bytes(b"".join(parts))
    return steady(FRAMES) + steady(FRAMES, first=FRAMES, start_s=10.0)


def _repeating(path: Path) -> Sequence[Shown]:
    """Two frames with the time of the one before: a time that is no time."""
    write(path, "TS", "H.264", pictures(FRAMES, WIDTH, HEIGHT), b_frames=0)
    data = bytearray(path.read_bytes())
    starts = [match.start() for match in re.finditer(b"\x00\x00\x01\xe0", data)]
    assert len(starts) == FRAMES
    for number in (31, 50):
        here, before = starts[number], starts[number - 1]
        assert data[here + 7] >> 6 == data[before + 7] >> 6 == 2  # one time, of showing
        data[here + 9 : here + 14] = data[before + 9 : before + 14]
    path.write_bytes(data)
    return steady(FRAMES)


def _uneven(container: str, codec: str) -> Make:
    def make(path: Path) -> Sequence[Shown]:
        gaps_ms = np.random.default_rng(3).choice([20, 30, 40, 50, 100, 170], FRAMES - 1)
        times_ms = [0, *np.cumsum(gaps_ms).tolist()]
        write(
            path,
            container,
            codec,
            pictures(FRAMES, WIDTH, HEIGHT),
            times=times_ms,
            time_base=Fraction(1, 1000),
        )
        return [Shown(ms / 1000, number) for number, ms in enumerate(times_ms)]

    return make


def _gaps_in_avi(codec: str) -> Make:
    """AVI has no times: where a frame is shown longer, its muxer writes chunks of no bytes."""

    def make(path: Path) -> Sequence[Shown]:
        plain = path.with_suffix(".plain.avi")
        write(plain, "AVI", codec, pictures(FRAMES, WIDTH, HEIGHT))
        late: list[int] = []

        def change(number: int, packet: Any) -> Any:
            late.append(2 * (number >= 24) + (number >= 48))
            packet.dts = number + late[-1]
            packet.pts = packet.dts
            return packet

        rewrap(plain, path, container="avi", change=change)
        # At numbers 24 and 48 groups of pictures start, so that decoding order is no matter there.
        return [Shown((i + 2 * (i >= 24) + (i >= 48)) / FPS, i) for i in range(FRAMES)]

    return make
