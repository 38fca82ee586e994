"""One step of flow as it is stored: reduced, and with or without the camera's motion."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sofdata.flow.opencv import load_cv2
from sofdata.windows.camera import camera_flow, camera_motion
from sofdata.windows.config import WindowConfig
from sofdata.windows.motion import mean_px


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """flow: float32 [size,size,2]; px a step. camera: its statistics, empty when it is off."""

    flow: NDArray[np.float32]
    camera: dict[str, float] = field(default_factory=dict)


def make_step(flow: NDArray[np.float32], config: WindowConfig) -> Step:
    """Reduce flow [H,W,2] to `config.size` and treat the camera's motion as configured."""
    if not flow.any():  # a still step, as most clips have some: nothing to reduce or to fit
        return Step(np.zeros((config.size, config.size, 2), np.float32), _still(config))
    small = resize_flow(flow, config.size)
    if config.camera == "off":
        return Step(small)
    maps, shares = camera_motion(small[None], config.camera_inlier_px)
    camera = camera_flow(maps[0], config.size, config.size)
    residual = small - camera
    statistics = {
        "camera_px": mean_px(camera),
        "camera_share": float(shares[0]),
        "residual_px": mean_px(residual),
    }
    return Step(residual if config.camera == "subtract" else small, statistics)


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
