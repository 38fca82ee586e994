"""What `bags.py` and `sequences_memory_mcap.py` share: black pictures, and what is measured.

Memory and CPU are those of a process that reads as the one that decodes does.
"""

from __future__ import annotations

import argparse
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

WIDTH, HEIGHT = 1920, 1080
PICTURE_BYTES = 3 * WIDTH * HEIGHT
A_CHUNK = 10  # pictures
BEGAN_S = 1_700_000_000
EYE = "/eye"
READ = 40  # pictures of the whole


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """Those of both. doc: of the script."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--gib", type=float, default=20)
    parser.add_argument("--look", type=Path, help=argparse.SUPPRESS)
    return parser


def run(script: str, file: str, write: Callable[[Path], str]) -> None:
    """Write a file, whose `write` says what it holds, and measure what reading it takes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, file)
        held = write(path)
        size = path.stat()
        on_disk_mib = 512 * size.st_blocks / 2**20
        print(f"{held}: {size.st_size / 2**30:.2f} GiB, {on_disk_mib:.0f} MiB on the disk")
        subprocess.run([sys.executable, script, "--look", str(path)], check=True)


def measure(format: str, path: Path) -> None:
    """Look into a file and read pictures from all over it, in this process."""
    from sofdata.video.sequences.formats import look, open_sequence
    from sofdata.video.sequences.place import SequencePlace

    began_s = time.process_time()
    found = look(str(path), format, {})
    _report("a look", began_s)
    began_s = time.process_time()
    sequence = open_sequence(str(path), SequencePlace.of(format, EYE))
    _report("the times of all pictures, by stamps", began_s)
    began_s = time.process_time()
    count = len(sequence.times_s)
    read = sum(image is not None for image in sequence.images(range(0, count, count // READ)))
    _report(f"{read} of {count} pictures, from all over the file", began_s)
    assert found["topics"][0]["count"] == count
    sequence.close()


def _report(what: str, began_s: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what}: {time.process_time() - began_s:.2f} s of CPU; peak so far {peak:.0f} MiB")


def u32(*values: int) -> bytes:
    """Numbers of 32 bits, one after the other."""
    return struct.pack(f"<{len(values)}I", *values)
