"""What a plain decode saw of a video: all its times, and the pictures that windows are compared to.

The decode runs in a process of its own, without credentials, with limited memory and time: a
dataset's videos are as little to be trusted as they were when it was made.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sofdata.errors import DecodeError
from sofdata.ingest.config import IngestConfig
from sofdata.system.processes import decoding_environment
from sofdata.types import Eye

# A plain decode converts every frame that it keeps at full size, and decodes twice.
PATIENCE = 4
TAIL_BYTES = 2000
POLL_S = 0.2

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What there is to see in a video.

    times_s: float64 [N]; of all frames shown, as windows count time.
    pictures: some of them by number: uint8 [size,size,3], as windows hold them.
    lost: packets or frames that could not be decoded. is_hdr: as `reference.Timeline`.
    """

    times_s: NDArray[np.float64]
    pictures: Mapping[int, Picture]
    lost: int
    is_hdr: bool

    def nearest(self, time_s: float) -> int:
        """The number of the frame whose time is nearest."""
        return nearest(self.times_s, time_s)


def nearest(times_s: NDArray[np.float64], time_s: float) -> int:
    """The place of the nearest of some sorted times, the earlier one of two."""
    after = int(np.searchsorted(times_s, time_s))
    before = max(0, after - 1)
    if after == len(times_s) or time_s - times_s[before] <= times_s[after] - time_s:
        return before
    return after


def numbers_wanted(
    times_s: NDArray[np.float64], windows: Sequence[Sequence[float]], step_s: float
) -> list[int]:
    """Which frames to look at for windows of these times.

    Those of all their times; and of the first and last time the frames beside, and those that lie
    about a step away.
    """
    wanted = set[int]()
    for pts_s in windows:
        wanted.update(nearest(times_s, time_s) for time_s in pts_s)
        for end_s in (pts_s[0], pts_s[-1]):
            here = nearest(times_s, end_s)
            away = [nearest(times_s, end_s + way * step_s) for way in (-1, 1)]
            wanted.update((here - 1, here + 1, *away))
    return sorted(number for number in wanted if 0 <= number < len(times_s))


def look(
    path: str, windows: Sequence[Sequence[float]], config: IngestConfig, eye: Eye = ""
) -> Seen:
    """Decode a local file in a process of its own.

    windows: the times of each window whose pictures are wanted.

    Raises `DecodeError` where it cannot be decoded, or takes too much time or memory.
    """
    with tempfile.TemporaryDirectory(prefix="sofdata-audit-") as folder:
        target = os.path.join(folder, "seen.npz")
        request = {
            "path": path,
            "target": target,
            "windows": [list(pts_s) for pts_s in windows],
            "step_s": config.flow.step_s,
            "size": config.flow.size,
            "fit": config.video.fit,
            "eye": eye,
            "memory_mib": config.run.limits.memory_mib,
        }
        _run(request, config, path)
        return _read(target, path)


def _run(request: Mapping[str, object], config: IngestConfig, path: str) -> None:
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            [sys.executable, "-m", "sofdata.audit.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            env=decoding_environment(),
        )
        try:
            assert child.stdin is not None
            try:
                child.stdin.write(json.dumps(request).encode())
                child.stdin.close()
            except BrokenPipeError:
                pass  # why it ended is found out below
            answer = _answer(child, config)
        finally:
            child.kill()
            code = child.wait()
        if answer is None:
            raise DecodeError(f"{path}: the plain decode took longer than its time limit")
        if answer.get("error"):
            raise DecodeError(str(answer["error"]))
        if not answer.get("done"):
            said.seek(max(0, said.seek(0, os.SEEK_END) - TAIL_BYTES))
            raise DecodeError(
                f"{path}: the plain decode crashed ({_last_words(code, said.read())})"
            )


def _answer(child: subprocess.Popen[bytes], config: IngestConfig) -> dict[str, object] | None:
    """The last line that the child prints; {} if it ends before, None if it takes too long.

    Its first line holds the video's duration, on which the time limit depends.
    """
    assert child.stdout is not None
    began_s, limit_s, buffer = time.monotonic(), PATIENCE * config.run.limits.seconds(0.0), b""
    while time.monotonic() - began_s < limit_s:
        if not select.select([child.stdout], [], [], POLL_S)[0]:
            continue
        data = os.read(child.stdout.fileno(), 1 << 16)
        if not data:
            return {}
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            try:
                said = json.loads(line)
                if "duration_s" not in said:
                    return dict(said)
                limit_s = PATIENCE * config.run.limits.seconds(float(said["duration_s"]))
            except (ValueError, TypeError):
                return {}
    return None


def _last_words(code: int, tail: bytes) -> str:
    lines = tail.decode("utf-8", "replace").strip().splitlines()
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"{name}: {lines[-1]}" if lines else name


def _read(target: str, path: str) -> Seen:
    try:
        with np.load(target, allow_pickle=False) as found:
            numbers, pictures = found["numbers"].tolist(), found["pictures"]
            return Seen(
                times_s=np.asarray(found["times_s"], np.float64),
                pictures=dict(zip(numbers, pictures, strict=True)),
                lost=int(found["lost"]),
                is_hdr=bool(found["is_hdr"]),
            )
    except (OSError, ValueError, KeyError) as error:
        raise DecodeError(f"{path}: the plain decode wrote what cannot be read: {error}") from None
