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
_APART = 16  # one in so many values tells about how high the others are
_LOWER = 0.97  # of the values are hardly among the highest hundredth
CAMERA_FIELDS = ("camera_px", "camera_share", "residual_px")


def magnitudes(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """Length of each vector of flow [...,2], px.

    Faster than hypot, whose care for huge values is not needed here.
    """
    dx, dy = flow[..., 0], flow[..., 1]
    return np.sqrt(dx * dx + dy * dy)


def means(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """The mean of each step of values [S,h,w], float64 [S].

    One step after the other: over an axis, the order of additions, and with it the last digit,
    may depend on how many steps there are.
    """
    return np.array([step.mean(dtype=np.float64) for step in values])


def flow_statistics(magnitude: NDArray[np.float32], active_px: float) -> dict[str, float]:
    """Describe the flow of a window by mean_px, p99_px, max_px and active_share (`MOTION_FIELDS`).

    magnitude: [L,h,w], px; contiguous, since the order of a sum decides its last digits.
    active_px: a pixel that moves farther than this in a step is active.
    """
    return {
        "mean_px": rounded(magnitude.mean(dtype=np.float64)),
        "p99_px": rounded(percentile_99(magnitude)),
        "max_px": rounded(magnitude.max()),
        "active_share": rounded(np.count_nonzero(magnitude > active_px) / magnitude.size),
    }


def percentile_99(values: NDArray[np.float32]) -> float:
    """What `np.percentile(values, 99)` gives of at least one value, in half the time."""
    place = (values.size - 1) * 0.99
    low = int(place)
    highest = _highest(values.reshape(-1), values.size - low)
    at = low - (values.size - len(highest))
    after = min(at + 1, len(highest) - 1)
    ordered = np.partition(highest, (at, after))
    below, above = ordered[at], ordered[after]
    share = np.float32(place - low)
    if share < 0.5:
        return float(below + (above - below) * share)
    return float(above - (above - below) * np.float32(1 - (place - low)))


def _highest(values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The `count` highest of values [n] with some others: far fewer than all as a rule."""
    some = values[::_APART]
    at_least = np.partition(some, at := int(len(some) * _LOWER))[at]
    highest = values[values >= at_least]
    return highest if len(highest) >= count else values


def rounded(value: Any) -> float:
    """Six digits: enough for any use, and short in JSON."""
    return float(f"{float(value):.6g}")
