"""The ceiling: what lets a policy cloned from 50 demonstrations of each task succeed?

    python benchmarks/study/ceiling.py COLLECTED OUT SUITE                  all variants, in order
    python benchmarks/study/ceiling.py COLLECTED OUT SUITE base "chunk 16"  those named
    python benchmarks/study/ceiling.py --list

`bc-50` alone, on validation episodes, training seed 0: it favours no arm, and needs no videos.
SUITE is metaworld, scene, or scene-2, which is the two tasks of the scene that the pilot tried.
BASE is what is compared with, every variant changes what it names, and those that decide most come
first. Where one wins, give it to the ones that follow with --set and so go on greedily:

    ... scene "12000 updates" "width 256" --set ingest.windows.length=8

Cells are cached in OUT, however they were asked for, so that running it again resumes where it
stopped. One process, one cell at a time. Prints a row of Markdown for each, as in LOG.md.
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sofdata.bench.results.table import training_s
from sofdata.bench.study.config import load_bench_config
from sofdata.bench.study.run import run

# By suite: the preset, and tasks where not all of it are tried.
SUITES = {
    "metaworld": ("standard", ""),
    "scene": ("scene", ""),
    "scene-2": ("scene", "[open, put-in-drawer]"),
}
ALWAYS = {
    "arms": "[bc-50]",
    "more_arms": "[]",
    "curve": "[]",
    "demos": "[1]",
    "seeds": "[0]",
    "evaluation.strips": "0",
    "ingest.run.engine": "inline",
}
# What is compared with: the preset's settings, with few updates, so that a variant takes minutes.
BASE = {"decoder.optim.steps": "4000"}


def px(side: int) -> dict[str, str]:
    """Images of so many pixels, which are stored as large."""
    return {"skill.model.image_px": f"{side}", "ingest.flow.size": f"{side}"}


POINTS = {"skill.model.eyes": "points"}
VARIANTS: dict[str, dict[str, str]] = {
    "base": {},
    "eyes points": POINTS,
    "head tokens": {"decoder.model.head": "tokens"},
    "head both": {"decoder.model.head": "both"},
    "tails dropped": {"ingest.windows.tail": "drop"},
    # What is carried out before the next look: no training at all.
    "8 carried out": {"evaluation.execute": "8"},
    "2 carried out": {"evaluation.execute": "2"},
    "averaged": {"evaluation.ensemble": "0.01"},
    "averaged, a look every 2": {"evaluation.ensemble": "0.01", "evaluation.execute": "2"},
    "averaged, newer count more": {"evaluation.ensemble": "-1"},
    # Chunks.
    "chunk 16": {"ingest.windows.length": "8"},
    "chunk 16, 8 carried out": {"ingest.windows.length": "8", "evaluation.execute": "8"},
    "chunk 16, 16 carried out": {"ingest.windows.length": "8", "evaluation.execute": "16"},
    "chunk 4": {"ingest.windows.length": "2"},
    "chunk 16, tails dropped": {"ingest.windows.length": "8", "ingest.windows.tail": "drop"},
    # Updates, until there is no gain.
    "600 updates": {"decoder.optim.steps": "600"},
    "1500 updates": {"decoder.optim.steps": "1500"},
    "3000 updates": {"decoder.optim.steps": "3000"},
    "6000 updates": {"decoder.optim.steps": "6000"},
    "12000 updates": {"decoder.optim.steps": "12000"},
    "24000 updates": {"decoder.optim.steps": "24000"},
    # Eyes.
    "96 px": px(96),
    "128 px": px(128),
    "eyes points, 96 px": {**POINTS, **px(96)},
    "eyes points, 128 px": {**POINTS, **px(128)},
    "history 1": {"decoder.model.history": "1"},
    "history 2": {"decoder.model.history": "2"},
    "eyes points, history 1": {**POINTS, "decoder.model.history": "1"},
    "eyes points, head both": {**POINTS, "decoder.model.head": "both"},
    # Width, for the number of tasks.
    "width 256": {"decoder.model.width": "256"},
    "head 512 wide": {"decoder.model.head_width": "512"},
    "encoder twice as wide": {"skill.model.channels": "[32, 64, 128]"},
}


def settings(suite: str, name: str, changes: Sequence[str] = ()) -> dict[str, str]:
    """What a variant sets over the suite's preset; `changes` are KEY=VALUE, made to BASE."""
    tasks = SUITES[suite][1]
    changed = dict(change.split("=", 1) for change in changes)
    return {**ALWAYS, **({"tasks": tasks} if tasks else {}), **BASE, **changed, **VARIANTS[name]}


def measure(collected: Path, out: Path, suite: str, chosen: Mapping[str, str]) -> dict[str, Any]:
    """The cell of these settings, made now unless it exists."""
    config = load_bench_config(SUITES[suite][0], [f"{key}={chosen[key]}" for key in chosen])
    (path,) = run(config, collected, out, "validation", workers=1)
    cell: dict[str, Any] = json.loads(path.read_text())
    return cell


def row(suite: str, name: str, cell: Mapping[str, Any], command: str) -> str:
    """A row of Markdown."""
    tasks = ", ".join(f"{task} {rate:.2f}" for task, rate in cell["success_by_task"].items())
    return (
        f"| {suite} | {name} | {cell['success']:.3f} | {tasks} | {cell['chunk_error']:.3f} "
        f"| {training_s(dict(cell)):.0f} | `{command}` |"
    )


def command_of(suite: str, name: str, changes: Sequence[str]) -> str:
    """What makes the row again, with COLLECTED and OUT for the folders."""
    asked = ["python", "benchmarks/study/ceiling.py", "COLLECTED", "OUT", suite, name]
    asked += [part for change in changes for part in ("--set", change)]
    return shlex.join(asked)


def main() -> None:
    """Run variants and print their rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("collected", type=Path, nargs="?", help="the suite's collection")
    parser.add_argument("out", type=Path, nargs="?", help="where cells are kept")
    parser.add_argument("suite", choices=SUITES, nargs="?")
    parser.add_argument("names", nargs="*", help="variants; default: all, in order")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="to BASE")
    parser.add_argument("--list", action="store_true", help="print the variants and end")
    given = parser.parse_args()
    if given.list or given.suite is None:
        print("\n".join(f"{name}: {changes}" for name, changes in VARIANTS.items()))
        return
    if unknown := set(given.names) - set(VARIANTS):
        parser.error(f"no variant is named {sorted(unknown)}; --list prints those there are")
    print("| suite | variant | success | by task | chunk error | training CPU s | command |")
    print("|---|---|---|---|---|---|---|")
    for name in given.names or VARIANTS:
        chosen = settings(given.suite, name, given.set)
        cell = measure(given.collected, given.out, given.suite, chosen)
        print(row(given.suite, name, cell, command_of(given.suite, name, given.set)), flush=True)


if __name__ == "__main__":
    main()
