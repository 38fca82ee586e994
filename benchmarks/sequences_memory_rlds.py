"""Peak memory of an ingest of a TFRecord shard of 20 GiB, as TFDS writes them.

Twenty episodes of a GiB each: thirty pictures of 192 x 128 px, their texts and actions, and a list
of bytes that fills the rest, as depth or point clouds do, which nobody asked for. The file is
sparse, so it takes little space on the disk; its checksums are right, and are read and compared.
`sofdata ingest --with-actions` then runs on it with one worker, while the resident memory of all
its processes is read from /proc every tenth of a second; libraries that two processes share count
twice.

    python benchmarks/sequences_memory_rlds.py [--gib 20]

prints a Markdown row: peak memory, and CPU seconds of all processes. Most of these go into reading
40 GiB of zeros: each episode once for its pictures and once for its actions.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import BinaryIO

import google_crc32c
from memory import resident

from sofdata.video.sequences.rlds.tfrecord import masked
from tests import rlds_files as made

LIMIT_MIB = 500
SAMPLE_S = 0.1
PICTURES, GIB, CHUNK = 30, 1 << 30, 1 << 20
SETTINGS = ["sequences.fps=10", "windows.length=8", "flow.step_s=0.1", "run.workers=1"]
FEATURES = made.steps_of(
    observation=made.dictionary(image=made.image(128, 192, 3)),
    action=made.tensor(3),
    language_instruction=made.text(),
)


def write_source(folder: Path, gib: int = 20) -> Path:
    """A dataset of one shard of so many GiB."""
    made.write_dataset(folder, {"train": [[]]}, FEATURES)
    (shard,) = folder.glob("*.tfrecord-*")
    with shard.open("wb") as file:
        for number in range(gib):
            write_record(file, number, GIB)
    info = json.loads((folder / "dataset_info.json").read_text())
    info["splits"][0]["shardLengths"] = [str(gib)]
    (folder / "dataset_info.json").write_text(json.dumps(info))
    return folder


def write_record(file: BinaryIO, number: int, hole: int) -> None:
    """An episode behind a feature "steps/cloud" of so many zeros, which are a hole in the file."""
    values = made.episode(range(number, number + PICTURES))
    wanted = ("image", "action", "instruction", "is_")
    rest = made.example({k: v for k, v in values.items() if any(name in k for name in wanted)})
    head = _cloud(hole)
    length = struct.pack("<Q", len(head) + hole + len(rest))
    crc = google_crc32c.value(head)
    for _ in range(hole // CHUNK):
        crc = google_crc32c.extend(crc, bytes(CHUNK))
    crc = google_crc32c.extend(crc, rest)
    file.write(length + made.masked(length) + head)
    file.seek(hole, os.SEEK_CUR)
    file.write(rest + struct.pack("<I", masked(crc)))


def _cloud(size: int) -> bytes:
    """The bytes of an Example in front of `size` bytes of its feature "steps/cloud"."""
    key = b"\x0a\x0b" + b"steps/cloud"
    value = size
    heads = b""
    for tag in (b"\x0a", b"\x0a", b"\x12"):  # BytesList.value, Feature.bytes_list, entry's value
        head = tag + _varint(value)
        heads, value = head + heads, value + len(head)
    entry = key + heads
    whole = b"\x0a" + _varint(len(entry) + size)
    return b"\x0a" + _varint(len(whole) + len(entry) + size) + whole + entry


def _varint(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found, value = found + bytes([value & 0x7F | 0x80]), value >> 7
    return found + bytes([value])


def peak_mib(source: Path, dest: Path, settings: list[str]) -> tuple[float, float]:
    """The largest sum of resident memory of an ingest, MiB, and the CPU seconds it took."""
    options = [word for each in settings for word in ("--set", each)]
    command = [sys.executable, "-m", "sofdata", "ingest", str(source), str(dest), "--with-actions"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    before, most = os.times(), 0.0
    process = subprocess.Popen(
        [*command, "--engine", "inline", "--quiet", *options], env=environment
    )
    while process.poll() is None:
        most = max(most, resident(process.pid, "inline").get("worker", 0.0))
        time.sleep(SAMPLE_S)
    if process.returncode:
        raise SystemExit(f"ingest ended with exit code {process.returncode}")
    after = os.times()
    used = after.children_user + after.children_system
    return most, used - before.children_user - before.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gib", type=int, default=20, help="size of the shard")
    gib = parser.parse_args().gib
    folder = Path(tempfile.mkdtemp(prefix="sofdata-rlds-"))
    try:
        source = write_source(folder / "source" / "1.0.0", gib)
        most, cpu_s = peak_mib(source, folder / "dest", SETTINGS)
        counts = json.loads((folder / "dest" / "dataset.json").read_text())["counts"]
        print("| shard | videos | windows | peak memory | CPU |\n|---|---|---|---|---|")
        shown = f"{counts['done']} | {counts['windows']} | {most:.0f} MiB | {cpu_s:.0f} s |"
        print(f"| TFRecord, {gib} GiB in {gib} episodes | {shown}")
    finally:
        shutil.rmtree(folder)
    print(f"below {LIMIT_MIB} MiB: {'yes' if most < LIMIT_MIB else 'NO'}")
    if most >= LIMIT_MIB:
        sys.exit(1)


if __name__ == "__main__":
    main()
