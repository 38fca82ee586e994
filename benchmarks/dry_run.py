"""What `sofdata ingest --dry-run` says beforehand against what the ingest then takes.

Three corpora: the shared real clips; the rendered corpus (VP9, 427 x 240 px, 4 s); and 200 mixed
clips, rendered in several sizes, rates, codecs and lengths from 1 to 90 s, and the shared ones with
other names. In every round each corpus is priced and then ingested, both as commands of their own,
with the defaults but for `--engine` and `--workers` where given. The goal: the wall time of the
ingest is within 25 % of what the dry run said, in the median over the rounds.

    python benchmarks/dry_run.py [--rounds 3] [--sample 20] [--corpus shared --corpus mixed]

prints Markdown tables; about three minutes a round on two cores, once the clips are rendered.
Beside the wall time stands what else was said: CPU seconds of the work against those of the whole
command, which starts processes as well; windows; bytes of the shards; and whether the range held
what came out. The share of the machine that other processes took is printed too, since it makes any
prediction wrong.

    python benchmarks/dry_run.py --finish

prints how long the tables at the end of an ingest take, by its number of units: the constants in
sofdata/ingest/estimate/wall.py.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.scenes import write_ssv2_corpus
from sofdata.scenes.clips import plan_clip
from sofdata.scenes.render import render
from sofdata.storage.tree import Tree
from sofdata.system.cores import cores
from sofdata.video.writer import write_video

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "benchmarks" / "cache"
SHARED = ROOT.parent / "shared" / "clips"
GOAL = 0.25
RENDERED, MIXED, OF_THEM_SHARED = 100, 200, 60
# Height, width, frames a second, codec, suffix and seconds of the mixed clips, in turn.
KINDS = (
    (240, 428, 12.0, "vp9", "webm", 4.0),
    (360, 640, 25.0, "h264", "mp4", 8.0),
    (720, 1280, 30.0, "h264", "mp4", 3.0),
    (480, 640, 15.0, "mpeg4", "avi", 10.0),
    (240, 320, 30.0, "vp8", "webm", 2.0),
    (1080, 1920, 30.0, "h264", "mp4", 1.5),
    (240, 428, 12.0, "vp9", "webm", 20.0),
)
LONG = (240, 428, 12.0, "vp9", "webm", 90.0)
EVERY_LONG = 28
Run = dict[str, Any]


def frames(
    kind: tuple[int, int, float, str, str, float], index: int
) -> Iterator[NDArray[np.uint8]]:
    """A rendered clip, brought to another size; of a higher rate, each frame is a little moved."""
    import cv2

    height, width, fps, _, _, seconds = kind
    clip = plan_clip(index, seed=5, seconds=seconds * fps / 12.0)
    for frame in render(clip):
        yield cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)


def mixed() -> Path:
    """200 clips of all kinds, made once."""
    folder = CACHE / f"mixed-{MIXED}"
    if (folder / "done").exists():
        return folder / "videos"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "videos").mkdir(parents=True)
    print(f"rendering {MIXED} mixed clips", file=sys.stderr)
    for index, kind in zip(range(MIXED - OF_THEM_SHARED), cycle(KINDS), strict=False):
        chosen = LONG if index % EVERY_LONG == EVERY_LONG - 1 else kind
        path = folder / "videos" / f"{index:03d}.{chosen[4]}"
        write_video(path, frames(chosen, index), chosen[2], chosen[3])
    real = sorted(path for path in SHARED.iterdir() if path.suffix != ".tsv" and path.is_file())
    for number, path in zip(range(OF_THEM_SHARED), cycle(real), strict=False):
        shutil.copyfile(path, folder / "videos" / f"real-{number:02d}{path.suffix}")
    (folder / "done").touch()
    return folder / "videos"


def rendered() -> Path:
    """The corpus in the layout of Something-Something V2, made once."""
    folder = CACHE / f"clips-{RENDERED}"
    if not (folder / "labels" / "labels.json").exists():
        print(f"rendering {RENDERED} clips", file=sys.stderr)
        write_ssv2_corpus(folder, RENDERED)
    return folder


CORPORA: dict[str, Callable[[], Path]] = {
    "shared": lambda: SHARED,
    "rendered": rendered,
    "mixed": mixed,
}


def command(*words: str) -> tuple[dict[str, Any], Run]:
    """Run `sofdata ... --json`: what it printed, and what it took."""
    before, busy_s, began_s = _children_s(), _busy_s(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "sofdata", *words, "--json", "--quiet"],
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
    )
    wall_s, cpu_s = time.perf_counter() - began_s, _children_s() - before
    others = max(0.0, _busy_s() - busy_s - cpu_s) / wall_s / cores()
    return json.loads(done.stdout), {"wall_s": wall_s, "cpu_s": cpu_s, "others": others}


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _busy_s() -> float:
    """CPU seconds that all processes of the machine have taken since it started."""
    words = Path("/proc/stat").read_text().split(maxsplit=4)
    return sum(map(int, words[1:4])) / os.sysconf("SC_CLK_TCK")


def price_and_run(source: Path, number: int, options: list[str], sample: int) -> Run:
    """One round of one corpus."""
    dest = CACHE / "dry-run"
    shutil.rmtree(dest, ignore_errors=True)
    words = ["ingest", str(source), str(dest), *options]
    said, dry = command(*words, "--dry-run", "--sample", str(sample), "--seed", str(number))
    assert not dest.exists()
    real, run = command(*words)
    shutil.rmtree(dest)
    price = said["estimate"]
    estimates = {
        "wall s": price["wall"]["total"],
        "CPU s": {key: value * 3600 for key, value in price["cpu_hours"].items()},
        "windows": price["windows"],
        "bytes": price["dataset_bytes"],
    }
    found = {"wall s": run["wall_s"], "CPU s": run["cpu_s"]}
    found |= {name: real["counts"][name] for name in ("windows", "bytes")}
    detail = {
        "said": {name: price["wall"][name] for name in ("planning_s", "start_up_s", "finishing_s")},
        "said work": price["wall"]["work"],
        "start-up": real["run"]["start_up_s"],
        "work": real["run"]["work_s"],
    }
    print(f"{source.name}: {json.dumps(detail)}", file=sys.stderr, flush=True)
    return {"said": estimates, "found": found, "dry": dry, "run": run}


def ratios(runs: list[Run], name: str) -> list[float]:
    return [run["said"][name]["value"] / run["found"][name] for run in runs]


def within(runs: list[Run], name: str) -> int:
    """In how many runs the range held what came out, of whole numbers to the nearest."""
    return sum(
        round(run["said"][name]["low"], 2) <= run["found"][name] <= run["said"][name]["high"] + 0.5
        for run in runs
    )


def spread(values: list[float], digits: int = 2) -> str:
    median = statistics.median(values)
    return f"{median:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def print_tables(measured: dict[str, list[Run]]) -> None:
    print(
        "| corpus | ingest, wall s | dry run, wall s | said over found, wall | goal 25 % | others |"
    )
    print("|---|---|---|---|---|---|")
    for name, runs in measured.items():
        wall = ratios(runs, "wall s")
        met = "met" if abs(statistics.median(wall) - 1) <= GOAL else "**missed**"
        others = statistics.median([run["run"]["others"] for run in runs])
        took = (spread([run[what]["wall_s"] for run in runs], 1) for what in ("run", "dry"))
        print(f"| {name} | {' | '.join(took)} | {spread(wall)} | {met} | {others:.0%} |")
    names = ("CPU s", "windows", "bytes")
    print(f"\n| corpus, said over found | {' | '.join(names)} | ranges that held windows |")
    print("|---|---|---|---|---|")
    for name, runs in measured.items():
        cells = " | ".join(spread(ratios(runs, each)) for each in names)
        print(f"| {name} | {cells} | {within(runs, 'windows')} of {len(runs)} |")


def finish_times() -> None:
    """How long `finish` takes for datasets of so many units of one small clip each."""
    from sofdata.ingest.config import load_config
    from sofdata.ingest.finish import finish
    from sofdata.ingest.generation import read_generation
    from sofdata.ingest.run import execute, prepare

    print("| units | finish, s |\n|---|---|")
    for units in (4, 64, 512):
        source, dest = CACHE / f"finish-{units}", CACHE / "finish"
        shutil.rmtree(dest, ignore_errors=True)
        source.mkdir(parents=True, exist_ok=True)
        for index in range(len(list(source.iterdir())), units):
            write_video(source / f"{index}.webm", render(plan_clip(index % 7, index, 1.2)))
        settings = ["run.engine=inline", "units.max_videos=1", "flow.estimator=farneback"]
        config = load_config(None, settings)
        execute(prepare(Tree(str(source)), Tree(str(dest)), config, "auto"), lambda event: None)
        generation = read_generation(Tree(str(dest)))
        assert generation is not None
        began_s = time.perf_counter()
        finish(Tree(str(dest)), generation)
        print(f"| {len(generation.plan.units)} | {time.perf_counter() - began_s:.3f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sample", type=int, default=20)
    parser.add_argument("--corpus", action="append", choices=list(CORPORA))
    parser.add_argument("--engine")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--finish", action="store_true")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    CACHE.mkdir(exist_ok=True)
    if given.finish:
        finish_times()
        return
    options = ["--engine", given.engine] if given.engine else []
    options += ["--workers", str(given.workers)] if given.workers else []
    sources = {name: CORPORA[name]() for name in given.corpus or CORPORA}
    measured: dict[str, list[Run]] = {name: [] for name in sources}
    for number in range(given.rounds):
        for name, source in sources.items():
            measured[name].append(price_and_run(source, number, options, given.sample))
    print(f"{given.rounds} rounds, samples of {given.sample}, {cores()} cores\n")
    print_tables(measured)


if __name__ == "__main__":
    main()
