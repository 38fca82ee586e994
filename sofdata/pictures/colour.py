"""Flow as colour: the hue shows the direction, the saturation the speed.

The colour wheel is the one of the Middlebury flow benchmark: Baker et al., "A database and
evaluation methodology for optical flow", IJCV 2011. White is still, red moves to the right, yellow
down, cyan to the left, blue up.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

# Number of steps from each corner of the wheel to the next. The eye distinguishes
# reds and yellows more finely than greens, so these get more steps.
_STEPS = (15, 6, 4, 11, 13, 6)
_CORNERS = ((1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1))


@cache
def colour_wheel() -> NDArray[np.float32]:
    """The 55 colours of the wheel, float32 [55, 3] in 0..1, from red by way of yellow and blue."""
    corners = np.array(_CORNERS, np.float32)
    parts = [
        corners[i] + (corners[(i + 1) % 6] - corners[i]) * (np.arange(n)[:, None] / n)
        for i, n in enumerate(_STEPS)
    ]
    wheel = np.concatenate(parts).astype(np.float32)
    wheel.flags.writeable = False
    return wheel


def flow_to_rgb(flow: NDArray[np.floating], max_px: float) -> NDArray[np.uint8]:
    """Colour flow [..., 2] of (dx, dy) in px; returns uint8 [..., 3].

    max_px: the speed that is shown fully saturated, as is any above it. Flow that is not finite
        is black.
    """
    hue, speed, finite = _parts(flow, max_px)
    colour = (1 - speed * (1 - hue)) * finite
    return np.asarray(np.rint(255 * colour), np.uint8)


def flow_to_rgba(flow: NDArray[np.floating], max_px: float) -> NDArray[np.uint8]:
    """As `flow_to_rgb`, with what is still transparent in place of white; returns uint8 [..., 4].

    On white it looks as `flow_to_rgb` makes it (to a rounding of a level or two), and on a dark
    page or over a frame what does not move does not glare. Flow that is not finite is black.
    """
    hue, speed, finite = _parts(flow, max_px)
    alpha = np.where(finite, speed, 1)
    colour = np.concatenate([hue * (finite & (speed > 0)), alpha], -1)
    return np.asarray(np.rint(255 * colour), np.uint8)


def _parts(
    flow: NDArray[np.floating], max_px: float
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.bool_]]:
    """Colour of the direction [..., 3], speed [..., 1] in 0..1, and whether flow is finite."""
    finite = np.isfinite(flow).all(-1, keepdims=True)
    dx, dy = np.moveaxis(np.where(finite, flow, 0).astype(np.float32), -1, 0)
    wheel = colour_wheel()
    place = np.arctan2(dy, dx) / (2 * np.pi) % 1 * len(wheel)
    low = place.astype(int) % len(wheel)
    part = (place - np.floor(place))[..., None]
    hue = wheel[low] * (1 - part) + wheel[(low + 1) % len(wheel)] * part
    speed = np.minimum(np.hypot(dx, dy) / max(max_px, 1e-9), 1)[..., None]
    return hue, speed, finite


def wheel_picture(size: int) -> NDArray[np.uint8]:
    """The legend: a disc of all directions and speeds on white, uint8 [size, size, 3]."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    flow = np.stack(np.meshgrid(axis, axis), -1)
    picture = flow_to_rgb(flow, 1.0)
    picture[np.hypot(flow[..., 0], flow[..., 1]) > 1] = 255
    return picture


def wheel_legend(size: int) -> NDArray[np.uint8]:
    """As `wheel_picture`, with what is white transparent, uint8 [size, size, 4]."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    flow = np.stack(np.meshgrid(axis, axis), -1)
    picture = flow_to_rgba(flow, 1.0)
    picture[np.hypot(flow[..., 0], flow[..., 1]) > 1] = 0
    return picture


def without_white(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Coloured flow [..., 3] on white, as `flow_to_rgb` makes it, on nothing: uint8 [..., 4].

    Colours of the wheel have a part that is zero, so that what is the least of the three is white.
    """
    least = rgb.min(-1, keepdims=True).astype(np.float32)
    alpha = 255 - least
    colour = np.where(alpha > 0, (rgb - least) * 255 / np.maximum(alpha, 1), 0)
    return np.asarray(np.rint(np.concatenate([colour, alpha], -1)), np.uint8)
