"""Camera motion by consensus against RANSAC: what a step costs, and how far the map is off.

    python benchmarks/camera.py [--steps 200] [--rounds 5]

Flow of 64 px with a known camera: an affine map (shift up to 4 px, turn up to 2 degrees, zoom up to
3 %), of which a share is replaced by a block that moves on its own, and noise of 0.1 px on all. The
error is the mean distance, px, between the map's flow and the true camera's, over the whole frame.
CPU time, in turn within each round; a Markdown table. Ten seconds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sofdata.windows.camera import CameraMotion, camera_flow, ransac_motion
from sofdata.windows.config import WindowConfig
from sofdata.windows.consensus import consensus_motion

SIDE, NOISE_PX = 64, 0.1
SHARES = (0.0, 0.2, 0.4, 0.6)  # of the frame that does not follow the camera
WAYS: dict[str, Callable[[NDArray[np.float32], float], CameraMotion]] = {
    "consensus": consensus_motion,
    "ransac": ransac_motion,
}
Flow = NDArray[np.float32]  # [S,h,w,2]


def scenes(steps: int, other: float, moves: bool) -> tuple[Flow, Flow]:
    """Flow of steps and the camera's part of it; `other`: the share that moves on its own."""
    rng = np.random.default_rng(round(100 * other) + moves)
    maps = np.tile(np.eye(2, 3), (steps, 1, 1))
    if moves:
        turn, zoom = np.radians(rng.uniform(-2, 2, steps)), rng.uniform(0.97, 1.03, steps)
        rows = [np.cos(turn), -np.sin(turn), np.sin(turn), np.cos(turn)]
        maps[:, :, :2] = (zoom * np.array(rows)).T.reshape(steps, 2, 2)
        middle = np.full(2, SIDE / 2)
        maps[:, :, 2] = middle - maps[:, :, :2] @ middle + rng.uniform(-4, 4, (steps, 2))
    camera = camera_flow(maps, SIDE, SIDE)
    flow = camera + rng.normal(0, NOISE_PX, camera.shape).astype(np.float32)
    width = round(SIDE * other)
    flow[:, :, :width] += rng.uniform(2, 6, (steps, 1, 1, 2)).astype(np.float32)
    return flow, camera


def row(moves: bool, other: float, steps: int, rounds: int) -> str:
    """A row of the table: the error and the time of each way."""
    flow, camera = scenes(steps, other, moves)
    inlier_px = WindowConfig().camera_inlier_px
    taken_us: dict[str, list[float]] = {name: [] for name in WAYS}
    errors = {}
    for _ in range(rounds):
        for name, way in WAYS.items():
            began_s = time.process_time()
            found = way(flow, inlier_px)
            taken_us[name].append((time.process_time() - began_s) / steps * 1e6)
            off = camera_flow(found.maps, SIDE, SIDE) - camera
            errors[name] = float(np.hypot(off[..., 0], off[..., 1]).mean())
    times = [
        f"{statistics.median(each):.0f} ({min(each):.0f} to {max(each):.0f})"
        for each in taken_us.values()
    ]
    cells = ["moves" if moves else "still", f"{other:.0%}"]
    cells += [f"{error:.3f}" for error in errors.values()] + times
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    names = " | ".join(
        [*(f"{name}, px" for name in WAYS), *(f"{name}, µs a step" for name in WAYS)]
    )
    print(f"| camera | moves on its own | {names} |\n|---|---|---|---|---|---|")
    for moves in (False, True):
        for other in SHARES:
            print(row(moves, other, arguments.steps, arguments.rounds), flush=True)


if __name__ == "__main__":
    main()
