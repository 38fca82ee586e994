"""Rollouts: a policy in the simulators, many episodes side by side.

All simulators look at the same time, so that the networks see one batch, and then each carries out
its chunk. An episode ends with the first success, or when its steps are used up; its simulator goes
on with the next one. Rendering costs more than anything else and is done once a look.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from sofdata.bench.acting import Acted, Actor
from sofdata.bench.config import EvaluationConfig
from sofdata.bench.envs.base import Env, Suite, Task
from sofdata.bench.memory import small_frames

Image = NDArray[np.uint8]
MakeEnv = Callable[[Task, int], Env]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One episode: its task and seed, whether it succeeded, and after how many steps it ended."""

    task: str
    seed: int
    success: bool
    steps: int


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What was seen before a chunk, and the codes of the skill that was meant, if any."""

    image: Image
    codes: torch.Tensor | None


@dataclass(slots=True, eq=False)
class Rollouts:
    """All outcomes, by task and seed in order; and what was seen in the episodes to draw."""

    outcomes: list[Outcome] = field(default_factory=list)
    looks: dict[tuple[str, int], list[Look]] = field(default_factory=dict)


class Simulators:
    """Simulators of a suite that are made once and kept for further evaluations."""

    def __init__(self, suite: Suite, size: int) -> None:
        self._suite, self._size = suite, size
        self._kept: dict[tuple[str, int], Env] = {}

    def get(self, task: Task, place: int) -> Env:
        """The simulator number `place` of a task."""
        key = (task.name, place)
        if key not in self._kept:
            self._kept[key] = self._suite.make(task, self._size)
        return self._kept[key]

    def close(self) -> None:
        """End them all."""
        for env in self._kept.values():
            env.close()
        self._kept.clear()


def evaluate(
    actor: Actor,
    tasks: Sequence[Task],
    seeds: Sequence[int],
    config: EvaluationConfig,
    simulators: MakeEnv,
    noise_seed: int,
) -> Rollouts:
    """Try every task from every seed.

    noise_seed: of what the policy draws.
    """
    found = Rollouts()
    runs = [
        _Run(task, simulators(task, place), deque(seeds[place :: config.at_once]), config)
        for task in tasks
        for place in range(min(config.at_once, len(seeds)))
    ]
    drawn = {(task.name, seed) for task in tasks for seed in seeds[: config.strips]}
    for run in runs:
        run.begin()
    look = 0
    while active := [run for run in runs if run.env_seed is not None]:
        images = np.stack([run.env.image() for run in active])
        batch = small_frames(torch.from_numpy(images).permute(0, 3, 1, 2))
        texts = [run.task.text for run in active]
        acted = actor.act(batch, texts, _look_seed(noise_seed, look))
        _keep(found, active, images, acted, drawn)
        for run, chunk in zip(active, acted.actions.numpy(), strict=True):
            if outcome := run.carry_out(chunk):
                found.outcomes.append(outcome)
                if (outcome.task, outcome.seed) in drawn:
                    last = Look(run.env.image(), None)
                    found.looks[outcome.task, outcome.seed].append(last)
                run.begin()
        look += 1
    order = {task.name: place for place, task in enumerate(tasks)}
    found.outcomes.sort(key=lambda outcome: (order[outcome.task], outcome.seed))
    return found


class _Run:
    """One simulator and the seeds that it still has to try."""

    def __init__(self, task: Task, env: Env, seeds: deque[int], config: EvaluationConfig) -> None:
        self.task, self.env = task, env
        self.env_seed: int | None = None
        self._seeds = seeds
        self._execute = config.execute
        self._most = config.max_steps or task.max_steps
        self._steps = 0

    def begin(self) -> None:
        """Begin the next episode; `env_seed` is None if there is none."""
        self.env_seed, self._steps = None, 0
        if self._seeds:
            self.env_seed = self._seeds.popleft()
            self.env.reset(self.env_seed)

    def carry_out(self, chunk: NDArray[np.float32]) -> Outcome | None:
        """Carry out the beginning of a chunk [N,A]; the outcome, if the episode ends."""
        assert self.env_seed is not None
        for action in chunk[: self._execute]:
            success = self.env.step(action)
            self._steps += 1
            if success or self._steps >= self._most:
                return Outcome(self.task.name, self.env_seed, bool(success), self._steps)
        return None


def _keep(
    found: Rollouts,
    active: Sequence[_Run],
    images: Image,
    acted: Acted,
    drawn: set[tuple[str, int]],
) -> None:
    for row, run in enumerate(active):
        assert run.env_seed is not None
        name = (run.task.name, run.env_seed)
        if name in drawn:
            codes = None if acted.codes is None else acted.codes[row]
            found.looks.setdefault(name, []).append(Look(images[row], codes))


def _look_seed(seed: int, look: int) -> int:
    return int(np.random.SeedSequence([seed, look]).generate_state(1, np.uint64)[0] >> 1)
