"""A figure of a scale benchmark, beside what it should be; and a measurement in a child process.

Each figure is taken in a process of its own, so that its peak memory is its own too.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[1]
HERE = Path(__file__).resolve().parent
CACHE = HERE / "cache"
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value.

    what: what was measured, in words. found: the value; unit: its unit.
    goal: what it may be at most (None: no goal, shown beside the others).
    sense: "most" where `goal` is an upper bound, "least" where it is a lower one.
    """

    what: str
    found: float
    unit: str
    goal: float | None = None
    sense: Literal["most", "least"] = "most"

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if self.goal is None:
            return None
        return self.found <= self.goal if self.sense == "most" else self.found >= self.goal

    def row(self) -> str:
        """A line of a Markdown table: what, goal, found, met or missed."""
        bound = "at most" if self.sense == "most" else "at least"
        goal = "" if self.goal is None else f"{bound} {self.goal:g} {self.unit}"
        state = {None: "", True: "met", False: "missed"}[self.met]
        return f"| {self.what} | {goal} | {self.found:.3g} {self.unit} | {state} |"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a child process took: wall and CPU seconds (its own children included), peak memory.

    said: the JSON value that it printed last.
    """

    wall_s: float
    cpu_s: float
    peak_bytes: int
    said: object


def table(figures: list[Figure]) -> str:
    """Figures as a Markdown table."""
    head = "| what | goal | found | |\n|---|---|---|---|"
    return "\n".join([head, *(figure.row() for figure in figures)])


def in_child(module: str, *arguments: object) -> Cost:
    """Run `python benchmarks/MODULE.py ARGUMENTS` and say what it took.

    The child prints a JSON value as its last line. Raises `CalledProcessError` where it fails.
    """
    command = [sys.executable, str(HERE / f"{module}.py"), *map(str, arguments)]
    env = {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": str(ROOT)}
    runner = [sys.executable, str(HERE / "scale_figures.py"), *command]
    done = subprocess.run(runner, cwd=ROOT, env=env, check=True, stdout=subprocess.PIPE)
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def _watch(command: list[str]) -> Cost:
    """Run a command. In a process of its own: the peak of children is over all that were."""
    began = time.monotonic()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    wall_s = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = done.stdout.splitlines()
    said = json.loads(lines[-1]) if lines else None
    return Cost(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, said)


if __name__ == "__main__":
    cost = _watch(sys.argv[1:])
    print(json.dumps({name: getattr(cost, name) for name in Cost.__slots__}))
