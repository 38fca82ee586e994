"""Display matrices make pictures upright: all eight ways, and those without meaning."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import pytest
from PIL import Image

from sofdata.audit.reference import lying
from sofdata.video.config import VideoConfig
from sofdata.video.orientation import UPRIGHT, Orientation, from_matrix, orientation_of
from sofdata.video.reader import open_video
from sofdata.video.sampling import Sampling
from sofdata.video.sequences.images import picture
from tests.conformance.barcode import read
from tests.sequences import HEIGHT, WIDTH, encoded
from tests.videos import moving_square, write_video

ONE = 1 << 16
STORED = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)


def _matrix(a: float, b: float, c: float, d: float) -> bytes:
    scaled = [round(each * ONE) for each in (a, b, 0, c, d, 0, 0, 0)]
    return struct.pack("=9i", *scaled, 1 << 30)


@pytest.mark.parametrize("a", [-1, 0, 1])
@pytest.mark.parametrize("b", [-1, 0, 1])
@pytest.mark.parametrize("c", [-1, 0, 1])
@pytest.mark.parametrize("d", [-1, 0, 1])
def test_each_point_is_shown_where_the_matrix_puts_it(a: int, b: int, c: int, d: int) -> None:
    found = from_matrix(_matrix(a, b, c, d)).apply(STORED)
    if a * d - b * c == 0 or 0 not in (a, b, c, d):
        if a * d - b * c == 0:
            np.testing.assert_array_equal(found, STORED)
        return
    if sorted(map(abs, (a, b, c, d))) != [0, 0, 1, 1]:
        return  # a shear, of which only the nearest turn is meant
    points = {
        (a * x + c * y, b * x + d * y): STORED[y, x]
        for y in range(STORED.shape[0])
        for x in range(STORED.shape[1])
    }
    left, top = min(x for x, _ in points), min(y for _, y in points)
    for (x, y), colour in points.items():
        np.testing.assert_array_equal(found[y - top, x - left], colour)


def test_a_matrix_without_meaning_is_no_turn() -> None:
    assert from_matrix(_matrix(0, 0, 0, 0)) == UPRIGHT
    assert from_matrix(_matrix(1, 0, 1, 0)) == UPRIGHT
    assert from_matrix(b"") == UPRIGHT


def test_a_turn_by_some_degrees_is_rounded_to_a_quarter() -> None:
    assert from_matrix(_matrix(0.99, 0.1, -0.1, 0.99)) == UPRIGHT
    assert from_matrix(_matrix(0.1, 0.99, -0.99, 0.1)) == Orientation(True, flip_x=True)


def test_a_reflection_is_told_from_a_turn() -> None:
    assert Orientation(flip_x=True).is_mirrored
    assert Orientation(transpose=True).is_mirrored
    assert not Orientation(flip_x=True, flip_y=True).is_mirrored
    assert not Orientation(transpose=True, flip_x=True).is_mirrored


@pytest.mark.parametrize("ask", [orientation_of, lying])
def test_a_frame_that_was_asked_for_its_matrix_can_leave_the_memory(
    tmp_path: Path, ask: Callable[[av.VideoFrame], object]
) -> None:
    with av.open(str(write_video(tmp_path / "a.mp4", moving_square(2), 25))) as container:
        frame = next(container.decode(video=0))
        before = sys.getrefcount(frame)
        ask(frame)
        assert sys.getrefcount(frame) == before


def write_exif(path: Path, turn: int) -> Path:
    """Frames of MJPEG that carry their number, and each an orientation in its Exif."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        for number in range(8):
            exif = Image.Exif()
            exif[0x0112], exif[0x010F] = turn, "a maker"
            packet = av.Packet(encoded(number, exif=exif))
            packet.stream, packet.time_base = stream, Fraction(1, 10)
            packet.pts = packet.dts = number
            packet.is_keyframe = True
            container.mux(packet)
    return path


@pytest.mark.parametrize("suffix", ["mov", "avi", "mkv", "mp4"])
@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_frames_with_exif_are_turned_as_it_says(
    tmp_path: Path, suffix: str, decoder: Literal["pyav", "decord"]
) -> None:
    path = write_exif(tmp_path / f"a.{suffix}", turn=6)
    config, sampling = VideoConfig(decoder=decoder), Sampling(size=96, step_s=0.1)
    rgb = np.concatenate([each.rgb for each in open_video(str(path), config, sampling)])
    assert {(each, read(one).number) for each, one in enumerate(rgb)} == {(n, n) for n in range(8)}
    assert {read(one).held for one in rgb} == {"turned right"}


@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_turns_a_frame_as_it_turns_a_picture(tmp_path: Path, turn: int) -> None:
    with av.open(str(write_exif(tmp_path / "a.mov", turn))) as container:
        frame = next(container.decode(video=0))
    exif = Image.Exif()
    exif[0x0112] = turn
    of_picture = picture(encoded(0, exif=exif), None).orientation
    assert (orientation_of(frame) or UPRIGHT) == of_picture
    assert lying(frame)  # the audit's own reading of it does not fail either
