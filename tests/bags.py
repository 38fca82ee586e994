"""Bags of ROS 1 and ROS 2, written by rosbags; pictures in them carry their number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rosbags import rosbag1, rosbag2
from rosbags.typesys import Stores, get_typestore

from tests.conformance.barcode import draw
from tests.sequences import HEIGHT, WIDTH, encoded

NS = 10**9
BEGAN_NS = 1_700_000_000 * NS
STEP_NS = NS // 10
ROS1, ROS2 = get_typestore(Stores.ROS1_NOETIC), get_typestore(Stores.ROS2_HUMBLE)
Compression1 = rosbag1.Writer.CompressionFormat
FILE, MESSAGE = rosbag2.CompressionMode.FILE, rosbag2.CompressionMode.MESSAGE
SQLITE, MCAP = rosbag2.StoragePlugin.SQLITE3, rosbag2.StoragePlugin.MCAP


@dataclass(frozen=True)
class Sent:
    """A message: its topic, when it was recorded, its type, and its fields by name."""

    topic: str
    time_ns: int
    type: str
    fields: dict[str, Any]


def at(number: float) -> int:
    """When picture `number` was taken, at ten a second."""
    return BEGAN_NS + round(number * STEP_NS)


def jpegs(topic: str, numbers: Iterable[int], late_ns: int = 0) -> Iterator[Sent]:
    """Compressed pictures that carry their numbers; each recorded so much later than taken."""
    for number in numbers:
        fields = {"format": "jpeg", "data": np.frombuffer(encoded(number), np.uint8)}
        yield Sent(topic, at(number) + late_ns, "sensor_msgs/msg/CompressedImage", fields)


def raw(topic: str, numbers: Iterable[int], encoding: str = "rgb8") -> Iterator[Sent]:
    """Raw pictures that carry their numbers, in RGB, BGR or grey."""
    for number in numbers:
        rgb = draw(number, WIDTH, HEIGHT)
        order = {"rgb8": [0, 1, 2], "bgr8": [2, 1, 0], "16UC1": [0, 1]}[encoding]
        rows = np.ascontiguousarray(rgb[:, :, order])
        fields = {
            "height": HEIGHT,
            "width": WIDTH,
            "encoding": encoding,
            "is_bigendian": 0,
            "step": rows.strides[0],
            "data": rows.ravel(),
        }
        yield Sent(topic, at(number), "sensor_msgs/msg/Image", fields)


def texts(topic: str, said: Iterable[tuple[float, str]]) -> Iterator[Sent]:
    """(number of the picture that is shown meanwhile, text)."""
    for number, text in said:
        yield Sent(topic, at(number), "std_msgs/msg/String", {"data": text})


def joints(topic: str, numbers: Iterable[float]) -> Iterator[Sent]:
    """States of two joints, at (number, -number)."""
    for number in numbers:
        fields = {
            "name": ["shoulder", "elbow"],
            "position": np.array([number, -number]),
            "velocity": np.zeros(0),
            "effort": np.zeros(0),
        }
        yield Sent(topic, at(number), "sensor_msgs/msg/JointState", fields)


def write_bag1(
    path: Path, sent: Iterable[Sent], compression: Any = None, chunk_bytes: int = 1 << 16
) -> Path:
    """A .bag with chunks of that size at least."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = rosbag1.Writer(path)
    if compression is not None:
        writer.set_compression(compression)
    writer.chunk_threshold = chunk_bytes
    with writer:
        _write(writer, sent, ROS1, ROS1.serialize_ros1)
    return path


def write_bag2(
    path: Path, sent: Iterable[Sent], storage: Any = SQLITE, compression: Any = None
) -> Path:
    """A folder with metadata.yaml and one file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = rosbag2.Writer(path, version=8, storage_plugin=storage)
    if compression is not None:
        writer.set_compression(compression, rosbag2.CompressionFormat.ZSTD)
    with writer:
        _write(writer, sent, ROS2, ROS2.serialize_cdr)
    return path


def _write(
    writer: Any, sent: Iterable[Sent], store: Any, serialize: Callable[[Any, str], Any]
) -> None:
    connections: dict[str, Any] = {}
    for each in sorted(sent, key=lambda one: one.time_ns):
        if each.topic not in connections:
            connections[each.topic] = writer.add_connection(each.topic, each.type, typestore=store)
        data = serialize(_message(store, each), each.type)
        writer.write(connections[each.topic], each.time_ns, data)


def _message(store: Any, sent: Sent) -> Any:
    kind = store.types[sent.type]
    fields = dict(sent.fields)
    if "header" in kind.__dataclass_fields__:
        fields["header"] = _header(store, fields.pop("stamp_ns", sent.time_ns))
    return kind(**fields)


def _header(store: Any, stamp_ns: int) -> Any:
    time = store.types["builtin_interfaces/msg/Time"](stamp_ns // NS, stamp_ns % NS)
    header = store.types["std_msgs/msg/Header"]
    more = {"seq": 0} if "seq" in header.__dataclass_fields__ else {}
    return header(stamp=time, frame_id="eye", **more)
