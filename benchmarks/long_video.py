"""One long video of 1080p: decoded in one go by one worker, and in parts by all of them.

The video is that of memory.py: ten seconds in H.264 at 30 frames/s, with B-frames, repeated without
encoding them again; it is kept under benchmarks/cache. Or a video of yours is taken.

In every round `sofdata ingest` runs as a user runs it, with the engine `processes`: once with
`run.split.from_s=null` and once with the defaults, in turn. Printed for each, as a Markdown table:
wall time of the whole command and of its work, CPU time of all its processes, the share of the
cores that this keeps busy, the largest memory of a worker and of a decoding process, and the most
that temporary files took. That both datasets have the same shards is checked. In one go keeps more
than one core busy: a worker computes flow while its decoding process decodes.

    python benchmarks/long_video.py [--minutes 60] [--workers 2] [--rounds 3] [--video PATH]
        [--set KEY=VALUE ...]

About half an hour a round for an hour of video on two cores. Shorter ones than two minutes are not
split with the defaults: `--minutes 1 --set run.split.from_s=30 run.split.part_s=15`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from memory import make_film

from sofdata.system.cores import cores
from sofdata.ui.text import clock

LOOK_S = 0.25
FROM = "run.split.from_s="


@dataclass
class Figures:
    """What one run of the command took; bytes are the most at any moment."""

    wall_s: float
    work_s: float
    cpu_s: float
    worker_bytes: int
    decoder_bytes: int
    temporary_bytes: int
    shards: dict[str, str] = field(default_factory=dict)


def main() -> None:
    """Run the benchmark and print its table."""
    options = _options()
    video = options.video or make_film(options.minutes)
    others = [each for each in options.set if not each.startswith(FROM)]
    ways = {"in one go": [*others, FROM + "null"], "in parts": options.set}
    runs: dict[str, list[Figures]] = defaultdict(list)
    for number in range(options.rounds):
        for way, settings in ways.items():
            runs[way].append(_measure(video, options.workers, settings))
            print(f"round {number + 1}, {way}: {runs[way][-1].wall_s:.1f} s", file=sys.stderr)
    shards = {json.dumps(run.shards, sort_keys=True) for each in runs.values() for run in each}
    if len(shards) != 1:
        raise SystemExit("the shards differ")
    _print(runs, video, options.workers)


def _measure(video: Path, workers: int, settings: list[str]) -> Figures:
    """Run the command once over a corpus of this video."""
    with tempfile.TemporaryDirectory() as folder:
        corpus, dest, temporary = (Path(folder, name) for name in ("corpus", "d", "t"))
        corpus.mkdir()
        temporary.mkdir()
        (corpus / video.name).symlink_to(video.resolve())
        command = [sys.executable, "-m", "sofdata", "ingest", str(corpus), str(dest), "--json"]
        command += ["--engine", "processes", "--workers", str(workers)]
        command += [part for each in settings for part in ("--set", each)]
        command += ["--quiet"]
        environment = {**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
        with tempfile.TemporaryFile() as out:
            began_s = time.monotonic()
            process = subprocess.Popen(command, env=environment, stdout=out)
            watched = _watch(process.pid, temporary)
            status = process.wait()
            wall_s = time.monotonic() - began_s
        if status:
            raise SystemExit(f"{' '.join(command)} failed")
        (log,) = (dest / "runs").iterdir()
        work_s = float(json.loads(log.read_text())["work_s"])
        shards = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted((dest / "shards").glob("*.tar"))
        }
        return Figures(wall_s, work_s, *watched, shards)


def _watch(pid: int, temporary: Path) -> tuple[float, int, int, int]:
    """CPU seconds, and the most memory of a worker, of a decoding process and of temporary files.

    Until it ends. CPU seconds are what each of its processes had used at the last look: what the
    command itself is told by the system lacks decoding processes that outlive their workers.
    Memory is what a process has for itself and what it shares (RSS).
    """
    cpu_s: dict[int, float] = {}
    worker = decoder = used = 0
    root = psutil.Process(pid)
    while root.is_running() and root.status() != psutil.STATUS_ZOMBIE:
        with suppress(psutil.Error):
            for process in [root, *root.children(recursive=True)]:
                with suppress(psutil.Error):
                    times = process.cpu_times()
                    cpu_s[process.pid] = times.user + times.system
                    command, size = " ".join(process.cmdline()), process.memory_info().rss
                    if "engines.worker" in command:
                        worker = max(worker, size)
                    elif "video.child" in command:
                        decoder = max(decoder, size)
        used = max(used, _size(temporary))
        time.sleep(LOOK_S)
    return sum(cpu_s.values()), worker, decoder, used


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def _print(runs: dict[str, list[Figures]], video: Path, workers: int) -> None:
    size_mib = video.stat().st_size / 2**20
    print(
        f"{video.name} ({size_mib:.0f} MiB), {workers} workers on {cores()} cores, medians of "
        f"{len(next(iter(runs.values())))} rounds; the shards are the same.\n"
    )
    print("| | command | work | CPU | cores busy | worker | decoder | temporary files |")
    print("|---|---|---|---|---|---|---|---|")
    for way, figures in runs.items():
        wall_s, work_s, cpu_s = (
            statistics.median(getattr(each, name) for each in figures)
            for name in ("wall_s", "work_s", "cpu_s")
        )
        most = (
            max(getattr(each, name) for each in figures) / 2**20
            for name in ("worker_bytes", "decoder_bytes", "temporary_bytes")
        )
        busy = cpu_s / wall_s / min(workers, cores())
        cells = [clock(wall_s), clock(work_s), f"{cpu_s:.0f} s", f"{busy:.0%}"]
        cells += [f"{each:.0f} MiB" for each in most]
        print(f"| {way} | {' | '.join(cells)} |")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--workers", type=int, default=cores())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--video", type=Path)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
