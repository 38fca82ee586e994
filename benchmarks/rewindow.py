"""`sofdata rewindow` against the ingest that it stands in for: time, disk space and error.

Videos are those of ingest_speed.py, rendered or real (`--real`), or the film of 1080p of memory.py
(`--film MINUTES`, H.264 at 30 frames/s). Every round runs, in turn and in this process, one
worker's work each:

- `ingest` with the defaults, and with `flow.keep=true`;
- `rewindow` of what was kept: with the same settings, and to windows twice as long that adjoin.

Seconds are CPU time of this process from the plan to `dataset.json`, imports left out by a round
that does not count. The error is that of the kept flow, as `dataset.json` states it, and what of it
reaches stored windows: those of the rewound dataset against those that the ingest has stored.

    python benchmarks/rewindow.py [--clips 40] [--rounds 5]
    python benchmarks/rewindow.py --real ../shared/clips
    python benchmarks/rewindow.py --film 1

prints Markdown tables; ten seconds a round with 40 clips.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from ingest_speed import CACHE, corpus, fresh, real_corpus, spread
from memory import make_film
from numpy.typing import NDArray

from sofdata.edits.derive import derive, run_config
from sofdata.edits.parents import open_parent
from sofdata.edits.rewindow import rewound
from sofdata.ingest.config import load_config
from sofdata.ingest.run import execute, prepare
from sofdata.shards.sample import decode_sample
from sofdata.shards.schema import DatasetRecord
from sofdata.shards.tar import read_samples
from sofdata.storage.tree import Tree

GOAL = 20.0  # times as fast as ingest
LONGER = ("windows.length=16", "windows.stride=16")
INGEST, KEEPING = "`ingest`", "`ingest`, flow.keep=true"
SAME, OTHER = "`rewindow`, the same windows", "`rewindow`, windows twice as long"
MIB = 1 << 20


def ingest(source: Path, dest: Path, *settings: str) -> DatasetRecord:
    config = load_config(None, ["run.engine=inline", *settings])
    prepared = prepare(Tree(str(source)), Tree(str(fresh(dest))), config, "auto")
    return execute(prepared, lambda event: None).dataset


def rewindow(dest: Path, new: Path, *settings: str) -> DatasetRecord:
    derivation = rewound(open_parent(Tree(str(dest))), Tree(str(fresh(new))), settings)
    return derive(derivation, run_config("inline")).dataset


def turns(source: Path, codec: str) -> dict[str, Callable[[], DatasetRecord]]:
    """What every round runs, by name, in its order."""
    keep = ("flow.keep=true", f"flow.kept.codec={codec}")
    kept = CACHE / "rewindow-kept"
    return {
        INGEST: lambda: ingest(source, CACHE / "rewindow-ingest"),
        KEEPING: lambda: ingest(source, kept, *keep),
        SAME: lambda: rewindow(kept, CACHE / "rewindow-same"),
        OTHER: lambda: rewindow(kept, CACHE / "rewindow-other", *LONGER),
    }


def measure(source: Path, codec: str, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """CPU and wall seconds of each turn, round by round; the first round is not among them."""
    measured: dict[str, list[tuple[float, float]]] = {}
    for number in range(-1, rounds):
        for name, run in turns(source, codec).items():
            cpu_s, wall_s = time.process_time(), time.perf_counter()
            run()
            took = time.process_time() - cpu_s, time.perf_counter() - wall_s
            if number >= 0:
                measured.setdefault(name, []).append(took)
        print(f"{codec}: round {number + 1} of {rounds}", file=sys.stderr)
    return measured


def print_times(measured: dict[str, list[tuple[float, float]]]) -> None:
    print("| median (least to most) | CPU s | wall s | ingest over it, CPU | goal |")
    print("|---|---|---|---|---|")
    for name, took in measured.items():
        cpu, wall = ([each[kind] for each in took] for kind in (0, 1))
        over = [base[0] / each for base, each in zip(measured[INGEST], cpu, strict=True)]
        is_met = "met" if statistics.median(over) >= GOAL else "**missed**"
        goal = f"at least {GOAL:.0f}: {is_met}" if name in (SAME, OTHER) else ""
        print(f"| {name} | {spread(cpu)} | {spread(wall)} | {spread(over)} | {goal} |")


def film_alone(minutes: float) -> Path:
    """A folder that holds the film and nothing else."""
    film, folder = make_film(minutes), CACHE / f"rewindow-film-{minutes:g}"
    folder.mkdir(exist_ok=True)
    copy = folder / film.name
    if not copy.exists():
        copy.hardlink_to(film)
    return folder


def flows(dest: Path) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Key and stored flow of every window of a dataset."""
    for path in sorted((dest / "shards").glob("*.tar")):
        with path.open("rb") as stream:
            for key, _, members in read_samples(stream, path.name):
                yield key, decode_sample(key, members).flow


def print_error(direct: DatasetRecord, kept: DatasetRecord) -> None:
    """What the kept flow takes, and what its error does to windows."""
    found = kept.kept
    assert found is not None
    share = found.bytes / direct.counts.bytes
    print(
        f"\nKept: {found.steps} steps at {found.size} px in {found.bytes / MIB:.1f} MiB, "
        f"{found.bytes_per_video_s / 1000:.0f} KB a second of video, {share:.1f} times what the "
        f"windows take ({direct.counts.bytes / MIB:.1f} MiB). Error of the kept flow: mean "
        f"{found.error_mean_px:.4f} px, largest {found.error_max_px:.4f} px."
    )
    ours, theirs = dict(flows(CACHE / "rewindow-same")), dict(flows(CACHE / "rewindow-ingest"))
    both = sorted(ours.keys() & theirs.keys())
    off = [np.hypot(*np.moveaxis(ours[key] - theirs[key], -1, 0)) for key in both]
    lost, more = len(theirs.keys() - ours.keys()), len(ours.keys() - theirs.keys())
    equal = sum(not each.any() for each in off)
    mean, largest = np.mean([each.mean() for each in off]), max(each.max() for each in off)
    print(
        f"Stored windows against those of the ingest: {len(both)} of {len(theirs)} are in both, "
        f"{lost} only there, {more} only here; {equal} have the same stored flow; over all, flow "
        f"differs by {mean:.4f} px on average and {largest:.3f} px at most."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--real", type=Path, metavar="FOLDER")
    parser.add_argument("--film", type=float, metavar="MINUTES")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--codecs", nargs="+", default=["fixed", "float32"])
    arguments = parser.parse_args()
    if arguments.film:
        source = film_alone(arguments.film)
    else:
        source = real_corpus(arguments.real) if arguments.real else corpus(arguments.clips)
    for codec in arguments.codecs:
        measured = measure(source, codec, arguments.rounds)
        print(f"\nflow.kept.codec={codec}, {arguments.rounds} rounds\n")
        print_times(measured)
        runs = turns(source, codec)
        print_error(runs[INGEST](), runs[KEEPING]())


if __name__ == "__main__":
    main()
