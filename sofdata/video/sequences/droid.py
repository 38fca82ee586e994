"""trajectory.h5 of DROID: when each camera took its pictures, and what else it holds.

droid-dataset/droid, droid/trajectory_utils: a row is a step of the robot, at about 15 Hz, for which
every camera gives one picture, the next one of its video. Times are in ms.

Numbers are read as the format "hdf5" does.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sofdata.video.probe import Unusable
from sofdata.video.ranges import Source
from sofdata.video.sequences.base import damaged
from sofdata.video.sequences.film import times_text
from sofdata.video.sequences.hdf5.files import find, opened
from sofdata.video.sequences.hdf5.numbers import numeric, row_size

_STAMPS = "observation/timestamp"
# When a picture was taken: the first of these that is there, has a time for each step and goes on.
OF_CAMERA = ("_frame_received", "_estimated_capture", "_read_end", "_read_start")
OF_STEP = ("control/step_start", "robot_state/read_start")
LENGTH = "action/joint_position"  # the dataset of which DROID's own tools take the number of steps
MOST_STEPS = 1 << 20
MOST_CAMERAS = 64
SLOWEST_MS = 60_000  # between two steps: more is no clock of an episode
LATEST_MS = 10**15  # from 1970: what is more counts in another unit


def look(source: Source, options: Mapping[str, Any]) -> Any:
    """{"steps": n, "clocks": {serial: {...}}, "sizes": {name: numbers a step}, "unread": why}.

    A clock is {"path": of its dataset, "first": ms, "step_ms": ms, "times": text}, the last two as
    `film.times_text` writes them; the one of serial "" is that of the steps themselves.

    options: "arrays", paths of datasets whose sizes are wanted: told are those that hold numbers
    for each step. unread: "", or why one of them cannot be read.

    Raises `Unusable` where there are no steps.
    """
    with opened(source) as root:
        steps = int(numeric(root, LENGTH).shape[0])
        if not 0 < steps <= MOST_STEPS:
            raise damaged(f"{source}: {steps} steps")
        names = [str(name) for name in options["arrays"]]
        sizes, unread = _sizes(root, names, steps)
        of_cameras = {
            each: [f"cameras/{each}{end}" for end in OF_CAMERA] for each in _serials(root)
        }
        clocks = {
            serial: _clock(root, paths, steps)
            for serial, paths in {**of_cameras, "": OF_STEP}.items()
        }
        return {
            "steps": steps,
            "clocks": {serial: clock for serial, clock in clocks.items() if clock},
            "sizes": {name: size for name, size in sizes.items() if size},
            "unread": unread,
        }


def _sizes(root: Any, names: Sequence[str], steps: int) -> tuple[dict[str, int], str]:
    try:
        return {name: row_size(root, name, steps) for name in names}, ""
    except Unusable as error:
        return {}, str(error)


def _serials(root: Any) -> list[str]:
    """The serial numbers of the cameras that it has times of."""
    group = find(root, f"{_STAMPS}/cameras")
    names = list(itertools.islice(group, MOST_CAMERAS)) if hasattr(group, "keys") else []
    ends = [(str(name), end) for name in names for end in OF_CAMERA if str(name).endswith(end)]
    return sorted({name.removesuffix(end) for name, end in ends if name != end})


def _clock(root: Any, names: Sequence[str], steps: int) -> dict[str, Any] | None:
    for name in names:
        path = f"{_STAMPS}/{name}"
        times_ms = _times_ms(root, path, steps)
        if times_ms is not None:
            usual, text = times_text(times_ms)
            return {"path": path, "first": int(times_ms[0]), "step_ms": usual, "times": text}
    return None


def _times_ms(root: Any, path: str, steps: int) -> NDArray[np.int64] | None:
    """int64 [steps], where a dataset holds times that increase."""
    found = find(root, path)
    if getattr(found, "shape", None) not in ((steps,), (steps, 1)) or found.dtype.kind not in "fiu":
        return None
    stored = numeric(root, path)[...].reshape(-1).astype(np.float64)
    if not np.isfinite(stored).all() or np.abs(stored).max() > LATEST_MS:
        return None
    times_ms = np.round(stored).astype(np.int64)
    between = np.diff(times_ms)
    return times_ms if ((between > 0) & (between <= SLOWEST_MS)).all() else None
