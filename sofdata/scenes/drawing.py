"""The pictures that a scene is put together from, and how they are laid over each other."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Sprite:
    """A picture with its colours multiplied by alpha, and the place in it that is its origin."""

    rgba: NDArray[np.uint8]
    origin: tuple[float, float]


def paint(image: Rgb, sprite: Sprite, pose: NDArray[np.float64]) -> None:
    """Lay a sprite over an image, in place, with its origin at the pose's."""
    import cv2

    place = pose @ shift(-sprite.origin[0], -sprite.origin[1])
    height, width = sprite.rgba.shape[:2]
    corners = place[:2] @ np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]])
    low = np.maximum(np.floor(corners.min(1)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(corners.max(1)).astype(int) + 1, image.shape[1::-1])
    if np.any(high <= low):
        return
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    patch = cv2.warpAffine(sprite.rgba, (shift(*-low) @ place)[:2], size)
    below = image[low[1] : high[1], low[0] : high[0]]
    clear = cv2.cvtColor(255 - patch[..., 3], cv2.COLOR_GRAY2RGB)
    below[:] = cv2.add(cv2.multiply(below, clear, scale=1 / 255), patch[..., :3])


def shift(dx: float, dy: float) -> NDArray[np.float64]:
    """The 3 x 3 matrix that moves a point by (dx, dy)."""
    return np.array([[1, 0, dx], [0, 1, dy], [0, 0, 1]], np.float64)


def turn(degrees: float) -> NDArray[np.float64]:
    """The 3 x 3 matrix that turns a point about the origin, clockwise on the screen."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float64)


# Pictures


def _noise(rng: np.random.Generator, height: int, width: int, cells: Iterable[float]) -> Any:
    """Smooth noise, float32 [height, width] in about -1..1, with detail of the given px sizes."""
    import cv2

    total = np.zeros((height, width), np.float32)
    for cell in cells:
        shape = (math.ceil(height / cell) + 2, math.ceil(width / cell) + 2)
        coarse = rng.uniform(-1, 1, shape).astype(np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return total / 2


def _tinted(colour: Iterable[float], light: Any, contrast: float) -> Rgb:
    """A colour made lighter and darker by `light` [H,W]; uint8 [H,W,3]."""
    shaded = np.array(list(colour), np.float32) * (1 + contrast * light[..., None])
    return np.asarray(np.clip(shaded, 0, 255), np.uint8)


def _colour(rng: np.random.Generator) -> NDArray[np.float64]:
    """A strong colour of a household thing."""
    parts = np.array([rng.uniform(30, 70), rng.uniform(80, 150), rng.uniform(160, 220)])
    return np.asarray(rng.permutation(parts))


def table(rng: np.random.Generator, height: int, width: int) -> Rgb:
    """A wooden table before a wall, with some clutter at the back."""
    import cv2

    edge = int(height * rng.uniform(0.25, 0.35))
    planks = np.sin(np.linspace(0, 60, height))[:, None] + 2 * _noise(rng, height, width, (80, 9))
    wood = np.array([150, 112, 78]) + rng.uniform(-25, 25)
    image = _tinted(wood, planks + _noise(rng, height, width, (4, 2.5)), 0.13)
    wall = _noise(rng, edge, width, (50, 12, 5))
    image[:edge] = _tinted(rng.uniform(110, 190, 3), wall, 0.12)
    for _ in range(4):
        x, tall, wide = rng.integers(0, width - 60), rng.integers(20, 60), rng.integers(18, 60)
        box = _tinted(_colour(rng), _noise(rng, int(tall), int(wide), (14, 5)), 0.35)
        image[edge - tall + 8 : edge + 8, x : x + wide] = box
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 0.7), np.uint8)


def cloth(rng: np.random.Generator, height: int, width: int) -> Rgb:
    """A woven cloth as seen from above, with detail everywhere."""
    import cv2

    light = _noise(rng, height, width, (30, 9)) + _noise(rng, height, width, (5, 3))
    image = _tinted(rng.uniform(70, 150, 3), light, 0.22)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 0.6), np.uint8)


def disc(rng: np.random.Generator, radius: float) -> Sprite:
    """A patterned disc."""
    import cv2

    mask, middle = _blank(radius)
    cv2.circle(mask, middle, round(radius), 255, -1)
    return _cut_out(_pattern(rng, len(mask)), mask, middle)


def square(rng: np.random.Generator, side: float) -> Sprite:
    """A light square with a dark rim, to lie flat on a cloth."""
    import cv2

    mask, middle = _blank(side / 2)
    reach = round(side / 2)
    low, high = middle[0] - reach, middle[0] + reach
    cv2.rectangle(mask, (low, low), (high, high), 255, -1)
    skin = _tinted((225, 220, 205), _noise(rng, len(mask), len(mask), (6, 3)), 0.12)
    cv2.rectangle(skin, (low, low), (high, high), (60, 50, 50), 3)
    return _cut_out(skin, mask, middle)


def jaw_skin(rng: np.random.Generator, thick: float) -> NDArray[np.float32]:
    """How light a gripper's jaws are, float32 [thick,360]: a row a px across, a column a degree."""
    return np.asarray(_noise(rng, round(thick), 360, (24, 8)), np.float32)


def jaws(skin: NDArray[np.float32], gap: float) -> Sprite:
    """The two jaws of a gripper from above: arcs left and right, their inner edge at a radius.

    skin: see `jaw_skin`; it goes with the jaws, so that jaws which move look like moved ones.
    """
    import cv2

    thick = len(skin)
    mask, middle = _blank(gap + thick)
    down, right = np.mgrid[: len(mask), : len(mask)].astype(np.float32) - middle[0]
    radius, around = np.hypot(right, down), np.degrees(np.arctan2(right, down)) % 360
    across, aside = radius - gap, np.abs(around % 180 - 90)  # degrees from the horizontal
    inside = np.minimum(thick / 2 - np.abs(across - thick / 2), np.radians(65 - aside) * radius)
    mask[:] = np.clip(inside + 0.5, 0, 1) * 255
    light = cv2.remap(
        skin,
        around.astype(np.float32),
        across.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return _cut_out(_tinted((235, 205, 60), light, 0.35), mask, middle, rim=1.5)


def _blank(radius: float) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """An empty mask for a shape of some radius, and its middle."""
    middle = round(radius) + 6
    return np.zeros((2 * middle + 1, 2 * middle + 1), np.uint8), (middle, middle)


def _pattern(rng: np.random.Generator, side: int) -> Rgb:
    """A strong colour with spots and a band of another."""
    skin = _tinted(_colour(rng), _noise(rng, side, side, (9, 4)), 0.5)
    band = int(side * rng.uniform(0.12, 0.2))
    top = side // 2 - band
    skin[top : top + band] = _tinted(_colour(rng), _noise(rng, band, side, (4,)), 0.3)
    return skin


def thing(rng: np.random.Generator, radius: float) -> Sprite:
    """A patterned box or disc of about the given radius in px."""
    import cv2

    size = int(2 * radius) + 12
    mask = np.zeros((size, size), np.uint8)
    middle, reach = size // 2, int(radius)
    if rng.random() < 0.5:
        cv2.circle(mask, (middle, middle), reach, 255, -1)
    else:
        tall = int(reach * rng.uniform(0.7, 1))
        cv2.rectangle(
            mask, (middle - reach, middle - tall), (middle + reach, middle + tall), 255, -1
        )
    skin = _tinted(_colour(rng), _noise(rng, size, size, (16, 7, 4)), 0.45)
    band = int(radius * rng.uniform(0.2, 0.5))
    cv2.rectangle(skin, (0, middle - band), (size, middle), _colour(rng).tolist(), -1)
    return _cut_out(skin, mask, (middle, middle))


def hand(rng: np.random.Generator) -> Sprite:
    """A hand with a sleeve that points to the right, its origin between finger and thumb."""
    import cv2

    height, width = 120, 420
    mask = np.zeros((height, width), np.uint8)
    joints = [((300, 60), (0, 60), 52), ((340, 60), (300, 60), 56)]
    joints += [((345, y), (390 - 2 * abs(y - 50), y + 2), 16) for y in (38, 54, 70)]
    joints += [((330, 84), (372, 96), 17)]  # the thumb
    for start, end, thick in joints:
        cv2.line(mask, start, end, 255, thick, cv2.LINE_AA)
    tone = np.array([224, 172, 140]) * rng.uniform(0.45, 1.05)
    skin = _tinted(tone, _noise(rng, height, width, (24, 8, 4)), 0.22)
    for y in (46, 62):  # between the fingers
        cv2.line(skin, (345, y), (388, y), (tone * 0.55).tolist(), 2)
    skin[:, :280] = _tinted(_colour(rng), _noise(rng, height, 280, (20, 9, 4)), 0.4)
    return _cut_out(skin, mask, (376.0, 76.0))


def _cut_out(
    picture: Rgb, mask: NDArray[np.uint8], origin: tuple[float, float], rim: float = 4.0
) -> Sprite:
    """A sprite of the picture where the mask is, with a soft rim darker than the rest."""
    import cv2

    soft = cv2.GaussianBlur(mask, (0, 0), 1.0)
    inside = cv2.GaussianBlur(mask, (0, 0), rim).astype(np.float32) / 255
    shaded = picture * np.clip(0.4 + 0.7 * inside, 0, 1)[..., None]
    colour = shaded * (soft[..., None].astype(np.float32) / 255)
    rgba = np.dstack([np.rint(colour).astype(np.uint8), soft])
    return Sprite(np.ascontiguousarray(rgba), origin)
