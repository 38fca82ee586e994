"""Steps of flow as they are stored, with what their frames show of them.

Many steps are made at once, since what NumPy takes to begin an operation is otherwise most of the
time. No step depends on the others.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sofdata.flow.opencv import load_cv2
from sofdata.windows.camera import CameraMotion, camera_flow, ransac_motion
from sofdata.windows.config import WindowConfig
from sofdata.windows.consensus import consensus_motion
from sofdata.windows.motion import magnitudes
from sofdata.windows.quality import (
    CHECK_SIDE,
    FrameFigures,
    QualityConfig,
    camera_figures,
    consistency_figures,
)
from sofdata.windows.texture import evidence_side, step_evidence

_TOGETHER = 16  # steps: with more, arrays leave the cache of a core

Flow = NDArray[np.float32]
CameraFigures = tuple[float, float, float]
_STILL: CameraFigures = (0.0, 1.0, 0.0)  # nothing moves: all follows a camera that stands still


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """flow: float32 [size,size,2], px a step. magnitude: of its vectors, float32 [size,size].

    camera: its statistics, as `motion.CAMERA_FIELDS` names them; None where it is off.
    evidence: what the frames show of the motion, see `texture.step_evidence`; None for a step
        without flow, and where `min_texture` is 0.
    quality: its row of `quality.FrameFigures.rows`; None where none of it is asked for.
    """

    flow: Flow
    magnitude: NDArray[np.float32]
    camera: CameraFigures | None
    evidence: NDArray[np.float64] | None
    quality: NDArray[np.float64] | None = None


def reduced_steps(
    flow: Flow,
    config: WindowConfig,
    rgb: NDArray[np.uint8] | None = None,
    quality: QualityConfig = QualityConfig(),  # noqa: B008 - frozen
) -> Iterator[Step]:
    """Reduce flow [S,H,W,2] to `config.size` and treat the camera's motion as configured.

    rgb: uint8 [S+1,H,W,3], the frames that the flow leads between; without them, no `evidence` and
        no `quality`.
    """
    asked = None if rgb is None or not quality.columns else FrameFigures.of(rgb, quality)
    for moves, run in itertools.groupby(range(len(flow)), lambda step: bool(flow[step].any())):
        steps = list(run)
        if moves:
            for first in range(steps[0], steps[-1] + 1, _TOGETHER):
                end = min(first + _TOGETHER, steps[-1] + 1)
                seen = None if rgb is None else rgb[first : end + 1]
                some = asked and asked.between(first, end)
                yield from _moving_steps(flow[first:end], config, seen, some)
        else:  # most clips have some: nothing to reduce or to fit
            some = asked and asked.between(steps[0], steps[-1] + 1)
            yield from _still_steps(len(steps), config, some)


def described_steps(
    flow: Flow,
    moves: NDArray[np.bool_],
    evidence: NDArray[np.float64],
    config: WindowConfig,
) -> Iterator[Step]:
    """`reduced_steps` of flow whose frames are gone, and what they show of it is kept.

    flow: [S,k,k,2]. moves: [S]; whether the flow of a step was other than zero at first.
    evidence: [S,5,8,8], as `texture.step_evidence` gives it.
    """
    for is_moving, run in itertools.groupby(range(len(flow)), lambda step: bool(moves[step])):
        steps = list(run)
        if is_moving:
            for first in range(steps[0], steps[-1] + 1, _TOGETHER):
                part = slice(first, min(first + _TOGETHER, steps[-1] + 1))
                small = resize_flow(flow[part], config.size)
                nothing = [None] * len(small)
                seen = list(evidence[part]) if config.min_texture > 0 else nothing
                motion = None if config.camera == "off" else _camera(small, config)
                yield from _described(small, seen, motion, nothing, config)
        else:
            yield from _still_steps(len(steps), config, None)


def resize_flow(flow: Flow, size: int) -> Flow:
    """Scale flow [S,H,W,2], or one step [H,W,2], to size x size and its vectors with it; a copy."""
    if flow.ndim == 3:
        alone: Flow = resize_flow(flow[None], size)[0]
        return alone
    steps, height, width, _ = flow.shape
    if (height, width) == (size, size):
        return flow.copy()
    cv2 = load_cv2()
    how = cv2.INTER_AREA if size <= min(height, width) else cv2.INTER_LINEAR
    small = np.empty((steps, size, size, 2), np.float32)
    for step in range(steps):
        cv2.resize(flow[step], (size, size), dst=small[step], interpolation=how)
    if width == height:
        small *= np.float32(size / width)  # a tenth of the time that a pair of factors takes
    else:
        small *= np.array([size / width, size / height], np.float32)
    return small


def _still_steps(number: int, config: WindowConfig, asked: FrameFigures | None) -> Iterator[Step]:
    flow = np.zeros((config.size, config.size, 2), np.float32)
    camera = None if config.camera == "off" else _STILL
    rows = asked.still() if asked else itertools.repeat(None, number)
    for row in rows:
        yield Step(flow, flow[..., 0], camera, None, row)


def _moving_steps(
    flow: Flow,
    config: WindowConfig,
    rgb: NDArray[np.uint8] | None,
    asked: FrameFigures | None,
) -> Iterator[Step]:
    """Steps all of which have flow."""
    small = resize_flow(flow, config.size)
    evidence: Sequence[NDArray[np.float64] | None] = [None] * len(flow)
    if rgb is not None and config.min_texture > 0:
        side = evidence_side(*flow.shape[1:3])
        vectors = small if side == config.size else resize_flow(flow, side)
        evidence = list(step_evidence(rgb, vectors))
    motion = None
    if config.camera != "off" or (asked and "camera" in asked.config.columns):
        motion = _camera(small, config)
    rows: Sequence[NDArray[np.float64] | None] = [None] * len(flow)
    if rgb is not None and asked:
        rows = list(_rows(flow, small, motion, rgb, asked))
    yield from _described(small, evidence, motion, rows, config)


def _described(
    small: Flow,
    evidence: Sequence[NDArray[np.float64] | None],
    motion: CameraMotion | None,
    rows: Sequence[NDArray[np.float64] | None],
    config: WindowConfig,
) -> Iterator[Step]:
    """Steps of flow [S,size,size,2], all of which move."""
    stored = small
    cameras: list[CameraFigures | None] = [None] * len(small)
    if motion is not None and config.camera != "off":
        figures = (motion.camera_px, motion.share, motion.residual_px)
        cameras = list(zip(*(each.tolist() for each in figures), strict=True))
        if config.camera == "subtract":
            stored = small - camera_flow(motion.maps, config.size, config.size)
    for parts in zip(stored, magnitudes(stored), cameras, evidence, rows, strict=True):
        yield Step(*parts)


def _rows(
    flow: Flow,
    small: Flow,
    motion: CameraMotion | None,
    rgb: NDArray[np.uint8],
    asked: FrameFigures,
) -> NDArray[np.float64]:
    """What is asked of steps that have flow. small: the flow at the size at which it is stored."""
    consistency = camera = None
    if "consistency" in asked.config.columns:
        side = min(CHECK_SIDE, *flow.shape[1:3])
        vectors = small if side == small.shape[1] else resize_flow(flow, side)
        consistency = consistency_figures(rgb, vectors)
    if "camera" in asked.config.columns and motion is not None:
        camera = camera_figures(small, motion)
    return asked.rows(consistency, camera)


def _camera(flow: Flow, config: WindowConfig) -> CameraMotion:
    find = ransac_motion if config.camera_fit == "ransac" else consensus_motion
    return find(flow, config.camera_inlier_px)
