"""Messages of robots that hold pictures, numbers or texts: what each gives, and its stamp.

    known_type("sensor_msgs/msg/Image", "cdr", definition)   a type that is read, or None
    .stamp_ns(data)      when it says it was taken
    .left_out(data)      why it is no picture to use ("depth"), "" where it is one
    .image(data)         a stored picture, or a `Packet` of a video
    .numbers(data)       an action: names and values
    .text(data)          what is said

Used for MCAP and for bags of ROS 1 and ROS 2. See `wire` for the types and how they are read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import InputError
from sofdata.video.sequences import wire
from sofdata.video.sequences.base import StoredImage
from sofdata.video.sequences.images import DamagedImage
from sofdata.video.sequences.rawimages import is_depth, is_known, raw_image
from sofdata.video.sequences.wire import STAMP_BYTES, DamagedMessage, Wire

Use = Literal["picture", "numbers", "text"]

_RAW = ("sensor_msgs/Image", "foxglove_msgs/RawImage", "foxglove.RawImage")
_VIDEO = ("foxglove_msgs/CompressedVideo", "foxglove.CompressedVideo")
_FFMPEG = "ffmpeg_image_transport_msgs/FFMPEGPacket"
_ENCODED = (
    "sensor_msgs/CompressedImage",
    "foxglove_msgs/CompressedImage",
    "foxglove.CompressedImage",
)
PICTURES = (*_RAW, *_VIDEO, _FFMPEG, *_ENCODED)
# Types of pictures that are not read, and that a user should hear of.
OTHER_PICTURES = (
    "theora_image_transport/Packet",
    "x264_image_transport/x264Packet",
)
TEXTS = ("std_msgs/String",)
# What a message calls the coding of its packets, and FFmpeg's decoder for it.
CODECS = {
    "h264": "h264",
    "libx264": "h264",
    "avc": "h264",
    "h265": "hevc",
    "hevc": "hevc",
    "libx265": "hevc",
    "vp9": "vp9",
    "libvpx-vp9": "vp9",
    "av1": "libdav1d",
    "libaom-av1": "libdav1d",
    "libsvtav1": "libdav1d",
}
_HARDWARE = re.compile(r"(h264|hevc|av1)_(nvenc|vaapi|qsv|nvmpi|amf|v4l2m2m|videotoolbox)")
_PNG = b"\x89PNG\r\n\x1a\n"
DEPTH = "depth"
MOST_NAMES = 4096  # numbers in an action


@dataclass(frozen=True, slots=True, eq=False)
class Packet:
    """One encoded picture of a video, which needs those before it. codec: FFmpeg's decoder."""

    codec: str
    data: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """An action, or a state. values: float32 [A], one for each name; NaN where one is missing."""

    names: tuple[str, ...]
    values: NDArray[np.float32]


class UnfitMessage(InputError):
    """A message of a type that may hold pictures or numbers, which holds none that can be used."""


@dataclass(frozen=True, slots=True)
class MessageType:
    """A type of messages that is read, in one of the forms in which they are written.

    name: without "/msg/": "sensor_msgs/Image", "foxglove.RawImage".
    """

    name: str
    form: Wire

    @property
    def use(self) -> Use:
        """What it is good for."""
        if self.name in PICTURES:
            return "picture"
        return "text" if self.name in TEXTS else "numbers"

    @property
    def stamp_bytes(self) -> int | None:
        """How much of a message tells its stamp; None: all of it."""
        return STAMP_BYTES if self.form in ("ros1", "cdr") else None

    @property
    def is_video(self) -> bool:
        """Whether its pictures are packets of a video, by the type alone."""
        return self.name in _VIDEO or self.name == _FFMPEG

    def stamp_ns(self, data: bytes | memoryview) -> int | None:
        """Its stamp, None where it has none. data: `stamp_bytes` of it at least.

        Raises `DamagedMessage`.
        """
        return wire.stamp_ns(self.name, self.form, data)

    def left_out(self, data: bytes | memoryview) -> str:
        """Why it is no picture to use, in a word or two for a count; "" where it is one.

        Raises `DamagedMessage`.
        """
        message = wire.parsed(self.name, self.form, data)
        if self.name in _RAW:
            encoding = _text(message, "encoding")
            if is_depth(encoding):
                return DEPTH
            return "" if is_known(encoding) else f"encoding {encoding:.40}"
        stated = _stated(self.name, message)
        if self.is_video:
            return "" if _codec(stated) else f"format {stated:.40}"
        if "compresseddepth" in stated.lower() or is_depth(stated):
            return DEPTH
        is_mono = stated.lower().startswith("mono16")
        return DEPTH if _is_deep_png(bytes(message.data[:32])) and not is_mono else ""

    def codec(self, data: bytes | memoryview) -> str:
        """What its pictures are, for the record: "raw rgb8", "jpeg", "h264".

        Raises `DamagedMessage`.
        """
        message = wire.parsed(self.name, self.form, data)
        if self.name in _RAW:
            return f"raw {_text(message, 'encoding')[:40]}"
        stated = _stated(self.name, message)
        if codec := _video_codec(self.name, stated):
            return {"libdav1d": "av1"}.get(codec, codec)
        return _kind(bytes(message.data[:16]))

    def image(self, data: bytes | memoryview) -> StoredImage | Packet:
        """The picture. Raises `DamagedImage` where there is none."""
        try:
            message = wire.parsed(self.name, self.form, data)
            if self.name in _RAW:
                return _raw(message)
            codec = _video_codec(self.name, _stated(self.name, message))
        except DamagedMessage as error:
            raise DamagedImage(str(error)) from None
        held = bytes(message.data)
        return Packet(codec, held) if codec else held

    def numbers(self, data: bytes | memoryview) -> Numbers:
        """Its numbers. Raises `DamagedMessage`, and `UnfitMessage` where it holds none."""
        message = wire.parsed(self.name, self.form, data)
        if self.name == "sensor_msgs/JointState":
            return _joints(message)
        if self.name.endswith("MultiArray"):
            return _array(message)
        for field in ("twist", "pose"):
            message = getattr(message, field, message)
        names = _paths(message)
        values = [_at(message, name) for name in names]
        return Numbers(names, np.array(values, np.float32))

    def text(self, data: bytes | memoryview) -> str:
        """What it says. Raises `DamagedMessage`."""
        return str(wire.parsed(self.name, self.form, data).data)

    @classmethod
    def known(cls, name: str, form: str, definition: str | bytes = "") -> Self | None:
        """As `known_type`."""
        short = name.replace("/msg/", "/")
        if form not in wire.WIRES or not wire.is_known(short, wire.WIRES[form]):
            return None
        same = wire.is_same(short, wire.WIRES[form], definition)
        return cls(short, wire.WIRES[form]) if same else None


def known_type(name: str, form: str, definition: str | bytes = "") -> MessageType | None:
    """A type that is read, None for any other.

    name: "sensor_msgs/msg/Image", "sensor_msgs/Image", "foxglove.RawImage". form: "ros1", "cdr",
    "protobuf", "json". definition: what the file says of the type, to be compared; "": nothing.
    """
    return MessageType.known(name, form, definition)


def refused_pictures(name: str, form: str, definition: str | bytes = "") -> str:
    """Why a type that holds pictures is not read, in words for a count; "" for any other type.

    Arguments as of `known_type`.
    """
    short = name.replace("/msg/", "/")
    if short in OTHER_PICTURES:
        return f"type {short}"
    if short not in PICTURES or known_type(name, form, definition) is not None:
        return ""
    known = form in wire.WIRES and wire.is_known(short, wire.WIRES[form])
    return f"other definition of {short}" if known else f"{short} in the form '{form:.20}'"


# Pictures


def _raw(message: Any) -> NDArray[np.uint8]:
    try:
        size = int(message.width), int(message.height)
        step = int(message.step)
        is_bigendian = bool(getattr(message, "is_bigendian", False))
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise DamagedMessage("a raw picture does not say its size") from None
    return raw_image(_text(message, "encoding"), size, step, is_bigendian, message.data)


def _stated(name: str, message: Any) -> str:
    """What a message says of the coding of its picture."""
    return _text(message, "encoding" if name == _FFMPEG else "format")


def _text(message: Any, field: str) -> str:
    found = getattr(message, field, None)
    if not isinstance(found, str):
        raise DamagedMessage(f"a message lacks '{field}'")
    return found.strip()


def _video_codec(name: str, stated: str) -> str:
    """FFmpeg's decoder of packets, "" for pictures that stand alone."""
    codec = _codec(stated)
    if not codec and (name in _VIDEO or name == _FFMPEG):
        raise DamagedMessage(f"the format '{stated:.40}' is none that can be read")
    return codec


def _codec(stated: str) -> str:
    """As stated: "h264", "hevc;yuv420p;bgr8;bgr8", "h264_nvenc"; "" for no video."""
    word = stated.partition(";")[0].strip().lower()
    hardware = _HARDWARE.fullmatch(word)
    return CODECS.get(hardware[1] if hardware else word, "")


def _kind(head: bytes) -> str:
    marks = {b"\xff\xd8\xff": "jpeg", _PNG: "png", b"RIFF": "webp", b"BM": "bmp"}
    return next((kind for mark, kind in marks.items() if head.startswith(mark)), "pictures")


def _is_deep_png(head: bytes) -> bool:
    """Whether this is a PNG of 16 bits in one channel, as depth is sent. PNG 1.2, 11.2.2."""
    return head.startswith(_PNG) and len(head) >= 26 and head[24:26] == b"\x10\x00"


# Numbers


def _joints(message: Any) -> Numbers:
    """Positions, velocities and efforts of joints, those of the three that are there."""
    parts = [(kind, getattr(message, kind)) for kind in ("position", "velocity", "effort")]
    given = [(kind, values) for kind, values in parts if len(values)]
    joints = [str(name) for name in message.name]
    if not given or any(len(values) != len(joints) for _, values in given):
        counts = ", ".join(f"{len(values)} {kind}" for kind, values in parts)
        raise UnfitMessage(f"{len(joints)} joints have {counts}")
    alone = given[0][0] == "position" and len(given) == 1
    names = [name if alone else f"{name}.{kind}" for kind, _ in given for name in joints]
    return _checked(names, np.concatenate([values for _, values in given]))


def _array(message: Any) -> Numbers:
    values = message.data[int(message.layout.data_offset) :]
    return _checked([f"action_{number}" for number in range(len(values))], values)


def _checked(names: Sequence[str], values: NDArray[Any]) -> Numbers:
    if not names or len(names) > MOST_NAMES or len(set(names)) != len(names):
        raise UnfitMessage(f"{len(names)} numbers of {len(set(names))} names")
    with np.errstate(over="ignore"):
        return Numbers(tuple(names), np.asarray(values).astype(np.float32))


def _paths(message: Any, before: str = "") -> tuple[str, ...]:
    """The numbers in a message of parts, by name: linear.x, linear.y, ..."""
    found: list[str] = []
    for field in message.__dataclass_fields__:
        value = getattr(message, field)
        if hasattr(value, "__dataclass_fields__"):
            found += _paths(value, f"{before}{field}.")
        elif isinstance(value, float):
            found.append(f"{before}{field}")
    return tuple(found)


def _at(message: Any, path: str) -> float:
    for field in path.split("."):
        message = getattr(message, field)
    return float(message)
