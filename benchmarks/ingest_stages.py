"""Where the time of one worker goes: CPU seconds of each stage, on the clips of ingest_speed.py.

    python benchmarks/ingest_stages.py [--clips 300]

runs the inline engine in this process, with the functions below timed, and prints a Markdown table;
about a minute and a quarter. The time of a stage does not hold that of the stages it calls.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import inspect
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ingest_speed import CACHE, corpus, fresh, ingest, videos_in

# Stage: the functions that belong to it, by the names under which they are called.
STAGES = {
    "probe": ("sofdata.video.reader:probe",),
    "decode": ("sofdata.video.reader:VideoStream._iterate",),
    "still steps": ("sofdata.ingest.stages:still_steps",),
    "shot changes": ("sofdata.ingest.stages:shot_changes",),
    "flow": ("sofdata.flow.dis:Dis.estimate",),
    "camera motion": (
        "sofdata.windows.steps:consensus_motion",
        "sofdata.windows.steps:ransac_motion",
    ),
    "texture": ("sofdata.windows.steps:step_evidence",),
    "windows": (
        "sofdata.ingest.stages:make_steps",
        "sofdata.windows.segment:Windower.push",
        "sofdata.windows.segment:Windower.close",
    ),
    "flow codec": ("sofdata.shards.sample:encode",),
    "frames to JPEG": ("sofdata.shards.sample:_jpeg",),
    "record": ("sofdata.ingest.pipeline:encode_sample",),
    "statistics": ("sofdata.shards.writer:FlowSums.add",),
    "verification": ("sofdata.shards.commit:_verify",),
    "rest of commit": ("sofdata.shards.writer:commit_shard", "sofdata.ingest.unit:commit_record"),
    "all else": ("sofdata.ingest.engines.inline:run_unit",),
}


class Stopwatch:
    """CPU time of stages, each without those that it calls."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._open: list[str] = []
        self._since_s = 0.0

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self._turn(stage)
            try:
                return function(*arguments, **named)
            finally:
                self._turn()

        def iterate(*arguments: Any, **named: Any) -> Iterator[Any]:
            iterator, advance = function(*arguments, **named), self.timed(stage, next)
            while (item := advance(iterator, None)) is not None:
                yield item

        return iterate if inspect.isgeneratorfunction(function) else call

    def _turn(self, into: str | None = None) -> None:
        """Charge the time since the last turn; then enter a stage, or leave the current one."""
        now_s = time.process_time()
        if self._open:
            self.seconds[self._open[-1]] += now_s - self._since_s
        self._since_s = now_s
        if into is None:
            self._open.pop()
        else:
            self._open.append(into)


def profile(source: Path) -> None:
    """Print the share of each stage in the work of one worker."""
    watch = Stopwatch()
    for stage, places in STAGES.items():
        for place in places:
            module, _, path = place.partition(":")
            *owners, name = path.split(".")
            owner = functools.reduce(getattr, owners, importlib.import_module(module))
            setattr(owner, name, watch.timed(stage, getattr(owner, name)))
    ingest(str(source), str(fresh(CACHE / "ingest")), "inline")
    total_s = sum(watch.seconds.values())
    clips = len(videos_in(source))
    print("| stage | CPU s | share | ms a clip |\n|---|---|---|---|")
    for stage, taken_s in watch.seconds.items():
        each_ms = 1000 * taken_s / clips
        print(f"| {stage} | {taken_s:.2f} | {taken_s / total_s:.1%} | {each_ms:.2f} |")
    print(f"| sum | {total_s:.2f} | | {1000 * total_s / clips:.1f} |")
    beside_s = total_s - sum(watch.seconds[stage] for stage in ("probe", "decode", "flow"))
    print(f"\nThe sum is {total_s / (total_s - beside_s):.2f} times probe, decode and flow.")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=int, default=300)
    os.environ["OMP_NUM_THREADS"] = "1"
    profile(corpus(parser.parse_args().clips))


if __name__ == "__main__":
    main()
