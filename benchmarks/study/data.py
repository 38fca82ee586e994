"""Choices of data: what do ingest's settings do to success?

    python benchmarks/study/data.py COLLECTED OUT metaworld                    all choices, in order
    python benchmarks/study/data.py COLLECTED OUT metaworld fine "twice the step"  those named
    python benchmarks/study/data.py --list

Skills learned from videos whose flow was estimated `fine` (the default of ingest), `standard` and
`fast`; with steps of flow half and twice as long, in windows that last as long; and with the
camera's motion removed. Videos and demonstrations are ingested alike, so that each choice is a
choice of settings: skills of steps twice as long cannot be read off others. Where the videos alone
differ, `sofdata bench run --videos A --videos B` compares datasets of one's own.

Validation episodes, training seeds 0, 1 and 2, arms `sof` and `sof+clone`. Cells are cached in OUT,
however they were asked for, so that running it again resumes where it stopped. Prints a row of
Markdown for each choice and arm, as in LOG.md: success with a 95 % interval, by how much it is
ahead of the first choice (paired by seed, task and episode), and the CPU seconds of ingest.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from sofdata.bench.results.table import (
    Results,
    difference_of,
    read_results,
    shown,
    success_of,
    training_s,
)
from sofdata.bench.study.config import BenchConfig, load_bench_config
from sofdata.bench.study.run import run

SUITES = {"metaworld": "standard", "scene": "scene"}  # with their presets
ALWAYS = (
    "more_arms=[]",
    "curve=[]",
    "evaluation.strips=0",
    "ingest.run.engine=inline",
    "ingest.flow.quality=fine",
)
ARMS, SEEDS = ("sof", "sof+clone"), (0, 1, 2)
# What a choice sets, and by how much its steps are longer than the preset's.
CHOICES: dict[str, tuple[tuple[str, ...], float]] = {
    "fine": ((), 1),
    "standard": (("ingest.flow.quality=standard",), 1),
    "fast": (("ingest.flow.quality=fast",), 1),
    "half the step": ((), 0.5),
    "twice the step": ((), 2),
    "camera removed": (("ingest.windows.camera=subtract",), 1),
}
HEAD = (
    "suite",
    "choice",
    "arm",
    "K",
    "success",
    "ahead of the first",
    "by task",
    "chunk error",
    "ingest CPU s",
    "training CPU s",
    "command",
)


def config_of(
    suite: str,
    name: str,
    *,
    arms: Sequence[str] = ARMS,
    seeds: Sequence[int] = SEEDS,
    changes: Sequence[str] = (),
) -> BenchConfig:
    """A choice over the suite's preset; `changes` are KEY=VALUE, made to all choices.

    A window lasts as long whatever its steps are, and holds as many actions.
    """
    given, longer = CHOICES[name]
    listed = ", ".join(f'"{arm}"' for arm in arms)
    asked = [*ALWAYS, f"arms=[{listed}]", f"seeds={list(seeds)}", *changes]
    base = load_bench_config(SUITES[suite], asked)
    steps = [
        f"step_frames={whole(base.step_frames * longer)}",
        f"ingest.windows.length={whole(base.ingest.windows.length / longer)}",
    ]
    first = f"demos=[{base.demos[0]}]"
    return load_bench_config(
        SUITES[suite], [*asked, first, *given, *(steps if longer != 1 else [])]
    )


def whole(number: float) -> int:
    """A number that must be whole. Raises `ValueError` for another one."""
    if number != int(number):
        raise ValueError(f"{number} steps or frames: give the preset an even number of both")
    return int(number)


def measure(config: BenchConfig, collected: Path, out: Path) -> dict[str, Results]:
    """The results of each arm, made now unless they exist, in the order of training seeds."""
    results = read_results(run(config, collected, out, "validation", workers=1))
    return {arm: [one for one in results if one["cell"]["arm"] == arm] for arm in config.arms}


def rows_of(
    suite: str, name: str, found: dict[str, Results], first: dict[str, Results], command: str
) -> Iterator[str]:
    """A row of Markdown for each arm. first: the results of the first choice."""
    for arm, cells in found.items():
        gap = difference_of(cells, first[arm]) if first[arm] is not cells else None
        tasks = {
            task: np.mean([cell["success_by_task"][task] for cell in cells])
            for task in cells[0]["success_by_task"]
        }
        row = [suite, name, f"`{arm}`", str(cells[0]["cell"]["demos"]), shown(success_of(cells))]
        row += [shown(gap, sign="+") if gap else ""]
        row += [", ".join(f"{task} {rate:.2f}" for task, rate in tasks.items())]
        row += [f"{np.mean([cell['chunk_error'] for cell in cells]):.3f}"]
        row += [f"{cells[0]['cpu_s']['ingest']:.0f}"]
        row += [f"{np.mean([training_s(cell) for cell in cells]):.0f}", f"`{command}`"]
        yield f"| {' | '.join(row)} |"


def command_of(suite: str, name: str, given: argparse.Namespace) -> str:
    """What makes the row again, with COLLECTED and OUT for the folders."""
    asked = ["python", "benchmarks/study/data.py", "COLLECTED", "OUT", suite, name]
    asked += ["--arms", *given.arms] if tuple(given.arms) != ARMS else []
    asked += ["--seeds", *map(str, given.seeds)] if tuple(given.seeds) != SEEDS else []
    asked += [part for change in given.set for part in ("--set", change)]
    return shlex.join(asked)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the choices and print their rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("collected", type=Path, nargs="?", help="the suite's collection")
    parser.add_argument("out", type=Path, nargs="?", help="where cells are kept")
    parser.add_argument("suite", choices=SUITES, nargs="?")
    parser.add_argument("names", nargs="*", help="choices; default: all, in order")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), help="that learn from videos")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="of training")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for all")
    parser.add_argument("--list", action="store_true", help="print the choices and end")
    given = parser.parse_args(arguments)
    if given.list or given.suite is None:
        for name, (changes, longer) in CHOICES.items():
            print(f"{name}: {' '.join(changes)}{f' steps x {longer:g}' if longer != 1 else ''}")
        return
    if unknown := set(given.names) - set(CHOICES):
        parser.error(f"no choice is named {sorted(unknown)}; --list prints those there are")
    print(f"| {' | '.join(HEAD)} |\n{'|---' * len(HEAD)}|")
    first: dict[str, Results] = {}
    for name in given.names or CHOICES:
        asked = {"arms": given.arms, "seeds": given.seeds, "changes": given.set}
        config = config_of(given.suite, name, **asked)
        found = measure(config, given.collected, given.out)
        first = first or found
        for line in rows_of(given.suite, name, found, first, command_of(given.suite, name, given)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
