"""The process that decodes one video for an audit: a request as JSON on standard input.

It answers with lines of JSON: the duration, then how it ended. What it saw goes to a file of NumPy
arrays, nothing of which is pickled.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any

import numpy as np

from sofdata.audit import reference
from sofdata.audit.seen import Picture, numbers_wanted
from sofdata.errors import InputError
from sofdata.system.fault_points import fault_point
from sofdata.system.processes import end_with_parent

WRITTEN_BYTES = 2 << 30


def main() -> None:
    """Serve one request."""
    end_with_parent()
    request = json.load(sys.stdin)
    memory = request["memory_mib"] << 20
    resource.setrlimit(resource.RLIMIT_DATA, (memory, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (WRITTEN_BYTES, resource.RLIM_INFINITY))
    try:
        fault_point(f"audit {os.path.basename(request['path'])}")
        _say({"duration_s": reference.duration_s(request["path"])})
        _look(request)
    except (InputError, OSError, MemoryError) as error:
        _say({"error": str(error) or repr(error)})
    else:
        _say({"done": True})


def _look(request: dict[str, Any]) -> None:
    path = request["path"]
    timeline = reference.time_frames(path)
    times_s = np.array(timeline.times_s)
    wanted = numbers_wanted(times_s, request["windows"], request["step_s"])
    shown = reference.frames(path, timeline, frozenset(wanted))
    pictures = [reduced(f.picture, request["size"], request["fit"], request["eye"]) for f in shown]
    np.savez(
        request["target"],
        times_s=times_s,
        numbers=np.array(wanted[: len(pictures)], np.int64),
        pictures=np.array(pictures, np.uint8),
        lost=timeline.lost,
        is_hdr=timeline.is_hdr,
    )


def reduced(picture: Picture, size: int, fit: str, eye: str) -> Picture:
    """A frame as a window holds it: one of two views if an eye is named, and a square."""
    import cv2

    if eye:
        picture = picture[:, : picture.shape[1] // 2]
    height, width = picture.shape[:2]
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        picture = picture[top : top + side, left : left + side]
    shrinks = min(picture.shape[:2]) >= size
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (size, size), interpolation=how), np.uint8)


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
