"""Pictures that were packed as grey and stand for something else: patterns of a sensor, 16 bits."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sofdata.video.probe import Unusable
from sofdata.video.sequences.images import picture
from sofdata.video.sequences.messages import MessageType, known_type
from tests.conformance.barcode import draw, read
from tests.robots import array, ros_message
from tests.sequences import HEIGHT, WIDTH

COMPRESSED = "sensor_msgs/msg/CompressedImage"
DEPTH_0 = "/device_0/sensor_0/Depth_0/image/data"  # as RealSense's viewer names it


def kind(name: str = COMPRESSED) -> MessageType:
    found = known_type(name, "cdr")
    assert found is not None
    return found


def packed(values: NDArray[np.generic], stated: str, end: str) -> bytes:
    """A message of a picture of one channel, as OpenCV packs it for image_transport."""
    _, data = cv2.imencode(end, values, [cv2.IMWRITE_JPEG_QUALITY, 100])
    return ros_message(2, COMPRESSED, format=stated, data=array(data.tobytes()))


def shown(message: bytes) -> NDArray[np.uint8]:
    frame = picture(kind().image(message), None).frame
    rgb: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
    return rgb


def mosaic(pattern: str) -> NDArray[np.uint8]:
    """What a sensor under a pattern of colours makes of picture 5."""
    rgb = draw(5, WIDTH, HEIGHT)
    found = np.zeros((HEIGHT, WIDTH), np.uint8)
    for place, letter in enumerate(pattern):
        row, column = divmod(place, 2)
        found[row::2, column::2] = rgb[row::2, column::2, "rgb".index(letter)]
    return found


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize(
    ("said", "end"),
    [
        ("bayer_{}8; jpeg compressed ", ".jpg"),
        ("bayer_{0}8; png compressed bayer_{0}8", ".png"),
        ("bayer_{}16; png compressed ", ".png"),
        ("bayer_{}8; tiff compressed ", ".tiff"),
        ("bayer_{}16; tiff compressed ", ".tiff"),
    ],
)
def test_a_packed_pattern_has_its_colours(pattern: str, said: str, end: str) -> None:
    values: NDArray[np.generic] = mosaic(pattern)
    if "16" in said:
        values = values.astype(np.uint16) << 8
    message = packed(values, said.format(pattern), end)
    assert kind().left_out(message) == ""
    rgb = shown(message)
    found = read(rgb)
    assert (found.number, found.held) == (5, "upright")
    assert rgb[-20:-4, 4:30].reshape(-1, 3).mean(0) == pytest.approx([215, 25, 25], abs=3)


def test_a_pattern_that_was_made_grey_before_stays_grey() -> None:
    """As image_transport of ROS 2 does it."""
    grey = draw(5, WIDTH, HEIGHT)[:, :, 1]
    rgb = shown(packed(grey, "bayer_rggb8; jpeg compressed mono8", ".jpg"))
    assert np.abs(rgb.astype(int) - grey[:, :, None]).max() <= 2


def test_a_png_called_mono16_shows_its_upper_8_bits() -> None:
    grey = draw(5, WIDTH, HEIGHT)[:, :, 1]
    deep = grey.astype(np.uint16) << 8 | 0x7F
    message = packed(deep, "mono16; png compressed ", ".png")
    assert kind().left_out(message, "/thermal") == ""
    assert np.array_equal(shown(message), np.repeat(grey[:, :, None], 3, axis=2))
    unnamed = packed(deep, "png", ".png")
    assert kind().left_out(unnamed) == "depth"
    with pytest.raises(Unusable, match="a grey PNG of more than 8 bits: a depth map"):
        shown(unnamed)


def test_mono16_on_a_topic_that_is_called_depth_is_depth() -> None:
    """librealsense calls its distances mono16 in the bags that it writes."""
    size = {"height": HEIGHT, "width": WIDTH, "step": 2 * WIDTH, "is_bigendian": 0}
    data = array(np.full((HEIGHT, WIDTH), 1500, np.uint16).tobytes())
    image = kind("sensor_msgs/msg/Image")
    raw = ros_message(2, "sensor_msgs/msg/Image", encoding="mono16", data=data, **size)
    assert image.left_out(raw, DEPTH_0) == "depth"
    assert image.left_out(raw, "/thermal/image_raw") == ""
    message = packed(np.full((4, 4), 1500, np.uint16), "mono16; png compressed ", ".png")
    assert kind().left_out(message, "/camera/depth/image_rect_raw/compressed") == "depth"
    grey = ros_message(2, "sensor_msgs/msg/Image", encoding="mono8", data=data, **size)
    assert image.left_out(grey, DEPTH_0) == ""
