"""Messages of robots with pictures that carry their number, as ROS 1, ROS 2, Protobuf and JSON.

Those of ROS are written by `rosbags` with the definitions that it ships, which are not those that
sofdata reads with; those of foxglove with the numbers of its published .proto files.
"""

from __future__ import annotations

import base64
import json
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2
from numpy.typing import NDArray
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from tests.conformance.barcode import draw
from tests.sequences import HEIGHT, WIDTH

FOXGLOVE_MSGS = {
    "foxglove_msgs/msg/CompressedImage": "uint8[] data\nstring format",
    "foxglove_msgs/msg/CompressedVideo": "uint8[] data\nstring format",
    "foxglove_msgs/msg/RawImage": (
        "uint32 width\nuint32 height\nstring encoding\nuint32 step\nuint8[] data"
    ),
}
FFMPEG = "ffmpeg_image_transport_msgs/msg/FFMPEGPacket"
_FFMPEG = (
    "std_msgs/Header header\nint32 width\nint32 height\nstring encoding\nuint64 pts\n"
    "uint8 flags\nbool is_bigendian\nuint8[] data"
)
# foxglove's .proto files: (name, number, type); "time" is google.protobuf.Timestamp.
PROTOS = {
    "CompressedImage": (
        ("timestamp", 1, "time"),
        ("frame_id", 4, "string"),
        ("data", 2, "bytes"),
        ("format", 3, "string"),
    ),
    "CompressedVideo": (
        ("timestamp", 1, "time"),
        ("frame_id", 2, "string"),
        ("data", 3, "bytes"),
        ("format", 4, "string"),
    ),
    "RawImage": (
        ("timestamp", 1, "time"),
        ("frame_id", 7, "string"),
        ("width", 2, "fixed32"),
        ("height", 3, "fixed32"),
        ("encoding", 4, "string"),
        ("step", 5, "fixed32"),
        ("data", 6, "bytes"),
    ),
}


@cache
def ros(version: int) -> Any:
    """The types of ROS 1 or 2, and foxglove's beside them."""
    store = get_typestore(Stores.ROS1_NOETIC if version == 1 else Stores.ROS2_HUMBLE)
    for name, fields in FOXGLOVE_MSGS.items():
        stamped = f"builtin_interfaces/Time timestamp\nstring frame_id\n{fields}"
        store.register(get_types_from_msg(stamped, name))
    store.register(get_types_from_msg(_FFMPEG, FFMPEG))
    return store


def made(version: int, type_name: str, /, **fields: Any) -> Any:
    """A message of ROS. time_ns: its stamp, if it has one; what is not given is empty."""
    store = ros(version)
    kind = store.types[type_name]
    time_ns = fields.pop("time_ns", 0)
    values = {}
    for field in (each for each in kind.__dataclass_fields__ if each != "__msgtype__"):
        if field == "header":
            values[field] = header(version, time_ns)
        elif field == "timestamp":
            values[field] = stamp(version, time_ns)
        elif field == "frame_id":
            values[field] = "camera"
        else:
            values[field] = fields.pop(field)
    assert not fields, fields
    return kind(**values)


def written(version: int, message: Any) -> bytes:
    """A message as it is stored."""
    store = ros(version)
    write = store.serialize_ros1 if version == 1 else store.serialize_cdr
    return bytes(write(message, message.__msgtype__))


def ros_message(version: int, type_name: str, /, **fields: Any) -> bytes:
    """As `made`, stored."""
    return written(version, made(version, type_name, **fields))


def stamp(version: int, time_ns: int) -> Any:
    kind = ros(version).types["builtin_interfaces/msg/Time"]
    return kind(sec=time_ns // 10**9, nanosec=time_ns % 10**9)


def header(version: int, time_ns: int) -> Any:
    kind = ros(version).types["std_msgs/msg/Header"]
    extra = {"seq": 7} if version == 1 else {}
    return kind(stamp=stamp(version, time_ns), frame_id="camera", **extra)


def array(data: bytes | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bytes as `rosbags` wants them."""
    return np.frombuffer(bytes(data), np.uint8)


def vector(x: float, y: float, z: float) -> Any:
    return ros(2).types["geometry_msgs/msg/Vector3"](x=x, y=y, z=z)


def twist(values: Any) -> Any:
    """A Twist of six numbers."""
    numbers = [float(value) for value in values]
    kind = ros(2).types["geometry_msgs/msg/Twist"]
    return kind(linear=vector(*numbers[:3]), angular=vector(*numbers[3:]))


def numbers_array(values: Any, kind: str = "Float64MultiArray", offset: int = 0) -> Any:
    """A MultiArray without a layout."""
    types = ros(2).types
    layout = types["std_msgs/msg/MultiArrayLayout"](dim=[], data_offset=offset)
    dtype = np.float64 if "64" in kind else np.float32
    return types[f"std_msgs/msg/{kind}"](layout=layout, data=np.asarray(values, dtype))


@cache
def protos() -> dict[str, Any]:
    """foxglove's messages of Protobuf, by short name."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    for name, fields in PROTOS.items():
        file = descriptor_pb2.FileDescriptorProto(
            name=f"foxglove/{name}.proto", package="foxglove", syntax="proto3"
        )
        file.dependency.append(timestamp_pb2.DESCRIPTOR.name)
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            added = message.field.add(name=field, number=number, label=1)
            if kind == "time":
                added.type, added.type_name = 11, ".google.protobuf.Timestamp"
            else:
                added.type = getattr(added, f"TYPE_{kind.upper()}")
        pool.AddSerializedFile(file.SerializeToString())
    find = pool.FindMessageTypeByName
    return {name: message_factory.GetMessageClass(find(f"foxglove.{name}")) for name in PROTOS}


def proto(name: str, time_ns: int = 0, **fields: Any) -> Any:
    """A message of foxglove."""
    message = protos()[name](frame_id="camera", **fields)
    message.timestamp.seconds, message.timestamp.nanos = divmod(time_ns, 10**9)
    return message


def json_message(time_ns: int = 0, **fields: Any) -> bytes:
    """A message of foxglove as JSON."""
    second, rest = divmod(time_ns, 10**9)
    fields["data"] = base64.b64encode(bytes(fields["data"])).decode()
    stamp = {"sec": second, "nsec": rest}
    return json.dumps({"timestamp": stamp, "frame_id": "camera", **fields}).encode()


# How each kind of video is coded without B-frames and without delay.
CODERS: dict[str, tuple[str, dict[str, str]]] = {
    "h264": ("libx264", {"tune": "zerolatency", "preset": "veryfast"}),
    "h265": (
        "libx265",
        {"x265-params": "bframes=0:keyint=10:log-level=none", "tune": "zerolatency"},
    ),
    "vp9": ("libvpx-vp9", {"lag_in_frames": "0", "deadline": "realtime"}),
    "av1": ("libsvtav1", {"svtav1-params": "pred-struct=1:lookahead=0", "preset": "10"}),
}


@cache
def video_packets(kind: str, first: int, count: int, b_frames: int = 0) -> tuple[bytes, ...]:
    """Pictures that carry their numbers as packets of video, a key frame every ten of them."""
    import av

    name, options = CODERS[kind]
    coder: Any = av.CodecContext.create(name, "w")
    coder.width, coder.height, coder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    coder.time_base, coder.framerate = Fraction(1, 10), Fraction(10)
    coder.gop_size, coder.max_b_frames = 10, b_frames
    coder.options = {} if b_frames else options
    packets = []
    for place in range(count):
        frame = av.VideoFrame.from_ndarray(draw(first + place, WIDTH, HEIGHT), format="rgb24")
        frame.pts = place
        packets += coder.encode(frame)
    packets += coder.encode(None)
    return tuple(bytes(packet) for packet in packets)
