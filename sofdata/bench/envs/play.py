"""Undirected play: a robot moves about, touches and grasps what is there, with no task in mind.

What a lab can record in an afternoon, for labels of actions without demonstrations of any task
(CLAM, Liang et al. 2025, arXiv 2505.04999). A player chooses one act after the other at random,
carries each out by way-points, and goes on to the next:

    reach    a random place in the workspace
    visit    a place near a thing
    push     down beside a thing, with the gripper closed, and through where it is
    press    down onto a thing from above, with the gripper closed
    grasp    open down to a thing, close, carry it or pull it to a random place, open

It knows where hand and things are, and neither goal nor success. All that it draws follows from one
generator. In a flat world there is no above: pushes begin beside a thing, as everywhere.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sofdata.bench.envs.base import Env

Place = NDArray[np.float64]
Box = tuple[Place, Place]  # the lower and the upper corner
Act = Literal["reach", "visit", "push", "press", "grasp"]

TEXT = "play"  # of every episode of play: there is no task
OPEN, CLOSED = -1.0, 1.0
_ACTS: tuple[Act, ...] = ("reach", "visit", "push", "press", "grasp")
_ONE_OF_ALL = 0.2  # how often a way-point is left before it is reached, as if by another idea


class Body(Protocol):
    """What a player has to know of a robot. Places have D numbers, in the simulator's unit.

    up: how far above things the hand passes, [D]. near: how near a place is as good as reached.
    reach: how far a push goes. grip_steps: steps that closing or opening takes. way_steps: steps
    after which a place is given up.
    """

    up: Place
    near: float
    reach: float
    grip_steps: int
    way_steps: int

    def box(self, env: Env) -> Box:
        """What the hand stays in."""

    def hand(self, env: Env) -> Place:
        """Where the hand is, [D]."""

    def things(self, env: Env) -> list[Place]:
        """Where things are that it may touch, at least one."""

    def begin(self, env: Env, thing: int, rng: np.random.Generator) -> None:
        """An act with that one of the things begins: turn the hand as it needs."""

    def action(
        self, env: Env, way: Place, grip: float, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """The action float32 [A], noise included, that leads the hand along `way`, [D], with the
        gripper going on to open (-1) or close (1)."""


@dataclass(frozen=True, slots=True, eq=False)
class WayPoint:
    """A place to go to. steps: after how many it is left, reached or not; rest: it is left only
    then."""

    place: Place
    grip: float
    steps: int
    rest: bool = False


class Player:
    """Moves the robot about, as an `Expert` without a task."""

    def __init__(self, body: Body, rng: np.random.Generator) -> None:
        self._body, self._rng = body, rng
        self._ahead: deque[WayPoint] = deque()
        self._steps = 0

    def reset(self) -> None:
        """Begin an episode."""
        self._ahead.clear()
        self._steps = 0

    def act(self, env: Env) -> NDArray[np.float32]:
        """The next action, float32 [A]."""
        hand = self._body.hand(env)
        if self._ahead and self._left(self._ahead[0], hand):
            self._ahead.popleft()
            self._steps = 0
        if not self._ahead:
            act: Act = self._rng.choice(np.array(_ACTS))
            things = self._body.things(env)
            number = int(self._rng.integers(len(things)))
            self._body.begin(env, number, self._rng)
            box = self._body.box(env)
            self._ahead.extend(way_points(act, self._body, box, things[number], self._rng))
        self._steps += 1
        point = self._ahead[0]
        return self._body.action(env, point.place - hand, point.grip, self._rng)

    def _left(self, point: WayPoint, hand: Place) -> bool:
        arrived = float(np.linalg.norm(point.place - hand)) < self._body.near
        return self._steps >= point.steps or (arrived and not point.rest)


def way_points(
    act: Act, body: Body, box: Box, thing: Place, rng: np.random.Generator
) -> list[WayPoint]:
    """How an act is carried out, wherever the hand is."""
    grip = float(rng.choice([OPEN, CLOSED]))
    anywhere = rng.uniform(*box)
    aside = _sideways(body, rng)
    at = thing + rng.normal(0, body.near / 2, len(thing))
    ways: dict[Act, list[tuple[Place, float]]] = {
        "reach": [(anywhere, grip)],
        "visit": [(at + aside * rng.uniform(0.2, 1) + body.up * rng.uniform(0, 1), grip)],
        "push": [(at - aside + body.up, CLOSED), (at - aside, CLOSED), (at + aside, CLOSED)],
        "press": [(at + body.up, CLOSED), (at - body.up / 2, CLOSED), (at + body.up, CLOSED)],
        "grasp": [(at + body.up, OPEN), (at, OPEN)],
    }
    points = [_point(body, box, place, grip, rng) for place, grip in ways[act]]
    if act == "grasp":
        carried = anywhere if rng.random() < 0.5 else at + aside  # else: pull
        points.append(WayPoint(points[-1].place, CLOSED, body.grip_steps, rest=True))
        points.append(_point(body, box, carried, CLOSED, rng))
        points.append(WayPoint(points[-1].place, OPEN, body.grip_steps, rest=True))
    return points


def _point(body: Body, box: Box, place: Place, grip: float, rng: np.random.Generator) -> WayPoint:
    steps = body.way_steps
    if rng.random() < _ONE_OF_ALL:
        steps = int(rng.integers(steps // 4, steps))
    return WayPoint(np.clip(place, *box), grip, steps)


def _sideways(body: Body, rng: np.random.Generator) -> Place:
    """A level way, as long as a push: every other along an axis, as drawers and windows move."""
    angle = rng.uniform(0, 2 * np.pi)
    if rng.random() < 0.5:
        angle = np.pi / 2 * int(rng.integers(4))
    way = np.zeros(len(body.up))
    way[:2] = np.cos(angle), np.sin(angle)
    return way * body.reach
