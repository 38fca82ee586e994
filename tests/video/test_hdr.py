"""HDR to standard frames: the standards' own values, and one scene encoded in three ways."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sofdata.errors import ContractError
from sofdata.scenes import moving_texture
from sofdata.video.hdr import (
    Transfer,
    hdr_transfer,
    hlg_to_scene,
    nits_to_pq,
    pq_to_nits,
    to_bt709,
    tone_curve,
    tone_map,
)
from tests.cases import read_frames

PQ, HLG, SDR = 16, 18, 1  # FFmpeg's numbers of transfers
BT709, BT2020 = 1, 9  # and of primaries, the same as of matrices
Nits = NDArray[np.float64]


def codes(signal: NDArray[np.float64] | list[float]) -> NDArray[np.uint16]:
    """Grey pixels of these signals, 0..1."""
    grey = np.rint(np.asarray(signal) * 65535).astype(np.uint16)
    return np.repeat(grey[:, None], 3, axis=1)


def nits_to_hlg(nits: Nits) -> NDArray[np.float64]:
    """Signal [...,3] that a display of 1000 nits shows so; the reverse of BT.2100, table 5."""
    light = nits / 1000
    luminance = (light @ [0.2627, 0.6780, 0.0593])[..., None]
    scene = light * np.where(luminance > 0, luminance, 1) ** (1 / 1.2 - 1)
    bright = np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) * 0.17883277 + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright)


def test_pq_is_that_of_st_2084() -> None:
    # Levels of BT.2408-7, table 1 and annex: 100, 203 and 1000 nits.
    assert nits_to_pq(np.array([100.0, 203, 1000, 10000])) == pytest.approx(
        [0.508, 0.581, 0.752, 1], abs=5e-4
    )
    assert pq_to_nits(np.array([0.0, 0.5, 1])) == pytest.approx([0, 92.25, 10000], abs=0.01)


def test_hlg_is_that_of_bt_2100() -> None:
    assert hlg_to_scene(np.array([0.0, 0.5, 1])) == pytest.approx([0, 1 / 12, 1], abs=1e-6)
    white = 1000 * hlg_to_scene(np.array([0.75])) ** 1.2  # BT.2408: 75 % is 203 nits
    assert white == pytest.approx([203], abs=0.5)


def test_the_matrix_is_that_of_bt_2087() -> None:
    expected = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
    assert np.allclose(to_bt709(BT2020), expected, atol=1e-4)
    assert np.allclose(to_bt709(BT709), np.eye(3))


def test_the_tone_curve_keeps_the_dark_and_brings_the_peak_to_white() -> None:
    nits = np.array([0.0, 10, 80, 203, 1000, 4000])
    curve = tone_curve(nits)
    assert curve[:3] == pytest.approx(nits[:3])
    assert curve[3] == pytest.approx(159, abs=1)
    assert curve[4:] == pytest.approx([203, 203], abs=0.01)
    assert (np.diff(tone_curve(np.linspace(0, 1000, 500))) > 0).all()


@pytest.mark.parametrize(("transfer", "white"), [("pq", 0.5807), ("hlg", 0.75)], ids=["PQ", "HLG"])
def test_black_white_and_peak_of_both_come_out_alike(transfer: Transfer, white: float) -> None:
    grey = tone_map(codes([0, white, 1]), transfer)
    assert grey.dtype == np.uint8
    assert grey.tolist() == [[0, 0, 0], [230, 230, 230], [255, 255, 255]]


def test_grey_below_the_knee_is_what_a_standard_display_shows() -> None:
    nits = np.array([0.02, 0.5, 5, 20, 60, 87])
    expected = 255 * (nits / 203) ** (1 / 2.4)
    as_hlg = nits_to_hlg(np.repeat(nits[:, None], 3, axis=1))[:, 0]
    for found in (tone_map(codes(nits_to_pq(nits)), "pq"), tone_map(codes(as_hlg), "hlg")):
        assert found[:, 0] == pytest.approx(expected, abs=0.6)


def test_a_colour_of_bt_709_keeps_its_hue_and_one_outside_is_cut_off() -> None:
    red = np.array([[50.0, 5, 5]])
    inside = codes([0.0])
    inside[0] = np.rint(nits_to_pq(np.linalg.inv(to_bt709(BT2020)) @ red[0]) * 65535)
    assert tone_map(inside, "pq")[0] == pytest.approx(255 * (red[0] / 203) ** (1 / 2.4), abs=1)
    green = np.array([[0, 40000, 0]], np.uint16)
    assert tone_map(green, "pq")[0, 0] == tone_map(green, "pq")[0, 2] == 0


def test_unknown_primaries_count_as_bt_2020_and_those_of_bt_709_stay() -> None:
    rgb = np.array([[20000, 30000, 10000]], np.uint16)
    assert (tone_map(rgb, "pq", 2) == tone_map(rgb, "pq", BT2020)).all()
    assert (tone_map(rgb, "pq", BT709) != tone_map(rgb, "pq", BT2020)).any()


def test_a_frame_of_any_shape_keeps_it_and_another_type_is_refused() -> None:
    assert tone_map(np.zeros((4, 6, 3), np.uint16), "hlg").shape == (4, 6, 3)
    with pytest.raises(ContractError, match="uint8"):
        tone_map(np.zeros((4, 6, 3), np.uint8), "pq")


def test_only_pq_and_hlg_are_hdr() -> None:
    found = {number: hdr_transfer(number) for number in range(20) if hdr_transfer(number)}
    assert found == {PQ: "pq", HLG: "hlg"}


def scene() -> NDArray[np.uint8]:
    """Three frames of a grey texture under light that turns from red to blue, 20 to 200 of 255."""
    grey = moving_texture(2, 1, 3, (128, 192), seed=5).mean(-1, keepdims=True)
    light = np.linspace([1.1, 0.9, 0.6], [0.6, 0.9, 1.1], grey.shape[2])
    return np.asarray(np.rint(np.clip(grey * light, 20, 200)), np.uint8)


def write(path: Path, transfer: int, codec: str = "libx265") -> Path:
    """The scene in standard 8 bits, or as it would be graded in 10 bits of BT.2020."""
    import av

    frames = scene()
    hdr = transfer != SDR
    primaries = BT2020 if hdr else BT709
    pixels = "yuv420p10le" if hdr else "yuv420p"
    options = {"x265-params": "log-level=none:pools=1", "crf": "8", "preset": "ultrafast"}
    if codec == "libsvtav1":
        options = {"crf": "8", "preset": "10", "svtav1-params": "lp=1"}
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], pixels
        stream.options = options
        context = stream.codec_context
        context.color_trc, context.color_primaries = transfer, primaries
        context.colorspace, context.color_range = primaries, 1
        for index, rgb in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(_graded(rgb, transfer), _layout(transfer))
            picture = picture.reformat(format=pixels, dst_colorspace=primaries)
            picture.color_trc, picture.color_primaries = transfer, primaries
            picture.colorspace, picture.color_range = primaries, 1
            picture.pts, picture.time_base = index, Fraction(1, 10)
            out.mux(stream.encode(picture))
        out.mux(stream.encode())
    return path


def _layout(transfer: int) -> str:
    return "rgb24" if transfer == SDR else "rgb48le"


def _graded(rgb: NDArray[np.uint8], transfer: int) -> NDArray[Any]:
    if transfer == SDR:
        return rgb
    nits = 203 * (rgb / 255) ** 2.4 @ np.linalg.inv(to_bt709(BT2020)).T
    signal = nits_to_pq(nits) if transfer == PQ else nits_to_hlg(nits)
    return np.rint(signal * 65535).astype(np.uint16)


def read(path: Path, layout: str) -> Iterator[tuple[Any, NDArray[Any]]]:
    import av

    with av.open(str(path)) as file:
        for frame in file.decode(video=0):
            yield frame, frame.reformat(format=layout, interpolation="BICUBIC").to_ndarray()


@pytest.mark.parametrize("codec", ["libx265", "libsvtav1"])
@pytest.mark.parametrize(("transfer", "name"), [(PQ, "pq"), (HLG, "hlg")])
def test_one_scene_in_hdr_comes_out_as_in_standard_range(
    tmp_path: Path, codec: str, transfer: int, name: Transfer
) -> None:
    standard = [rgb for _, rgb in read(write(tmp_path / "sdr.mkv", SDR, codec), "rgb24")]
    path = write(tmp_path / "hdr.mkv", transfer, codec)
    plain = [rgb for _, rgb in read(path, "rgb24")]
    mapped = []
    for frame, rgb in read(path, "rgb48le"):
        assert hdr_transfer(frame.color_trc) == name
        mapped.append(tone_map(rgb, name, frame.color_primaries))
    before = np.abs(np.array(plain, int) - standard).mean()
    after = np.abs(np.array(mapped, int) - standard).mean()
    assert before > 8
    assert after < 2


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_frames_of_an_hdr_video_are_those_of_the_same_scene_in_standard_range(
    tmp_path: Path, transfer: int
) -> None:
    standard = read_frames(write(tmp_path / "sdr.mkv", SDR), size=128)
    hdr = read_frames(write(tmp_path / "hdr.mkv", transfer), size=128)
    assert hdr.stream.info.is_hdr
    assert not standard.stream.info.is_hdr
    assert np.abs(hdr.rgb.astype(int) - standard.rgb).mean() < 3
