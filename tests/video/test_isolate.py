"""`sofdata.video.isolate`: the same frames as in process, and a child that can be lost."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from sofdata.errors import DecodeError
from sofdata.scenes import write_clip
from sofdata.video.config import VideoConfig
from sofdata.video.isolate import DecoderDied, DecoderProcess, LimitConfig
from sofdata.video.probe import Unusable
from sofdata.video.reader import open_video
from sofdata.video.sampling import Sampling


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    for number in range(2):
        write_clip(folder / f"{number}.webm", number, seconds=3.0)
    return sorted(folder.iterdir())


@pytest.fixture
def process() -> DecoderProcess:
    return DecoderProcess(LimitConfig())


def frames(process: DecoderProcess, path: Path, chunk: int = 4) -> np.ndarray:
    stream = process.open(str(path), VideoConfig(chunk_frames=chunk), Sampling(64, 0.13), "pyav")
    return np.concatenate([chunk.rgb for chunk in stream])


def test_the_child_gives_the_frames_and_the_report_of_this_process(
    clips: list[Path], process: DecoderProcess
) -> None:
    mine = open_video(str(clips[0]), VideoConfig(), Sampling(64, 0.13))
    theirs = process.open(str(clips[0]), VideoConfig(), Sampling(64, 0.13), "pyav")
    for one, other in zip(mine, theirs, strict=True):
        assert np.array_equal(one.rgb, other.rgb)
        assert np.array_equal(one.pts_s, other.pts_s)
    assert (mine.decoder, mine.report) == (theirs.decoder, theirs.report)
    assert (mine.info.height, mine.info.width) == (theirs.info.height, theirs.info.width)
    process.close()


def test_a_video_that_is_not_read_to_its_end_does_not_disturb_the_next(
    clips: list[Path], process: DecoderProcess
) -> None:
    whole = frames(process, clips[1])
    stream = process.open(str(clips[0]), VideoConfig(chunk_frames=4), Sampling(64, 0.13), "pyav")
    next(iter(stream))
    assert np.array_equal(frames(process, clips[1]), whole)
    process.close()


def test_an_outcome_of_the_child_arrives_as_such(tmp_path: Path, process: DecoderProcess) -> None:
    (tmp_path / "empty.mp4").touch()
    for _ in range(2):  # and the child goes on
        with pytest.raises(Unusable) as error:
            frames(process, tmp_path / "empty.mp4")
        assert error.value.reason == "empty_file"
    process.close()


def test_a_child_that_is_killed_costs_one_video(clips: list[Path], process: DecoderProcess) -> None:
    stream = process.open(str(clips[0]), VideoConfig(chunk_frames=2), Sampling(64, 0.13), "pyav")
    assert process._child is not None
    os.kill(process._child.pid, signal.SIGSEGV)
    with pytest.raises(DecoderDied) as error:
        for _ in stream:
            pass
    assert error.value.reason == "crash"
    assert len(frames(process, clips[1])) > 4
    process.close()


def test_a_child_that_hangs_is_killed_at_its_time_limit(
    clips: list[Path], process: DecoderProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is the usual one, which no good video meets; the clock hurries once it hangs."""
    stream = process.open(str(clips[0]), VideoConfig(chunk_frames=2), Sampling(64, 0.13), "pyav")
    child = process._child
    assert child is not None
    os.kill(child.pid, signal.SIGSTOP)
    began_s = time.monotonic()
    looks = itertools.count(began_s, 10.0)
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: next(looks))
        with pytest.raises(DecoderDied) as error:
            list(stream)
    assert error.value.reason == "timeout"
    assert next(looks) - began_s > LimitConfig().seconds(2.5)
    assert child.returncode == -signal.SIGKILL
    assert len(frames(process, clips[1])) > 4
    process.close()


def test_memory_is_limited(clips: list[Path]) -> None:
    process = DecoderProcess(LimitConfig(memory_mib=256))
    config = VideoConfig(chunk_frames=64)
    with pytest.raises(DecodeError, match=r"MemoryError|cannot allocate|crashed"):
        for _ in process.open(str(clips[0]), config, Sampling(4096, 0.13), "pyav"):
            pass
    assert len(frames(process, clips[1])) > 4  # and the next video has its memory
    process.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"\xff" * 8,
        b"\x02\0\0\0\0\0\0\0{]",
        b"\x02\0\0\0\0\0\0\0[]",
        b"\x0f\0\0\0\0\0\0\0" + b'{"kind":"info"}',
    ],
)
def test_nonsense_from_the_child_costs_one_video(clips: list[Path], answer: bytes) -> None:
    process = DecoderProcess(LimitConfig())
    process._start()
    process.close()
    process._answers, end = os.pipe()
    os.write(end, answer)
    os.close(end)
    process._child = subprocess.Popen(["sleep", "60"], stdin=subprocess.PIPE)
    with pytest.raises(DecoderDied) as error:
        process.open(str(clips[0]), VideoConfig(), Sampling(64, 0.13), "pyav")
    assert (error.value.reason, "nonsense" in str(error.value)) == ("crash", True)
    assert len(frames(process, clips[1])) > 4
    process.close()
