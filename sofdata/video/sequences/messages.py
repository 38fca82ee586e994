"""Messages of robots that hold pictures, numbers or texts: what each gives, and its stamp.

    known_type("sensor_msgs/msg/Image", "cdr", definition)   a type that is read, or None
    .stamp_ns(data)      when it says it was taken
    .left_out(data, topic)   why it is no picture to use ("depth"), "" where it is one
    .image(data)         a stored picture, or a `Packet` of a video
    .numbers(data)       an action: names and values
    .text(data)          what is said

Used for MCAP and for bags of ROS 1 and ROS 2. See `wire` for the types and how they are read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from sofdata.video.sequences import wire
from sofdata.video.sequences.base import StoredImage
from sofdata.video.sequences.images import DamagedImage, GreyCoded
from sofdata.video.sequences.numbers import Numbers, numbers_of
from sofdata.video.sequences.rawimages import is_depth, is_known, raw_image, shown_of_grey
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
_DEPTH_NAME = re.compile("depth|disparity", re.IGNORECASE)
_PNG = b"\x89PNG\r\n\x1a\n"
DEPTH = "depth"


@dataclass(frozen=True, slots=True, eq=False)
class Packet:
    """One encoded picture of a video, which needs those before it. codec: FFmpeg's decoder."""

    codec: str
    data: bytes


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

    def left_out(self, data: bytes | memoryview, topic: str = "") -> str:
        """Why it is no picture to use, in a word or two for a count; "" where it is one.

        topic: on which it came. What RealSense's own bags call mono16 is depth as often as not.
        Raises `DamagedMessage`.
        """
        message = wire.parsed(self.name, self.form, data)
        if self.name in _RAW:
            encoding = _text(message, "encoding")
            if is_depth(encoding) or _is_called_depth(topic, encoding):
                return DEPTH
            return "" if is_known(encoding) else f"encoding {encoding:.40}"
        stated = _stated(self.name, message)
        if self.is_video:
            return "" if _codec(stated) else f"format {stated:.40}"
        if "compresseddepth" in stated.lower() or is_depth(stated):
            return DEPTH
        if _is_called_depth(topic, stated):
            return DEPTH
        return DEPTH if _is_deep_png(bytes(message.data[:32])) and not _of_grey(stated) else ""

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
            stated = _stated(self.name, message)
            codec = _video_codec(self.name, stated)
        except DamagedMessage as error:
            raise DamagedImage(str(error)) from None
        held = bytes(message.data)
        if codec:
            return Packet(codec, held)
        encoding = _of_grey(stated)
        return GreyCoded(held, partial(shown_of_grey, encoding)) if encoding else held

    def numbers(self, data: bytes | memoryview) -> Numbers:
        """Its numbers. Raises `DamagedMessage`, and `UnfitMessage` where it holds none."""
        return numbers_of(self.name, wire.parsed(self.name, self.form, data))

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


def _of_grey(stated: str) -> str:
    """The encoding of a picture that was packed as grey and is not: a Bayer pattern, or 16 bits.

    image_transport says "bayer_rggb8; jpeg compressed " where it packed the pattern as it was, and
    "bayer_rggb8; jpeg compressed mono8" where it made it grey before.
    """
    encoding, _, packing = stated.lower().partition(";")
    packed = packing.rpartition("compressed")[2].strip()
    is_one = encoding == "mono16" or encoding.startswith("bayer_")
    return encoding if is_one and is_known(encoding) and packed in ("", encoding) else ""


def _is_called_depth(topic: str, encoding: str) -> bool:
    return encoding.lower().startswith("mono16") and bool(_DEPTH_NAME.search(topic))


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
