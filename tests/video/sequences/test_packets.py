"""Packets of video, one picture each, of which a decoder keeps the last ones back."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import pytest
from av.video.frame import PictureType

from sofdata.video.sequences.images import DamagedImage, picture
from sofdata.video.sequences.messages import Packet
from sofdata.video.sequences.packets import PacketPictures
from tests.conformance.barcode import draw, read
from tests.sequences import HEIGHT, WIDTH


def kept_back(count: int) -> list[Packet]:
    """H.264 that says that pictures may be reordered, and has no B-frame all the same."""
    coder: Any = av.CodecContext.create("libx264", "w")
    coder.width, coder.height, coder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    coder.time_base, coder.framerate = Fraction(1, 10), Fraction(10)
    coder.options = {"x264-params": "bframes=2:b-adapt=0:keyint=10"}
    packets = []
    for number in range(count):
        frame = av.VideoFrame.from_ndarray(draw(number, WIDTH, HEIGHT), format="rgb24")
        frame.pts = number
        frame.pict_type = PictureType.P if number % 10 else PictureType.I
        packets += coder.encode(frame)
    return [Packet("h264", bytes(packet)) for packet in [*packets, *coder.encode(None)]]


def number(image: Any) -> int | None:
    try:
        return read(picture(image, None).frame.to_ndarray(format="rgb24")).number
    except DamagedImage:
        return None


@pytest.mark.parametrize("count", [1, 2, 3, 25])
def test_the_last_pictures_are_shown_too(count: int) -> None:
    packets = kept_back(count)
    found = PacketPictures(packets.__getitem__, count)
    assert found.first_shown() == 0
    assert [number(image) for image in found.images(range(count))] == list(range(count))
    assert [number(image) for image in found.images([0, count - 1])] == [0, count - 1]


def test_a_lost_packet_is_lost_all_the_same() -> None:
    packets: list[Packet | None] = [*kept_back(25)]
    packets[23] = None
    found = PacketPictures(packets.__getitem__, 25)
    shown = [number(image) for image in found.images(range(25))]
    assert shown[:21] == list(range(21))
    assert shown[23:] == [None, None]
