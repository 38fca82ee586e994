"""What it takes to read pictures from a large MCAP file, which lacks its summary besides.

    python benchmarks/sequences_memory_mcap.py --gib 20
    python benchmarks/sequences_memory_mcap.py --gib 20 --compression zstd

Raw pictures of 1920 x 1080 px that are black, 6 MB each, ten of them in a chunk without a checksum.
Those that are not compressed are holes in a sparse file; others pack to nearly nothing. Peak memory
is that of the process that decodes; `run.limits.memory_mib` bounds that.
"""

from __future__ import annotations

import argparse
import resource
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import BinaryIO

import zstandard
from rosbags.typesys import Stores, get_typestore

WIDTH, HEIGHT = 1920, 1080
PICTURE_BYTES = 3 * WIDTH * HEIGHT
A_CHUNK = 10  # pictures
STEP_NS = 10**9 // 30
BEGAN_NS = 1_700_000_000 * 10**9
MAGIC = b"\x89MCAP0\r\n"
TOPIC, KIND = "/eye", "sensor_msgs/msg/Image"
READ = 40  # pictures of the whole


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gib", type=float, default=20)
    parser.add_argument("--compression", choices=("none", "zstd"), default="none")
    parser.add_argument("--look", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.look:
        measure(given.look)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "large.mcap")
        pictures = write(path, given.gib, given.compression)
        size = path.stat()
        print(
            f"{pictures} pictures, {pictures * PICTURE_BYTES / 2**30:.1f} GiB; the file has "
            f"{size.st_size / 2**30:.2f} GiB, {512 * size.st_blocks / 2**20:.0f} MiB on the disk"
        )
        subprocess.run([sys.executable, __file__, "--look", str(path)], check=True)


def measure(path: Path) -> None:
    """In a process of its own, as the one that decodes is."""
    from sofdata.video.sequences.mcap import look, open_sequence
    from sofdata.video.sequences.place import SequencePlace

    began_s = time.process_time()
    found = look(str(path), {})
    report("a look", began_s)
    began_s = time.process_time()
    sequence = open_sequence(str(path), SequencePlace.of("mcap", TOPIC))
    report("the times of all pictures, by stamps", began_s)
    began_s = time.process_time()
    count = len(sequence.times_s)
    read = sum(image is not None for image in sequence.images(range(0, count, count // READ)))
    report(f"{read} of {count} pictures, from all over the file", began_s)
    assert found["topics"][0]["count"] == count
    sequence.close()


def report(what: str, began_s: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what}: {time.process_time() - began_s:.2f} s of CPU; peak so far {peak:.0f} MiB")


# The file: https://mcap.dev/spec


def write(path: Path, gib: float, compression: str) -> int:
    """Write the file; how many pictures it holds."""
    chunks = -(-round(gib * 2**30) // (A_CHUNK * PICTURE_BYTES))
    with path.open("wb") as file:
        file.write(MAGIC + record(0x01, text("ros2") + text("benchmark")))
        file.write(schema() + record(0x04, struct.pack("<HH", 1, 1) + text(TOPIC) + text("cdr")
                                     + struct.pack("<I", 0)))  # fmt: skip
        for number in range(chunks):
            write_chunk(file, number * A_CHUNK, compression)
        file.write(record(0x0F, struct.pack("<I", 0)))
        file.write(record(0x02, struct.pack("<QQI", 0, 0, 0)) + MAGIC)
    return chunks * A_CHUNK


def write_chunk(file: BinaryIO, first: int, compression: str) -> None:
    heads = [message(first + place) for place in range(A_CHUNK)]
    size = sum(map(len, heads)) + A_CHUNK * PICTURE_BYTES
    if compression == "zstd":
        data = zstandard.compress(b"".join(head + bytes(PICTURE_BYTES) for head in heads))
        file.write(chunk_head("zstd", size, len(data)) + data)
        return
    file.write(chunk_head("", size, size))
    for head in heads:
        file.write(head)
        file.seek(PICTURE_BYTES, 1)  # a hole: black


def chunk_head(compression: str, size: int, packed: int) -> bytes:
    fields = struct.pack("<QQQI", 0, 0, size, 0) + text(compression) + struct.pack("<Q", packed)
    return struct.pack("<BQ", 0x06, len(fields) + packed) + fields


def message(number: int) -> bytes:
    """A message up to the bytes of its picture."""
    ns = BEGAN_NS + number * STEP_NS
    header = b"\0\1\0\0" + struct.pack("<II", *divmod(ns, 10**9)) + b"\1\0\0\0\0\0\0\0"
    about = struct.pack("<III", HEIGHT, WIDTH, 5) + b"rgb8\0\0\0\0"
    data = header + about + struct.pack("<II", 3 * WIDTH, PICTURE_BYTES)
    fields = struct.pack("<HIQQ", 1, 0, ns, ns)
    return struct.pack("<BQ", 0x05, len(fields) + len(data) + PICTURE_BYTES) + fields + data


def schema() -> bytes:
    definition, _ = get_typestore(Stores.ROS2_HUMBLE).generate_msgdef(KIND, ros_version=2)
    return record(0x03, struct.pack("<H", 1) + text(KIND) + text("ros2msg") + text(definition))


def record(kind: int, body: bytes) -> bytes:
    return struct.pack("<BQ", kind, len(body)) + body


def text(value: str) -> bytes:
    return struct.pack("<I", len(value.encode())) + value.encode()


if __name__ == "__main__":
    main()
