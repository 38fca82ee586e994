"""Decoding in a process of its own: a hang, a crash or a flood of memory costs one video only.

One child serves a worker for as long as it behaves. It is killed when it makes no progress with a
video, or takes longer than its limit in all, and starts again for the next one. Costs 0.2 s a start
and one copy of the sampled frames.

A remote video that is read in ranges is fetched by the parent, block by block as the child asks for
it: the child gets no credentials, no variable that it does not need, and no address.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sofdata.errors import ContractError, DecodeError, InputError
from sofdata.storage.tree import Tree
from sofdata.storage.uris import local
from sofdata.system.processes import decoding_environment
from sofdata.types import Frames
from sofdata.video.config import DecoderName, VideoConfig
from sofdata.video.decord_reader import DecoderMisbehaved
from sofdata.video.division import Division, NotAsWhole
from sofdata.video.limits import LimitConfig, OverLimit
from sofdata.video.probe import Unusable
from sofdata.video.ranges import BLOCK_BYTES, RangeFile, Source
from sofdata.video.sampling import DivideS, Sampling
from sofdata.video.tally import StreamReport
from sofdata.video.watch import OVER_MEMORY_CODE
from sofdata.video.words import last_line

# A child that has gone wrong may claim any size; no more than this is allocated for it.
MAX_HEADER_BYTES = 1 << 24
MAX_PAYLOAD_BYTES = 1 << 30
STDERR_TAIL_BYTES = 2000
# A chunk of 64 frames has 3 MiB. With a pipe of the usual 64 KiB, both processes would wake up for
# each fiftieth of it; Linux lets every user have this much.
PIPE_BYTES = 1 << 20
POLL_S = 0.5
# Unbuffered, so that the last line before a crash is there to be quoted. Arrow's own allocator
# takes a GiB of addresses at once, which would count as data memory.
_ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
START_UP_S = 60.0  # a child may take this long to start, on a machine with much to do
BEAT_S = 1.0  # how often a child reports progress; at least four times in `floor_s`


class DecoderDied(DecodeError):
    """The decoding process hung or crashed over this video.

    reason: "timeout" or "crash". message: of a crash, it ends with the last line that the process
    wrote over this video. tail: the end of what it wrote, as it is.
    """

    def __init__(self, reason: str, message: str, tail: str = "") -> None:
        super().__init__(reason, message, tail)
        self.reason = reason
        self.message = message
        self.tail = tail

    def __str__(self) -> str:
        return self.message


@dataclass(slots=True)
class Deadline:
    """When a child that is waited for has had its time, on the monotonic clock.

    stall_s: how long it may go on without progress. over_s: from when on progress comes too late.
    stalled_s, is_over: when it has made no progress for too long; whether it made some too late.
    """

    stall_s: float
    over_s: float
    stalled_s: float = 0.0
    is_over: bool = False

    def __post_init__(self) -> None:
        self.progress()

    def progress(self) -> None:
        """Something has come of it."""
        now_s = time.monotonic()
        self.stalled_s = now_s + self.stall_s
        self.is_over = now_s > self.over_s

    def extend(self, took_s: float) -> None:
        """So long was spent on what the child is not to blame for."""
        self.over_s += took_s
        self.progress()


@dataclass(frozen=True, slots=True)
class ShownSize:
    """Size of a video as shown, px; frames a second and length, s, as its header has them, or 0."""

    height: int
    width: int
    fps: float
    duration_s: float


class DecoderProcess:
    """The child, from the parent's side. Not for use by several threads.

    limits: what a video may cost; may be set until one is opened.
    """

    def __init__(self, limits: LimitConfig) -> None:
        self.limits = limits
        self._child: subprocess.Popen[bytes] | None = None
        self._answers = -1
        self._is_idle = True
        self._is_starting = False
        self._remote: RangeFile | None = None
        self._path = ""
        self._stderr_from = 0  # where that begins which is written over this video
        self.fetched_s = 0.0  # spent on what was fetched for the child, all videos together
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this object

    def launch(self) -> None:
        """Start the child if there is none; it gets ready while this process does other things."""
        if self._child is None:
            self._launch()

    def open(
        self,
        path: Source,
        config: VideoConfig,
        sampling: Sampling,
        decoder: DecoderName,
        divide_s: DivideS | None = None,
        sequence: str = "",
    ) -> IsolatedStream:
        """Open a video; arguments and errors as `sofdata.video.reader.open_video`.

        sequence: that of a `Location`, of pictures that are in no video file.

        In addition raises `DecoderDied`, and what reading a `RangeFile` raises, here or while the
        frames are read.
        """
        wanted = {"decoder": decoder, "divide_s": divide_s, "sequence": sequence}
        self.begin_video(path, config, sampling, wanted)
        return IsolatedStream(self, str(path), self.limits, size_of(path))

    def begin_video(
        self, path: Source, config: VideoConfig, sampling: Sampling, wanted: dict[str, Any]
    ) -> None:
        """Send a request for frames to the child. wanted: what else it is to hold."""
        video = {"video": config.model_dump(mode="json"), "sampling": asdict(sampling)}
        self.begin(path, video | wanted)

    def begin(self, path: Source, wanted: dict[str, Any]) -> None:
        """Send a request about a file to the child. wanted: what else it is to hold."""
        self._start()
        self._is_idle = False
        self._remote = path if isinstance(path, RangeFile) else None
        self._path = str(path)
        self._request(
            {
                "path": self._path,
                "size_bytes": self._remote.size if self._remote else None,
                "memory_mib": self.limits.memory_mib,
                "beat_s": min(BEAT_S, self.limits.floor_s / 4),
                **wanted,
            }
        )

    def close(self) -> None:
        """Kill the child if there is one."""
        if self._child is None:
            return
        child, self._child = self._child, None
        child.kill()
        child.wait()
        os.close(self._answers)
        if child.stdin:
            with suppress(BrokenPipeError):  # it was gone before it read all
                child.stdin.close()

    def receive(self, left_s: float) -> tuple[dict[str, Any], memoryview]:
        """The next header and its bytes.

        left_s: what is left of the time that this video may take. Raises `OverLimit` once that is
        over, and `DecoderDied` if the child makes no progress before. What the child wants of a
        remote file is fetched meanwhile, at no cost of its time.
        """
        deadline = Deadline(self.limits.floor_s, time.monotonic() + left_s)
        while True:
            header, payload = self._receive(deadline)
            deadline.progress()
            if header["kind"] == "want":
                began_s = time.monotonic()
                data = self._wanted(header)
                took_s = time.monotonic() - began_s
                self.fetched_s += took_s
                deadline.extend(took_s)
                self._send(data, deadline)
            elif header["kind"] != "beat":
                return header, payload

    def _wanted(self, header: dict[str, Any]) -> bytes:
        """A block of the remote file that is being decoded, and of no other."""
        start, end = header.get("start"), header.get("end")
        if self._remote is None or not isinstance(start, int) or not isinstance(end, int):
            raise self.protocol_error()
        if not 0 <= start < end <= min(self._remote.size, start + BLOCK_BYTES):
            raise self.protocol_error()
        return self._remote.fetch(start, end)

    def _receive(self, deadline: Deadline) -> tuple[dict[str, Any], memoryview]:
        head, payload = struct.unpack("<II", self._read(8, deadline))
        if head > MAX_HEADER_BYTES or payload > MAX_PAYLOAD_BYTES:
            raise self.protocol_error()
        try:
            header = json.loads(bytes(self._read(head, deadline)))
            if header["kind"] != "beat":  # one may come late, after the end
                self._is_idle = header["kind"] in ("end", "error")
        except (ValueError, KeyError, TypeError, RecursionError):
            raise self.protocol_error() from None
        return header, self._read(payload, deadline)

    def protocol_error(self) -> DecoderDied:
        """End the child, whose answers make no sense, and give the error to raise."""
        return self._died("crash", "the decoding process wrote nonsense")

    def _start(self) -> None:
        # A child that still sends a video which nobody reads to its end cannot serve the next.
        if self._child is not None and self._child.poll() is None and self._is_idle:
            self._stderr_from = os.fstat(self._stderr.fileno()).st_size
        else:
            self.close()
            self._launch()
        if self._is_starting:
            patience_s = max(START_UP_S, self.limits.floor_s)
            self._receive(Deadline(patience_s, time.monotonic() + 2 * patience_s))  # its first beat
            self._is_starting = False

    def _launch(self) -> None:
        self._answers, child_end = os.pipe()
        with suppress(AttributeError, OSError):  # more than this user may have, or no Linux
            fcntl.fcntl(self._answers, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._stderr.seek(0)
        self._stderr.truncate()
        self._stderr_from = 0
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "sofdata.video.child", str(child_end)],
                stdin=subprocess.PIPE,
                # Decoders print to both; answers come through a pipe of their own.
                stdout=self._stderr,
                stderr=self._stderr,
                env=decoding_environment() | _ENVIRONMENT,
                pass_fds=(child_end,),
            )
        finally:
            os.close(child_end)
        self._is_idle = self._is_starting = True

    def _request(self, request: dict[str, Any]) -> None:
        assert self._child is not None
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(request).encode() + b"\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            raise self._crashed() from None

    def _send(self, data: bytes, deadline: Deadline) -> None:
        """Write to the child's standard input, which it may never read."""
        assert self._child is not None
        assert self._child.stdin is not None
        pipe, left = self._child.stdin.fileno(), memoryview(data)
        os.set_blocking(pipe, False)
        try:
            while left:
                if select.select([], [pipe], [], POLL_S)[1]:
                    left = left[os.write(pipe, left) :]
                    deadline.progress()
                self._check(deadline)
        except BrokenPipeError:
            raise self._crashed() from None
        if self._child is not None:
            os.set_blocking(pipe, True)

    def _read(self, size: int, deadline: Deadline) -> memoryview:
        data = np.empty(size, np.uint8).data
        filled = 0
        while filled < size:
            ready, _, _ = select.select([self._answers], [], [], POLL_S)
            if ready:
                read = os.readv(self._answers, [data[filled:]])
                if not read:
                    raise self._crashed()
                filled += read
                deadline.progress()
            self._check(deadline)
        return data

    def _check(self, deadline: Deadline) -> None:
        """End a child whose time is up."""
        if deadline.is_over:
            self.close()
            raise OverLimit(
                "over_time",
                "decoding takes longer than it may; run.limits sets how long that is",
            )
        if time.monotonic() > deadline.stalled_s:
            raise self._died(
                "timeout",
                f"the decoder made no progress for {deadline.stall_s:g} s (run.limits.floor_s): it "
                "read no byte, came upon no packet and gave no frame",
            )

    def _crashed(self) -> DecoderDied | OverLimit:
        """The error for a child that is gone: how it ended, and the last line that it wrote."""
        assert self._child is not None
        code = self._child.wait()
        if code == OVER_MEMORY_CODE:
            self.close()
            return OverLimit(
                "over_memory",
                f"decoding it takes more than {self.limits.memory_mib} MiB of memory "
                "(run.limits.memory_mib)",
            )
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        message = f"the decoding process crashed ({name})"
        if code == -signal.SIGKILL:
            message = "the decoding process was killed, perhaps for want of memory"
        died = self._died("crash", message)
        if line := last_line(died.tail, self._path):
            return DecoderDied(died.reason, f"{message}: {line}", died.tail)
        return died

    def _died(self, reason: str, message: str) -> DecoderDied:
        """End the child, and give the error to raise; `tail` is what it wrote over this video."""
        self.close()
        end = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(self._stderr_from, end - STDERR_TAIL_BYTES))
        return DecoderDied(reason, message, self._stderr.read().decode("utf-8", "replace"))


class IsolatedFrames:
    """Frames that the child decodes, in chunks; iterate over them once. limit_s: as `LimitConfig`.

    is_sound: as of `sofdata.video.reader.VideoStream`, as of the last chunk.
    """

    def __init__(self, process: DecoderProcess, path: str, limit_s: float) -> None:
        self._process = process
        self.path = path
        self.decoder = ""
        self.is_sound = False
        self._waited_s, self._limit_s = 0.0, limit_s

    def __iter__(self) -> Iterator[Frames]:
        last_s: float | None = None
        while (frames := self._frames()) is not None:
            if last_s not in (None, frames.pts_s[0]):
                raise self._process.protocol_error()
            last_s = float(frames.pts_s[-1])
            yield frames

    def _frames(self) -> Frames | None:
        """The next chunk, None after the last. What the child says is checked like any input."""
        header, payload = self._next()
        try:
            self.decoder = str(header["decoder"])
            if header["kind"] == "end":
                self._end(header)
                return None
            self.is_sound = header.get("is_sound") is True
            rgb = np.frombuffer(payload, np.uint8).reshape(header["shape"])
            return Frames(rgb, np.array(header["pts_s"], np.float64))
        except (KeyError, OverflowError, TypeError, ValueError, ContractError):
            raise self._process.protocol_error() from None

    def _end(self, header: dict[str, Any]) -> None:
        """What the child says after the last chunk."""

    def _next(self) -> tuple[dict[str, Any], memoryview]:
        """Wait for the child. Only time spent waiting for its work counts against the limit."""
        began_s, fetched_s = time.monotonic(), self._process.fetched_s
        header, payload = self._process.receive(self._limit_s - self._waited_s)
        self._waited_s += time.monotonic() - began_s - (self._process.fetched_s - fetched_s)
        if header["kind"] == "error":
            raise error_of(self.path, header)
        return header, payload


class IsolatedStream(IsolatedFrames):
    """The frames of one video, decoded by the child; otherwise as `VideoStream`.

    duration_s: the longer of the lengths that the header states and the packets cover.
    division: the parts in which the video may be decoded, where it was asked for and can be.
    """

    def __init__(
        self, process: DecoderProcess, path: str, limits: LimitConfig, size_bytes: int
    ) -> None:
        super().__init__(process, path, limits.seconds(0.0, size_bytes))
        self._report: StreamReport | None = None
        header, _ = self._next()
        try:
            self.duration_s = float(header["duration_s"])
            size = int(header["height"]), int(header["width"])
            self.info = ShownSize(*size, float(header["fps"]), float(header["stated_s"]))
            division = header.get("division")
            self.division = Division.from_json(division) if division else None
            self._limit_s = limits.seconds(self.duration_s, size_bytes)
        except (KeyError, TypeError, ValueError, OverflowError):
            raise process.protocol_error() from None

    @property
    def report(self) -> StreamReport:
        if self._report is None:
            raise ContractError(f"{self.path}: the report is known after the last chunk only")
        return self._report

    def _end(self, header: dict[str, Any]) -> None:
        self._report = StreamReport(**header["report"])


class IsolatedPart(IsolatedFrames):
    """The frames of one part of a video, decoded by the child. Errors as of `read_part`, too."""

    def __init__(
        self,
        process: DecoderProcess,
        path: str,
        config: VideoConfig,
        sampling: Sampling,
        division: Division,
        number: int,
    ) -> None:
        track, part = asdict(division.track), asdict(division.parts[number])
        process.begin_video(path, config, sampling, {"track": track, "part": part})
        # Of a file without an index all is read that comes before the part.
        limit_s = process.limits.seconds(division.lasts_s(number), size_of(path))
        super().__init__(process, path, limit_s)


def size_of(path: Source) -> int:
    """Bytes of a file, 0 where a local one cannot be read: then it cannot be decoded either.

    Of a folder, which ends with "/", the bytes of all files in it.
    """
    if isinstance(path, RangeFile):
        return path.size
    try:
        if str(path).endswith("/"):
            return Tree("/").size(local(str(path)))
        return os.stat(path).st_size
    except OSError:
        return 0


def error_of(path: str, header: dict[str, Any]) -> InputError:
    """The error that the child describes."""
    if header["type"] == "Unusable":
        return Unusable(header["reason"], header["message"])
    if header["type"] == "OverLimit":
        return OverLimit(header["reason"], header["message"])
    if header["type"] == "NotAsWhole":
        return NotAsWhole(header["message"])
    if header["type"] == "DecoderMisbehaved":
        return DecoderMisbehaved(path, header["reason"])
    return DecodeError(header["message"])
