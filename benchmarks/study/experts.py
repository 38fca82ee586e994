"""How the experts of a suite do, and how easy its tasks are blind. Nothing is drawn.

    python benchmarks/study/experts.py metaworld drawer-open lever-pull
    python benchmarks/study/experts.py scene --retreat none --blind 0

For each task (default: all that the suite has): how often the expert succeeds, in how many control
steps, CPU seconds of an episode without pictures; and blind, how often the actions of one episode
succeed in another one's layout, each from its first step on. A task that is easy blind leaves no
room above one demonstration.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sofdata.bench.envs.base import Env, Suite, Task, Variant
from sofdata.bench.envs.registry import find_suite, varied
from sofdata.bench.envs.seeds import seeds_for

Actions = list[NDArray[np.float32]]
SHOWN = 8  # layouts in which each of some episodes is repeated
MANNER = 7


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suite")
    parser.add_argument("tasks", nargs="*")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--blind", type=int, default=5, help="episodes that are repeated")
    parser.add_argument("--retreat", choices=("random", "none"), default="random")
    given = parser.parse_args(arguments)
    suite = varied(find_suite(given.suite), Variant(retreat=given.retreat))
    suite.check()
    print(
        "| task | expert succeeds | steps, mean | most | CPU s | blind |\n|---|---|---|---|---|---|"
    )
    for task in suite.tasks:
        if not given.tasks or task.name in given.tasks:
            print(row(suite, task, given.episodes, given.blind), flush=True)


def row(suite: Suite, task: Task, number: int, blind: int) -> str:
    """A line of the table."""
    env = suite.make(task, 16)
    seeds = seeds_for("validation", number)
    began = time.process_time()
    tried = [expert(suite, env, task, seed) for seed in seeds]
    spent_s = (time.process_time() - began) / number
    good = [actions for done, actions in tried if done]
    easy = [repeated(env, seed, actions) for actions in good[:blind] for seed in others(number)]
    env.close()
    steps = [len(actions) for actions in good] or [0]
    shown = [f"{np.mean(steps):.0f}", str(max(steps)), f"{spent_s:.2f}"]
    shown.append(f"{np.mean(easy):.2f}" if easy else "")
    return f"| {task.name} | {len(good)} of {number} | {' | '.join(shown)} |"


def expert(suite: Suite, env: Env, task: Task, seed: int) -> tuple[bool, Actions]:
    """Whether the expert succeeds, and what it did."""
    acting, actions = suite.expert(task, np.random.default_rng([seed, MANNER])), Actions()
    env.reset(seed)
    acting.reset()
    while len(actions) < task.max_steps:
        actions.append(acting.act(env))
        if env.step(actions[-1]):
            return True, actions
    return False, actions


def others(number: int) -> tuple[int, ...]:
    """Episodes that no expert was shown."""
    return seeds_for("validation", number + SHOWN)[number:]


def repeated(env: Env, seed: int, actions: Actions) -> bool:
    """Whether the actions succeed in that episode."""
    env.reset(seed)
    return any(env.step(action) for action in actions)


if __name__ == "__main__":
    main()
