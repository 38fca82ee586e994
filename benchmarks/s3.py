"""What object storage costs: the same clips from and to S3 on loopback, and from and to local disk.

    python benchmarks/s3.py [--clips 150] [--rounds 3]

starts SeaweedFS (of the `dev` extra), ingests the clips of ingest_speed.py with two Ray workers
each way, in turn within every round and in changing order, checks that both give the same bytes,
and prints Markdown tables. Beside the wall time of a whole ingest stand the wall and CPU time from
the workers' start to the last commit, the latter of all processes, Ray's and the server's included.
Then two seconds of a large remote film are decoded, in ranges and from a copy.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import numpy as np
from ingest_speed import CACHE, Clock, Measured, corpus, fresh

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from sofdata.ingest.config import load_config
from sofdata.ingest.events import Event, Ready, UnitDone
from sofdata.ingest.run import execute, prepare
from sofdata.storage.tree import Tree
from sofdata.video.config import VideoConfig
from sofdata.video.ranges import Budget, RangeFile
from sofdata.video.reader import open_video
from sofdata.video.sampling import Sampling
from tests.helpers import hashes
from tests.s3 import S3Server, running
from tests.videos import write_video

WAYS = ("local", "S3")
SPAN = (20.0, 22.0)
FRAMES, FPS = 300, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, add_help=True)
    parser.add_argument("--clips", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    clips = corpus(asked.clips)
    for module in ("av", "cv2", "pyarrow.parquet", "ray", "s3fs"):  # once, before any clock runs
        import_module(module)
    with running(fresh(CACHE / "s3-server")) as server:
        os.environ.update(server.environment)
        upload(server, clips, f"{server.make_bucket('bench')}/clips")
        measured: dict[str, list[Measured]] = {way: [] for way in WAYS}
        for turn in range(asked.rounds):
            folder = fresh(CACHE / "s3-local")
            places = {
                "local": (str(clips), str(folder / "d")),
                "S3": ("s3://bench/clips", f"s3://bench/d{turn}"),
            }
            for way in WAYS if turn % 2 else reversed(WAYS):
                measured[way].append(ingest(server, *places[way]))
            same = hashes(server.fetch(f"s3://bench/d{turn}", folder / "there"))
            assert same == hashes(folder / "d"), "S3 gives other bytes"
        print_tables(measured, asked.clips)
        print_span(server)
    shutil.rmtree(CACHE / "s3-server")


def upload(server: S3Server, folder: Path, url: str) -> None:
    client = server.client()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        client.put_file(str(path), f"{url}/{path.relative_to(folder).as_posix()}")


def ingest(server: S3Server, source: str, dest: str) -> Measured:
    """One ingest, whole and from the workers' start to the last commit."""
    began_s = time.monotonic()
    prepared = prepare(Tree(source), Tree(dest), load_config(None, ["run.workers=2"]), "auto")
    clock, served_s, measured = Clock(), server_s(server), Measured()

    def follow(event: Event) -> None:
        nonlocal clock, served_s, measured
        if isinstance(event, Ready):
            clock, served_s = Clock(), server_s(server)
        elif isinstance(event, UnitDone):
            read = clock.read()
            measured = {"cpu": read["cpu"], "server": server_s(server) - served_s}

    summary = execute(prepared, follow)
    return {"wall": time.monotonic() - began_s, "work": summary.work_s, **measured}


def server_s(server: S3Server) -> float:
    """CPU time that the server has used, s."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def print_tables(measured: dict[str, list[Measured]], clips: int) -> None:
    rounds = len(measured["local"])
    print(f"{clips} clips, {rounds} rounds, medians (least to most)\n")
    print("| | whole, s | work, s | CPU, s | of it the server's, s |\n|---|---|---|---|---|")
    for way in WAYS:
        print(f"| {way} | {' | '.join(spread(measured[way], key) for key in measured[way][0])} |")
    cells = []
    for key in ("wall", "work", "cpu"):
        pairs = zip(measured["S3"], measured["local"], strict=True)
        ratios = [{key: there[key] / here[key]} for there, here in pairs]
        cells.append(spread(ratios, key, 3))
    print(f"| S3 over local, round by round | {' | '.join(cells)} | |\n")


def spread(values: list[Measured], key: str, digits: int = 1) -> str:
    found = [value[key] for value in values]
    middle, least, most = statistics.median(found), min(found), max(found)
    return f"{middle:.{digits}f} ({least:.{digits}f} to {most:.{digits}f})"


def print_span(server: S3Server) -> None:
    film = CACHE / "s3-film.mp4"
    if not film.exists():
        noise = np.random.default_rng(0).integers(0, 255, (FRAMES, 480, 640, 3), np.uint8)
        options = {"g": "20", "crf": "1", "preset": "ultrafast", "movflags": "faststart"}
        write_video(film, noise, FPS, options=options)
    server.client().put_file(str(film), "bench/film.mp4")
    size, tree = film.stat().st_size, Tree("s3://bench")
    print(f"{SPAN[1] - SPAN[0]:g} s of a film of {FRAMES / FPS:g} s, {size / 1e6:.0f} MB\n")
    print("| | s | MB fetched |\n|---|---|---|")
    budget = Budget(lambda start, end: tree.read_range("film.mp4", start, end), None)
    with timed() as clock:
        list(open_video(RangeFile("film", size, budget), VideoConfig(), Sampling(128, 0.13, SPAN)))
    print(f"| in ranges | {clock[0]:.2f} | {budget.fetched / 1e6:.1f} |")
    with timed() as clock, tree.local_copy("film.mp4") as path:
        list(open_video(path, VideoConfig(), Sampling(128, 0.13, SPAN)))
    print(f"| from a copy | {clock[0]:.2f} | {size / 1e6:.1f} |")


@contextmanager
def timed() -> Iterator[list[float]]:
    took, began = [0.0], time.monotonic()
    yield took
    took[0] = time.monotonic() - began


if __name__ == "__main__":
    main()
