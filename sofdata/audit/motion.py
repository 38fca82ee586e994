"""Compares the flow of a stored window with flow estimated again between the frames of its times.

Another way of reducing a frame changes flow a little everywhere and much where there is little
texture. So only clear disagreements are reported: motion in the wrong direction, motion where there
is none, and none where there is motion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from sofdata.audit.compare import AuditFinding
from sofdata.audit.seen import Picture, Seen
from sofdata.flow.estimator import Estimator
from sofdata.ingest.config import IngestConfig
from sofdata.ingest.stages import still_steps
from sofdata.shards.schema import SampleRecord
from sofdata.windows.steps import reduced_steps

Flow = NDArray[np.float32]

# Where there is less to see, flow is a guess, and another one for each way of reducing a frame.
TEXTURE_LEVELS = 8.0
MOVING_PX = 0.5
MOVING_SHARE = 0.01
WRONG_SHARE = 0.8  # of the motion; 0.5 at most on the shared clips, 1.3 for unrelated flow
BETTER_SHARE = 0.6

# What flow becomes when pictures, or vectors alone, are turned: (dx, dy) [L,h,w,2].
ALTERED: dict[str, Callable[[Flow], Flow]] = {
    "of pictures mirrored left to right": lambda f: f[:, :, ::-1] * _vector(-1, 1),
    "of pictures mirrored top to bottom": lambda f: f[:, ::-1] * _vector(1, -1),
    "of pictures upside down": lambda f: f[:, ::-1, ::-1] * _vector(-1, -1),
    "mirrored left to right in its direction": lambda f: f * _vector(-1, 1),
    "mirrored top to bottom in its direction": lambda f: f * _vector(1, -1),
    "backward": lambda f: f * _vector(-1, -1),
    "mirrored in its places": lambda f: f[:, :, ::-1],
    "with dx and dy exchanged": lambda f: f[..., ::-1],
}


def check_flow(
    record: SampleRecord, flow: Flow, seen: Seen, estimator: Estimator, config: IngestConfig
) -> list[AuditFinding]:
    """Whether the stored flow [L,h,w,2] is roughly that between the frames of a window's times."""
    places = [seen.nearest(time_s) for time_s in record.pts_s]
    if any(place not in seen.pictures for place in places):
        return []
    pictures = [seen.pictures[place] for place in places]
    fresh = fresh_flow(pictures, estimator, config)
    textured = np.stack([texture(picture, flow.shape[1]) for picture in pictures[:-1]])
    moves = (np.maximum(_length(flow), _length(fresh)) > MOVING_PX) & (textured > TEXTURE_LEVELS)
    if moves.mean() < MOVING_SHARE:
        return []
    motion = (_length(flow)[moves].mean() + _length(fresh)[moves].mean()) / 2
    off = _off(flow, fresh, moves)
    if off < WRONG_SHARE * motion:
        return []
    altered = {name: _off(flow, change(fresh), moves) for name, change in ALTERED.items()}
    name = min(altered, key=lambda each: altered[each])
    if altered[name] < BETTER_SHARE * off:
        return [AuditFinding(record.window, record.key, "flow", f"the flow is {name}")]
    text = f"the flow is off by {off:.1f} px a step where {motion:.1f} px move"
    return [AuditFinding(record.window, record.key, "flow", text)]


def fresh_flow(pictures: Sequence[Picture], estimator: Estimator, config: IngestConfig) -> Flow:
    """Flow between pictures [L+1 of S,S,3], as a window stores it: [L,h,w,2]."""
    frames = np.stack(pictures)
    moves = ~still_steps(frames, config.flow.still_diff)
    full = np.zeros((len(frames) - 1, *frames.shape[1:3], 2), np.float32)
    if moves.any():
        full[moves] = estimator.estimate(frames[:-1][moves], frames[1:][moves])
    return np.stack([step.flow for step in reduced_steps(full, config.windows)])


def texture(picture: Picture, size: int) -> NDArray[np.float32]:
    """How much there is to see around each point: standard deviation, grey levels [size,size]."""
    import cv2

    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean, square = (cv2.blur(each, (7, 7)) for each in (grey, grey * grey))
    spread = np.sqrt(np.maximum(square - mean * mean, 0.0))
    return np.asarray(cv2.resize(spread, (size, size), interpolation=cv2.INTER_AREA), np.float32)


def _vector(x: int, y: int) -> NDArray[np.float32]:
    return np.array([x, y], np.float32)


def _length(flow: Flow) -> NDArray[np.float32]:
    return np.asarray(np.hypot(flow[..., 0], flow[..., 1]), np.float32)


def _off(flow: Flow, fresh: Flow, moves: NDArray[np.bool_]) -> float:
    """Mean distance of the vectors where anything moves, px."""
    return float(_length(flow - fresh)[moves].mean())
