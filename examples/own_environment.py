"""Your own environment in the benchmark: experts act, arms are trained, successes are compared.

    python examples/own_environment.py                        # everything at a tiny size, 15 s
    PYTHONPATH=examples sofdata bench collect collected --suite own_environment:MarksSuite

A suite is a class with tasks, a simulator and an expert (`sofdata.bench.envs.base`). The benchmark
takes it by the name `module:Class`, wherever the name of a suite is asked for.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sofdata.bench.envs.base import Env, Expert, Task

SIDES = {"left": 0.15, "right": 0.85}  # where the marks are, as a share of the picture's width
FAST = 0.05  # most that a step moves the disc, as a share of the picture's side


class MarksEnv:
    """A disc on a cloth, to be moved to the mark at the left or at the right."""

    def __init__(self, task: Task, size: int) -> None:
        self.task, self.size = task, size
        self.goal = np.array([SIDES[task.name.removeprefix("move-")], 0.5])

    def reset(self, seed: int) -> None:
        """Everything in an episode follows from its seed, here where the disc begins."""
        rng = np.random.default_rng(seed)
        self.disc = rng.uniform(0.3, 0.7, 2)
        self.cloth = rng.integers(60, 120, (self.size, self.size, 1), np.uint8).repeat(3, 2)

    def step(self, action: NDArray[np.float32]) -> bool:
        """Returns whether the task is done."""
        self.disc = np.clip(self.disc + np.clip(action, -1, 1) * FAST, 0.1, 0.9)
        return float(np.hypot(*(self.disc - self.goal))) < 0.1

    def image(self) -> NDArray[np.uint8]:
        """uint8 [S,S,3]."""
        y, x = np.mgrid[: self.size, : self.size] / self.size
        image = self.cloth.copy()
        for place in SIDES.values():
            image[(abs(x - place) < 0.08) & (abs(y - 0.5) < 0.08)] = (40, 160, 60)
        image[np.hypot(x - self.disc[0], y - self.disc[1]) < 0.1] = (220, 70, 50)
        return image

    def state(self) -> NDArray[np.float32]:
        """What the robot feels of itself; no policy of the benchmark gets it."""
        return self.disc.astype(np.float32)

    def layout(self) -> NDArray[np.float64]:
        """By which the benchmark checks that no test episode was trained on."""
        return np.concatenate([self.disc, self.goal])

    def close(self) -> None:
        """Nothing to release."""


class MarksExpert:
    """Goes straight to the mark, with an unsteady hand."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def reset(self) -> None:
        """Nothing is remembered."""

    def act(self, env: Env) -> NDArray[np.float32]:
        """float32 [A]; may look at everything in the simulator."""
        assert isinstance(env, MarksEnv)
        move = (env.goal - env.disc) / FAST + self.rng.normal(0, 0.1, 2)
        return np.clip(move, -1, 1).astype(np.float32)


class MarksSuite:
    """Two tasks. `name` names folders; it must be none of the suites that there are."""

    name = "marks"
    fps = 10.0
    action_names: tuple[str, ...] = ("dx", "dy")
    state_names: tuple[str, ...] = ("x", "y")
    tasks: tuple[Task, ...] = tuple(
        Task(f"move-{side}", f"move the disc to the {side}", max_steps=30) for side in SIDES
    )

    def make(self, task: Task, size: int) -> Env:
        return MarksEnv(task, size)

    def expert(self, task: Task, rng: np.random.Generator) -> Expert:
        return MarksExpert(rng)

    def check(self) -> None:
        """A suite whose simulator is missing says here what to install."""


SUITE = "own_environment:MarksSuite"  # as `sofdata bench --suite` takes it
# The preset `smoke`, and less of it: shows that all runs, and says nothing of the arms.
SMALL = (
    *(f"suite={SUITE}", "videos=4", "arms=[bc,sof]", "demos=[1]", "evaluation.episodes=2"),
    *("skill.optim.steps=10", "planner.optim.steps=10", "decoder.optim.steps=10"),
    *("skill.data.loaders=0", "planner.data.loaders=0", "decoder.data.loaders=0"),
    *("ingest.windows.length=4", "evaluation.max_steps=20", "ingest.run.engine=inline"),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="for all of it; default: a temporary one")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    given = parser.parse_args(arguments)

    # Imported late, since they take seconds, and processes of the benchmark import this file too.
    from sofdata.bench.collect.collect import collect
    from sofdata.bench.collect.config import CollectConfig
    from sofdata.bench.results.table import read_results, table
    from sofdata.bench.study.config import load_bench_config
    from sofdata.bench.study.run import run

    folder = given.folder or Path(tempfile.mkdtemp(prefix="sofdata-example-"))

    config = CollectConfig(suite=SUITE, videos=4, demos=5)
    collected = collect(config, folder / "collected", given.workers)
    print("experts succeed:", {task: part["rate"] for task, part in collected["demos"].items()})

    bench = load_bench_config("smoke", SMALL)
    paths = run(
        bench,
        folder / "collected" / MarksSuite.name,
        folder / "bench",
        "validation",
        workers=given.workers,
        follow=lambda done: print(f"{done.number} of {done.of}: {done.what}"),
    )
    print(table(read_results(paths)))


if __name__ == "__main__":  # needed: with several workers, processes import this file
    main()
