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
    finite = np.isfinite(flow).all(-1, keepdims=True)
    dx, dy = np.moveaxis(np.where(finite, flow, 0).astype(np.float32), -1, 0)
    wheel = colour_wheel()
    place = np.arctan2(dy, dx) / (2 * np.pi) % 1 * len(wheel)
    low = place.astype(int) % len(wheel)
    part = (place - np.floor(place))[..., None]
    hue = wheel[low] * (1 - part) + wheel[(low + 1) % len(wheel)] * part
    speed = np.minimum(np.hypot(dx, dy) / max(max_px, 1e-9), 1)[..., None]
    colour = (1 - speed * (1 - hue)) * finite
    return np.asarray(np.rint(255 * colour), np.uint8)


def wheel_picture(size: int) -> NDArray[np.uint8]:
    """The legend: a disc of all directions and speeds on white, uint8 [size, size, 3]."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    flow = np.stack(np.meshgrid(axis, axis), -1)
    picture = flow_to_rgb(flow, 1.0)
    picture[np.hypot(flow[..., 0], flow[..., 1]) > 1] = 255
    return picture
