"""Renders a clip: a hand moves an object on a table, seen by a camera."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sofdata.scenes import drawing
from sofdata.scenes.clips import STILL, Clip
from sofdata.scenes.drawing import paint, shift, turn

FPS = 12.0
HEIGHT, WIDTH = 240, 427
_MARGIN = 24  # px of background beyond the frame, for the camera to shake in


def render(clip: Clip) -> Iterator[NDArray[np.uint8]]:
    """The frames of a clip, uint8 [HEIGHT, WIDTH, 3]."""
    count = max(2, round(clip.seconds * FPS))
    cut = count // 2 if clip.shot_change else count
    scene = _Scene(clip, (*clip.seed, 0))
    for index in range(count):
        if index == cut:
            scene = _Scene(clip, (*clip.seed, 1))
        yield scene.frame(index, index / (count - 1))


class _Scene:
    """A table with a thing on it and a hand, seen by a camera."""

    def __init__(self, clip: Clip, seed: tuple[int, int, int]) -> None:
        rng = np.random.default_rng(seed)
        self.clip = clip
        self.table = drawing.table(rng, HEIGHT + 2 * _MARGIN, WIDTH + 2 * _MARGIN)
        self.radius = rng.uniform(26, 38)
        self.thing = drawing.thing(rng, self.radius)
        self.other = drawing.thing(rng, self.radius) if len(clip.things) > 1 else None
        self.hand = drawing.hand(rng)
        self.offset = rng.uniform(-12, 12, 2)
        self.touch = clip.action.arrives + rng.uniform(-0.05, 0.05)
        self.release = max(0.75, clip.action.arrives + 0.1) + rng.uniform(-0.05, 0.05)
        self.shake = rng.uniform(0, 2 * np.pi, (3, 2))
        self.noise = rng.integers(0, 5, (HEIGHT + 64, WIDTH + 64, 3), np.uint8)
        self.grain = rng

    def frame(self, index: int, t: float) -> NDArray[np.uint8]:
        """The picture at `t` of the clip, 0 to 1."""
        import cv2

        camera = self._camera(index / FPS)
        place = camera @ shift(-_MARGIN, -_MARGIN)
        image = cv2.warpAffine(self.table, place[:2], (WIDTH, HEIGHT))
        if self.other is not None:
            paint(image, self.other, camera @ shift(0.24 * WIDTH, 0.56 * HEIGHT))
        thing, hand = self._poses(t)
        paint(image, self.thing, camera @ thing)
        if self.clip.action is not STILL:
            paint(image, self.hand, camera @ hand)
        y, x = self.grain.integers(0, 64, 2)
        noise = self.noise[y : y + HEIGHT, x : x + WIDTH]
        return np.asarray(cv2.addWeighted(image, 1, noise, 1, -2), np.uint8)

    def _camera(self, seconds: float) -> NDArray[np.float64]:
        if not self.clip.shaky:
            return np.eye(3)
        speeds = np.array([[2.1], [4.7], [8.9]])  # radians a second
        amounts = np.array([[7.0], [2.5], [1.0]])  # px
        dx, dy = (amounts * np.sin(speeds * seconds + self.shake)).sum(0)
        return shift(dx, dy)

    def _poses(self, t: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where the thing and the hand are: the hand comes, moves the thing and may leave."""
        action = self.clip.action
        done = _ease((t - self.touch) / (self.release - self.touch))
        start, end = (np.array(point) * (WIDTH, HEIGHT) + self.offset for point in action.path)
        at = start + (end - start) * done
        turned = action.turn * done
        away = 1 - _ease(t / self.touch)
        if action.leaves:
            away += _ease((t - self.release) / (1 - self.release))
        arm = math.radians(action.arm)
        back = -260 * away * np.array([math.cos(arm), math.sin(arm)])
        spin = turn(turned)
        tip = at + (spin[:2, :2] @ np.array(action.grip)) * self.radius + back
        return shift(*at) @ spin, shift(*tip) @ turn(action.arm + 0.3 * turned)


def _ease(t: float) -> float:
    """From 0 to 1 with the least jerk, as a hand moves."""
    t = min(1.0, max(0.0, t))
    return t**3 * (10 - 15 * t + 6 * t * t)
