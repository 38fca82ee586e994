"""What isolation and durability cost: units of `ingest` with and without them, in turn.

    python benchmarks/safety.py [--clips 300] [--rounds 2]

runs every unit of the clips of ingest_speed.py in this process three ways, one after the other and
in changing order, and prints a Markdown table:

- fast: decoding in this process, nothing synced to disk, nothing read back;
- isolated: decoding in a process that can be killed;
- safe: as `ingest` does it: isolated, every file synced, every shard read back and compared.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from ingest_speed import CACHE, Clock, Measured, corpus, fresh

from sofdata.flow.estimator import make_estimator
from sofdata.ingest.config import load_config
from sofdata.ingest.engines.decoders import InProcess, Isolated
from sofdata.ingest.job import UnitJob
from sofdata.ingest.pipeline import Decoder
from sofdata.ingest.run import prepare
from sofdata.ingest.stages import LocalFlow
from sofdata.ingest.unit import run_unit
from sofdata.storage.tree import Tree

WAYS = ("fast", "isolated", "safe")


@contextmanager
def without_durability() -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(patch("os.fsync", lambda _: None))
        stack.enter_context(patch("sofdata.shards.commit._verify", lambda *_: None))
        stack.enter_context(patch("sofdata.shards.tar._Hashes.update", lambda *_: None))
        yield


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    dest = Tree(str(fresh(CACHE / "safety")))
    prepared = prepare(Tree(str(corpus(asked.clips))), dest, load_config(None, []), "auto")
    job: UnitJob = prepared.job
    flow = LocalFlow(make_estimator(job.config.flow))
    isolated = Isolated(job.config)
    openers: dict[str, Decoder] = {
        "fast": InProcess(job.config),
        "isolated": isolated,
        "safe": isolated,
    }
    measured: dict[str, list[Measured]] = {way: [] for way in WAYS}
    turn = 0
    for _ in range(asked.rounds):
        for unit in prepared.plan.units:
            for number in range(len(WAYS)):
                way = WAYS[(number + turn) % len(WAYS)]
                with ExitStack() as stack:
                    if way != "safe":
                        stack.enter_context(without_durability())
                    clock = Clock()
                    for _ in run_unit(unit, job, flow, openers[way]):
                        pass
                    measured[way].append(clock.read())
            turn += 1
    print_table(measured, asked.clips, asked.rounds)


def print_table(measured: dict[str, list[Measured]], clips: int, rounds: int) -> None:
    units = len(measured["fast"]) // rounds
    print(f"{clips} clips in {units} units, {rounds} rounds, one process\n")
    print("| | wall s | CPU s | wall over fast | of a unit, median (least to most) |")
    print("|---|---|---|---|---|")
    base = [one["wall"] for one in measured["fast"]]
    for way in WAYS:
        wall = [one["wall"] for one in measured[way]]
        cpu = sum(one["cpu"] for one in measured[way]) / rounds
        ratios = [mine / its for mine, its in zip(wall, base, strict=True)]
        print(
            f"| {way} | {sum(wall) / rounds:.1f} | {cpu:.1f} | {sum(wall) / sum(base):.3f} "
            f"| {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}) |"
        )


if __name__ == "__main__":
    main()
