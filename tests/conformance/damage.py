"""Films of which something is missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sofdata.audit import reference
from tests.conformance.barcode import read
from tests.conformance.encoding import FPS, HEIGHT, WIDTH, pictures, rewrap
from tests.conformance.films import FRAMES, Film, Make, film_of, steady, write
from tests.conformance.rule import Shown


def cut_films() -> list[Film]:
    """Files of which something is missing: what is there must be right, and the loss be said.

    What is left is taken from the plain decode of the whole file, since only a decoder can say.
    """
    films = []
    for container, codec, known in (
        ("MP4", "H.264 B", True),
        ("fragmented MP4", "H.264 B", None),
        ("MKV", "H.264 B", True),
        ("WebM", "VP9", True),
        ("AVI", "MPEG-4", True),
        ("TS", "H.264 B", None),
        ("PS", "MPEG-2", None),
        ("OGV", "Theora", None),
        ("FLV", "H.264", None),
    ):
        films.append(
            film_of(container, codec, "cut off", _cut_off(container, codec), damaged=known)
        )
    for codec in ("H.264 B", "H.264 open GOP", "MPEG-2"):
        make = _headless(codec)
        films.append(
            film_of(
                *("TS", codec, "starts between key frames", make),
                damaged=None,
                begins_s=lambda path: reference.time_frames(str(path)).times_s[0],
            )
        )
    for container in FIRST_LEFT:
        films.append(
            film_of(
                *(container, "H.264 B", "starts between key frames", _beheaded),
                damaged=None,
                begins_s=(KEY - FIRST_LEFT[container]) / FPS,
            )
        )
    return films


# In groups of 24 with pairs of B-frames, the first ten packets hold the frames 0 to 9; after them
# come 12, 10 and 11. Decoding begins with the next key frame, 24. Where FFmpeg looks at the first
# packet only for when a file begins, it is taken at its word.
BEHEADED, KEY = 10, 24
FIRST_LEFT = {"MP4": 12, "MKV": 12, "FLV": 10, "NUT": 10}


def _beheaded(path: Path) -> Sequence[Shown]:
    """The first packets are left out, so that some of what follows cannot be decoded."""
    whole = path.with_suffix(".whole.mp4")
    write(whole, "MP4", "H.264 B", pictures(FRAMES, WIDTH, HEIGHT))
    wrapper = {".mp4": "mp4", ".mkv": "matroska", ".flv": "flv", ".nut": "nut"}[path.suffix]
    rewrap(whole, path, container=wrapper, change=lambda n, p: p if n >= BEHEADED else None)
    return steady(FRAMES - KEY, first=KEY, start_s=KEY / FPS)


def _cut_off(container: str, codec: str) -> Make:
    def make(path: Path) -> Sequence[Shown]:
        whole = path.with_suffix(".whole" + path.suffix)
        first = {"movflags": "faststart"} if container == "MP4" else {}
        write(whole, container, codec, pictures(FRAMES, WIDTH, HEIGHT), muxing=first)
        data = whole.read_bytes()
        path.write_bytes(data[: len(data) * 6 // 10])
        left = left_of(path)
        assert 20 < len(left) < FRAMES
        return left

    return make


def _headless(codec: str) -> Make:
    def make(path: Path) -> Sequence[Shown]:
        whole = path.with_suffix(".whole" + path.suffix)
        write(whole, "TS", codec, pictures(FRAMES, WIDTH, HEIGHT))
        data = whole.read_bytes()
        path.write_bytes(data[len(data) // 188 * 35 // 100 * 188 :])
        return left_of(path)

    return make


def left_of(path: Path) -> list[Shown]:
    """What a plain decode sees in a file of numbered frames."""
    left = []
    for frame in reference.frames(str(path)):
        number = read(frame.picture).number
        assert number is not None
        left.append(Shown(frame.time_s, number))
    return left
