"""Peak memory of an ingest of files of pictures of 20 GiB: HDF5 here, TFRecord where it is at hand.

Each HDF5 file holds one array of pictures of 640 x 480 px, of which a few stretches are written and
the rest is a hole, so that it takes little space on the disk:

- chunked: a chunk for each picture; those of the hole do not exist, and count as never written.
- contiguous: all pictures one after the other; those of the hole are zeros, which are read.

`sofdata ingest --with-actions` runs on each, with one worker that decodes in a process of its own,
while the memory of all its processes is read from /proc every tenth of a second, as proportional
set size: what several processes share, libraries above all, is divided among them. The TFRecord
file is that of `sequences_memory_rlds.py`.

    python benchmarks/sequences_memory.py [--gib 20]

prints a Markdown row for each file: peak memory, and CPU seconds of all processes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import psutil

from tests.conformance.barcode import draw

LIMIT_MIB = 500
SAMPLE_S = 0.1
HEIGHT, WIDTH = 480, 640
PICTURE_BYTES = HEIGHT * WIDTH * 3
STRETCHES, WRITTEN = 3, 60  # how many stretches of how many pictures are written
SETTINGS = ("sequences.fps=10", "flow.step_s=0.5", "windows.length=4")


@dataclass(frozen=True)
class Peak:
    """Largest memory of all processes together and of the one that decodes, MiB; CPU seconds."""

    all_mib: float
    decoding_mib: float
    cpu_s: float


def write_hdf5(path: Path, gib: float, chunked: bool) -> Path:
    """A file of one sequence of pictures and their actions, most of it a hole."""
    count = int(gib * 2**30) // PICTURE_BYTES
    chunks = (1, HEIGHT, WIDTH, 3) if chunked else None
    with h5py.File(path, "w") as file:
        shape = (count, HEIGHT, WIDTH, 3)
        shown = file.create_dataset("observations/images/top", shape, "u1", chunks=chunks)
        file["action"] = np.zeros((count, 14))
        for number in range(STRETCHES):
            first = number * (count - WRITTEN) // (STRETCHES - 1)
            for at in range(WRITTEN):
                shown[first + at] = draw(at, WIDTH, HEIGHT)
    return path


def measure(source: Path, dest: Path) -> Peak:
    """Ingest a source."""
    options = [word for each in SETTINGS for word in ("--set", each)]
    command = [sys.executable, "-m", "sofdata", "ingest", str(source), str(dest), "--with-actions"]
    command += ["--engine", "processes", "--workers", "1", "--quiet", *options]
    before, most, decoding = os.times(), 0.0, 0.0
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        mib = memory_mib(process.pid)
        most = max(most, sum(mib.values()))
        decoding = max(decoding, mib["decoding"])
        time.sleep(SAMPLE_S)
    if process.returncode:
        raise SystemExit(f"ingest ended with exit code {process.returncode}")
    after = os.times()
    used_s = after.children_user + after.children_system
    return Peak(most, decoding, used_s - before.children_user - before.children_system)


def memory_mib(root: int) -> dict[str, float]:
    """Proportional set size of a process and of all that descend from it, by what they do."""
    mib = {"decoding": 0.0, "other": 0.0}
    with suppress(psutil.Error):
        parent = psutil.Process(root)
        for process in [parent, *parent.children(recursive=True)]:
            with suppress(psutil.Error):
                kind = "decoding" if "sofdata.video.child" in process.cmdline() else "other"
                mib[kind] += process.memory_full_info().pss / 2**20
    return mib


def sources(folder: Path, gib: int) -> Iterator[tuple[str, Path]]:
    """The files, one after the other, each of which takes its place on the disk alone."""
    for chunked in (True, False):
        path = write_hdf5(folder / "pictures.hdf5", gib, chunked)
        yield f"HDF5, {'chunked' if chunked else 'contiguous'}", path
        path.unlink()
    if find_spec("sequences_memory_rlds"):
        records = importlib.import_module("sequences_memory_rlds")
        yield "TFRecord", records.write_source(folder / "records" / "1.0.0", gib)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gib", type=int, default=20, help="size of each file")
    gib = parser.parse_args().gib
    folder = Path(tempfile.mkdtemp(prefix="sofdata-memory-"))
    below = True
    print("| file | windows | peak MiB, all processes | of these, decoding | CPU s |")
    print("|---|---|---|---|---|", flush=True)
    try:
        for name, source in sources(folder, gib):
            dest = folder / "dest"
            peak = measure(source, dest)
            windows = json.loads((dest / "dataset.json").read_text())["counts"]["windows"]
            found = f"{windows} | {peak.all_mib:.0f} | {peak.decoding_mib:.0f} | {peak.cpu_s:.0f}"
            print(f"| {name}, {gib} GiB | {found} |", flush=True)
            below = below and peak.all_mib < LIMIT_MIB
            shutil.rmtree(dest)
    finally:
        shutil.rmtree(folder)
    print(f"\nbelow {LIMIT_MIB} MiB: {'yes' if below else 'NO'}")
    if not below:
        sys.exit(1)


if __name__ == "__main__":
    main()
