"""What `system.allocation.keep_memory` is worth in a short training: with and without it, in turn.

    python benchmarks/allocation.py collected/metaworld OUT

One cell of the benchmark (`sof`, few updates, an episode a task), in a process of its own each
time. OUT keeps the ingested data.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

ROUNDS = 2
SETTINGS = (
    "arms=[sof]",
    "demos=[1]",
    "curve=[]",
    "seeds=[0]",
    "skill.optim.steps=150",
    "planner.optim.steps=150",
    "decoder.optim.steps=100",
    "evaluation.episodes=1",
    "evaluation.strips=0",
    "ingest.run.engine=inline",
)


def once(collected: str, out: str, how: str) -> None:
    """Run the cell in this process and print what it took."""
    from sofdata.bench.study.config import load_bench_config
    from sofdata.bench.study.run import run

    config = load_bench_config("standard", SETTINGS)
    began = time.perf_counter()
    with nullcontext() if how == "kept" else patch("sofdata.bench.study.run.keep_memory"):
        run(config, Path(collected), Path(out), "validation", workers=1)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        f"| {how} | {time.perf_counter() - began:.0f} | {used.ru_utime:.0f} | {used.ru_stime:.0f} "
        f"| {used.ru_minflt / 1e6:.1f} | {used.ru_maxrss / 2**20:.2f} |",
        flush=True,
    )


def main(collected: str, out: str) -> None:
    """Print a row a run; the first one, which may ingest, is not shown."""
    print("| memory | seconds | user CPU s | system CPU s | page faults, millions | peak GiB |")
    print("|---|---|---|---|---|---|", flush=True)
    for number in range(ROUNDS + 1):
        for how in ("default", "kept") if number else ("kept",):
            for kind in ("cells", "models"):
                shutil.rmtree(Path(out) / kind, ignore_errors=True)
            words = [sys.executable, __file__, collected, out, how]
            subprocess.run(words, check=True, stdout=None if number else subprocess.DEVNULL)


if __name__ == "__main__":
    once(*sys.argv[1:]) if len(sys.argv) == 4 else main(*sys.argv[1:])
