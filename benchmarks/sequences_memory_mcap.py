"""What it takes to read pictures from a large MCAP file, which lacks its summary besides.

    python benchmarks/sequences_memory_mcap.py --gib 20
    python benchmarks/sequences_memory_mcap.py --gib 20 --compression zstd

Raw pictures of 1920 x 1080 px that are black, 6 MB each, ten of them in a chunk without a checksum.
Those that are not compressed are holes in a sparse file; others pack to nearly nothing. Peak memory
is that of the process that decodes; `run.limits.memory_mib` bounds that.
"""

from __future__ import annotations

import struct
from functools import partial
from pathlib import Path
from typing import BinaryIO

import zstandard
from large_recordings import (
    A_CHUNK,
    BEGAN_S,
    EYE,
    HEIGHT,
    PICTURE_BYTES,
    WIDTH,
    arguments,
    measure,
    run,
    u32,
)
from rosbags.typesys import Stores, get_typestore

STEP_NS = 10**9 // 30
MAGIC = b"\x89MCAP0\r\n"
KIND = "sensor_msgs/msg/Image"


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--compression", choices=("none", "zstd"), default="none")
    given = parser.parse_args()
    if given.look:
        measure("mcap", given.look)
    else:
        how = {"gib": given.gib, "compression": given.compression}
        run(__file__, "large.mcap", partial(write, **how))


# The file: https://mcap.dev/spec


def write(path: Path, gib: float, compression: str) -> str:
    """Write the file; what it holds."""
    chunks = -(-round(gib * 2**30) // (A_CHUNK * PICTURE_BYTES))
    with path.open("wb") as file:
        file.write(MAGIC + record(0x01, text("ros2") + text("benchmark")))
        channel = struct.pack("<HH", 1, 1) + text(EYE) + text("cdr") + u32(0)
        file.write(schema() + record(0x04, channel))
        for number in range(chunks):
            write_chunk(file, number * A_CHUNK, compression)
        file.write(record(0x0F, u32(0)))
        file.write(record(0x02, struct.pack("<QQI", 0, 0, 0)) + MAGIC)
    pictures = chunks * A_CHUNK
    return f"{pictures} pictures, {pictures * PICTURE_BYTES / 2**30:.1f} GiB"


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
    ns = BEGAN_S * 10**9 + number * STEP_NS
    header = b"\0\1\0\0" + u32(*divmod(ns, 10**9), 1, 0)
    about = u32(HEIGHT, WIDTH, 5) + b"rgb8\0\0\0\0"
    data = header + about + u32(3 * WIDTH, PICTURE_BYTES)
    fields = struct.pack("<HIQQ", 1, 0, ns, ns)
    return struct.pack("<BQ", 0x05, len(fields) + len(data) + PICTURE_BYTES) + fields + data


def schema() -> bytes:
    definition, _ = get_typestore(Stores.ROS2_HUMBLE).generate_msgdef(KIND, ros_version=2)
    return record(0x03, struct.pack("<H", 1) + text(KIND) + text("ros2msg") + text(definition))


def record(kind: int, body: bytes) -> bytes:
    return struct.pack("<BQ", kind, len(body)) + body


def text(value: str) -> bytes:
    return u32(len(value.encode())) + value.encode()


if __name__ == "__main__":
    main()
