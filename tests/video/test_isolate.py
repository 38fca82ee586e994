"""`sofdata.video.isolate`: the same frames as in process, and a child that can be lost."""

from __future__ import annotations

import itertools
import os
import select
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from sofdata.scenes import write_clip
from sofdata.video.config import VideoConfig
from sofdata.video.isolate import DecoderDied, DecoderProcess
from sofdata.video.limits import LimitConfig, OverLimit
from sofdata.video.probe import Unusable
from sofdata.video.reader import open_video
from sofdata.video.sampling import Sampling
from sofdata.video.words import MAX_CHARS, last_line

MANY_BYTES = Sampling(512, 0.13)  # of a clip, so that they cannot all wait in the pipe


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
    stream = process.open(str(clips[0]), VideoConfig(chunk_frames=2), MANY_BYTES, "pyav")
    assert process._child is not None
    os.kill(process._child.pid, signal.SIGSEGV)
    with pytest.raises(DecoderDied) as error:
        for _ in stream:
            pass
    assert error.value.reason == "crash"
    assert len(frames(process, clips[1])) > 4
    process.close()


def test_a_child_that_hangs_is_killed_after_the_time_without_progress(
    clips: list[Path], process: DecoderProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is the usual one, which no good video meets; the clock hurries once it hangs."""
    stream = process.open(str(clips[0]), VideoConfig(chunk_frames=2), MANY_BYTES, "pyav")
    child = process._child
    assert child is not None
    os.kill(child.pid, signal.SIGSTOP)
    now = time.monotonic
    looks = itertools.count(10.0, 10.0)

    def hurrying() -> float:
        is_read = not select.select([process._answers], [], [], 0)[0]
        return now() + (next(looks) if is_read else 0.0)  # what it sent before is no progress late

    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", hurrying)
        with pytest.raises(DecoderDied) as error:
            list(stream)
    assert error.value.reason == "timeout"
    assert next(looks) > LimitConfig().floor_s
    assert child.returncode == -signal.SIGKILL
    assert len(frames(process, clips[1])) > 4
    process.close()


def test_memory_is_limited(clips: list[Path]) -> None:
    process = DecoderProcess(LimitConfig(memory_mib=256))
    config = VideoConfig(chunk_frames=64)
    with pytest.raises(OverLimit, match=r"more than 256 MiB of memory") as error:
        for _ in process.open(str(clips[0]), config, Sampling(4096, 0.13), "pyav"):
            pass
    assert error.value.reason == "over_memory"
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


# What a lost child wrote

BROKEN = """
import os, signal, sys

def injector(argument):
    def reached(step):
        if step == "decode 0.webm":
            print("of the first video", file=sys.stderr)
            if argument == "raise":
                raise TypeError("open() got an unexpected keyword argument 'metadata_errors'")
        if step == "decode 1.webm" and argument == "kill":
            os.kill(os.getpid(), signal.SIGSEGV)
    return reached
"""


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A module by which a decoding process, and only that, can be made to fail."""
    (tmp_path / "broken.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    return monkeypatch


def died(process: DecoderProcess, path: Path) -> DecoderDied:
    with pytest.raises(DecoderDied) as error:
        frames(process, path)
    return error.value


def test_a_child_that_raises_is_a_crash_that_names_the_exception(
    clips: list[Path], process: DecoderProcess, broken: pytest.MonkeyPatch
) -> None:
    broken.setenv("SOFDATA_FAULTS", "broken:raise")
    error = died(process, clips[0])
    assert str(error) == (
        "the decoding process crashed (exit code 1): "
        "TypeError: open() got an unexpected keyword argument 'metadata_errors'"
    )
    assert "Traceback" in error.tail
    assert len(frames(process, clips[1])) > 4
    process.close()


def test_a_child_that_cannot_start_says_why_whenever_that_is_noticed(
    clips: list[Path], process: DecoderProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOFDATA_FAULTS", "no_such_module:")
    expected = (
        "the decoding process crashed (exit code 1): "
        "ModuleNotFoundError: No module named 'no_such_module'"
    )
    assert str(died(process, clips[0])) == expected
    start = process._start

    def start_and_wait() -> None:
        start()
        assert process._child is not None
        process._child.wait()

    monkeypatch.setattr(process, "_start", start_and_wait)
    assert str(died(process, clips[0])) == expected


def test_what_an_earlier_video_made_the_child_write_is_not_its_last_line(
    clips: list[Path], process: DecoderProcess, broken: pytest.MonkeyPatch
) -> None:
    broken.setenv("SOFDATA_FAULTS", "broken:kill")
    assert len(frames(process, clips[0])) > 4
    error = died(process, clips[1])
    assert str(error) == "the decoding process crashed (SIGSEGV)"
    assert error.tail == ""


@pytest.mark.parametrize(
    ("written", "line"),
    [
        ("", ""),
        (" \n\n", ""),
        ("Traceback\n  File 'x'\nValueError: no\n\n", "ValueError: no"),
        ("[h264 @ 0x55d0c8a3b2c0] no frame!", "[h264] no frame!"),
        ("[12:30:59] /github/workspace/src/video.cc:97: Check failed", "video.cc:97: Check failed"),
        ("2026-11-28 12:30:59,123 died", "died"),
        ("Duration: 00:01:00", "Duration: 00:01:00"),
        ("free(): invalid pointer: 0x00007f0012345678 ***", "free(): invalid pointer: 0x ***"),
        ("bad tag 0x1F, code 0xdead", "bad tag 0x1F, code 0xdead"),
        ("received by PID 4711 (TID 4712)", "received by PID (TID)"),
        ("cannot read '/data/of mine/a.mp4': cut off", "cannot read 'the video': cut off"),
        ("OSError: /tmp/tmpab12/libx.so.3: no such file", "OSError: libx.so.3: no such file"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
        ("\x1b[1;31mTypeError\x1b[0m: a\x00b\x07", "TypeError: a b"),
        ("12/30 frames; 3 / 4 kept", "12/30 frames; 3 / 4 kept"),
    ],
)
def test_a_last_line_holds_nothing_that_differs_from_run_to_run(written: str, line: str) -> None:
    assert last_line(written, "/data/of mine/a.mp4") == line


def test_a_last_line_without_end_is_cut() -> None:
    line = last_line("x" * 10_000)
    assert len(line) == MAX_CHARS
    assert line.endswith("x…")
