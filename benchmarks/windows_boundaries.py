"""Where windows are cut, against the stages of scripted experts.

An expert of the benchmark's simulators tells at each step which part of its task it is at: the
way-point it goes to, the gripper it closes (`sofdata.bench.envs.base.Staged`). A stage that lasts
less than a step of flow counts to the next one. Its episodes become windows with `windows.cut`
motion, and the frames at which windows begin, the first of an episode left out, are held against
the frames at which stages do: each of the ones to at most one of the others, the nearest first, if
they are no further apart than one or two steps of flow. Beside it, as many boundaries in each
episode, evenly spaced, and at random (the mean of 50 draws).

Settings were chosen on episodes of other seeds (`CHOSEN_ON`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sofdata.bench.envs.base import Suite
from sofdata.bench.envs.registry import find_suite
from sofdata.errors import ConfigError
from sofdata.flow.config import FlowConfig
from sofdata.flow.estimator import Estimator, make_estimator
from sofdata.types import FlowClip, Frames
from sofdata.windows.config import WindowConfig
from sofdata.windows.segment import Windower, make_steps

TASKS = {
    "pushing": ("push-left", "push-up", "carry"),
    "metaworld": (
        *("drawer-open", "door-open", "button-press-topdown", "window-open", "faucet-open"),
        "pick-place",
    ),
}
CHOSEN_ON, REPORTED = 900, 4000  # the first seeds of episodes
STEP_S = 0.13
HOLD = 3  # steps that go on after success
DRAWS = 50
HEAD = ("suite", "cut", "boundaries", "stages", "precision, 2 steps", "recall", "precision, 1 step")
Boundaries = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """stages: the places, in steps of flow, at which a stage begins. found: where a window does.

    steps: of flow that the episode has.
    """

    stages: Boundaries
    found: Boundaries
    steps: int


def table(suites: Sequence[str], episodes: int, config: WindowConfig, seed: int) -> Iterator[str]:
    """Rows of Markdown: precision and recall by suite and way of cutting."""
    yield "| " + " | ".join((*HEAD, "recall")) + " |"
    yield "|---" * (len(HEAD) + 1) + "|"
    for name in suites:
        try:
            suite = find_suite(name)
            suite.check()
        except ConfigError as error:
            yield f"| {name} | left out: {error} | | | | | | |"
            continue
        made = list(_episodes(suite, TASKS[name], episodes, config, seed))
        for cut, place in WAYS.items():
            yield _row(name, cut, place, made)


def _row(
    name: str, cut: str, place: Callable[[Episode, int], Boundaries], made: list[Episode]
) -> str:
    rounds = DRAWS if place is _at_random else 1
    cells = [name, cut, f"{sum(len(each.found) for each in made)}"]
    cells.append(f"{sum(len(each.stages) for each in made)}")
    for tolerance in (2, 1):
        hits = np.mean(
            [
                sum(matched(place(each, draw), each.stages, tolerance) for each in made)
                for draw in range(rounds)
            ]
        )
        cells += [f"{hits / max(int(cells[2]), 1):.2f}", f"{hits / max(int(cells[3]), 1):.2f}"]
    return "| " + " | ".join(cells) + " |"


def _evenly(episode: Episode, draw: int) -> Boundaries:
    number = len(episode.found)
    return np.round(np.arange(1, number + 1) * episode.steps / (number + 1))


def _at_random(episode: Episode, draw: int) -> Boundaries:
    rng = np.random.default_rng([draw, episode.steps])
    places = np.arange(1, episode.steps, dtype=np.float64)
    return rng.choice(places, len(episode.found), replace=False)


WAYS: dict[str, Callable[[Episode, int], Boundaries]] = {
    "motion": lambda episode, draw: episode.found,
    "fixed, as many": _evenly,
    "random, as many": _at_random,
}


def matched(found: Boundaries, stages: Boundaries, tolerance: float) -> int:
    """How many boundaries have a stage of their own within so many steps, nearest pairs first."""
    pairs = sorted(
        (abs(a - b), i, j)
        for (i, a), (j, b) in itertools.product(enumerate(found), enumerate(stages))
        if abs(a - b) <= tolerance
    )
    left, right = set[int](), set[int]()
    for _, i, j in pairs:
        if i not in left and j not in right:
            left.add(i)
            right.add(j)
    return len(left)


def _episodes(
    suite: Suite, names: Sequence[str], number: int, config: WindowConfig, first: int
) -> Iterator[Episode]:
    """Episodes in which the expert succeeds."""
    estimator = make_estimator(FlowConfig(estimator="dis"))
    frames_a_step = max(1, int(STEP_S * suite.fps + 0.5))
    for task in (each for each in suite.tasks if each.name in names):
        env = suite.make(task, 128)
        for seed in range(first, first + number):
            expert = suite.expert(task, np.random.default_rng([seed, 7]))
            env.reset(seed)
            expert.reset()
            frames, stages, done = [env.image()], list[object](), 0
            while done <= HOLD and (done or len(stages) < task.max_steps):
                action = expert.act(env)
                stages.append(getattr(expert, "stage"))  # noqa: B009 - all of these are `Staged`
                done += env.step(action) or done > 0
                frames.append(env.image())
            if done:
                seen = np.stack(frames[::frames_a_step])
                begins = stage_begins(stages, frames_a_step) / frames_a_step
                yield _cut(seen, begins, estimator, config)
        env.close()


def stage_begins(stages: Sequence[object], least: int) -> Boundaries:
    """The frames at which a stage begins that is another one than that before; stages of fewer than
    `least` frames count to the next one."""
    runs = [(stage, len(list(run))) for stage, run in itertools.groupby(stages)]
    begins, at, before, waits = list[float](), 0, None, 0
    for number, (stage, length) in enumerate(runs):
        begin = at - waits
        at += length
        if length < least and number < len(runs) - 1:
            waits += length
            continue
        if before is not None and stage != before[0]:
            begins.append(float(begin))
        before, waits = (stage,), 0
    return np.array(begins)


def _cut(
    seen: NDArray[np.uint8], stages: Boundaries, estimator: Estimator, config: WindowConfig
) -> Episode:
    flow = estimator.estimate(seen[:-1], seen[1:])
    frames = Frames(seen, np.arange(len(seen), dtype=np.float64))  # a second a step
    breaks = [""] * len(flow)
    steps = make_steps(frames, FlowClip(flow, np.diff(frames.pts_s)), breaks, config)
    windower = Windower(config)
    windows = [*windower.push(frames, steps, breaks), *windower.close()]
    begins = np.array([window.start_s for window in windows[1:]])
    return Episode(stages, begins, len(flow))
