"""Rollouts: a policy in the simulators, many episodes side by side.

All simulators are observed at the same time, so that the networks see one batch, and then each
executes its chunk. An episode ends with the first success, or when its steps are used up; its
simulator continues with the next one. Rendering costs most, and is done once a decision.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from sofdata.bench.envs.base import Env, Suite, Task, second_image_of
from sofdata.bench.study.actor import Actor, asked
from sofdata.bench.study.config import EvaluationConfig
from sofdata.bench.study.memory import small_frames
from sofdata.models.action.ensemble import Ensemble
from sofdata.models.skill.eyes import FRAME

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
class Decision:
    """The image before a chunk, and the codes of the chosen skill, if any.

    then: a frame every step of flow while the chunk was executed, which the policy did not see.
    """

    image: Image
    codes: torch.Tensor | None = None
    then: list[Image] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Rollouts:
    """All outcomes, sorted by task and seed; and the decisions of the episodes to draw."""

    outcomes: list[Outcome] = field(default_factory=list)
    decisions: dict[tuple[str, int], list[Decision]] = field(default_factory=dict)


class Simulators:
    """Simulators of a suite, made once and kept for further evaluations."""

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
        """Close them all."""
        for env in self._kept.values():
            env.close()
        self._kept.clear()


def evaluate(
    actor: Actor,
    tasks: Sequence[Task],
    seeds: Sequence[int],
    config: EvaluationConfig,
    *,
    simulators: MakeEnv,
    noise_seed: int,
    step_frames: int = 1,
    image_px: int = FRAME,
    history: int = 0,
    state: bool = False,
    second: bool = False,
) -> Rollouts:
    """Try every task from every seed.

    noise_seed: of the policy's random draws. step_frames: control steps that a step of flow spans.
    image_px: side of the images that the policy is given. history: how many earlier ones it is
    given, each a step of flow before the next; those that are not drawn anyway are drawn for it.
    state: whether it is given the robot's own state. second: whether it is given the present image
    of the second camera.
    """
    found = Rollouts()
    drawn = frozenset(seeds[: config.strips])
    runs = [
        _Run(
            task,
            simulators(task, place),
            deque(seeds[place :: config.at_once]),
            config=config,
            drawn=drawn,
            step_frames=step_frames,
            history=history,
        )
        for task in tasks
        for place in range(min(config.at_once, len(seeds)))
    ]
    for run in runs:
        run.begin()
    turn = 0
    while active := [run for run in runs if run.env_seed is not None]:
        looks = [run.look() for run in active]
        batch = _given(looks, image_px)
        texts = [run.task.text for run in active]
        drawn_by = _turn_seed(noise_seed, turn)
        own = _states(active) if state else None
        beside = _second(active, image_px) if second else None
        acted = asked(actor, batch, texts, drawn_by, state=own, second=beside)
        for row, (run, chunk) in enumerate(zip(active, acted.actions.numpy(), strict=True)):
            run.keep(looks[row][-1], None if acted.codes is None else acted.codes[row])
            if outcome := run.execute(chunk, acted.votes):
                found.outcomes.append(outcome)
                if run.decisions:
                    run.keep(run.env.image())
                    found.decisions[outcome.task, outcome.seed] = run.decisions
                run.begin()
        turn += 1
    order = {task.name: place for place, task in enumerate(tasks)}
    found.outcomes.sort(key=lambda outcome: (order[outcome.task], outcome.seed))
    return found


def _states(runs: list[_Run]) -> torch.Tensor:
    """The robots' own states, float32 [B,S]."""
    return torch.from_numpy(np.stack([run.env.state() for run in runs]).astype(np.float32))


def _second(runs: list[_Run], px: int) -> torch.Tensor:
    """What the second cameras show now, uint8 [B,3,px,px]."""
    images = torch.from_numpy(np.stack([second_image_of(run.env) for run in runs]))
    return small_frames(images.permute(0, 3, 1, 2), px)


def _given(looks: list[list[Image]], px: int) -> torch.Tensor:
    """What a policy is given: uint8 [B,3,px,px], or with earlier images [B,1+H,3,px,px]."""
    images = torch.from_numpy(np.stack(looks))  # [B, 1 + H, h, w, 3]
    small = small_frames(images.flatten(0, 1).permute(0, 3, 1, 2), px)
    return small.view(*images.shape[:2], 3, px, px) if images.shape[1] > 1 else small


class _Run:
    """One simulator and the seeds that are left for it.

    decisions: of the present episode, if it is one of the `drawn` seeds; otherwise empty.
    """

    def __init__(
        self,
        task: Task,
        env: Env,
        seeds: deque[int],
        *,
        config: EvaluationConfig,
        drawn: frozenset[int],
        step_frames: int,
        history: int,
    ) -> None:
        self.task, self.env = task, env
        self.env_seed: int | None = None
        self.decisions: list[Decision] = []
        self._seeds, self._drawn, self._step_frames = seeds, drawn, step_frames
        self._execute, self._decay = config.execute, config.ensemble
        self._ensemble: Ensemble | None = None
        self._most = config.max_steps or task.max_steps
        self._steps = 0
        # Steps before the present one whose images are seen as well, and the images by their step.
        self._back = [step_frames * back for back in range(history, 0, -1)]
        self._images: dict[int, Image] = {}

    def begin(self) -> None:
        """Begin the next episode; `env_seed` is None if there is none."""
        self.env_seed, self._steps, self.decisions, self._images = None, 0, [], {}
        if self._seeds:
            self.env_seed = self._seeds.popleft()
            self.env.reset(self.env_seed)
            self._ensemble = None if self._decay is None else Ensemble(self._decay)

    def look(self) -> list[Image]:
        """The images that the policy sees now, in the order of time; the first stands for those
        before the episode's start."""
        steps = [max(0, self._steps - back) for back in self._back]
        image = self.env.image()
        self._images[self._steps] = image
        oldest = self._steps - max(self._back, default=0)
        self._images = {step: seen for step, seen in self._images.items() if step >= oldest}
        return [*(self._images[step] for step in steps), image]

    def keep(self, image: Image, codes: torch.Tensor | None = None) -> None:
        """Keep an image and the codes chosen for it, if this episode is to be drawn."""
        if self.env_seed in self._drawn:
            self.decisions.append(Decision(image, codes))

    def execute(self, chunk: NDArray[np.float32], votes: Sequence[int] = ()) -> Outcome | None:
        """Execute the beginning of a chunk [N,A]; returns the outcome, if the episode ends.

        votes: dimensions that are voted on where chunks are averaged.
        """
        assert self.env_seed is not None
        actions = self._agreed(chunk, votes)
        for done, action in enumerate(actions, start=1):
            success = self.env.step(action)
            self._steps += 1
            if success or self._steps >= self._most:
                return Outcome(self.task.name, self.env_seed, bool(success), self._steps)
            if done < len(actions):
                self._watch(done, len(actions))
        return None

    def _watch(self, done: int, number: int) -> None:
        """Between two looks: keep images that are drawn, or seen at a later look."""
        if self.decisions and done % self._step_frames == 0:
            self.decisions[-1].then.append(self.env.image())
        if any((done + back) % number == 0 for back in self._back):
            self._images[self._steps] = self.env.image()

    def _agreed(self, chunk: NDArray[np.float32], votes: Sequence[int]) -> NDArray[np.float32]:
        """The actions to execute before the next look: of this chunk, or of all that overlap."""
        number = min(self._execute, len(chunk))
        if self._ensemble is None:
            return chunk[:number]
        self._ensemble.add(self._steps, chunk)
        return np.stack([self._ensemble.action(self._steps + k, votes) for k in range(number)])


def _turn_seed(seed: int, turn: int) -> int:
    return int(np.random.SeedSequence([seed, turn]).generate_state(1, np.uint64)[0] >> 1)
