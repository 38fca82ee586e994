"""Statistics of the flow of a window; they go into the index, to select and weigh windows by."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Every name that `SkillWindow.motion` may hold, and what it says. px are those of the stored size.
MOTION_FIELDS = {
    "mean_px": "mean magnitude of the stored flow, px a step",
    "p99_px": "99th percentile of that magnitude, px a step",
    "max_px": "largest magnitude, px a step",
    "active_share": "share of pixels and steps that move more than window.active_px",
    "camera_px": "mean magnitude of the camera's motion, px a step",
    "camera_share": "share of the flow that follows the camera, mean over the steps",
    "residual_px": "mean magnitude of the flow without the camera's motion, px a step",
}


def flow_statistics(flow: NDArray[np.float32], active_px: float) -> dict[str, float]:
    """Describe flow [L,h,w,2] by mean_px, p99_px, max_px and active_share (see `MOTION_FIELDS`).

    active_px: a pixel that moves farther than this in a step is active.
    """
    magnitude = _magnitude(flow)
    return {
        "mean_px": _rounded(magnitude.mean(dtype=np.float64)),
        "p99_px": _rounded(np.percentile(magnitude, 99)),
        "max_px": _rounded(magnitude.max()),
        "active_share": _rounded(np.mean(magnitude > active_px)),
    }


def mean_px(flow: NDArray[np.float32]) -> float:
    """Mean magnitude of flow [...,2] in px."""
    return float(_magnitude(flow).mean(dtype=np.float64))


def _magnitude(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """Length of each vector; faster than hypot, whose care for huge values is not needed here."""
    squares: NDArray[np.float32] = flow[..., 0] ** 2 + flow[..., 1] ** 2
    return np.sqrt(squares)


def _rounded(value: Any) -> float:
    """Six digits: enough for any use, and short in JSON."""
    return float(f"{float(value):.6g}")
