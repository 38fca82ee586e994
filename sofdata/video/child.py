"""The process that decodes one video at a time for a worker, and may be killed for it.

Speaks over two pipes with `sofdata.video.isolate`: requests come as lines of JSON on standard
input; answers are JSON headers with raw bytes, on the descriptor that the first argument names.
A remote video that is read in ranges comes through the parent, too: this process is given neither
credentials nor an address.
Nothing is pickled, since what a decoder says of an untrusted file is itself not to be trusted.
"""

from __future__ import annotations

import json
import os
import resource
import struct
import sys
from dataclasses import asdict
from typing import Any

import numpy as np

from sofdata.errors import DecodeError, InputError
from sofdata.faults import reached
from sofdata.processes import end_with_parent
from sofdata.video.config import VideoConfig
from sofdata.video.decord_reader import DecoderMisbehaved
from sofdata.video.probe import Unusable
from sofdata.video.ranges import RangeFile, Source
from sofdata.video.reader import open_video
from sofdata.video.sampling import Sampling

STDERR_BYTES = 64 << 20


def main() -> None:
    """Answer requests until the parent is gone."""
    end_with_parent()
    with os.fdopen(int(sys.argv[1]), "wb", buffering=0) as answers:
        while line := sys.stdin.buffer.readline():
            _decode(json.loads(line), answers)


def _decode(request: dict[str, Any], answers: Any) -> None:
    _limit(request["memory_mib"])
    try:
        reached(f"decode {os.path.basename(request['path'])}")
        stream = open_video(
            _source(request, answers),
            VideoConfig.parse(request["video"]),
            _sampling(request["sampling"]),
            request["decoder"],
        )
        shown = {"height": stream.info.height, "width": stream.info.width}
        _send(answers, {"kind": "info", "duration_s": _duration_s(stream.info), **shown})
        for frames in stream:
            header = {
                "kind": "frames",
                "decoder": stream.decoder,
                "shape": frames.rgb.shape,
                "pts_s": frames.pts_s.tolist(),
            }
            _send(answers, header, np.ascontiguousarray(frames.rgb).data)
        report = asdict(stream.report)
        _send(answers, {"kind": "end", "decoder": stream.decoder, "report": report})
    except (InputError, OSError, MemoryError) as error:
        _send(answers, _describe(error))


def _sampling(told: dict[str, Any]) -> Sampling:
    span = told["span_s"]
    hidden_s = [(start, end) for start, end in told["hidden_s"]]
    span_s = (span[0], span[1]) if span else None
    return Sampling(**told | {"span_s": span_s, "hidden_s": hidden_s})


def _source(request: dict[str, Any], answers: Any) -> Source:
    """The file to open: a local path, or what the parent sends of a file that it can reach."""
    if request["size_bytes"] is None:
        return str(request["path"])

    def fetch(start: int, end: int) -> bytes:
        _send(answers, {"kind": "want", "start": start, "end": end})
        data = sys.stdin.buffer.read(end - start)
        if len(data) != end - start:
            os._exit(1)  # the parent is gone
        return data

    return RangeFile(request["path"], request["size_bytes"], fetch)


def _describe(error: Exception) -> dict[str, Any]:
    """An error as a header that the parent turns back into the same kind of error."""
    kind = "DecodeError"
    if isinstance(error, Unusable | DecoderMisbehaved):
        kind = type(error).__name__
    elif not isinstance(error, DecodeError):
        return {"kind": "error", "type": kind, "reason": "", "message": f"{error!r} while decoding"}
    reason = getattr(error, "reason", "")
    return {"kind": "error", "type": kind, "reason": reason, "message": str(error)}


def _duration_s(info: Any) -> float:
    """The longest time that the header or the packets tell of."""
    covered = float(info.pts_s[-1] - info.pts_s[0]) if len(info.pts_s) else 0.0
    return max(covered, info.duration_s or 0.0)


def _limit(memory_mib: int) -> None:
    """Let allocations fail beyond a limit, so that a header cannot exhaust the machine.

    The only file that this process writes is its standard error: that is limited too.
    """
    resource.setrlimit(resource.RLIMIT_DATA, (memory_mib << 20, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (STDERR_BYTES, resource.RLIM_INFINITY))


def _send(answers: Any, header: dict[str, Any], payload: Any = b"") -> None:
    """Write a header and the bytes of a buffer, without a copy."""
    head = json.dumps(header).encode()
    data = memoryview(payload).cast("B")
    for part in (struct.pack("<II", len(head), len(data)) + head, data):
        while len(part):
            part = part[answers.write(part) :]


if __name__ == "__main__":
    main()
