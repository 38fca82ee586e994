"""What it takes to read pictures from a large bag of ROS 1 that is not compressed.

    python benchmarks/bags.py --gib 20

Writes a sparse file: raw pictures of 1920 x 1080 px that are black, 6 MB each, thirty a second, and
the state of a robot two hundred times a second. It takes no room but for its index. Peak memory is
that of the process that decodes; `run.limits.memory_mib` bounds that.
"""

from __future__ import annotations

import struct
from functools import partial
from pathlib import Path
from typing import BinaryIO

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

STATES = 7  # for each picture: about two hundred a second
TOPICS = ((EYE, "sensor_msgs/Image"), ("/arm", "sensor_msgs/JointState"))


def main() -> None:
    given = arguments(__doc__).parse_args()
    if given.look:
        measure("rosbag", given.look)
    else:
        run(__file__, "large.bag", partial(write, gib=given.gib))


# The bag: https://wiki.ros.org/Bags/Format/2.0


def write(path: Path, gib: float) -> str:
    """Write the bag; what it holds."""
    connections = b"".join(map(connection, range(len(TOPICS))))
    chunks: list[tuple[int, float]] = []
    with path.open("wb") as file:
        file.write(b"#ROSBAG V2.0\n" + bag_header(0, 0))
        while file.tell() < gib * 2**30:
            chunks.append((file.tell(), len(chunks) * A_CHUNK / 30))
            write_chunk(file, *chunks[-1])
        index = file.tell()
        file.write(connections)
        for position, start_s in chunks:
            counts = u32(0, A_CHUNK, 1, A_CHUNK * STATES)
            fields = {"ver": u32(1), "chunk_pos": u64(position), "start_time": stamp(start_s)}
            fields |= {"end_time": stamp(start_s + A_CHUNK / 30), "count": u32(len(TOPICS))}
            file.write(record(6, fields, counts))
        file.seek(13)
        file.write(bag_header(index, len(chunks)))
    pictures = len(chunks) * A_CHUNK
    return f"{pictures} pictures, {pictures * STATES} states"


def write_chunk(file: BinaryIO, position: int, start_s: float) -> None:
    """Pictures and states, and the index of both behind them."""
    rows: tuple[list[bytes], list[bytes]] = ([], [])
    head = record(5, {"compression": b"none", "size": u32(0)}, b"")
    file.seek(position + len(head))
    for number in range(A_CHUNK):
        time_s = start_s + number / 30
        write_message(file, position + len(head), 0, time_s, rows[0])
        for state in range(STATES):
            at_s = time_s + state / 30 / STATES
            write_message(file, position + len(head), 1, at_s, rows[1])
    end = file.tell()
    size = end - position - len(head)
    file.seek(position)
    file.write(record(5, {"compression": b"none", "size": u32(size)}, None, size))
    file.seek(end)
    for topic, each in enumerate(rows):
        fields = {"ver": u32(1), "conn": u32(topic), "count": u32(len(each))}
        file.write(record(4, fields, b"".join(each)))


def write_message(file: BinaryIO, base: int, topic: int, time_s: float, rows: list[bytes]) -> None:
    rows.append(stamp(time_s) + u32(file.tell() - base))
    header = u32(0) + stamp(time_s) + u32(0)
    if topic:
        file.write(message(topic, time_s, header + u32(0, 0, 0, 0)))
        return
    about = u32(HEIGHT, WIDTH, 4) + b"rgb8\0" + u32(3 * WIDTH, PICTURE_BYTES)
    file.write(message(topic, time_s, header + about, PICTURE_BYTES))
    file.seek(PICTURE_BYTES, 1)  # a hole: black


def message(topic: int, time_s: float, data: bytes, more_bytes: int = 0) -> bytes:
    fields = {"conn": u32(topic), "time": stamp(time_s)}
    return record(2, fields, None, len(data) + more_bytes) + data


def connection(number: int) -> bytes:
    topic, kind = TOPICS[number]
    store = get_typestore(Stores.ROS1_NOETIC)
    definition, md5 = store.generate_msgdef(kind.replace("/", "/msg/"))
    about = {"topic": topic, "type": kind, "md5sum": md5, "message_definition": definition}
    data = header_of({name: value.encode() for name, value in about.items()})
    return record(7, {"conn": u32(number), "topic": topic.encode()}, data)


def bag_header(index: int, chunks: int) -> bytes:
    fields = {"index_pos": u64(index), "conn_count": u32(len(TOPICS)), "chunk_count": u32(chunks)}
    return record(3, fields, b" " * 4000)


def record(op: int, fields: dict[str, bytes], data: bytes | None, size: int = 0) -> bytes:
    """data: None where it follows, so many bytes of it."""
    header = header_of({"op": bytes([op]), **fields})
    return u32(len(header)) + header + u32(size if data is None else len(data)) + (data or b"")


def header_of(fields: dict[str, bytes]) -> bytes:
    lines = [name.encode() + b"=" + value for name, value in fields.items()]
    return b"".join(u32(len(line)) + line for line in lines)


def stamp(time_s: float) -> bytes:
    ns = round(time_s * 1e9)
    return u32(BEGAN_S + ns // 10**9, ns % 10**9)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


if __name__ == "__main__":
    main()
