"""What a worker takes beside its flow, as a user runs it: with a decoding process of its own.

    python benchmarks/ingest_beside.py [--clips 40] [--passes 8]
    python benchmarks/ingest_beside.py --real ../shared/clips

The clips of ingest_speed.py go through one worker several times. Flow is estimated the first time
and handed over again afterwards, so that the rest, a fifth of the work, is not lost in the noise of
the other four. Prints CPU ms a clip, the least and the median of all passes after the first: of the
worker (windows, codec, shard, and what it takes to receive frames) and of its decoding process
(probing, decoding, and to send frames), and what the decoding process took more the first time, for
what it loads with its first video. `--profile FILE` writes a profile of the worker, by CPU time.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from unittest.mock import patch

from ingest_speed import CACHE, corpus, fresh, ingest, real_corpus, videos_in

from sofdata.ingest.engines import inline
from sofdata.ingest.engines.actors import UnitWorker
from sofdata.ingest.events import Event, Ready
from sofdata.ingest.job import UnitJob
from sofdata.ingest.stages import Flow, FlowSource, Images
from sofdata.ingest.units import Unit


class Replay:
    """A `FlowSource` that estimates once, and gives the same again in every pass after that."""

    depth = 0

    def __init__(self, flow: FlowSource) -> None:
        self.name = flow.name
        self._flow = flow
        self._kept: list[Flow] = []
        self._next: int | None = None

    def rewind(self) -> None:
        """Begin the next pass."""
        self._next = 0 if self._kept else None

    def submit(self, first: Images, second: Images) -> Callable[[], Flow]:
        if self._next is None:
            self._kept.append(self._flow.submit(first, second)())
            return lambda flow=self._kept[-1]: flow  # type: ignore[misc]
        self._next += 1
        return lambda flow=self._kept[self._next - 1]: flow  # type: ignore[misc]


class Bench:
    """Stands in for the inline engine: one worker as of the engine `processes`, for all passes."""

    def __init__(self, profile: cProfile.Profile | None) -> None:
        self.taken_s: list[tuple[float, float]] = []
        self._profile = profile
        self._worker: UnitWorker | None = None

    def __call__(self, units: Iterable[Unit], job: UnitJob) -> Iterator[Event]:
        units, worker = list(units), self._prepared(job)
        yield Ready()
        before = self._cpu_s(worker)
        if self._profile and self.taken_s:
            self._profile.enable()
        events = [event for unit in units for batch in worker.run(unit) for event in batch]
        if self._profile:
            self._profile.disable()
        after = self._cpu_s(worker)
        self.taken_s.append((after[0] - before[0], after[1] - before[1]))
        yield from events

    def _prepared(self, job: UnitJob) -> UnitWorker:
        if self._worker is None:
            self._worker = UnitWorker(job)
            self._worker.prepare("", estimates_flow=True)
            self._worker._flow = Replay(self._worker._flow)  # type: ignore[arg-type]
            self._worker._decoder._process._start()  # type: ignore[union-attr]
        self._worker._job = job  # each pass has a destination of its own
        self._worker._flow.rewind()  # type: ignore[union-attr]
        return self._worker

    @staticmethod
    def _cpu_s(worker: UnitWorker) -> tuple[float, float]:
        """CPU seconds of this process, and of that which decodes for it."""
        child = worker._decoder._process._child.pid  # type: ignore[union-attr]
        return time.process_time(), time.clock_gettime((~child << 3) | 2)  # Linux's clock of it

    def close(self) -> None:
        if self._worker:
            self._worker.close()


def measure(source: Path, passes: int, profile: str) -> None:
    """Print what a clip takes."""
    bench = Bench(cProfile.Profile(time.thread_time) if profile else None)
    with patch.object(inline, "run_inline", bench):
        for _ in range(passes + 1):
            ingest(str(source), str(fresh(CACHE / "ingest")), "inline")
    bench.close()
    clips = len(videos_in(source))
    first, *others = ([1000 * each / clips for each in pair] for pair in bench.taken_s)
    worker, child = zip(*others, strict=True)
    print("| CPU ms a clip, beside flow | least | median |\n|---|---|---|")
    for name, found in (("worker", worker), ("decoding process", child)):
        print(f"| {name} | {min(found):.1f} | {statistics.median(found):.1f} |")
    print(f"\nFirst pass, decoding process: {first[1] - statistics.median(child):+.1f} ms a clip.")
    if bench._profile:
        bench._profile.dump_stats(profile)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--real", type=Path, metavar="FOLDER")
    parser.add_argument("--passes", type=int, default=8)
    parser.add_argument("--profile", default="", metavar="FILE")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    source = real_corpus(arguments.real) if arguments.real else corpus(arguments.clips)
    measure(source, arguments.passes, arguments.profile)


if __name__ == "__main__":
    main()
