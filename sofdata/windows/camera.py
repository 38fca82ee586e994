"""Camera motion: the affine map that explains most of a step's flow.

An affine map, not a similarity: frames are squeezed to a square before flow is computed, which
turns even a pure rotation into one.

There are two ways to find it (`WindowConfig.camera_fit`): that of `sofdata.windows.consensus`, and
OpenCV's RANSAC, here, which datasets were made with before there was a choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sofdata.flow.opencv import load_cv2
from sofdata.windows.motion import magnitudes

GRID = 16  # points a side; more cost time and add little, since flow is smooth
_TRIES = 200
_CONFIDENCE = 0.99


@dataclass(frozen=True, slots=True, eq=False)
class CameraMotion:
    """What the camera does in each of S steps of flow.

    maps: float64 [S,2,3]; take (x, y, 1) of a frame to its place in the next. share: float64 [S];
    of the flow, follows the map. A step without a dominant motion has the identity and share 0.
    camera_px, residual_px: float64 [S]; mean magnitudes of the map's flow, and of what it leaves.
    """

    maps: NDArray[np.float64]
    share: NDArray[np.float64]
    camera_px: NDArray[np.float64]
    residual_px: NDArray[np.float64]


def ransac_motion(flow: NDArray[np.float32], inlier_px: float) -> CameraMotion:
    """The camera's motion in each step of flow [S,h,w,2] (px a step), by OpenCV's RANSAC.

    inlier_px: largest distance in px between a point's flow and the map that it follows.
    RANSAC draws from a fixed seed: the same flow gives the same maps. About 0.3 ms a step.
    """
    height, width = flow.shape[1:3]
    rows, columns = spread(height), spread(width)
    points = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)  # (x, y)
    maps = np.tile(np.eye(2, 3), (len(flow), 1, 1))
    shares, camera_px, residual_px = np.zeros((3, len(flow)))
    for step, vectors in enumerate(flow):
        sampled = vectors[np.ix_(rows, columns)].reshape(-1, 2)
        found = _fit(points.astype(np.float64), sampled.astype(np.float64), inlier_px)
        if found is not None:
            maps[step], shares[step] = found
        camera = camera_flow(maps[step], height, width)
        camera_px[step] = magnitudes(camera).mean(dtype=np.float64)
        residual_px[step] = magnitudes(vectors - camera).mean(dtype=np.float64)
    return CameraMotion(maps, shares, camera_px, residual_px)


def camera_flow(affine: NDArray[np.float64], height: int, width: int) -> NDArray[np.float32]:
    """The flow float32 [...,h,w,2] that maps [...,2,3] of a `CameraMotion` give every pixel."""
    maps = affine.astype(np.float32)[..., None, None]  # [..., 2, 3, 1, 1]
    x = np.arange(width, dtype=np.float32)
    y = np.arange(height, dtype=np.float32)[:, None]
    dx = (maps[..., 0, 0, :, :] - 1) * x + maps[..., 0, 1, :, :] * y + maps[..., 0, 2, :, :]
    dy = maps[..., 1, 0, :, :] * x + (maps[..., 1, 1, :, :] - 1) * y + maps[..., 1, 2, :, :]
    return np.stack([dx, dy], axis=-1)


def spread(length: int) -> NDArray[np.int64]:
    """Up to 16 places spread over `length` px, half a cell away from both ends."""
    count = min(GRID, length)
    return (np.arange(count) * length + length // 2) // count


def _fit(
    points: NDArray[np.float64], vectors: NDArray[np.float64], inlier_px: float
) -> tuple[NDArray[np.float64], float] | None:
    cv2 = load_cv2()
    affine, inliers = cv2.estimateAffine2D(
        points,
        points + vectors,
        method=cv2.RANSAC,
        ransacReprojThreshold=inlier_px,
        maxIters=_TRIES,
        confidence=_CONFIDENCE,
    )
    if affine is None or not np.isfinite(affine).all():
        return None
    return affine, float(np.mean(inliers))
