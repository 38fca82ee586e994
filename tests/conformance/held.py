"""Films whose pictures are stored turned, mirrored, or with pixels that are not square."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from tests.conformance import boxes
from tests.conformance.barcode import Picture, draw
from tests.conformance.encoding import HEIGHT, WIDTH, pictures, rewrap
from tests.conformance.films import CONTAINERS, FRAMES, Film, Make, film_of, steady, write
from tests.conformance.rule import Shown

Turn = Callable[[Picture], Picture]

# A display matrix (a, b, c, d) shows the point (x, y) of the stored picture, y down, at
# (a x + c y, b x + d y), ISO/IEC 14496-12, 6.2.2. Beside it, how a picture must be stored to be
# shown upright.
ORIENTATIONS: dict[str, tuple[tuple[int, int, int, int], Turn]] = {
    "as it is": ((1, 0, 0, 1), lambda p: p),
    "mirrored": ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
    "flipped": ((1, 0, 0, -1), lambda p: p[::-1]),
    "half a turn": ((-1, 0, 0, -1), lambda p: p[::-1, ::-1]),
    "a quarter clockwise": ((0, 1, -1, 0), lambda p: np.rot90(p, 1)),
    "a quarter counter-clockwise": ((0, -1, 1, 0), lambda p: np.rot90(p, -1)),
    "transposed": ((0, 1, 1, 0), lambda p: p.swapaxes(0, 1)),
    "transposed the other way": ((0, -1, -1, 0), lambda p: p[::-1, ::-1].swapaxes(0, 1)),
}
WITHOUT_MEANING = {
    "matrix of zeros": (0, 0, 0, 0),
    "singular matrix": (1, 1, 1, 1),
}
ONE = 1 << 16


def _turned(turn: Turn) -> list[Picture]:
    return [np.ascontiguousarray(turn(picture)) for picture in pictures(FRAMES, WIDTH, HEIGHT)]


def _matrix(a: int, b: int, c: int, d: int) -> tuple[int, ...]:
    return (a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30)


def turned_films() -> list[Film]:
    """Pictures that are stored turned or mirrored, with the word for it in container or stream."""
    films = []
    for name, (matrix, turn) in ORIENTATIONS.items():
        films.append(film_of("MP4", "H.264", f"matrix: {name}", _by_track(matrix, turn)))
        films.append(film_of("MKV", "H.264", f"projection: {name}", _by_projection(matrix, turn)))
    films.append(
        film_of("MOV", "MJPEG", "matrix: transposed", _by_track(*ORIENTATIONS["transposed"]))
    )
    for name, matrix in WITHOUT_MEANING.items():
        films.append(film_of("MP4", "H.264 B", name, _by_track(matrix, lambda p: p)))
    for container in ("MP4", "TS"):
        for degrees in (0, 90, 180, 270):
            for flip in ("", "horizontal", "vertical"):
                if (degrees or flip) and (container == "MP4" or degrees % 180):
                    name = (
                        f"SEI: {degrees} degrees, flip {flip}"
                        if flip
                        else f"SEI: {degrees} degrees"
                    )
                    make = _by_sei(container, degrees, flip)
                    # The filter leaves some frames of a transport stream without a time.
                    undated = container == "TS"
                    films.append(film_of(container, "H.264 B", name, make, undated=undated))
    return films


def _by_track(matrix: tuple[int, int, int, int], turn: Turn) -> Make:
    def make(path: Path) -> Sequence[Shown]:
        codec = "MJPEG" if path.suffix == ".mov" else "H.264"
        write(path, "MP4" if path.suffix == ".mp4" else "MOV", codec, _turned(turn))
        boxes.set_matrix(path, _matrix(*matrix))
        return steady(FRAMES)

    return make


def _by_projection(matrix: tuple[int, int, int, int], turn: Turn) -> Make:
    def make(path: Path) -> Sequence[Shown]:
        def prepare(stream: Any) -> None:
            stream.set_display_matrix(_matrix(*matrix))

        write(path, "MKV", "H.264", _turned(turn), prepare=prepare)
        return steady(FRAMES)

    return make


def _by_sei(container: str, degrees: int, flip: str) -> Make:
    """ITU-T H.264, D.2.27: the decoded picture is flipped, then turned counter-clockwise."""
    axis = {"": None, "horizontal": 1, "vertical": 0}[flip]

    def turn(picture: Picture) -> Picture:
        back = np.rot90(picture, -degrees // 90)
        return back if axis is None else np.flip(back, axis)

    def make(path: Path) -> Sequence[Shown]:
        plain = path.with_suffix(".plain" + path.suffix)
        write(plain, container, "H.264 B", _turned(turn))
        wanted = "h264_metadata=aud=insert:display_orientation=insert"
        wanted += f":rotate={degrees}" if degrees else ""
        wanted += f":flip={flip}" if flip else ""
        rewrap(plain, path, container=CONTAINERS[container][0], bitstream_filter=wanted)
        return steady(FRAMES)

    return make


def aspect_films() -> list[Film]:
    """Pixels that are not square."""
    films = []
    for container, codec in (
        ("MP4", "H.264 B"),
        ("MKV", "H.264"),
        ("TS", "MPEG-2"),
        ("MOV", "MJPEG"),
    ):
        for fit in ("crop", "stretch"):
            make = _anamorphic(container, codec, None)
            films.append(_aspect(container, codec, f"wide pixels, {fit}", make, fit))
    for fit in ("crop", "stretch"):
        make = _anamorphic("MP4", "H.264", "a quarter clockwise")
        films.append(_aspect("MP4", "H.264", f"wide pixels and a quarter turn, {fit}", make, fit))
    return films


def _aspect(container: str, codec: str, condition: str, make: Make, fit: str) -> Film:
    middle = 1.0 if fit == "crop" else LOW / WIDE
    return film_of(container, codec, condition, make, fit=fit, middle=middle)


WIDE, LOW = 192, 108  # as shown, 16:9; stored in 128 columns of pixels of 3:2


def _anamorphic(container: str, codec: str, orientation: str | None) -> Make:
    def make(path: Path) -> Sequence[Shown]:
        matrix, turn = ORIENTATIONS[orientation or "as it is"]
        frames = [np.ascontiguousarray(turn(_squeezed(number))) for number in range(FRAMES)]
        ratio = Fraction(2, 3) if orientation else Fraction(3, 2)

        def prepare(stream: Any) -> None:
            stream.codec_context.sample_aspect_ratio = ratio
            stream.sample_aspect_ratio = ratio

        write(path, container, codec, frames, prepare=prepare)
        if orientation:
            boxes.set_matrix(path, _matrix(*matrix))
        return steady(FRAMES)

    return make


def _squeezed(number: int) -> Picture:
    """A wide picture with the code in its middle, in two thirds of the columns."""
    wide = np.full((LOW, WIDE, 3), 128, np.uint8)
    left = (WIDE - LOW) // 2
    wide[:, left : left + LOW] = draw(number, LOW, LOW)
    thirds = wide.reshape(LOW, WIDE // 3, 3, 3).astype(np.uint16)
    pair = np.stack(
        [
            (2 * thirds[:, :, 0] + thirds[:, :, 1]) // 3,
            (thirds[:, :, 1] + 2 * thirds[:, :, 2]) // 3,
        ],
        axis=2,
    )
    return pair.reshape(LOW, 2 * WIDE // 3, 3).astype(np.uint8)
