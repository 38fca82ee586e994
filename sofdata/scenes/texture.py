"""A texture that moves by exactly so much, of which the flow is known."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def moving_texture(
    dx: float, dy: float, frames: int, size: tuple[int, int] = (128, 128), seed: int = 0
) -> NDArray[np.uint8]:
    """A smooth random texture that moves by exactly (dx, dy) px a frame.

    It is a sum of waves, evaluated at every pixel's own place: nothing is interpolated, and new
    texture enters at the edges.

    size: (height, width). Returns uint8 [T,H,W,3].
    """
    rng = np.random.default_rng(seed)
    waves = 40
    angle = rng.uniform(0, 2 * np.pi, waves)
    step = 2 * np.pi / np.exp(rng.uniform(np.log(6), np.log(60), waves))  # wavelengths in px
    kx, ky = step * np.cos(angle), step * np.sin(angle)
    weight = rng.normal(size=(3, waves)) + 1j * rng.normal(size=(3, waves))
    y, x = np.arange(size[0]), np.arange(size[1])
    film = np.empty((frames, *size, 3), np.uint8)
    for t in range(frames):
        rows = np.exp(1j * np.outer(y - t * dy, ky))  # [H, waves]
        columns = np.exp(1j * np.outer(kx, x - t * dx))  # [waves, W]
        for channel in range(3):
            value = ((rows * weight[channel]) @ columns).real * (45 / math.sqrt(waves))
            film[t, ..., channel] = np.clip(np.rint(value + 128), 0, 255)
    return film
