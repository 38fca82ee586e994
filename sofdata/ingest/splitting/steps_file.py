"""The steps of a part of a video in a temporary file, until they are joined to the others.

A run of NumPy arrays, without compression: flow is noise to a compressor, and the file lives for
seconds. About 100 KB a step at the defaults. Nothing is pickled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from sofdata.ingest.stages import StepChunk
from sofdata.types import Frames
from sofdata.video.division import NotAsWhole
from sofdata.windows.kept import KeptSteps
from sofdata.windows.segment import BREAKS
from sofdata.windows.steps import Step

_KEPT = 5  # arrays of what is kept of the steps


def write_steps(path: str, chunks: Iterable[StepChunk]) -> None:
    """Write chunks as they come. Raises `OSError`, and what `chunks` raises."""
    with open(path, "wb") as file:
        for chunk in chunks:
            for array in _arrays(chunk):
                np.lib.format.write_array(file, array, allow_pickle=False)


def read_steps(path: str) -> Iterator[StepChunk]:
    """The chunks of a file, one at a time. Raises `NotAsWhole` where it is damaged."""
    size = Path(path).stat().st_size
    with open(path, "rb") as file:
        while file.tell() < size:
            try:
                yield _chunk(file)
            except ValueError as error:
                raise NotAsWhole(f"the steps of a part are damaged ({error})") from None


def _arrays(chunk: StepChunk) -> list[NDArray[Any]]:
    """What `_chunk` reads, in its order."""
    steps = [step for step in chunk.steps if step is not None]
    return [
        chunk.frames.rgb,
        chunk.frames.pts_s,
        np.array([BREAKS.index(reason) for reason in chunk.breaks], np.uint8),
        np.array([step.flow for step in steps], np.float32),
        np.array([step.magnitude for step in steps], np.float32),
        *_some([step.camera for step in steps]),
        *_some([step.evidence for step in steps]),
        *_some([step.quality for step in steps]),
        *(_kept_arrays(chunk.kept) if chunk.kept else [np.zeros(0)] * _KEPT),
    ]


def _chunk(file: IO[bytes]) -> StepChunk:
    arrays = [np.lib.format.read_array(file, allow_pickle=False) for _ in range(11 + _KEPT)]
    rgb, pts_s, reasons, flow, magnitude, *optional = arrays
    has_camera, camera, is_seen, seen, is_judged, judged, *rest = optional
    cameras = [None if one is None else tuple(one.tolist()) for one in _all(has_camera, camera)]
    made = map(Step, flow, magnitude, cameras, _all(is_seen, seen), _all(is_judged, judged))
    breaks = [BREAKS[number] for number in reasons]
    steps = [None if reason else next(made) for reason in breaks]
    kept = KeptSteps(pts_s, *rest) if len(rest[-1]) else None  # there is a frame at least
    return StepChunk(Frames(rgb, pts_s), steps, breaks, kept)


def _kept_arrays(kept: KeptSteps) -> list[NDArray[Any]]:
    return [kept.flow, kept.moves, kept.known, kept.evidence, kept.small]


def _some(values: Sequence[Any]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which of some values there are, and those."""
    there = [value is not None for value in values]
    return np.array(there, np.bool_), np.array([v for v in values if v is not None], np.float64)


def _all(there: NDArray[np.bool_], values: NDArray[np.float64]) -> list[NDArray[np.float64] | None]:
    """What `_some` was given, as arrays."""
    left = iter(values)
    return [next(left) if is_there else None for is_there in there]
