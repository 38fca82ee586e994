"""Rollouts: every arm meets the same episodes, and their outcomes are recorded as they were."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from sofdata.bench.envs.base import Env, Task
from sofdata.bench.envs.pushing import PushingEnv, PushingExpert, PushingSuite
from sofdata.bench.envs.seeds import EpisodePurpose, seeds_for
from sofdata.bench.study.actor import Acted
from sofdata.bench.study.config import EvaluationConfig
from sofdata.bench.study.evaluate import Simulators, evaluate

SUITE = PushingSuite()


class Recorder:
    """Simulators that write down what they are asked."""

    def __init__(self) -> None:
        self.layouts: dict[tuple[str, int], list[float]] = {}
        self.made: list[PushingEnv] = []

    def make(self, task: Task, place: int) -> Env:
        outer = self

        class Recorded(PushingEnv):
            def reset(self, seed: int) -> None:
                super().reset(seed)
                outer.layouts[self.task.name, seed] = self.layout().tolist()

        env = Recorded(task, 128)
        self.made.append(env)
        return env


class Still:
    """Does nothing."""

    def act(self, images: Tensor, texts: Sequence[str], seed: int) -> Acted:
        return Acted(torch.zeros(len(images), 4, 3))


class Cheat:
    """The expert, in place of a policy: looks into the simulators in the order of the batch."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def act(self, images: Tensor, texts: Sequence[str], seed: int) -> Acted:
        envs = [env for env in self._recorder.made if env.task.text in texts]
        expert = PushingExpert(np.random.default_rng(0), unsteady_px=0)
        actions = [expert.act(env) for env in envs]
        return Acted(torch.from_numpy(np.stack(actions))[:, None])


def test_an_arm_that_does_nothing_fails_after_all_steps() -> None:
    config = EvaluationConfig(episodes=3, at_once=2, max_steps=10, execute=4, strips=1)
    recorder = Recorder()
    found = evaluate(
        Still(),
        SUITE.tasks[:2],
        (7, 8, 9),
        config,
        simulators=recorder.make,
        noise_seed=0,
        step_frames=2,
    )
    outcomes = [(each.task, each.seed, each.success, each.steps) for each in found.outcomes]
    names = [task.name for task in SUITE.tasks[:2]]
    assert outcomes == [(name, seed, False, 10) for name in names for seed in (7, 8, 9)]
    assert set(found.decisions) == {(name, 7) for name in names}
    for decisions in found.decisions.values():  # at 0, 4, 8, and the end; between them at 2 and 6
        assert [len(decision.then) for decision in decisions] == [1, 1, 0, 0]


class Counting:
    """Says of each action at which look it was decided: 1, 2, ... in chunks of 4."""

    def __init__(self) -> None:
        self.looks = 0

    def act(self, images: Tensor, texts: Sequence[str], seed: int) -> Acted:
        self.looks += 1
        actions = torch.full((len(images), 4, 3), float(self.looks))
        actions[..., 2] = 1.0 if self.looks % 2 else -1.0
        return Acted(actions, votes=(2,))


def carried_out(ensemble: float | None, episodes: int = 1) -> list[list[float]]:
    """The actions that a simulator is given in episodes of six steps, two between looks."""
    given: list[list[float]] = []

    class Recorded(PushingEnv):
        def step(self, action: NDArray[np.float32]) -> bool:
            given.append([round(float(value), 6) for value in action])
            return super().step(np.zeros_like(action))

    config = EvaluationConfig(
        episodes=episodes, at_once=1, max_steps=6, execute=2, ensemble=ensemble
    )
    evaluate(
        Counting(),
        SUITE.tasks[:1],
        tuple(range(episodes)),
        config,
        simulators=lambda task, place: Recorded(task, 64),
        noise_seed=0,
    )
    return given


def test_the_latest_look_alone_decides_unless_chunks_are_averaged() -> None:
    assert [action[0] for action in carried_out(None)] == [1, 1, 2, 2, 3, 3]


def test_averaged_chunks_are_those_of_the_episode_that_reach_the_step() -> None:
    found = carried_out(0.0, episodes=2)
    assert [action[0] for action in found[:6]] == [1, 1, 1.5, 1.5, 2.5, 2.5]
    assert [action[0] for action in found[6:]] == [4, 4, 4.5, 4.5, 5.5, 5.5]  # begun anew
    assert [action[2] for action in found[:6]] == [1, 1, -1, -1, 1, 1]  # a tie: the latest look


def test_the_expert_succeeds_and_the_steps_are_counted() -> None:
    config = EvaluationConfig(episodes=1, at_once=1, execute=1)
    recorder = Recorder()
    task = SUITE.tasks[0]
    found = evaluate(Cheat(recorder), [task], (3,), config, simulators=recorder.make, noise_seed=0)
    (outcome,) = found.outcomes
    env = PushingEnv(task, 128)
    env.reset(3)
    expert, steps = PushingExpert(np.random.default_rng(0), unsteady_px=0), 1
    while not env.step(expert.act(env)):
        steps += 1
    assert (outcome.success, outcome.steps) == (True, steps)


def test_every_policy_meets_the_same_episodes_however_many_run_side_by_side() -> None:
    layouts = []
    for at_once, execute in ((1, 4), (3, 2)):
        config = EvaluationConfig(episodes=4, at_once=at_once, max_steps=8, execute=execute)
        recorder = Recorder()
        evaluate(
            Still(),
            SUITE.tasks,
            seeds_for("test", 4),
            config,
            simulators=recorder.make,
            noise_seed=at_once,
        )
        layouts.append(recorder.layouts)
    assert layouts[0] == layouts[1]
    assert len({tuple(layout) for layout in layouts[0].values()}) == 4  # tasks share scenes


def test_seeds_of_different_purposes_never_meet() -> None:
    purposes: tuple[EpisodePurpose, ...] = ("videos", "demos", "validation", "test")
    ranges = [set(seeds_for(purpose, 500)) for purpose in purposes]
    assert sum(map(len, ranges)) == len(set().union(*ranges))


def test_simulators_are_made_once() -> None:
    simulators = Simulators(SUITE, 64)
    first = simulators.get(SUITE.tasks[0], 0)
    assert simulators.get(SUITE.tasks[0], 0) is first
    assert simulators.get(SUITE.tasks[0], 1) is not first
    assert first.image().shape == (64, 64, 3)
    simulators.close()


class Numbered(PushingEnv):
    """Its image shows how many steps its episode has taken; it counts how often it draws."""

    steps = drawn = 0

    def reset(self, seed: int) -> None:
        self.steps = 0

    def image(self) -> NDArray[np.uint8]:
        self.drawn += 1
        return np.full((64, 64, 3), self.steps, np.uint8)

    def step(self, action: NDArray[np.float32]) -> bool:
        self.steps += 1
        return False


@pytest.mark.parametrize(
    ("execute", "step_frames", "history", "expected", "drawn"),
    [
        (4, 2, 2, [[0, 0, 0], [0, 2, 4], [4, 6, 8]], 3 + 3),
        (4, 3, 2, [[0, 0, 0], [0, 1, 4], [2, 5, 8]], 3 + 6),
        (2, 2, 3, [[0, 0, 0, 0], [0, 0, 0, 2], [0, 0, 2, 4]], 6),
        (4, 2, 0, [[0], [4], [8]], 3),
    ],
)
def test_a_policy_is_given_the_frames_before_the_present_one(
    execute: int, step_frames: int, history: int, expected: list[list[int]], drawn: int
) -> None:
    seen: list[list[int]] = []

    class Looks:
        def act(self, images: Tensor, texts: Sequence[str], seed: int) -> Acted:
            """Keep what is seen of the first episode."""
            assert images.ndim == (5 if history else 4)
            seen.append(images.view(len(images), -1, 3, 64, 64)[0, :, 0, 0, 0].tolist())
            return Acted(torch.zeros(len(images), 6, 2))

    env = Numbered(SUITE.tasks[0], 64)
    config = EvaluationConfig(episodes=2, at_once=1, execute=execute, max_steps=12, strips=0)
    found = evaluate(
        Looks(),
        SUITE.tasks[:1],
        (1, 2),
        config,
        simulators=lambda task, place: env,
        noise_seed=0,
        step_frames=step_frames,
        history=history,
    )
    each = -(-12 // execute)
    assert seen[:3] == seen[each : each + 3] == expected  # the second episode begins anew
    assert len(found.outcomes) == 2
    assert env.drawn == 2 * drawn
