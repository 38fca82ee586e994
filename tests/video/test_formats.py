"""Every format of the one list is recognised by its content, found in a folder, and decoded."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from sofdata.corpora.content import OTHER_SUFFIXES, VIDEO_SUFFIXES, bare_stream, is_video
from sofdata.corpora.folder import FolderCorpus
from sofdata.storage.tree import Tree
from sofdata.video.config import VideoConfig
from sofdata.video.container import FORMATS as WHITELIST
from sofdata.video.formats import BARE_SUFFIXES, DEMUXERS, FORMATS, HEAD_BYTES, container
from sofdata.video.reader import open_video
from sofdata.video.sampling import Sampling
from tests.helpers import ingest
from tests.videos import moving_square

COUNT, FPS = 50, 25
SMALL, PAL = (96, 64), (720, 576)
SETTINGS = ("windows.length=4", "windows.stride=2", "flow.size=64", "windows.size=32")

# Of each format: FFmpeg's muxer, an encoder of PyAV's own, and the size.
MADE: dict[str, tuple[str, str, tuple[int, int]]] = {
    "iso-bmff": ("mp4", "libx264", SMALL),
    "quicktime": ("mov", "mpeg4", SMALL),
    "avi": ("avi", "mpeg4", SMALL),
    "ogg": ("ogg", "libvpx", SMALL),
    "ebml": ("matroska", "libvpx", SMALL),
    "flv": ("flv", "flv", SMALL),
    "asf": ("asf", "wmv2", SMALL),
    "mpeg-ps": ("vob", "mpeg2video", SMALL),
    "mpeg-es": ("mpeg2video", "mpeg2video", SMALL),
    "y4m": ("yuv4mpegpipe", "", SMALL),
    "mxf": ("mxf", "mpeg2video", SMALL),
    "nut": ("nut", "mpeg4", SMALL),
    "ivf": ("ivf", "libvpx", SMALL),
    "realmedia": ("rm", "rv20", (176, 144)),
    "dv": ("dv", "dvvideo", PAL),
    "mpeg-ts": ("mpegts", "mpeg2video", SMALL),
}


def make(path: Path, name: str) -> Path:
    """A moving square of two seconds in a format."""
    import av

    muxer, codec, (width, height) = MADE[name]
    zoom = width // 90  # of DV, which has one size
    frames = moving_square(COUNT, width // zoom, height // zoom).repeat(zoom, 1).repeat(zoom, 2)
    if name == "y4m":
        path.write_bytes(_y4m(frames))
        return path
    with av.open(str(path), "w", format=muxer) as file:
        stream: Any = file.add_stream(codec, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index, rgb in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    if name == "quicktime":
        _without_ftyp(path)
    return path


def _y4m(frames: NDArray[np.uint8]) -> bytes:
    """https://wiki.multimedia.cx/index.php/YUV4MPEG2, in grey."""
    count, height, width, _ = frames.shape
    data = [f"YUV4MPEG2 W{width} H{height} F{FPS}:1 Ip A1:1 C420jpeg\n".encode()]
    for index in range(count):
        data += [b"FRAME\n", frames[index, :, :, 0].tobytes(), b"\x80" * (width * height // 2)]
    return b"".join(data)


def _without_ftyp(path: Path) -> None:
    """As files were before there was ftyp; a box of the same size to skip keeps all offsets."""
    data = bytearray(path.read_bytes())
    assert data[4:8] == b"ftyp"
    data[4:8] = b"skip"
    path.write_bytes(data)


def test_one_list_gives_the_demuxers_and_the_suffixes() -> None:
    import av

    assert {each.name for each in FORMATS} == set(MADE)
    assert WHITELIST.split(",") == list(DEMUXERS)
    for name in DEMUXERS:
        assert av.ContainerFormat(name).is_input
    assert frozenset(end for each in FORMATS for end in each.suffixes) == VIDEO_SUFFIXES
    assert not VIDEO_SUFFIXES & OTHER_SUFFIXES
    assert not BARE_SUFFIXES.keys() & (VIDEO_SUFFIXES | OTHER_SUFFIXES)


@pytest.mark.parametrize("name", ["hls", "dash", "concat", "image2", "rtsp", "sdp", "h264", "hevc"])
def test_what_opens_other_files_or_has_no_times_is_not_on_it(name: str) -> None:
    assert name not in DEMUXERS


@pytest.mark.parametrize("name", MADE)
def test_a_format_is_told_by_its_content_under_any_name(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / "some.data", name)
    assert container(path.read_bytes()[:HEAD_BYTES]) == name
    assert is_video(Tree(str(tmp_path)), "some.data", path.stat().st_size)


@pytest.mark.parametrize("name", MADE)
def test_a_format_is_decoded_with_every_time(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / "some.data", name)
    stream = open_video(path, VideoConfig(chunk_frames=1000), Sampling(64, 0.04), decoder="pyav")
    (frames,) = list(stream)
    times = frames.pts_s - frames.pts_s[0]
    np.testing.assert_allclose(times, np.arange(len(times)) / FPS, atol=0.0011)
    assert len(times) >= COUNT - 1


def test_all_of_them_in_a_folder_are_inputs_with_windows(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for each in FORMATS:
        make(folder / f"{each.name}{each.suffixes[0] if each.suffixes else '.nut'}", each.name)
    ingest(folder, tmp_path / "d", *SETTINGS)
    rows = pq.read_table(tmp_path / "d" / "videos.parquet").to_pylist()
    assert {row["id"].split(".")[0]: row["status"] for row in rows} == dict.fromkeys(MADE, "done")
    assert all(row["windows"] for row in rows)


def test_the_shared_nut_and_ivf_are_inputs(shared_cases: Path, tmp_path: Path) -> None:
    """`formats`: they were ignored in a folder, and read when given alone."""
    listing = FolderCorpus().listing(Tree(str(shared_cases / "formats")))
    assert [entry.id for entry in listing.entries] == ["mp4v.nut", "vp8.ivf"]
    ingest(shared_cases / "formats", tmp_path / "d", *SETTINGS)
    rows = pq.read_table(tmp_path / "d" / "videos.parquet").to_pylist()
    assert [row["status"] for row in rows] == ["done", "done"]


@pytest.mark.parametrize("alone", [False, True])
def test_a_bare_stream_is_a_reject_that_names_the_way_out(tmp_path: Path, alone: bool) -> None:
    import av

    folder = tmp_path / "videos"
    folder.mkdir()
    with av.open(str(folder / "a.h264"), "w", format="h264") as file:
        stream: Any = file.add_stream("libx264", rate=FPS)
        stream.width, stream.height = SMALL
        for rgb in moving_square(10):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        file.mux(stream.encode())
    ingest(folder / "a.h264" if alone else folder, tmp_path / "d", *SETTINGS)
    (row,) = pq.read_table(tmp_path / "d" / "videos.parquet").to_pylist()
    assert (row["status"], row["reason"]) == ("rejected", "bare_stream")
    assert "ffmpeg -r FPS" in row["detail"]


def test_a_container_that_is_called_like_a_bare_stream_is_read(tmp_path: Path) -> None:
    make(tmp_path / "a.avc", "iso-bmff")
    assert not bare_stream(Tree(str(tmp_path)), "a.avc")
    (entry,) = FolderCorpus().listing(Tree(str(tmp_path))).entries
    assert entry.problem == ""
