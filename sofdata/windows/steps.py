"""One step of flow as it is stored, with what its frames show of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sofdata.flow.opencv import load_cv2
from sofdata.windows.camera import camera_flow, camera_motion
from sofdata.windows.config import WindowConfig
from sofdata.windows.motion import mean_px
from sofdata.windows.texture import step_evidence


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """flow: float32 [size,size,2]; px a step. camera: its statistics, empty when it is off.

    evidence: what the frames show of the motion, see `texture.step_evidence`; None for a step
        without flow, and where `min_texture` is 0.
    """

    flow: NDArray[np.float32]
    camera: dict[str, float] = field(default_factory=dict)
    evidence: NDArray[np.float64] | None = None


def make_step(
    flow: NDArray[np.float32], config: WindowConfig, frames: NDArray[np.uint8] | None = None
) -> Step:
    """Reduce flow [H,W,2] to `config.size` and treat the camera's motion as configured.

    frames: uint8 [2,H,W,3], the two that the flow leads between; without them, no `evidence`.
    """
    if not flow.any():  # a still step, as most clips have some: nothing to reduce or to fit
        return Step(np.zeros((config.size, config.size, 2), np.float32), _still(config))
    evidence = None
    if frames is not None and config.min_texture > 0:
        evidence = step_evidence(frames[0], frames[1], flow)
    small = resize_flow(flow, config.size)
    if config.camera == "off":
        return Step(small, evidence=evidence)
    maps, shares = camera_motion(small[None], config.camera_inlier_px)
    camera = camera_flow(maps[0], config.size, config.size)
    residual = small - camera
    statistics = {
        "camera_px": mean_px(camera),
        "camera_share": float(shares[0]),
        "residual_px": mean_px(residual),
    }
    return Step(residual if config.camera == "subtract" else small, statistics, evidence)


def _still(config: WindowConfig) -> dict[str, float]:
    """The camera's statistics where nothing moves: all follows a camera that stands still."""
    if config.camera == "off":
        return {}
    return {"camera_px": 0.0, "camera_share": 1.0, "residual_px": 0.0}


def resize_flow(flow: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Scale one step of flow [H,W,2] to size x size, and its vectors with it; always a copy."""
    height, width = flow.shape[:2]
    if (height, width) == (size, size):
        return flow.copy()
    cv2 = load_cv2()
    shrinks = size <= min(height, width)
    small = cv2.resize(
        flow, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    scaled: NDArray[np.float32] = small * np.array([size / width, size / height], np.float32)
    return scaled
