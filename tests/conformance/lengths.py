"""Films with few places to begin to decode, of other rates and other pixels."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from tests.conformance.encoding import FPS, HEIGHT, WIDTH, encode, pictures
from tests.conformance.films import CODECS, CONTAINERS, FRAMES, Film, Make, film_of, steady, write
from tests.conformance.rule import Shown

LONG = 250  # frames; their numbers have eight bits
LONG_GROUP = 100
RATES = {
    "29.97 a second": Fraction(30_000, 1001),
    "23.976 a second": Fraction(24_000, 1001),
    "12 a second": Fraction(12),
    "60 a second": Fraction(60),
}


def long_films() -> list[Film]:
    """Three groups of pictures in eight seconds: most spans begin far from where decoding can."""
    films = []
    for container, codec in (
        ("MP4", "H.264 B"),
        ("fragmented MP4", "H.264 B"),
        ("MKV", "H.264 B"),
        ("WebM", "VP9"),
        ("AVI", "MPEG-4 B"),
        ("AVI", "H.264 B"),
        ("TS", "H.264 B"),
        ("TS", "MPEG-2"),
        ("PS", "MPEG-2"),
        ("FLV", "H.264 B"),
        ("NUT", "H.264 B"),
        ("ASF", "WMV2"),
    ):
        films.append(film_of(container, codec, "long groups", _long(container, codec, {})))
    live = _long("WebM", "VP9", {"muxing": {"live": "1"}})
    films.append(film_of("WebM", "VP9", "live, without an index", live))
    negative = _long("MP4", "H.264 B", {"muxing": {"movflags": "negative_cts_offsets"}})
    films.append(film_of("MP4", "H.264 B", "negative offsets of composition", negative))
    return films


def _long(container: str, codec: str, more: dict[str, Any]) -> Make:
    def make(path: Path) -> Sequence[Shown]:
        options = dict(CODECS[codec].arguments.get("options", {}))
        if "x264-params" in options:
            group = f"keyint={LONG_GROUP}:min-keyint={LONG_GROUP}:scenecut=0"
            options["x264-params"] = f"no-asm=1:bframes=2:b-adapt=0:{group}"
        frames = pictures(LONG, WIDTH, HEIGHT)
        write(path, container, codec, frames, gop=LONG_GROUP, options=options, **more)
        return steady(LONG)

    return make


def rate_films() -> list[Film]:
    """Rates that are no whole numbers, that are low, and that are high."""
    return [
        film_of(container, codec, name, _at(container, codec, rate))
        for name, rate in RATES.items()
        for container, codec in (
            ("MP4", "H.264 B"),
            ("MKV", "H.264 B"),
            ("TS", "H.264 B"),
            ("AVI", "H.264 B"),
            ("FLV", "H.264"),
        )
    ]


def _at(container: str, codec: str, rate: Fraction) -> Make:
    def make(path: Path) -> Sequence[Shown]:
        write(path, container, codec, pictures(FRAMES, WIDTH, HEIGHT), rate=rate)
        return steady(FRAMES, float(rate))

    return make


def pixel_films() -> list[Film]:
    """Ten bits, colour at full resolution, no colour, sizes that are no multiples of anything."""
    return [
        film_of("MP4", "HEVC", "ten bits", _pixels("HEVC", "yuv420p10le", (WIDTH, HEIGHT))),
        film_of("MP4", "HEVC", "PQ", _high_range("smpte2084")),
        film_of("MKV", "HEVC", "HLG", _high_range("arib-std-b67")),
        film_of("MP4", "H.264 B", "ten bits", _pixels("H.264 B", "yuv420p10le", (WIDTH, HEIGHT))),
        film_of("MP4", "H.264 B", "4:4:4", _pixels("H.264 B", "yuv444p", (WIDTH, HEIGHT))),
        film_of("MKV", "VP9", "4:4:4", _pixels("VP9", "yuv444p", (WIDTH, HEIGHT))),
        film_of("MP4", "H.264 B", "odd size", _pixels("H.264 B", "yuv444p", (161, 113))),
        film_of("MKV", "VP9", "odd size", _pixels("VP9", "yuv420p", (161, 113))),
        film_of("MP4", "H.264 B", "very wide", _pixels("H.264 B", "yuv420p", (640, 64))),
    ]


def _pixels(codec: str, pixel_format: str, size: tuple[int, int]) -> Make:
    def make(path: Path) -> Sequence[Shown]:
        how = CODECS[codec]
        wrapper = CONTAINERS["MP4" if path.suffix == ".mp4" else "MKV"][0]
        arguments = {**how.arguments, "pixel_format": pixel_format, "rate": FPS}
        encode(path, pictures(FRAMES, *size), container=wrapper, codec=how.encoder, **arguments)
        return steady(FRAMES)

    return make


def _high_range(transfer: str) -> Make:
    """The same pictures, said to be of high dynamic range."""

    def make(path: Path) -> Sequence[Shown]:
        options = dict(CODECS["HEVC"].arguments["options"])
        options["x265-params"] += f":colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc"
        container = "MP4" if path.suffix == ".mp4" else "MKV"
        frames = pictures(FRAMES, WIDTH, HEIGHT)
        write(path, container, "HEVC", frames, options=options, pixel_format="yuv420p10le")
        return steady(FRAMES)

    return make
