"""What a file holds is found by its content, and what holds no video is said to."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from sofdata.errors import DecodeError, InputError
from sofdata.video.orientation import UPRIGHT, Orientation
from sofdata.video.probe import Unusable, probe
from tests.videos import cut_off, moving_square, write_audio, write_video


def _reason(path: Path) -> str:
    with pytest.raises(Unusable) as caught:
        probe(path)
    assert str(path) in str(caught.value)
    return caught.value.reason


def test_size_rate_times_and_counts_of_a_plain_video(tmp_path: Path) -> None:
    info = probe(write_video(tmp_path / "a.mp4", moving_square(20), 25))
    assert (info.width, info.height, info.orientation, info.codec) == (96, 64, UPRIGHT, "h264")
    assert (info.fps, info.duration_s, info.start_s) == (25, 0.8, 0)
    assert (info.frames_declared, info.packets) == (20, 20)
    np.testing.assert_allclose(info.pts_s, np.arange(20) / 25, atol=1e-9)
    assert info.pts_s.dtype == np.float64


def test_webm_named_mp4_is_read_as_webm(tmp_path: Path) -> None:
    webm = write_video(tmp_path / "a.webm", moving_square(12), 12, "libvpx-vp9")
    info = probe(webm.rename(tmp_path / "a.mp4"))
    assert (info.container, info.codec) == ("matroska,webm", "vp9")
    assert info.frames_declared is None
    assert info.duration_s == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("name", "orientation", "shown"),
    [
        ("video_90.mov", Orientation(transpose=True, flip_x=True), (320, 568)),
        ("video_180.mov", Orientation(flip_x=True, flip_y=True), (568, 320)),
    ],
)
def test_size_is_that_of_the_upright_picture(
    shared_clips: Path, name: str, orientation: Orientation, shown: tuple[int, int]
) -> None:
    info = probe(shared_clips / f"decord_{name}")
    assert info.orientation == orientation
    assert (info.width, info.height) == shown


def test_times_count_from_the_start_of_a_clock_that_starts_late(shared_clips: Path) -> None:
    info = probe(shared_clips / "torchcodec_test_non_zero_start.mp4")
    assert info.start_s == pytest.approx(8.333, abs=1e-3)
    assert info.pts_s[0] == pytest.approx(0, abs=1e-3)


def test_of_several_video_streams_the_one_is_taken_that_players_take(shared_clips: Path) -> None:
    info = probe(shared_clips / "torchcodec_nasa_13013.mp4")
    assert (info.stream_index, info.width, info.height) == (3, 480, 270)
    assert info.is_best


def test_a_span_reads_only_the_packets_around_it(tmp_path: Path) -> None:
    frames = moving_square(100)
    path = write_video(tmp_path / "a.mp4", frames, 10, options={"g": "10", "bf": "0"})
    info = probe(path, (5.0, 6.0))
    assert not info.whole
    assert 10 <= info.packets <= 25
    assert info.pts_s.min() <= 5.0
    assert info.pts_s.max() >= 5.9


def test_missing_file_and_dangling_link(tmp_path: Path) -> None:
    assert _reason(tmp_path / "none.mp4") == "missing"
    link = tmp_path / "link.mp4"
    link.symlink_to(tmp_path / "gone.mp4")
    assert _reason(link) == "missing"


def test_directory_named_mp4(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").mkdir()
    assert _reason(tmp_path / "a.mp4") == "is_a_directory"


def test_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    assert _reason(tmp_path / "a.mp4") == "not_a_video"


def test_file_without_read_permission(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving_square(4), 10)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read every file")
    assert _reason(path) == "unreadable"


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    assert _reason(tmp_path / "a.mp4") == "empty_file"


@pytest.mark.parametrize("content", [b"hello\n" * 500, b"\x00" * 4096, b"\x89PNG\r\n\x1a\n" * 9])
def test_other_content_named_mp4(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    assert _reason(tmp_path / "a.mp4") == "not_a_video"


def test_audio_only(tmp_path: Path) -> None:
    assert _reason(write_audio(tmp_path / "a.mp4")) == "no_video_stream"


@pytest.mark.parametrize("name", ["a.mp4", "a.m3u8", "a.ffconcat", "a.mpd", "a.sdp"])
def test_playlists_do_not_open_the_files_that_they_name(tmp_path: Path, name: str) -> None:
    write_video(tmp_path / "real.ts", moving_square(12), 12, options={"bf": "0"})
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nreal.ts\n#EXT-X-ENDLIST\n"
    concat = "ffconcat version 1.0\nfile real.ts\n"
    for text in (hls, concat):
        (tmp_path / name).write_text(text)
        assert _reason(tmp_path / name) == "not_a_video"


def test_path_that_looks_like_an_address_is_taken_as_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_video(tmp_path / "concat:a.mp4", moving_square(4), 10)
    assert probe(path.name).packets == 4


def test_header_that_is_cut_off_is_a_decode_error(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", moving_square(20), 25)  # its index comes last
    with pytest.raises(DecodeError, match=r"begins like .*damaged or cut off"):
        probe(cut_off(whole, 0.6, tmp_path / "cut.mp4"))


def test_header_without_frames_says_declared_and_found(shared_clips: Path) -> None:
    with pytest.raises(DecodeError, match=r"declares 5544 frames, and 0 are in the file"):
        probe(shared_clips / "broken" / "mp4parse_invalid_userdata.mp4")


def test_broken_header_is_a_decode_error(shared_clips: Path) -> None:
    with pytest.raises(DecodeError, match="begins like MP4"):
        probe(shared_clips / "broken" / "mp4parse_chunk_out_of_range.mp4")


def test_unusable_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(Unusable("empty_file", "a.mp4: the file has 0 bytes")))
    assert isinstance(error, Unusable)
    assert issubclass(Unusable, InputError)
    assert (error.reason, str(error)) == ("empty_file", "a.mp4: the file has 0 bytes")


@pytest.mark.parametrize("head", [b"YUV4MPEG2 nothing\n", b"DKIF" + bytes(8), b".RMF" + bytes(40)])
def test_a_header_of_any_format_that_cannot_be_read_is_damage(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(head)
    with pytest.raises(DecodeError, match=r"begins like|lists no streams"):
        probe(tmp_path / "a.mp4")
