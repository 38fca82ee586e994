"""A video whose own clock is wrong: its frames have the times that a place states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from sofdata.errors import ContractError, DecodeError
from sofdata.types import Frames
from sofdata.video.config import VideoConfig
from sofdata.video.probe import Unusable
from sofdata.video.ranges import RangeFile, Source
from sofdata.video.sampling import Sampling
from sofdata.video.sequences.film import read_times_ms, times_text
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.stream import SequenceStream
from tests.conformance.barcode import draw, read
from tests.sequences import HEIGHT, WIDTH
from tests.videos import cut_off, write_audio, write_video

COUNT = 40
TIMES_MS = np.cumsum([0, *np.random.default_rng(1).integers(40, 90, COUNT - 1)])
REORDERED = {"bf": "3", "g": "20", "x264-params": "bframes=3:b-adapt=0"}


def film(path: Path, count: int = COUNT, codec: str = "mpeg4", **more: Any) -> Path:
    """A video of numbered frames that says 60 a second."""
    return write_video(path, [draw(n, WIDTH, HEIGHT) for n in range(count)], 60, codec, **more)


def timed(times_ms: Any = TIMES_MS) -> SequencePlace:
    usual, text = times_text(np.asarray(times_ms, np.int64))
    return SequencePlace.of("film", "", step_ms=usual, times=text)


def opened(source: Source, place: SequencePlace, **sampling: object) -> SequenceStream:
    wanted = Sampling(**{"size": 96, "step_s": 0.01, **sampling})  # type: ignore[arg-type]
    return SequenceStream(source, place, VideoConfig(), wanted)


def shown(stream: SequenceStream) -> list[tuple[float, int | None]]:
    """Times in ms and the numbers that the frames carry."""
    found: list[tuple[float, int | None]] = []
    chunk: Frames
    for chunk in stream:
        first = 1 if found else 0  # each chunk begins with the last frame of the one before
        pairs = zip(chunk.pts_s[first:], chunk.rgb[first:], strict=True)
        found += [(round(1000 * time_s), read(rgb).number) for time_s, rgb in pairs]
    return found


@pytest.mark.parametrize(
    ("codec", "options"), [("mpeg4", {}), ("libx264", REORDERED), ("libvpx-vp9", {})]
)
def test_each_frame_has_its_own_time(tmp_path: Path, codec: str, options: dict[str, str]) -> None:
    suffix = "webm" if codec == "libvpx-vp9" else "mp4"
    path = film(tmp_path / f"a.{suffix}", codec=codec, options=options)
    stream = opened(str(path), timed())
    assert shown(stream) == [(time, number) for number, time in enumerate(TIMES_MS)]
    assert stream.report.salvaged == ""
    assert stream.duration_s == pytest.approx(TIMES_MS[-1] / 1000)
    assert stream.decoder.startswith("film ")


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_a_step_and_a_span_count_on_the_stated_clock(tmp_path: Path, codec: str) -> None:
    place = SequencePlace.of("film", "", fps=10.0)
    path = film(tmp_path / "a.mp4", codec=codec)
    found = shown(opened(str(path), place, step_s=0.3, span_s=(1.0, 2.5)))
    assert found == [(1000, 10), (1300, 13), (1600, 16), (1900, 19), (2200, 22), (2400, 24)]


def test_a_file_in_ranges_gives_the_same(tmp_path: Path) -> None:
    data = film(tmp_path / "a.mp4").read_bytes()
    remote = RangeFile("a.mp4", len(data), lambda start, end: data[start:end])
    assert shown(opened(remote, timed())) == [(t, n) for n, t in enumerate(TIMES_MS)]


def test_frames_more_than_times_are_left_out_and_told(tmp_path: Path) -> None:
    stream = opened(str(film(tmp_path / "a.mp4", COUNT + 2)), timed())
    assert len(shown(stream)) == COUNT
    assert "42 frames, and times of 40" in stream.report.salvaged
    assert stream.report.frames_lost == 0


def test_frames_fewer_than_times_are_told(tmp_path: Path) -> None:
    stream = opened(str(film(tmp_path / "a.mp4", COUNT - 1)), timed())
    assert shown(stream) == [(t, n) for n, t in enumerate(TIMES_MS[:-1])]
    assert "39 frames, and times of 40" in stream.report.salvaged
    assert stream.report.frames_lost == 1


def test_a_frame_that_does_not_decode_costs_itself(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", codec="libx264", options={"g": "1"})
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        place, size = packets[17].pos, packets[17].size
    data = bytearray(path.read_bytes())
    assert place is not None
    data[place : place + size] = bytes(size)
    path.write_bytes(data)
    stream = opened(str(path), timed())
    found = shown(stream)
    assert found == [(t, n) for n, t in enumerate(TIMES_MS) if n != 17]
    assert stream.report.decode_errors == 1


def test_a_video_that_is_turned_is_shown_upright(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", rotation=90)
    (chunk, *_) = opened(str(path), timed())
    assert read(chunk.rgb[0]).held == "turned left"


@pytest.mark.parametrize("share", [0.0, 0.01, 0.9])
def test_a_broken_file_is_no_crash(tmp_path: Path, share: float) -> None:
    path = cut_off(film(tmp_path / "a.mp4"), share, tmp_path / "b.mp4")
    with pytest.raises((Unusable, DecodeError)):
        list(opened(str(path), timed()))


def test_a_file_without_video_is_unusable(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="no video"):
        opened(str(write_audio(tmp_path / "a.m4a")), timed())


@pytest.mark.parametrize("seed", range(20))
def test_times_are_read_back_as_they_were(seed: int) -> None:
    rng = np.random.default_rng(seed)
    start, spread = int(rng.integers(-(10**14), 10**14)), int(rng.choice([3, 30, 70, 100_000]))
    times = np.cumsum([start, *rng.integers(1, 1 + spread, rng.integers(0, 60))])
    usual, text = times_text(times)
    assert read_times_ms(usual, text).tolist() == (times - start).tolist()
    place = SequencePlace.of("film", "", step_ms=usual, times=text)
    assert SequencePlace.parse(place.text) == place


@pytest.mark.parametrize("text", ["A!", "..", ".1", "A.x.", " "])
def test_other_texts_are_no_times(text: str) -> None:
    with pytest.raises(ContractError, match="no text of times"):
        read_times_ms(66, text)
