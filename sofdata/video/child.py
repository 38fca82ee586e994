"""The process that decodes one video at a time for a worker, and may be killed for it.

Speaks over two pipes with `sofdata.video.isolate`: requests come as lines of JSON on standard
input; answers are JSON headers with raw bytes, on the descriptor that the first argument names.
A remote video that is read in ranges comes through the parent, too: this process is given neither
credentials nor an address.
While a video is decoded a thread reports progress to the parent, and ends this process once it has
more memory than it may (`sofdata.video.watch`).
Nothing is pickled, since what a decoder says of an untrusted file is itself not to be trusted.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import select
import struct
import sys
import threading
from dataclasses import asdict
from typing import Any

import numpy as np

from sofdata.errors import DecodeError, InputError
from sofdata.system.fault_points import fault_point
from sofdata.system.processes import end_with_parent
from sofdata.types import Frames
from sofdata.video.config import VideoConfig
from sofdata.video.decord_reader import DecoderMisbehaved
from sofdata.video.division import NotAsWhole, part_from_json, track_from_json
from sofdata.video.limits import MIB, OverLimit, out_of_memory
from sofdata.video.part_reader import read_part
from sofdata.video.probe import Unusable
from sofdata.video.ranges import RangeFile, Source
from sofdata.video.reader import VideoStream, open_video
from sofdata.video.sampling import Sampling
from sofdata.video.sequences.formats import look, read_rows
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.stream import SequenceStream
from sofdata.video.watch import Watch

# The only file that this process writes, but for those of packed bags (`sequences.bags.spool`).
STDERR_BYTES = 64 << 20


def main() -> None:
    """Answer requests until the parent is gone."""
    end_with_parent()
    resource.setrlimit(resource.RLIMIT_FSIZE, (STDERR_BYTES, resource.RLIM_INFINITY))
    answers = Answers(int(sys.argv[1]))
    watch = Watch(answers.beat)
    import av  # noqa: F401 - while the parent still gets ready, not with the first video

    answers.beat()  # there it is
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        watch.begin(request["memory_mib"] * MIB, request["beat_s"])
        _decode(request, answers)
        watch.end()


class Answers:
    """The pipe to the parent, for the thread that decodes and for the one that watches."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def send(self, header: dict[str, Any], payload: Any = b"") -> None:
        """Write a header and the bytes of a buffer, without a copy."""
        head = json.dumps(header).encode()
        data = memoryview(payload).cast("B")
        with self._lock:
            for part in (struct.pack("<II", len(head), len(data)) + head, data):
                while len(part):
                    part = part[os.write(self._pipe, part) :]

    def beat(self) -> None:
        """Report progress, unless the parent has not yet read what was sent before."""
        if not self._lock.acquire(blocking=False):
            return  # what is being written is progress as well
        try:
            if select.select([], [self._pipe], [], 0)[1]:  # so there is room for a short message
                head = b'{"kind": "beat"}'
                os.write(self._pipe, struct.pack("<II", len(head), 0) + head)
        finally:
            self._lock.release()


def _decode(request: dict[str, Any], answers: Answers) -> None:
    try:
        if "look" in request:
            _send_look(request, answers)
        elif "rows" in request:
            _send_rows(request, answers)
        elif "part" in request:
            _send_part(request, answers)
        else:
            _send_video(request, answers)
    except (InputError, OSError, MemoryError) as error:
        answers.send(_describe(error))


def _send_video(request: dict[str, Any], answers: Answers) -> None:
    fault_point(f"decode {os.path.basename(request['path'])}")
    stream = _open(request, answers)
    shown = {name: getattr(stream.info, name) for name in ("height", "width", "fps")}
    parts = {"division": stream.division.to_json()} if stream.division else {}
    lengths = {"duration_s": stream.duration_s, "stated_s": stream.info.duration_s or 0.0}
    answers.send({"kind": "info", **lengths, **shown, **parts})
    for frames in stream:
        _send_frames(frames, answers, stream.decoder, stream.is_sound)
    report = asdict(stream.report)
    answers.send({"kind": "end", "decoder": stream.decoder, "report": report})


def _open(request: dict[str, Any], answers: Answers) -> VideoStream | SequenceStream:
    source = _source(request, answers)
    config, sampling = VideoConfig.parse(request["video"]), _sampling(request["sampling"])
    if request["sequence"]:
        return SequenceStream(source, SequencePlace.parse(request["sequence"]), config, sampling)
    return open_video(source, config, sampling, request["decoder"], request["divide_s"])


def _send_look(request: dict[str, Any], answers: Answers) -> None:
    fault_point(f"look into {os.path.basename(request['path'].rstrip('/'))}")
    found = look(_source(request, answers), request["look"], request["options"])
    answers.send({"kind": "end"}, json.dumps(found).encode())


def _send_rows(request: dict[str, Any], answers: Answers) -> None:
    rows = read_rows(_source(request, answers), SequencePlace.parse(request["rows"]))
    data = rows.values.astype("<f4").tobytes() + rows.times_s.astype("<f8").tobytes()
    answers.send({"kind": "end", "shape": rows.values.shape}, data)


def _send_part(request: dict[str, Any], answers: Answers) -> None:
    fault_point(f"decode a part of {os.path.basename(request['path'])}")
    chunks = read_part(
        str(request["path"]),
        VideoConfig.parse(request["video"]),
        _sampling(request["sampling"]),
        track_from_json(request["track"]),
        part_from_json(request["part"]),
    )
    for frames in chunks:
        _send_frames(frames, answers, decoder="", is_sound=True)
    answers.send({"kind": "end", "decoder": ""})


def _send_frames(frames: Frames, answers: Answers, decoder: str, is_sound: bool) -> None:
    header = {
        "kind": "frames",
        "decoder": decoder,
        "is_sound": is_sound,
        "shape": frames.rgb.shape,
        "pts_s": frames.pts_s.tolist(),
    }
    answers.send(header, np.ascontiguousarray(frames.rgb).data)


def _sampling(fields: dict[str, Any]) -> Sampling:
    """The sampling of a request: JSON has lists where a `Sampling` has tuples."""
    span = fields["span_s"]
    hidden_s = [(start, end) for start, end in fields["hidden_s"]]
    span_s = (span[0], span[1]) if span else None
    return Sampling(**fields | {"span_s": span_s, "hidden_s": hidden_s})


def _source(request: dict[str, Any], answers: Answers) -> Source:
    """The file to open: a local path, or what the parent sends of a file that it can reach."""
    if request["size_bytes"] is None:
        return str(request["path"])

    def fetch(start: int, end: int) -> bytes:
        answers.send({"kind": "want", "start": start, "end": end})
        data = sys.stdin.buffer.read(end - start)
        if len(data) != end - start:
            os._exit(1)  # the parent is gone
        return data

    return RangeFile(request["path"], request["size_bytes"], fetch)


def _describe(error: Exception) -> dict[str, Any]:
    """An error as a header that the parent turns back into the same kind of error."""
    kind = "DecodeError"
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        error = out_of_memory()
    if isinstance(error, Unusable | DecoderMisbehaved | OverLimit | NotAsWhole):
        kind = type(error).__name__
    elif not isinstance(error, DecodeError):
        return {"kind": "error", "type": kind, "reason": "", "message": f"{error!r} while decoding"}
    reason = getattr(error, "reason", "")
    return {"kind": "error", "type": kind, "reason": reason, "message": str(error)}


if __name__ == "__main__":
    main()
