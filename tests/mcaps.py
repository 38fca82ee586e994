"""MCAP files, written by `mcap` as recorders do, and what is read of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mcap.writer import CompressionType, IndexType, Writer
from mcap_protobuf.schema import build_file_descriptor_set

from sofdata.video.config import VideoConfig
from sofdata.video.sampling import Sampling
from sofdata.video.sequences import mcap
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.stream import SequenceStream
from tests.robots import (
    FFMPEG,
    array,
    json_message,
    proto,
    protos,
    ros,
    ros_message,
    twist,
    video_packets,
    written,
)
from tests.sequences import encoded, numbers_of

START_NS = 1_700_000_000 * 10**9
LATENCY_NS = 40_000_000  # from a stamp to the log
STEP_NS = 100_000_000
IMAGE = "sensor_msgs/msg/CompressedImage"
COMPRESSION = {
    "none": CompressionType.NONE,
    "lz4": CompressionType.LZ4,
    "zstd": CompressionType.ZSTD,
}
CAM = SequencePlace.of("mcap", "/cam")
NO_INDEX = {"index_types": IndexType.NONE}
BARE = {
    **NO_INDEX,
    "repeat_channels": False,
    "repeat_schemas": False,
    "use_statistics": False,
    "use_summary_offsets": False,
}
# Files that differ in what helps to find things in them.
MCAP_SETTINGS: list[dict[str, Any]] = [
    {},
    NO_INDEX,
    {"index_types": IndexType.CHUNK},
    BARE,
    {"use_chunking": False},
]


@dataclass(frozen=True)
class Say:
    """A message to write. ns: when it was logged. version: 1 or 2 of ROS."""

    topic: str
    type: str
    data: bytes
    ns: int
    version: int = 2
    publish_ns: int | None = None


@dataclass
class File:
    """An MCAP file in the making; `settings` as of `mcap.writer.Writer`."""

    path: Path
    settings: dict[str, Any] = field(default_factory=dict)

    def write(
        self, messages: Iterable[Say], metadata: dict[str, dict[str, str]] | None = None
    ) -> Path:
        """Write the messages in the order in which they are given."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("wb") as stream:
            writer = Writer(stream, **{"chunk_size": 20_000, **self.settings})
            writer.start("ros2", "tests")
            channels: dict[str, int] = {}
            for name, values in (metadata or {}).items():
                writer.add_metadata(name, values)
            for say in messages:
                if say.topic not in channels:
                    channels[say.topic] = register(writer, say)
                publish_ns = say.ns if say.publish_ns is None else say.publish_ns
                writer.add_message(channels[say.topic], say.ns, say.data, publish_ns)
            writer.finish()
        return self.path


def write(path: Path, messages: Iterable[Say], **settings: Any) -> Path:
    """A file of these messages."""
    return File(path, settings).write(messages)


def register(writer: Any, say: Say) -> Any:
    """The channel of a message of a type that is read."""
    if say.type.startswith("foxglove."):
        short = say.type.partition(".")[2]
        if say.data.startswith(b"{"):
            schema = writer.register_schema(say.type, "jsonschema", b'{"type": "object"}')
            return writer.register_channel(say.topic, "json", schema)
        definition = build_file_descriptor_set(protos()[short]).SerializeToString()
        schema = writer.register_schema(say.type, "protobuf", definition)
        return writer.register_channel(say.topic, "protobuf", schema)
    text, _ = ros(say.version).generate_msgdef(say.type, ros_version=say.version)
    name = say.type if say.version == 2 else say.type.replace("/msg/", "/")
    schema = writer.register_schema(name, f"ros{say.version}msg", text.encode())
    return writer.register_channel(say.topic, "ros1" if say.version == 1 else "cdr", schema)


def image(number: int, topic: str = "/cam", *, at: float, version: int = 2, noise: int = 0) -> Say:
    """A JPEG that carries its number, taken `at` s after the start and logged a little later.

    noise: bytes of its comment, which nothing can pack.
    """
    stamp_ns = START_NS + round(at * 1e9)
    comment = np.random.default_rng(number).bytes(noise)
    jpeg = array(encoded(number, comment=comment) if noise else encoded(number))
    data = ros_message(version, IMAGE, time_ns=stamp_ns, format="jpeg", data=jpeg)
    return Say(topic, IMAGE, data, stamp_ns + LATENCY_NS, version)


def images(
    numbers: Sequence[int],
    topic: str = "/cam",
    *,
    start_s: float = 0.0,
    version: int = 2,
    noise: int = 0,
) -> list[Say]:
    """JPEGs at 10 a second."""
    return [
        image(number, topic, at=start_s + place / 10, version=version, noise=noise)
        for place, number in enumerate(numbers)
    ]


def video(kind: str, first: int, count: int, topic: str = "/video") -> list[Say]:
    """foxglove.CompressedVideo in Protobuf at 10 a second."""
    found = []
    for place, packet in enumerate(video_packets(kind, first, count)):
        stamp_ns = START_NS + place * STEP_NS
        data = proto("CompressedVideo", stamp_ns, format=kind, data=packet).SerializeToString()
        found.append(Say(topic, "foxglove.CompressedVideo", data, stamp_ns + LATENCY_NS))
    return found


def as_json(numbers: Sequence[int], topic: str = "/json") -> list[Say]:
    """foxglove.CompressedImage in JSON at 10 a second."""
    found = []
    for place, number in enumerate(numbers):
        ns = START_NS + place * STEP_NS
        data = json_message(ns, format="png", data=encoded(number, "PNG"))
        found.append(Say(topic, "foxglove.CompressedImage", data, ns))
    return found


def ffmpeg(kind: str, first: int, count: int, topic: str = "/ffmpeg") -> list[Say]:
    """Packets of ffmpeg_image_transport at 10 a second."""
    found = []
    for place, packet in enumerate(video_packets(kind, first, count)):
        ns = START_NS + place * STEP_NS
        size = {"width": 192, "height": 128, "pts": place, "flags": 0, "is_bigendian": False}
        data = ros_message(2, FFMPEG, time_ns=ns, encoding=kind, data=array(packet), **size)
        found.append(Say(topic, FFMPEG, data, ns))
    return found


def said(topic: str, text: str, at: float) -> Say:
    """A std_msgs/String."""
    kind = "std_msgs/msg/String"
    return Say(topic, kind, ros_message(2, kind, data=text), START_NS + round(at * 1e9))


def numbers(
    message_of: Callable[[int], tuple[str, bytes]], count: int, topic: str, hz: float = 20.0
) -> list[Say]:
    """Messages of numbers. message_of: type and bytes of each."""
    found = []
    for place in range(count):
        name, data = message_of(place)
        found.append(Say(topic, name, data, START_NS + round(place / hz * 1e9)))
    return found


def by_time(*several: Iterable[Say]) -> list[Say]:
    """Messages of several topics in the order of the log."""
    return sorted((say for each in several for say in each), key=lambda say: say.ns)


def opened(path: Any, place: SequencePlace = CAM, **sampling: object) -> SequenceStream:
    """A topic, ten pictures a second."""
    wanted = Sampling(**{"size": 96, "step_s": 0.1, **sampling})  # type: ignore[arg-type]
    return SequenceStream(path, place, VideoConfig(), wanted)


def shown(path: Any, place: SequencePlace = CAM) -> list[int | None]:
    """The numbers on the pictures of a topic."""
    return numbers_of(opened(path, place))


def topic(path: Path, name: str = "/cam", **options: object) -> dict[str, Any]:
    """What a look says of a topic."""
    (found,) = [each for each in mcap.look(str(path), options)["topics"] if each["topic"] == name]
    return dict(found)


def twists(count: int, hz: float = 20.0) -> list[Say]:
    """Commands of which the first number says when: 0, 1, 2, ... at `hz`."""

    def one(place: int) -> tuple[str, bytes]:
        return "geometry_msgs/msg/Twist", written(2, twist([place, 0, 0, 0, 0, -place]))

    return numbers(one, count, "/cmd_vel", hz)
