"""Which clips the rendered corpus holds: the action, the things and the camera of each index."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Action:
    """Something that a hand does with a thing. Places are fractions of the frame's size.

    path: where the thing's centre is before and after; turn: by how many degrees it turns.
    grip: where the fingertip touches, in radii of the thing from its centre.
    arm: the direction in degrees in which the arm points, clockwise from rightwards.
    arrives: when the hand has come, as a fraction of the clip.
    leaves: the hand goes away again in the end.
    """

    template: str
    path: tuple[Point, Point] = ((0.5, 0.62), (0.5, 0.62))
    turn: float = 0.0
    grip: Point = (-0.8, 0.0)
    arm: float = 0.0
    arrives: float = 0.25
    leaves: bool = True


ACTIONS = (
    Action("Pushing [something] from left to right", ((0.28, 0.62), (0.74, 0.62)), turn=8),
    Action("Pulling [something] from right to left", ((0.72, 0.6), (0.36, 0.66)), arm=20),
    Action(
        "Lifting [something] up",
        path=((0.5, 0.68), (0.52, 0.3)),
        grip=(0.7, 0.0),
        arm=200,
        leaves=False,
    ),
    Action("Covering [something] with a hand", grip=(0.9, 0.5), arm=40, arrives=0.6, leaves=False),
    Action(
        "Moving [something] closer to [something]",
        path=((0.7, 0.7), (0.4, 0.6)),
        turn=-5,
        grip=(0.8, 0.0),
        arm=195,
    ),
    Action("Turning [something] on the spot", turn=110, grip=(0.3, -0.7), arm=70),
)
STILL = Action("Leaving [something] as it is")
THINGS = (
    *("tin of buttons", "tea strainer", "lentil jar", "pepper mill", "shoe brush", "egg timer"),
    *("wooden spoon", "ball of string", "soap dish", "candle stub", "matchbox", "bread knife"),
    *("postcard", "garlic press", "thimble", "oven glove", "bicycle bell", "cork coaster"),
)


@dataclass(frozen=True, slots=True)
class Clip:
    """What is to be seen in the clip of one index: an action, and what troubles the camera."""

    seed: tuple[int, int]
    action: Action
    things: tuple[str, ...]
    seconds: float
    shaky: bool
    shot_change: bool

    @property
    def label(self) -> str:
        text = self.action.template
        for thing in self.things:
            text = text.replace("[something]", thing, 1)
        return text[0].lower() + text[1:]


def plan_clip(index: int, seed: int = 0, seconds: float = 4.0) -> Clip:
    """The clip of an index. Of twelve, one is still, one has a shot change and three shake."""
    rng = np.random.default_rng((seed, index))
    still = index % 12 == 7
    action = STILL if still else ACTIONS[index % len(ACTIONS)]
    names = rng.choice(THINGS, action.template.count("[something]"), replace=False)
    return Clip(
        seed=(seed, index),
        action=action,
        things=tuple(str(name) for name in names),
        seconds=seconds * rng.uniform(0.85, 1.15),
        shaky=index % 4 == 2,
        shot_change=index % 12 == 5,
    )
