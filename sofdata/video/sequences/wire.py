"""Messages of robots as values: what ROS 1, ROS 2 (CDR), Protobuf and JSON make of the same fields.

Only types that are known here by their fields are read. Those are written down below, so that no
definition that a file brings along is ever turned into code: `rosbags` compiles the definitions
that it is given. What a file says of its own types is only compared: a type of a known name with
other fields is another type.

Fields: https://docs.ros.org (sensor_msgs, std_msgs, geometry_msgs) and
https://docs.foxglove.dev/docs/sdk/schemas. Newer versions of a type may have further fields at its
end, as foxglove's CompressedVideo has; they are passed over.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from functools import cache
from types import SimpleNamespace
from typing import Any, Literal

from sofdata.errors import InputError

Wire = Literal["ros1", "cdr", "protobuf", "json"]
WIRES: Mapping[str, Wire] = {"ros1": "ros1", "cdr": "cdr", "protobuf": "protobuf", "json": "json"}
STAMP_BYTES = 16  # of a message of ROS, which hold its stamp where it has one

_STAMPED = "std_msgs/Header header\n"
_IMAGE = (
    "uint32 height\nuint32 width\nstring encoding\nuint8 is_bigendian\nuint32 step\nuint8[] data"
)
_FOXGLOVE = "builtin_interfaces/Time timestamp\nstring frame_id\n"
_ARRAY = "std_msgs/MultiArrayLayout layout\n"
# The types of ROS that are read, by name.
FIELDS: Mapping[str, str] = {
    "sensor_msgs/CompressedImage": _STAMPED + "string format\nuint8[] data",
    "sensor_msgs/Image": _STAMPED + _IMAGE,
    "foxglove_msgs/CompressedImage": _FOXGLOVE + "uint8[] data\nstring format",
    "foxglove_msgs/CompressedVideo": _FOXGLOVE + "uint8[] data\nstring format",
    "foxglove_msgs/RawImage": _FOXGLOVE
    + "uint32 width\nuint32 height\nstring encoding\nuint32 step\nuint8[] data",
    "ffmpeg_image_transport_msgs/FFMPEGPacket": _STAMPED
    + "int32 width\nint32 height\nstring encoding\nuint64 pts\nuint8 flags\nbool is_bigendian\n"
    "uint8[] data",
    "sensor_msgs/JointState": _STAMPED
    + "string[] name\nfloat64[] position\nfloat64[] velocity\nfloat64[] effort",
    "geometry_msgs/Twist": "geometry_msgs/Vector3 linear\ngeometry_msgs/Vector3 angular",
    "geometry_msgs/TwistStamped": _STAMPED + "geometry_msgs/Twist twist",
    "geometry_msgs/Pose": "geometry_msgs/Point position\ngeometry_msgs/Quaternion orientation",
    "geometry_msgs/PoseStamped": _STAMPED + "geometry_msgs/Pose pose",
    "std_msgs/Float32MultiArray": _ARRAY + "float32[] data",
    "std_msgs/Float64MultiArray": _ARRAY + "float64[] data",
    "std_msgs/String": "string data",
}
# What those are made of.
_PARTS: Mapping[str, str] = {
    "builtin_interfaces/Time": "int32 sec\nuint32 nanosec",
    "geometry_msgs/Vector3": "float64 x\nfloat64 y\nfloat64 z",
    "geometry_msgs/Point": "float64 x\nfloat64 y\nfloat64 z",
    "geometry_msgs/Quaternion": "float64 x\nfloat64 y\nfloat64 z\nfloat64 w",
    "std_msgs/MultiArrayDimension": "string label\nuint32 size\nuint32 stride",
    "std_msgs/MultiArrayLayout": "std_msgs/MultiArrayDimension[] dim\nuint32 data_offset",
}
_HEADER = "builtin_interfaces/Time stamp\nstring frame_id"
_HEADERS = {"ros1": f"uint32 seq\n{_HEADER}", "cdr": _HEADER}
# Foxglove's types in Protobuf: (name, number, type) of the fields that are read.
PROTOBUF: Mapping[str, tuple[tuple[str, int, str], ...]] = {
    "foxglove.CompressedImage": (
        ("timestamp", 1, "message"),
        ("data", 2, "bytes"),
        ("format", 3, "string"),
    ),
    "foxglove.CompressedVideo": (
        ("timestamp", 1, "message"),
        ("data", 3, "bytes"),
        ("format", 4, "string"),
    ),
    "foxglove.RawImage": (
        ("timestamp", 1, "message"),
        ("width", 2, "fixed32"),
        ("height", 3, "fixed32"),
        ("encoding", 4, "string"),
        ("step", 5, "fixed32"),
        ("data", 6, "bytes"),
    ),
}


class DamagedMessage(InputError):
    """A message that is not what its type says."""


def is_known(name: str, wire: Wire) -> bool:
    """Whether a type, its name without "/msg/", is read in this form."""
    return name in (PROTOBUF if wire in ("protobuf", "json") else FIELDS)


def is_same(name: str, wire: Wire, definition: str | bytes) -> bool:
    """Whether what a file says of a type agrees with the fields that are known here.

    definition: as the file has it, "" where it says nothing: of ROS the text of a .msg file, of
    Protobuf a FileDescriptorSet. Anything else, such as IDL, is not compared.
    """
    if not definition or wire == "json":
        return True
    if wire == "protobuf":
        data = definition.encode() if isinstance(definition, str) else definition
        return _same_numbers(name, data)
    text = definition.decode("utf-8", "replace") if isinstance(definition, bytes) else definition
    text = "\n".join(line.partition("#")[0] for line in text.splitlines())  # without comments
    wanted = _declared(FIELDS[name])
    return "@" in text or "module " in text or _declared(text)[: len(wanted)] == wanted


def digest(name: str, wire: Wire) -> str:
    """The hash of a type of ROS as its bags state it: MD5 of ROS 1, RIHS01 of ROS 2; else ""."""
    full = name.replace("/", "/msg/")
    if wire == "ros1":
        return str(_store(wire).generate_msgdef(full)[1])
    return str(_store(wire).hash_rihs01(full)) if wire == "cdr" else ""


def parsed(name: str, wire: Wire, data: bytes | memoryview) -> Any:
    """The fields of a message, as attributes. Raises `DamagedMessage`.

    `data` of a picture shares the memory of `data` where the form allows it.
    """
    if wire == "json":
        return _from_json(data)
    if wire == "protobuf":
        return _from_protobuf(name, data)
    return _from_ros(name, wire, data)


def stamp_ns(name: str, wire: Wire, data: bytes | memoryview) -> int | None:
    """When a message says it was taken, ns since 1970 or whatever its clock counts from.

    data: of ROS the first `STAMP_BYTES` are enough. None where the type has no stamp. One that was
    never set is 0, as is that of a simulation that begins. Raises `DamagedMessage`.
    """
    if wire not in ("ros1", "cdr"):
        return stamp_of(parsed(name, wire, data))
    if not FIELDS[name].startswith((_STAMPED, _FOXGLOVE)):
        return None
    skipped = 4 if wire == "cdr" or FIELDS[name].startswith(_STAMPED) else 0
    order = "<" if wire == "ros1" or _is_little(data) else ">"
    try:
        seconds, rest = struct.unpack_from(f"{order}iI", data, skipped)
    except struct.error:
        raise DamagedMessage("a message ends inside its stamp") from None
    return int(seconds) * 10**9 + int(rest)


def stamp_of(message: Any) -> int | None:
    """The stamp of a parsed message, as `stamp_ns`."""
    found = getattr(message, "timestamp", None) or getattr(
        getattr(message, "header", None), "stamp", None
    )
    if found is None:
        return None
    names = (("sec", "nanosec"), ("sec", "nsec"), ("seconds", "nanos"))
    for second, rest in names:
        if hasattr(found, second) and hasattr(found, rest):
            return int(getattr(found, second)) * 10**9 + int(getattr(found, rest))
    return None


# ROS


def _declared(text: str) -> list[tuple[str, str]]:
    """(type, name) of the fields that a .msg file declares at its top, constants left out.

    text: without comments.
    """
    found = []
    for line in text.splitlines():
        if line.startswith("==="):  # definitions of what it is made of follow
            break
        words = line.split()
        if len(words) >= 2 and "=" not in "".join(words[1:]):
            kind = words[0].rpartition("/")[2].lower()
            found.append((kind, words[1]))
    return found


def _is_little(data: bytes | memoryview) -> bool:
    """The byte order of CDR. Raises `DamagedMessage` for a representation that ROS 2 lacks.

    Data Distribution Service Interoperability Wire Protocol (DDSI-RTPS) 2.2, 10.2.1.2.
    """
    mark = bytes(data[:2])
    if mark not in (b"\x00\x00", b"\x00\x01"):
        raise DamagedMessage(f"a message is no plain CDR: it begins with {mark.hex() or 'nothing'}")
    return mark == b"\x00\x01"


def _from_ros(name: str, wire: Wire, data: bytes | memoryview) -> Any:
    from rosbags.serde import SerdeError

    view = memoryview(data)
    store = _store(wire)
    known = store.get_msgdef(name.replace("/", "/msg/"))
    if wire == "ros1":
        read = known.deserialize_ros1
    else:
        read = known.deserialize_cdr_le if _is_little(data) else known.deserialize_cdr_be
        view = view[4:]
    try:
        message, _ = read(view, 0, known.cls, store)
    except (SerdeError, struct.error, ValueError) as error:
        raise DamagedMessage(f"no {name}: {error}") from None
    return message


@cache
def _store(wire: Wire) -> Any:
    """The types that are known here, as `rosbags` wants them."""
    from rosbags.typesys import get_types_from_msg
    from rosbags.typesys.store import Typestore

    store = Typestore()
    types: dict[str, Any] = {}
    for name, text in {**_PARTS, **FIELDS, "std_msgs/Header": _HEADERS[wire]}.items():
        types.update(get_types_from_msg(text, name.replace("/", "/msg/")))
    store.register(types)
    return store


# Protobuf


def _from_protobuf(name: str, data: bytes | memoryview) -> Any:
    from google.protobuf.message import DecodeError

    message = _classes()[name]()
    try:
        message.ParseFromString(bytes(data))
    except (DecodeError, ValueError):
        raise DamagedMessage(f"no {name}: it cannot be parsed") from None
    return message


@cache
def _classes() -> Mapping[str, Any]:
    """Classes for the fields that are read, in a pool of their own."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    stamp = timestamp_pb2.DESCRIPTOR.name
    file = descriptor_pb2.FileDescriptorProto(name="known", package="foxglove", syntax="proto3")
    file.dependency.append(stamp)
    for name, fields in PROTOBUF.items():
        message = file.message_type.add(name=name.partition(".")[2])
        for field, number, kind in fields:
            added = message.field.add(name=field, number=number, label=1)
            added.type = getattr(added, f"TYPE_{kind.upper()}")
            if kind == "message":
                added.type_name = ".google.protobuf.Timestamp"
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in PROTOBUF
    }


def _same_numbers(name: str, definition: bytes) -> bool:
    """Whether a FileDescriptorSet gives the fields of a type the numbers and types known here."""
    from google.protobuf import descriptor_pb2
    from google.protobuf.message import DecodeError

    try:
        files = descriptor_pb2.FileDescriptorSet.FromString(definition).file
    except DecodeError:
        return False
    for file in files:
        for message in file.message_type:
            if f"{file.package}.{message.name}" == name:
                declared = {field.name: (field.number, field.type) for field in message.field}
                types = descriptor_pb2.FieldDescriptorProto
                return all(
                    declared.get(field) == (number, getattr(types, f"TYPE_{kind.upper()}"))
                    for field, number, kind in PROTOBUF[name]
                )
    return False


# JSON


def _from_json(data: bytes | memoryview) -> Any:
    """Foxglove's types as JSON: `data` is base64, a time is {"sec", "nsec"}."""
    try:
        found = json.loads(bytes(data))
        found["data"] = base64.b64decode(found["data"], validate=True)
        if isinstance(stamp := found.get("timestamp"), dict):
            found["timestamp"] = SimpleNamespace(**{str(key): int(stamp[key]) for key in stamp})
        else:
            found["timestamp"] = None
    except (ArithmeticError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise DamagedMessage("a message is no JSON with a picture") from None
    return SimpleNamespace(**found)
