"""Messages of ROS 1, ROS 2, Protobuf and JSON give their pictures, numbers, texts and stamps."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from google.protobuf import descriptor_pb2
from mcap_protobuf.schema import build_file_descriptor_set
from numpy.typing import NDArray

from sofdata.video.sequences.images import DamagedImage, picture
from sofdata.video.sequences.messages import Packet, known_type, refused_pictures
from sofdata.video.sequences.numbers import UnfitMessage
from sofdata.video.sequences.wire import DamagedMessage
from tests.conformance.barcode import draw, read
from tests.robots import (
    FFMPEG,
    array,
    json_message,
    made,
    numbers_array,
    proto,
    protos,
    ros,
    ros_message,
    twist,
    written,
)
from tests.sequences import HEIGHT, WIDTH, encoded

NS = 1_700_000_000_123_456_789
FORMS = {1: "ros1", 2: "cdr"}


def shown(image: object) -> tuple[int | None, str]:
    """The number on a stored picture, and how it is held: upright if its colours are right."""
    frame = picture(image, None).frame.to_ndarray(format="rgb24")
    found = read(frame)
    return found.number, found.held


def raw_message(version: int, encoding: str, data: bytes, step: int, **fields: int) -> bytes:
    values = {"height": HEIGHT, "width": WIDTH, "is_bigendian": 0, **fields}
    return ros_message(
        version,
        "sensor_msgs/msg/Image",
        time_ns=NS,
        encoding=encoding,
        step=step,
        data=array(data),
        **values,
    )


def padded(pixels: NDArray[np.uint8], padding: int) -> tuple[bytes, int]:
    """Rows with bytes behind them, and how long each is."""
    rows = np.ascontiguousarray(pixels).reshape(len(pixels), -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    return rows.tobytes(), rows.shape[1]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("stated", "kind"),
    [
        ("jpeg", "JPEG"),
        ("png", "PNG"),
        ("rgb8; jpeg compressed bgr8", "JPEG"),
        ("bgr8; png compressed bgr8", "PNG"),
        ("", "JPEG"),
        ("jpg", "WEBP"),  # what it says is of no account
    ],
)
def test_a_compressed_image_is_its_bytes(version: int, stated: str, kind: str) -> None:
    data = ros_message(
        version,
        "sensor_msgs/msg/CompressedImage",
        time_ns=NS,
        format=stated,
        data=array(encoded(9, kind)),
    )
    name = "sensor_msgs/msg/CompressedImage" if version == 2 else "sensor_msgs/CompressedImage"
    found = known_type(name, FORMS[version])
    assert found is not None
    assert found.stamp_ns(data[: found.stamp_bytes]) == NS
    assert found.left_out(data) == ""
    assert found.codec(data) == kind.lower()
    assert found.image(data) == encoded(9, kind)


@pytest.mark.parametrize(
    "stated", ["16UC1; compressedDepth png", "32FC1; compressedDepth", "16UC1; png compressed "]
)
def test_depth_is_left_out(stated: str) -> None:
    data = ros_message(
        2, "sensor_msgs/msg/CompressedImage", format=stated, data=array(encoded(9, "PNG"))
    )
    kind = known_type("sensor_msgs/msg/CompressedImage", "cdr")
    assert kind is not None
    assert kind.left_out(data) == "depth"


def test_a_png_of_16_bits_is_depth_unless_it_says_mono16() -> None:
    _, deep = cv2.imencode(".png", np.zeros((4, 4), np.uint16))
    kind = known_type("sensor_msgs/CompressedImage", "ros1")
    assert kind is not None
    for stated, why in (("png", "depth"), ("mono16; png compressed ", "")):
        data = ros_message(
            1, "sensor_msgs/msg/CompressedImage", format=stated, data=array(deep.tobytes())
        )
        assert kind.left_out(data) == why


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(
    ("encoding", "order"),
    [("rgb8", [0, 1, 2]), ("bgr8", [2, 1, 0]), ("rgba8", [0, 1, 2, 1]), ("bgra8", [2, 1, 0, 1])],
)
def test_raw_colours_come_in_any_order_and_padding(
    version: int, padding: int, encoding: str, order: list[int]
) -> None:
    data, step = padded(draw(5, WIDTH, HEIGHT)[:, :, order], padding)
    kind = known_type("sensor_msgs/msg/Image", FORMS[version])
    assert kind is not None
    message = raw_message(version, encoding, data, step)
    assert kind.stamp_ns(message[:16]) == NS
    assert kind.codec(message) == f"raw {encoding}"
    assert shown(kind.image(message)) == (5, "upright")


@pytest.mark.parametrize("is_bigendian", [0, 1])
@pytest.mark.parametrize("encoding", ["mono16", "rgb16"])
def test_16_bits_have_their_upper_8_in_either_byte_order(encoding: str, is_bigendian: int) -> None:
    rgb = draw(5, WIDTH, HEIGHT)
    pixels = rgb if encoding == "rgb16" else rgb[:, :, 1]
    deep = (pixels.astype(np.uint16) << 8 | 0x13).astype(">u2" if is_bigendian else "<u2")
    step = deep[0].nbytes
    message = raw_message(2, encoding, deep.tobytes(), step, is_bigendian=is_bigendian)
    kind = known_type("sensor_msgs/msg/Image", "cdr")
    assert kind is not None
    assert np.array_equal(np.asarray(kind.image(message)), pixels)


def test_grey_pictures_stay_grey() -> None:
    grey = draw(5, WIDTH, HEIGHT)[:, :, 1]
    kind = known_type("sensor_msgs/msg/Image", "cdr")
    assert kind is not None
    for encoding in ("mono8", "8UC1"):
        message = raw_message(2, encoding, grey.tobytes(), WIDTH)
        assert np.array_equal(np.asarray(kind.image(message)), grey)


@pytest.mark.parametrize("bits", ["8", "16"])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_a_bayer_pattern_has_its_colours(pattern: str, bits: str) -> None:
    rgb = draw(5, WIDTH, HEIGHT)
    mosaic = np.zeros((HEIGHT, WIDTH), np.uint8)
    for place, letter in enumerate(pattern):
        row, column = divmod(place, 2)
        mosaic[row::2, column::2] = rgb[row::2, column::2, "rgb".index(letter)]
    values = mosaic if bits == "8" else mosaic.astype("<u2") << 8
    message = raw_message(2, f"bayer_{pattern}{bits}", values.tobytes(), values.strides[0])
    kind = known_type("sensor_msgs/msg/Image", "cdr")
    assert kind is not None
    assert shown(kind.image(message)) == (5, "upright")
    red = np.asarray(kind.image(message))[-20:-4, 4:30].reshape(-1, 3).mean(0)
    assert red == pytest.approx([215, 25, 25], abs=2)


@pytest.mark.parametrize("encoding", ["yuv422", "uyvy", "yuv422_yuy2", "yuyv", "nv12", "nv21"])
def test_yuv_has_its_colours(encoding: str) -> None:
    rgb = draw(5, WIDTH, HEIGHT)
    if encoding.startswith("nv"):
        planar = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
        chroma = planar[HEIGHT:].reshape(2, -1)
        order = [0, 1] if encoding == "nv12" else [1, 0]
        packed = np.stack([chroma[order[0]], chroma[order[1]]], -1).reshape(-1, WIDTH)
        data, step = np.concatenate([planar[:HEIGHT], packed]).tobytes(), WIDTH
    else:
        yuv = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
        luma = yuv[:HEIGHT]
        halves = [half.reshape(HEIGHT // 2, WIDTH // 2) for half in yuv[HEIGHT:].reshape(2, -1)]
        blue, red = (np.repeat(half, 2, axis=0) for half in halves)
        packed = np.empty((HEIGHT, WIDTH, 2), np.uint8)
        first = 1 if encoding in ("yuv422", "uyvy") else 0
        packed[:, :, first] = luma
        packed[:, ::2, 1 - first], packed[:, 1::2, 1 - first] = blue, red
        data, step = padded(packed, 6)
    message = raw_message(2, encoding, data, step)
    kind = known_type("sensor_msgs/msg/Image", "cdr")
    assert kind is not None
    image = kind.image(message)
    assert shown(image) == (5, "upright")
    mark = np.asarray(image)[-20:-4, 4:30].reshape(-1, 3).mean(0)
    assert mark[0] > 180
    assert mark[2] < 60


@pytest.mark.parametrize(
    ("encoding", "why"),
    [("16UC1", "depth"), ("32FC1", "depth"), ("8UC3", "encoding 8UC3"), ("", "encoding ")],
)
def test_what_is_no_picture_or_does_not_say_its_colours_is_left_out(
    encoding: str, why: str
) -> None:
    message = raw_message(2, encoding, bytes(WIDTH * HEIGHT * 4), WIDTH * 4)
    kind = known_type("sensor_msgs/msg/Image", "cdr")
    assert kind is not None
    assert kind.left_out(message) == why
    with pytest.raises(DamagedImage, match="none that can be read"):
        kind.image(message)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"height": HEIGHT + 1}, "hold no 192x129 px"),
        ({"width": 2**31, "height": 2**31}, "hold no"),
        ({"height": 0}, "a picture of 192x0 px"),
    ],
)
def test_a_raw_picture_is_never_larger_than_its_bytes(fields: dict[str, int], what: str) -> None:
    message = raw_message(2, "rgb8", bytes(3 * WIDTH * HEIGHT), 0, **fields)
    kind = known_type("sensor_msgs/msg/Image", "cdr")
    assert kind is not None
    with pytest.raises(DamagedImage, match=what):
        kind.image(message)


@pytest.mark.parametrize("form", ["protobuf", "json", "cdr", "ros1"])
def test_foxgloves_pictures_are_read_in_every_form(form: str) -> None:
    jpeg, raw = encoded(9), draw(5, WIDTH, HEIGHT)
    size = {"width": WIDTH, "height": HEIGHT, "encoding": "rgb8", "step": 3 * WIDTH}
    if form == "protobuf":
        one = proto("CompressedImage", NS, format="jpeg", data=jpeg).SerializeToString()
        two = proto("RawImage", NS, data=raw.tobytes(), **size).SerializeToString()
    elif form == "json":
        one = json_message(NS, format="jpeg", data=jpeg)
        two = json_message(NS, data=raw.tobytes(), **size)
    else:
        version = 1 if form == "ros1" else 2
        given = {"time_ns": NS, "format": "jpeg", "data": array(jpeg)}
        one = ros_message(version, "foxglove_msgs/msg/CompressedImage", **given)
        given = {"time_ns": NS, "data": array(raw.tobytes()), **size}
        two = ros_message(version, "foxglove_msgs/msg/RawImage", **given)
    package = "foxglove." if form in ("protobuf", "json") else "foxglove_msgs/msg/"
    compressed = known_type(f"{package}CompressedImage", form)
    plain = known_type(f"{package}RawImage", form)
    assert compressed is not None
    assert plain is not None
    assert compressed.stamp_ns(one) == plain.stamp_ns(two) == NS
    assert compressed.image(one) == jpeg
    assert shown(plain.image(two)) == (5, "upright")


@pytest.mark.parametrize(
    ("stated", "codec"), [("h264", "h264"), ("h265", "hevc"), ("vp9", "vp9"), ("av1", "libdav1d")]
)
def test_video_comes_as_packets(stated: str, codec: str) -> None:
    kind = known_type("foxglove.CompressedVideo", "protobuf")
    assert kind is not None
    data = proto("CompressedVideo", NS, format=stated, data=b"\0\0\1").SerializeToString()
    packet = kind.image(data)
    assert isinstance(packet, Packet)
    assert (packet.codec, packet.data) == (codec, b"\0\0\1")
    assert kind.left_out(data) == ""
    odd = proto("CompressedVideo", NS, format="vp8", data=b"1").SerializeToString()
    assert kind.left_out(odd) == "format vp8"


@pytest.mark.parametrize("stated", ["hevc;yuv420p;bgr8;bgr8", "hevc_nvenc", "libx265"])
def test_packets_of_ffmpeg_image_transport_name_their_coder(stated: str) -> None:
    kind = known_type(FFMPEG, "cdr")
    assert kind is not None
    size = {"width": 4, "height": 4, "pts": 0, "flags": 1, "is_bigendian": False}
    data = ros_message(2, FFMPEG, time_ns=NS, encoding=stated, data=array(b"12"), **size)
    packet = kind.image(data)
    assert isinstance(packet, Packet)
    assert packet.codec == "hevc"
    assert kind.stamp_ns(data[:16]) == NS


def test_newer_versions_with_more_fields_are_read() -> None:
    """foxglove's CompressedVideo of 2026 ends with a uuid and a lineage."""
    kind = known_type("foxglove_msgs/msg/CompressedVideo", "cdr")
    assert kind is not None
    given = {"time_ns": NS, "format": "h264", "data": array(b"123")}
    data = ros_message(2, "foxglove_msgs/msg/CompressedVideo", **given)
    packet = kind.image(data + b"\0" * 40)
    assert isinstance(packet, Packet)
    assert packet.data == b"123"


@pytest.mark.parametrize("version", [1, 2])
def test_definitions_of_ros_are_the_known_ones(version: int) -> None:
    name = "sensor_msgs/msg/CompressedImage"
    text, _ = ros(version).generate_msgdef(name, ros_version=version)
    assert known_type(name, FORMS[version], text) is not None
    other = text.replace("string format", "string format\nuint32 width")
    assert known_type(name, FORMS[version], other) is None
    noted = f"# mail to somebody@example.org about this module \n{other}"
    assert known_type(name, FORMS[version], noted) is None
    own = text.partition("====")[0]
    newer = f"uint8 A=1 # b\n{own}\nstring more\n{text.removeprefix(own)}"
    assert known_type(name, FORMS[version], newer) is not None


def test_definitions_of_protobuf_are_the_known_ones() -> None:
    message = protos()["CompressedImage"]
    definition = build_file_descriptor_set(message)
    assert known_type("foxglove.CompressedImage", "protobuf", definition.SerializeToString())
    changed = descriptor_pb2.FileDescriptorSet()
    changed.CopyFrom(definition)
    changed.file[-1].message_type[0].field[2].number = 9
    assert not known_type("foxglove.CompressedImage", "protobuf", changed.SerializeToString())
    assert not known_type("foxglove.CompressedImage", "protobuf", b"\xff\xff")


def test_other_types_and_forms_are_not_read() -> None:
    assert known_type("sensor_msgs/msg/PointCloud2", "cdr") is None
    assert known_type("sensor_msgs/msg/Image", "protobuf") is None
    assert known_type("foxglove.RawImage", "flatbuffer") is None
    assert refused_pictures("sensor_msgs/msg/PointCloud2", "cdr") == ""
    assert refused_pictures("sensor_msgs/msg/Image", "cdr") == ""
    assert "in the form 'flatbuffer'" in refused_pictures("foxglove.RawImage", "flatbuffer")
    assert "type theora" in refused_pictures("theora_image_transport/msg/Packet", "cdr")


@pytest.mark.parametrize("form", ["ros1", "cdr"])
def test_cut_and_hostile_messages_are_damaged(form: str) -> None:
    version = 1 if form == "ros1" else 2
    kind = known_type("sensor_msgs/msg/CompressedImage", form)
    assert kind is not None
    given = {"time_ns": NS, "format": "jpeg", "data": array(encoded(9))}
    data = ros_message(version, "sensor_msgs/msg/CompressedImage", **given)
    for cut in (0, 3, 11, 14, 30, len(data) - 1):
        with pytest.raises(DamagedImage):
            kind.image(data[:cut])
    with pytest.raises(DamagedMessage):
        kind.stamp_ns(data[:6])
    at = data.index(len(encoded(9)).to_bytes(4, "little"))
    with pytest.raises(DamagedImage):
        kind.image(data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :])


def test_cdr_of_another_representation_is_told() -> None:
    kind = known_type("sensor_msgs/msg/CompressedImage", "cdr")
    assert kind is not None
    with pytest.raises(DamagedMessage, match="no plain CDR: it begins with 0003"):
        kind.stamp_ns(b"\0\3\0\0" + bytes(12))


def test_big_endian_cdr_is_read() -> None:
    store = ros(2)
    given = {"time_ns": NS, "format": "jpeg", "data": array(encoded(9))}
    message = made(2, "sensor_msgs/msg/CompressedImage", **given)
    data = bytes(store.serialize_cdr(message, message.__msgtype__, little_endian=False))
    kind = known_type("sensor_msgs/msg/CompressedImage", "cdr")
    assert kind is not None
    assert kind.image(data) == encoded(9)
    assert kind.stamp_ns(data[:16]) == NS


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"[]", b"{}", b'{"data": 3}', b'{"data": "?"}', b"[" * 100_000),
        b'{"data": "", "timestamp": {"sec": 1e999, "nsec": 0}}',
    ],
)
def test_json_that_holds_no_picture_is_damaged(data: bytes) -> None:
    kind = known_type("foxglove.CompressedImage", "json")
    assert kind is not None
    with pytest.raises(DamagedImage):
        kind.image(data)


def test_a_stamp_that_is_not_there_is_none() -> None:
    kind = known_type("foxglove.CompressedImage", "json")
    assert kind is not None
    assert kind.stamp_ns(json_message(0, data=b"")) == 0
    assert kind.stamp_ns(json.dumps({"data": ""}).encode()) is None


def test_joints_are_named_and_what_is_given_is_joined() -> None:
    kind = known_type("sensor_msgs/msg/JointState", "cdr")
    assert kind is not None

    def joints(**given: list[float]) -> bytes:
        parts = {"position": [], "velocity": [], "effort": [], **given}
        values = {part: np.array(numbers, np.float64) for part, numbers in parts.items()}
        return ros_message(2, "sensor_msgs/msg/JointState", name=["a", "b"], **values)

    found = kind.numbers(joints(position=[1.0, 2.0]))
    assert found.names == ("a", "b")
    assert found.values.tolist() == [1, 2]
    both = kind.numbers(joints(position=[1.0, 2.0], effort=[3.0, 4.0]))
    assert both.names == ("a.position", "b.position", "a.effort", "b.effort")
    for wrong in ({}, {"position": [1.0]}):
        with pytest.raises(UnfitMessage, match="2 joints have"):
            kind.numbers(joints(**wrong))


def test_twists_and_arrays_are_numbers() -> None:
    kind = known_type("geometry_msgs/msg/Twist", "cdr")
    assert kind is not None
    found = kind.numbers(written(2, twist(range(6))))
    assert found.names == (
        "linear.x", "linear.y", "linear.z", "angular.x", "angular.y", "angular.z",
    )  # fmt: skip
    assert found.values.tolist() == [0, 1, 2, 3, 4, 5]
    stamped = known_type("geometry_msgs/msg/TwistStamped", "cdr")
    assert stamped is not None
    data = ros_message(2, "geometry_msgs/msg/TwistStamped", time_ns=NS, twist=twist(range(6)))
    assert stamped.numbers(data).names == found.names
    assert stamped.stamp_ns(data[:16]) == NS
    for name in ("Float32MultiArray", "Float64MultiArray"):
        several = known_type(f"std_msgs/msg/{name}", "cdr")
        assert several is not None
        numbers = several.numbers(written(2, numbers_array([9, 1, 2], name, offset=1)))
        assert numbers.names == ("action_0", "action_1")
        assert numbers.values.tolist() == [1, 2]
        assert several.stamp_ns(b"") is None
        with pytest.raises(UnfitMessage):
            several.numbers(written(2, numbers_array([], name)))


@pytest.mark.parametrize("version", [1, 2])
def test_a_string_is_a_text(version: int) -> None:
    kind = known_type("std_msgs/msg/String", FORMS[version])
    assert kind is not None
    assert kind.use == "text"
    message = ros(version).types["std_msgs/msg/String"](data="pick the cup")
    assert kind.text(written(version, message)) == "pick the cup"


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), "noon", None])
def test_a_time_that_is_none_damages_a_message_of_json(seconds: object) -> None:
    kind = known_type("foxglove.CompressedImage", "json")
    assert kind is not None
    message = json.loads(json_message(NS, format="jpeg", data=encoded(9)))
    message["timestamp"] = {"sec": seconds, "nsec": 0}
    with pytest.raises(DamagedMessage):
        kind.stamp_ns(json.dumps(message).encode())
