"""How soon an ingest begins: from the command to the first shard, and to its end.

Renders ten clips of two seconds (kept under benchmarks/cache), then runs `sofdata ingest` on them
with each engine in turn, each time from nothing to a new folder, and looks for the first shard
there every 5 ms. The goal is a first shard within 3 s on an idle machine, with the defaults
(`auto`). Prints a Markdown table of medians (least to most); the first round, which may have to
read the libraries from disk, is not counted.

    python benchmarks/start.py [--rounds 5] [--engines auto processes ray inline] [--clips 10]

About 15 s a round without Ray. Wall times are of an idle machine only; CPU time is that of the
command and all of its processes that it has waited for (Ray's daemons are not among them).
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from sofdata.scenes import write_clip

CACHE = Path(__file__).parent / "cache"
SECONDS, GOAL_S, POLL_S = 2.0, 3.0, 0.005
KEYS = {"first": "first shard, s", "whole": "whole command, s", "cpu": "CPU, s"}

Measured = dict[str, float]


def clips(number: int) -> Path:
    """A folder with so many rendered clips."""
    folder = CACHE / f"start-{number}"
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(number):
        if not (path := folder / f"{seed}.webm").exists():
            write_clip(path, seed, seconds=SECONDS)
    return folder


def ingest(source: Path, engine: str) -> Measured:
    """One command, watched from outside."""
    dest = CACHE / "start-out"
    shutil.rmtree(dest, ignore_errors=True)
    command = [sys.executable, "-m", "sofdata", "ingest", str(source), str(dest), "--quiet"]
    began_s, before = time.monotonic(), os.times()
    process = subprocess.Popen(
        [*command, "--engine", engine], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    first_s = 0.0
    while process.poll() is None:
        if not first_s and any((dest / "shards").glob("*.tar")):
            first_s = time.monotonic() - began_s
        time.sleep(POLL_S)
    whole_s, after = time.monotonic() - began_s, os.times()
    if process.returncode:
        sys.exit(f"'{' '.join(command)}' ended with code {process.returncode}")
    cpu_s = (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    )
    return {"first": first_s, "whole": whole_s, "cpu": cpu_s}


def spread(values: list[float]) -> str:
    """'1.90 (1.85 to 2.10)'."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description="Time to the first shard of an ingest.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engines", nargs="+", default=["auto", "processes", "ray", "inline"])
    parser.add_argument("--clips", type=int, default=10)
    asked = parser.parse_args()
    source = clips(asked.clips)
    measured: dict[str, list[Measured]] = {engine: [] for engine in asked.engines}
    for turn in range(asked.rounds + 1):
        for engine in asked.engines if turn % 2 else reversed(asked.engines):
            found = ingest(source, engine)
            if turn:
                measured[engine].append(found)
    print(f"{asked.clips} clips, {asked.rounds} rounds, medians (least to most)\n")
    print(f"| engine | {' | '.join(KEYS.values())} |\n|{'---|' * (len(KEYS) + 1)}")
    for engine, rounds in measured.items():
        cells = [spread([each[key] for each in rounds]) for key in KEYS]
        print(f"| {engine} | {' | '.join(cells)} |")
    if "auto" in measured:
        first_s = statistics.median(each["first"] for each in measured["auto"])
        print(f"\nfirst shard within {GOAL_S:g} s: {'met' if first_s <= GOAL_S else 'missed'}")


if __name__ == "__main__":
    main()
