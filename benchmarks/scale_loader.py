"""What it takes to open a dataset of ten million windows and read the first batch.

    python benchmarks/scale_loader.py [--videos 1000000]

A video has ten windows (`scale_windows`, whose tables are made on first use: about 450 MB under
`benchmarks/cache`). Each case is a process of its own, which has imported everything and read a
batch of a small dataset in the same way before the clock and the memory are looked at. Time is that
of making the loader and of its first batch. Memory is what the process grew by at most, its peak
resident size over that before, a window of the dataset: all of it, the batches that are read ahead
included. Files are in the page cache.
"""

from __future__ import annotations

import argparse
import gc
import json
import pickle
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
from scale_figures import Figure, in_child, table
from scale_windows import WINDOWS, dataset_of, write_shards

from sofdata.loading.loader import Loader
from sofdata.types import Batch

SMALL_VIDEOS = 200
CASES: dict[str, dict[str, Any]] = {
    "in order": {"shuffle": False},
    "shuffled": {},
    "where on motion": {"where": "motion > 0.5"},
    "where on labels": {"where": "labels.split == 'train'"},
    "split": {"split": ("train", 0.1)},
    "where and split": {"where": "motion > 0.5 and text != ''", "split": ("train", 0.1)},
}
GOAL_S, GOAL_BYTES = 3.0, 40.0


def measure(videos: int) -> list[Figure]:
    """The figures for a dataset of ten times so many windows."""
    dataset_of(SMALL_VIDEOS)
    dataset_of(videos)
    found = []
    for case in CASES:
        said: Any = in_child("scale_loader", "--case", case, "--videos", videos).said
        # A split decides by the hash of every file's name: that takes its time, once.
        goal_s = None if "split" in CASES[case] or "labels" in case else GOAL_S
        found += [
            Figure(f"{case}: first batch", said["wall_s"], "s", goal_s),
            Figure(f"{case}: CPU time", said["cpu_s"], "s"),
            Figure(f"{case}: peak memory", said["peak"], "bytes a window", GOAL_BYTES),
            Figure(f"{case}: memory that stays", said["stays"], "bytes a window", GOAL_BYTES),
            Figure(f"{case}: pickled for a worker", said["pickled"], "bytes a window"),
        ]
    return found


def first_batch(videos: int, case: str) -> dict[str, float]:
    """What one case takes, in this process."""
    _read(dataset_of(SMALL_VIDEOS), CASES[case])
    gc.collect()
    pa.default_memory_pool().release_unused()
    before, windows = _resident("VmRSS"), WINDOWS * videos
    Path("/proc/self/clear_refs").write_text("5")  # begin a new peak
    (wall_s, cpu_s), loader, batch = _read(dataset_of(videos), CASES[case])
    peak = _resident("VmHWM")
    gc.collect()
    assert len(batch.keys) == 32
    return {
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "peak": (peak - before) / windows,
        "stays": (_resident("VmRSS") - before) / windows,
        "pickled": len(pickle.dumps(loader)) / windows,
    }


def _read(dataset: Path, settings: dict[str, Any]) -> tuple[tuple[float, float], Loader, Batch]:
    """Seconds and CPU seconds, the loader, and its first batch, whose shards are made meanwhile."""
    began = time.perf_counter(), time.process_time()
    loader = Loader(dataset, batch_size=32, **settings)
    made = time.perf_counter(), time.process_time()
    shards, _ = loader._catalog.windows.find(loader._order.epoch(0)[: 32 * 4])
    write_shards(dataset, sorted({loader._catalog.shards[at].rel.split("/")[-1] for at in shards}))
    again = time.perf_counter(), time.process_time()
    batch = next(loader.epoch(0))
    ended = time.perf_counter(), time.process_time()
    spent = [made[at] - began[at] + ended[at] - again[at] for at in (0, 1)]
    return (spent[0], spent[1]), loader, batch


def _resident(name: str) -> int:
    """Bytes of this process by a line of Linux's status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=1_000_000)
    parser.add_argument("--case", choices=CASES, help="measure this one, in this process")
    args = parser.parse_args()
    if args.case:
        print(json.dumps(first_batch(args.videos, args.case)))
    else:
        print(table(measure(args.videos)))


if __name__ == "__main__":
    main()
