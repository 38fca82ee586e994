"""A toy world for demonstrations: a gripper pushes or carries a disc on a cloth, seen from above.

It gives what a robot would: pictures, a task in words, and success. All follows from the seed. A
step costs about half a millisecond, its picture included.

    scene = PushingScene(seed=7)
    image = scene.reset("push the disc up", episode=0)   # uint8 [128,128,3]
    while not scene.success():
        image = scene.step(scene.expert())               # (dx, dy) in px a frame, gripper -1 or 1
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sofdata.scenes import drawing
from sofdata.scenes.drawing import paint, shift

SIZE = 128
FPS = 10
ACTION_NAMES = ("dx", "dy", "gripper")
STATE_NAMES = ("x", "y", "gripper")
MAX_STEP_PX = 6.0
OPEN, CLOSED = -1.0, 1.0

CARRY = "carry the disc to the square"
PUSHES = {
    "push the disc to the left": (-1.0, 0.0),
    "push the disc to the right": (1.0, 0.0),
    "push the disc up": (0.0, -1.0),
    "push the disc down": (0.0, 1.0),
}
TASKS = (*PUSHES, CARRY)

_PUSH_PX = 28.0  # how far a push must bring the disc
_NEAR_PX = 6.0  # how near to the square's centre a carried disc must lie
_GRASP_PX = 6.0  # the gripper grasps what its centre is this near to when it closes
_FIST_PX = 8.0  # radius of the closed gripper
_EDGE_PX = 8.0  # the gripper stays this far from the border
_JAWS_PX = 6.0  # how thick its jaws are
_FIST_GAP_PX = _FIST_PX - _JAWS_PX  # from its middle to the jaws, once it has closed on nothing
_JAW_STEP_PX = 4.0  # how far a jaw moves in a frame: closing takes 0.2 to 0.5 s

Vector = NDArray[np.float64]


class PushingScene:
    """The world and its rules.

    An action is (dx, dy, gripper): the jaws go on closing (gripper > 0) or opening, 4 px a frame,
    and the gripper moves by (dx, dy) px, each at most MAX_STEP_PX. Until they have closed, it
    passes above the disc. Closed, it pushes the disc ahead of it, or carries it along if it was
    above the disc's middle when they did; as soon as they open, it lets go. The cloth, the disc,
    the square, all places and the pace of `expert` differ from episode to episode; of the task
    nothing shows in the first picture.
    """

    def __init__(self, seed: int | Sequence[int] = 0) -> None:
        self.seed = (seed,) if isinstance(seed, int) else tuple(seed)
        self.reset()

    def reset(self, task: str | None = None, episode: int = 0) -> NDArray[np.uint8]:
        """Begin an episode and return its first picture; without a task, its number picks one.

        Raises `ValueError` for an unknown task.
        """
        self.task = TASKS[episode % len(TASKS)] if task is None else task
        if self.task not in TASKS:
            raise ValueError(f"unknown task '{task}'; known: {', '.join(TASKS)}")
        rng = np.random.default_rng([*self.seed, episode])
        self.radius = float(rng.uniform(11, 15))
        self.disc = rng.uniform(50, SIZE - 50, 2)
        self.square = _place(rng, [self.disc], 38, 22)
        self.gripper = _place(rng, [self.disc], 30, 14)
        self.pace_px = float(rng.uniform(2.5, 4.5))
        self.gap_px = self._open_gap_px = self.radius + 5  # from the gripper's middle to its jaws
        self.closed = self.held = False
        self._grip = np.zeros(2)
        self._start = self.disc.copy()
        self._draw(rng)
        return self.observe()

    def step(self, action: Sequence[float] | NDArray[np.floating]) -> NDArray[np.uint8]:
        """Carry out one action and return the picture that follows."""
        dx, dy, gripper = (float(value) for value in action)
        self._move_jaws(close=gripper > 0)
        move = np.clip([dx, dy], -MAX_STEP_PX, MAX_STEP_PX)
        self.gripper = np.clip(self.gripper + move, _EDGE_PX, SIZE - _EDGE_PX)
        if self.held:
            self.disc = self.gripper + self._grip
        elif self.closed:
            self._push()
        self.disc = np.clip(self.disc, self.radius, SIZE - self.radius)
        return self.observe()

    def observe(self) -> NDArray[np.uint8]:
        """The picture, uint8 [SIZE,SIZE,3]."""
        image = self._cloth.copy()
        paint(image, self._disc, shift(*self.disc))
        paint(image, drawing.jaws(self._skin, self.gap_px), shift(*self.gripper))
        return image

    def state(self) -> NDArray[np.float32]:
        """Where the gripper is, px, and how far closed: float32 [3]; see STATE_NAMES."""
        share = (self._open_gap_px - self.gap_px) / (self._open_gap_px - _FIST_GAP_PX)
        return np.array([*self.gripper, OPEN + (CLOSED - OPEN) * share], np.float32)

    def success(self) -> bool:
        """Whether the task is done: pushed far enough, or laid down on the square."""
        if self.task == CARRY:
            near = float(np.hypot(*(self.disc - self.square))) < _NEAR_PX
            return near and not self.closed
        moved = self.disc - self._start
        along = float(moved @ PUSHES[self.task])
        return along >= _PUSH_PX and along > 2 * abs(float(moved @ _across(self.task)))

    def expert(self) -> NDArray[np.float32]:
        """The action of a demonstrator who sees all: float32 [3]. Still, once the task is done."""
        move, gripper = self._carry() if self.task == CARRY else self._shove()
        return np.array([*np.clip(move, -MAX_STEP_PX, MAX_STEP_PX), gripper], np.float32)

    # The rules

    def _move_jaws(self, close: bool) -> None:
        """Bring the jaws nearer to where they are to be, and grasp what they close on."""
        grip = self.disc - self.gripper
        grasps = float(np.hypot(*grip)) < _GRASP_PX
        goal = self._open_gap_px if not close else self.radius if grasps else _FIST_GAP_PX
        if self.closed and close:
            return
        self.gap_px = float(np.clip(goal, self.gap_px - _JAW_STEP_PX, self.gap_px + _JAW_STEP_PX))
        self.closed = close and self.gap_px == goal
        self.held = self.closed and grasps
        self._grip = grip

    def _push(self) -> None:
        """Move the disc out of the closed gripper's way."""
        between = self.disc - self.gripper
        distance = float(np.hypot(*between))
        overlap = self.radius + _FIST_PX - distance
        if overlap > 0:
            self.disc = self.disc + between / max(distance, 1e-6) * overlap

    # The demonstrator

    def _carry(self) -> tuple[Vector, float]:
        if self.success():
            return np.zeros(2), OPEN
        if self.held:
            way = self.square - self.disc
            arrived = np.hypot(*way) < 1.5
            return (np.zeros(2), OPEN) if arrived else (self._towards(way), CLOSED)
        way = self.disc - self.gripper
        if np.hypot(*way) < 1.5:
            return np.zeros(2), CLOSED
        return self._towards(way), OPEN

    def _shove(self) -> tuple[Vector, float]:
        """Go behind the disc, open; close there; then push, always keeping behind its middle."""
        if self.success():
            return np.zeros(2), CLOSED
        forward, across = np.array(PUSHES[self.task]), _across(self.task)
        reach = self.radius + _FIST_PX
        way = self.disc - self.gripper
        ahead, aside = float(way @ forward), float(way @ across)
        if self.closed:
            behind = ahead > 0.7 * reach and abs(aside) < 0.5 * reach
        else:
            behind = reach <= ahead < reach + 6 and abs(aside) < 1.5
        if not behind:
            return self._towards(way - (reach + 3) * forward), OPEN
        if not self.closed:
            return np.zeros(2), CLOSED
        return self.pace_px * forward + np.clip(aside, -2, 2) * across, CLOSED

    def _towards(self, way: Vector) -> Vector:
        return way * min(1.0, self.pace_px / max(float(np.hypot(*way)), 1e-6))

    # The pictures

    def _draw(self, rng: np.random.Generator) -> None:
        self._cloth = drawing.cloth(rng, SIZE, SIZE)
        paint(self._cloth, drawing.square(rng, 26), shift(*self.square))
        self._disc = drawing.disc(rng, self.radius)
        self._skin = drawing.jaw_skin(rng, _JAWS_PX)


def _across(task: str) -> Vector:
    """The direction at right angles to that of a push."""
    dx, dy = PUSHES[task]
    return np.array([-dy, dx])


def _place(
    rng: np.random.Generator, others: Sequence[Vector], distance: float, margin: float
) -> Vector:
    """A random place that is far enough from others and from the border."""
    while True:
        place = rng.uniform(margin, SIZE - margin, 2)
        if all(np.hypot(*(place - other)) >= distance for other in others):
            return place
