"""Frames that say which one they are, and how they must be held.

A frame carries its number as eight bits, with four bits to check them, across the top quarter
(white for one, first bit left), a red mark lower left and a green one lower right, and between
them a texture that moves two pixels to the left from frame to frame. A picture that is mirrored or
turned is read as well, and the reading says how it lies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

BITS = 12
TILE = 8
MARK_CONTRAST = 50

# How a picture has to be turned to stand upright, by the name of what is wrong with it.
UPRIGHT = "upright"
TURNS: dict[str, Callable[[Picture], Picture]] = {
    UPRIGHT: lambda p: p,
    "mirrored": lambda p: p[:, ::-1],
    "upside down": lambda p: p[::-1, ::-1],
    "flipped": lambda p: p[::-1],
    "turned left": lambda p: np.rot90(p, -1),
    "turned right": lambda p: np.rot90(p, 1),
    "mirrored and turned left": lambda p: np.rot90(p, -1)[:, ::-1],
    "mirrored and turned right": lambda p: np.rot90(p, 1)[:, ::-1],
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What a picture says: the number, None where there is none to read, and how it is held."""

    number: int | None
    held: str


def draw(number: int, width: int, height: int) -> Picture:
    """The frame of this number (0 to 255), uint8 [height,width,3]."""
    noise = np.random.default_rng(5).integers(0, 256, (height // TILE + 1, 64), dtype=np.uint8)
    texture = np.kron(noise, np.ones((TILE, TILE), np.uint8))[:height]
    grey = texture[:, (np.arange(width) + 2 * number) % texture.shape[1]]
    picture = np.stack([grey // 2 + 50, grey // 2 + 60, grey // 2 + 55], -1).astype(np.uint8)
    band = height // 4
    for place, bit in enumerate(_bits(number)):
        left, right = place * width // BITS, (place + 1) * width // BITS
        picture[:band, left:right] = 225 if bit else 25
    picture[-band:, : width // 4] = (215, 25, 25)
    picture[-band:, -(width // 4) :] = (25, 190, 25)
    return picture


def read(picture: Picture) -> Reading:
    """Read a picture of any size, however it is turned or mirrored."""
    for held, turn in TURNS.items():
        turned = turn(picture)
        if _marks_stand(turned) and (number := _number(turned)) is not None:
            return Reading(number, held)
    return Reading(None, "unreadable")


def _bits(number: int) -> list[int]:
    code = number << 4 | _check(number)
    return [code >> (BITS - 1 - place) & 1 for place in range(BITS)]


def _check(number: int) -> int:
    return ((number >> 4) * 5 + (number & 15) * 3 + 6) % 16


def _number(picture: Picture) -> int | None:
    height, width = picture.shape[:2]
    rows = picture[round(height * 0.06) : max(1, round(height * 0.19))].mean(axis=(0, 2))
    code = 0
    for place in range(BITS):
        left, right = (place + 0.3) * width / BITS, (place + 0.7) * width / BITS
        level = rows[int(left) : max(int(left) + 1, round(right))].mean()
        code = code << 1 | int(level > 125)
    number = code >> 4
    return number if _check(number) == code & 15 else None


def _marks_stand(picture: Picture) -> bool:
    height, width = picture.shape[:2]
    band = picture[round(height * 0.81) : round(height * 0.94)].astype(float)
    red = band[:, round(width * 0.05) : round(width * 0.20)].mean(axis=(0, 1))
    green = band[:, round(width * 0.80) : round(width * 0.95)].mean(axis=(0, 1))
    return bool(
        red[0] > max(red[1], red[2]) + MARK_CONTRAST
        and green[1] > max(green[0], green[2]) + MARK_CONTRAST
    )
