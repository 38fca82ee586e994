"""`sofdata.video.limits` and `watch`: what becomes of a video that costs more than it may."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from sofdata.scenes import write_clip
from sofdata.system.extras import is_installed
from sofdata.types import Frames
from sofdata.video import isolate
from sofdata.video.config import DecoderName, VideoConfig
from sofdata.video.isolate import DecoderDied, DecoderProcess
from sofdata.video.limits import LimitConfig, OverLimit
from sofdata.video.probe import Unusable
from sofdata.video.ranges import RangeFile, Source
from sofdata.video.reader import open_video
from sofdata.video.sampling import Sampling
from sofdata.video.watch import ProcessUsage
from tests.large_films import large_header, large_picture, lying_header
from tests.videos import moving_square, write_video

SAMPLING = Sampling(64, 0.13)
PATIENCE_S = 1.0
FILMS = {"picture.mov": large_picture, "header.mov": large_header, "lying.mkv": lying_header}
DECODERS = ["pyav", *(["decord"] if is_installed("decord") else [])]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films whose frames have 16384 x 16384 px, or are said to."""
    folder = tmp_path_factory.mktemp("large")
    for name, write in FILMS.items():
        write(folder / name)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.webm"
    write_clip(path, 0, seconds=2.0)
    return path


def here(path: Path, decoder: DecoderName, config: VideoConfig) -> str:
    return ended(lambda: open_video(str(path), config, SAMPLING, decoder))


def apart(path: Path, decoder: DecoderName, config: VideoConfig) -> str:
    process = DecoderProcess(LimitConfig())
    try:
        return ended(lambda: process.open(str(path), config, SAMPLING, decoder))
    finally:
        process.close()


def ended(opens: Callable[[], Iterable[Frames]]) -> str:
    """How a video ends, as it would stand in a dataset."""
    try:
        frames = sum(len(chunk.rgb) for chunk in opens())
    except (Unusable, OverLimit) as error:
        return f"{error.reason}: {error}"
    return f"{frames} frames"


# Frames that are too large


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("name", FILMS)
def test_large_frames_end_alike_in_this_process_and_in_one_of_their_own(
    large: Path, name: str, decoder: DecoderName
) -> None:
    message = here(large / name, decoder, VideoConfig())
    assert message.startswith("too_large: ")
    assert (
        "its frames have 16384 x 16384 = 268435456 px; video.max_pixels allows 67108864" in message
    )
    assert apart(large / name, decoder, VideoConfig()) == message


def test_large_frames_are_decided_before_they_are_decoded(large: Path) -> None:
    for name in FILMS:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        here(large / name, "pyav", VideoConfig())
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown_kib < 100 << 10  # a frame takes 256 MiB


def test_the_bound_is_a_setting(tmp_path: Path) -> None:
    path = write_video(tmp_path / "small.mp4", moving_square(10), 10)  # 96 x 64
    whole = here(path, "pyav", VideoConfig())
    assert whole.endswith(" frames")
    assert here(path, "pyav", VideoConfig(max_pixels=96 * 64)) == whole
    message = here(path, "pyav", VideoConfig(max_pixels=96 * 64 - 1))
    assert "96 x 64 = 6144 px; video.max_pixels allows 6143" in message
    assert here(path, "pyav", VideoConfig(max_pixels=None)) == whole


def test_pixels_of_more_than_8_bits_count_double(tmp_path: Path) -> None:
    import av

    path = tmp_path / "deep.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p10le"
        for rgb in moving_square(4):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p10le")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert here(path, "pyav", VideoConfig(max_pixels=2 * 96 * 64)) == "4 frames"
    message = here(path, "pyav", VideoConfig(max_pixels=2 * 96 * 64 - 1))
    assert "96 x 64 = 6144 px of 10 bits, each of which counts double" in message


# Memory


def test_a_video_that_memory_runs_out_for_is_never_shorter(tmp_path: Path) -> None:
    """H.264 takes an allocation that fails for a damaged frame, and goes on without it."""
    path = write_video(tmp_path / "a.mp4", moving_square(8, 1920, 1080), 10)
    config = VideoConfig(chunk_frames=8)
    found = set()
    for side in (64, 512, 1024, 1536, 2048):
        process = DecoderProcess(LimitConfig(memory_mib=256))
        stream = partial(process.open, str(path), config, Sampling(side, 0.1), "pyav")
        found.add(ended(stream))
        process.close()
    whole = "8 frames"
    over = "over_memory: decoding it takes more than 256 MiB of memory (run.limits.memory_mib)"
    assert found == {whole, over}


def test_an_allocation_that_fails_in_this_process_is_over_memory(tmp_path: Path) -> None:
    path = large_picture(tmp_path / "a.mov", 8000, 8000)
    code = "import sys; from tests.video.test_limits import cramped; cramped(sys.argv[1])"
    run = subprocess.run(  # a new process, which has no freed memory to take
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert run.stdout == "over_memory: decoding it takes more memory than there is\n"


def cramped(path: str) -> None:
    """Decode with room for half a frame, and print how it ends."""
    room = ProcessUsage().data_bytes() + (32 << 20)
    resource.setrlimit(resource.RLIMIT_DATA, (room, resource.RLIM_INFINITY))
    print(here(Path(path), "pyav", VideoConfig()))


def test_the_next_video_has_its_memory_and_its_time(clip: Path, tmp_path: Path) -> None:
    process = DecoderProcess(LimitConfig(memory_mib=256))
    config = VideoConfig(chunk_frames=64)
    with pytest.raises(OverLimit):
        list(process.open(str(clip), config, Sampling(4096, 0.13), "pyav"))
    assert len(list(process.open(str(clip), VideoConfig(), SAMPLING, "pyav"))) > 0
    process.close()


# Time


def patient(monkeypatch: pytest.MonkeyPatch, how: str, **limits: float) -> DecoderProcess:
    """A decoding process that is slow in this way, and a parent with little patience."""
    monkeypatch.setenv("SOFDATA_FAULTS", f"tests.video.slow:{how}" if how else "")
    return DecoderProcess(LimitConfig(floor_s=PATIENCE_S, **limits))


def rgb(process: DecoderProcess, path: Source) -> np.ndarray:
    stream = process.open(path, VideoConfig(chunk_frames=4), SAMPLING, "pyav")
    try:
        return np.concatenate([chunk.rgb for chunk in stream])
    finally:
        process.close()


def test_a_file_that_is_read_slowly_takes_the_time_that_it_takes(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = rgb(DecoderProcess(LimitConfig()), str(clip))
    pause_s = 4 * PATIENCE_S / (os.path.getsize(clip) / 1024)
    began_s = time.monotonic()
    slow = rgb(patient(monkeypatch, f"{pause_s:.3f}", per_mib=1e4), str(clip))
    assert time.monotonic() - began_s > 3 * PATIENCE_S
    assert np.array_equal(slow, undisturbed)


def test_a_remote_file_that_comes_slowly_takes_the_time_that_it_takes(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = clip.read_bytes()

    def fetch(start: int, end: int) -> bytes:
        time.sleep(1.5 * PATIENCE_S)
        return data[start:end]

    process = patient(monkeypatch, "", per_second=0.0, per_mib=0.0)
    assert len(rgb(process, RangeFile("far", len(data), fetch))) > 4


def test_a_decoder_without_progress_ends_after_the_time_that_is_set(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began_s = time.monotonic()
    with pytest.raises(DecoderDied, match=r"no progress for 1 s \(run.limits.floor_s\)") as error:
        rgb(patient(monkeypatch, "hang", per_mib=1e4), str(clip))
    assert error.value.reason == "timeout"
    assert time.monotonic() - began_s < 20 * PATIENCE_S


def test_progress_without_end_is_over_time(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OverLimit, match=r"takes longer than it may; run\.limits") as error:
        rgb(patient(monkeypatch, "endless", ceiling_s=2 * PATIENCE_S), str(clip))
    assert error.value.reason == "over_time"


def test_only_a_bound_that_is_set_ends_a_slow_file(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause_s = 4 * PATIENCE_S / (os.path.getsize(clip) / 1024)
    slow = patient(monkeypatch, f"{pause_s:.3f}", per_mib=1e4, ceiling_s=2 * PATIENCE_S)
    with pytest.raises(OverLimit) as error:
        rgb(slow, str(clip))
    assert error.value.reason == "over_time"


def test_the_longest_time_grows_with_duration_and_size() -> None:
    limits = LimitConfig()
    assert limits.seconds(0.0) == 60
    assert limits.seconds(10.0, 6 << 30) == 60 + 20 * 10 + 10 * 6144
    assert LimitConfig(ceiling_s=100).seconds(10.0, 6 << 30) == 100


def test_what_the_watch_reads_is_no_progress(tmp_path: Path) -> None:
    look = ProcessUsage()
    if not look.sees_memory or not look.progress()[0]:
        pytest.skip("nothing here says how much a process has read")
    before = look.progress()
    look.data_bytes()
    assert look.progress() == before
    (tmp_path / "file").write_bytes(bytes(1000))
    (tmp_path / "file").read_bytes()
    assert look.progress()[0] - before[0] == 1000


def test_beats_in_close_succession_disturb_no_frame(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = rgb(DecoderProcess(LimitConfig()), str(clip))
    monkeypatch.setattr(isolate, "BEAT_S", 0.001)
    assert np.array_equal(rgb(DecoderProcess(LimitConfig()), str(clip)), undisturbed)
