"""End-point error against time of the flow estimators, on scenes whose true flow is known.

Each scene is five layers (a background and four cut-outs of video frames, or of rendered texture
where there are no videos) that move, turn and grow apart; both frames are drawn at four times the
size, shrunk, and given camera noise, so that the true flow of every pixel is known. Pixels that
are covered in the second frame count too. Plain pictures serve as cut-outs only: nobody can see a
clear sky move. `brighter` repeats the medium motion with an exposure 3 % and four grey levels
higher in the second frame.

    python benchmarks/flow_accuracy.py [--clips FOLDER] [--size 128] [--scenes 60]

prints a Markdown table. One process, one thread; about a minute and a half at the defaults. A
learned model takes part with --checkpoint FILE (weights of GMFlow with refinement; about two
seconds a pair, so it sees --learned-scenes scenes of each kind).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sofdata.flow.config import DisConfig, FlowConfig
from sofdata.flow.estimator import Estimator, make_estimator
from sofdata.flow.quality import QUALITIES, Quality
from sofdata.scenes import moving_texture

Image = NDArray[np.uint8]
Matrix = NDArray[np.float64]
Scene = tuple[Image, Image, NDArray[np.float32]]

OVERSAMPLING = 4
MOTION_PX = {"small": 0.4, "medium": 1.6, "large": 4.0}  # mean length at 128 px
CLIPS = Path(__file__).resolve().parents[2] / "shared" / "clips"


@dataclass(frozen=True)
class Layer:
    """A picture and its mask, where it lies in the first frame, and how it moves."""

    picture: Image
    mask: Image
    pose: Matrix  # [3, 3], picture to large frame
    centre: NDArray[np.float64]
    shift: NDArray[np.float64]
    turn: float
    growth: float

    def motion(self, amount: float) -> Matrix:
        """From a place in the first large frame to the same point in the second: [3, 3]."""
        angle, zoom = self.turn * amount, 1 + self.growth * amount
        turn = zoom * np.array(
            [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float64
        )
        offset = self.centre + self.shift * amount - turn @ self.centre
        return np.vstack([np.column_stack([turn, offset]), [0, 0, 1]])


def main() -> None:
    arguments = parse()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(arguments.seed)
    pictures = list(video_frames(arguments.clips))
    if not any(map(textured, pictures)):
        pictures = list(rendered_textures())
    sets = {
        name: [scene(rng, pictures, px, arguments.size) for _ in range(arguments.scenes)]
        for name, px in MOTION_PX.items()
    }
    sets["brighter"] = [
        (first, np.clip(second * 1.03 + 4, 0, 255).astype(np.uint8), flow)
        for first, second, flow in sets["medium"]
    ]
    print(f"{len(pictures)} pictures; {arguments.scenes} scenes a column; {arguments.size} px\n")
    print(f"| estimator | {' | '.join(sets)} | pairs/s |")
    print("|---|" + "---|" * (len(sets) + 1))
    zeros = [np.mean([length(flow) for *_, flow in scenes]) for scenes in sets.values()]
    print(f"| zero flow | {' | '.join(f'{error:.3f}' for error in zeros)} | |")
    estimators = {name: make_estimator(cfg) for name, cfg in variants(arguments.size).items()}
    rates = pairs_per_s(estimators, sets["medium"])
    for name, estimator in estimators.items():
        row(name, estimator, rates[name], sets, arguments.scenes)
    if arguments.checkpoint:
        few = {
            "DIS, sofdata's default": make_estimator(FlowConfig(estimator="dis")),
            "GMFlow at 160 x 448": make_estimator(gmflow(arguments.checkpoint, arguments.size)),
        }
        rates = pairs_per_s(few, sets["medium"][:3])
        for name, estimator in few.items():
            count = arguments.learned_scenes
            row(f"{name}, first {count} scenes", estimator, rates[name], sets, count)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=Path, default=CLIPS, help="folder of videos to cut from")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--learned-scenes", type=int, default=10)
    return parser.parse_args()


def variants(size: int) -> dict[str, FlowConfig]:
    """The estimators to compare: OpenCV's presets, those with names, and one change to `fine`."""
    opencv = {"gradient_descent_iterations": 25, "variational_refinement_alpha": 20.0}
    ultrafast = {"preset": "ultrafast", "finest_scale": 2, "patch_stride": 4}
    ultrafast |= {"gradient_descent_iterations": 12, "variational_refinement_iterations": 0}
    presets: dict[str, dict[str, Any]] = {
        "DIS, ultrafast preset": opencv | ultrafast,
        "DIS, medium preset": opencv | {"finest_scale": 1},
        "DIS, medium preset, finest scale 0": opencv,
    }
    found = {name: dis_config(size, "earlier", change) for name, change in presets.items()}
    for quality in QUALITIES:
        found[f"**flow.quality={quality}**"] = dis_config(size, quality, {})
    for name, change in changes().items():
        found[f"- fine, {name}"] = dis_config(size, "fine", change)
    return found | {"Farnebäck": FlowConfig(estimator="farneback", size=size)}


def changes() -> dict[str, dict[str, Any]]:
    """One value of `fine` after another, changed."""
    found: dict[str, dict[str, Any]] = {"finest scale 1": {"finest_scale": 1}}
    for count in (25, 16, 8):
        found[f"{count} gradient iterations"] = {"gradient_descent_iterations": count}
    for count in (0, 1, 2, 10):
        found[f"refinement x {count}"] = {"variational_refinement_iterations": count}
    for weight in (20.0, 60.0):
        found[f"smoothness {weight:g}"] = {"variational_refinement_alpha": weight}
    for stride in (2, 4, 5):
        found[f"patch stride {stride}"] = {"patch_stride": stride}
    for spread_px in (0.0, 0.7):
        found[f"frames smoothed by {spread_px:g} px"] = {"smoothing_px": spread_px}
    return found | {"no mean normalisation": {"mean_normalization": False}}


def dis_config(size: int, quality: Quality, change: dict[str, Any]) -> FlowConfig:
    return FlowConfig(estimator="dis", size=size, quality=quality, dis=DisConfig.parse(change))


def gmflow(checkpoint: Path, size: int) -> FlowConfig:
    return FlowConfig(
        estimator="ptlflow:gmflow_refine",
        checkpoint=str(checkpoint),
        size=size,
        model_size=(160, 448),
        model_args={"attn_splits_list": [1, 4]},
        batch_pairs=1,
    )


def pairs_per_s(estimators: dict[str, Estimator], scenes: list[Scene]) -> dict[str, float]:
    """Pairs a second of CPU time; the estimators take turns, so that a busy machine hurts all."""
    seconds: dict[str, list[float]] = {name: [] for name in estimators}
    for first, second, _ in scenes:
        for name, estimator in estimators.items():
            start = time.process_time()
            estimator.estimate(first[None], second[None])
            seconds[name].append(time.process_time() - start)
    return {name: float(1 / np.median(times)) for name, times in seconds.items()}


def row(
    name: str, estimator: Estimator, rate: float, sets: dict[str, list[Scene]], count: int
) -> None:
    """Print one line of the table, with the mean end-point error over `count` scenes a column."""
    errors = [
        np.mean(
            [
                length(estimator.estimate(first[None], second[None])[0] - truth)
                for first, second, truth in scenes[:count]
            ]
        )
        for scenes in sets.values()
    ]
    cells = " | ".join(f"{error:.3f}" for error in errors)
    print(f"| {name} | {cells} | {rate:.3g} |", flush=True)


def length(flow: NDArray[np.floating[Any]]) -> float:
    """Mean length of the vectors, px."""
    return float(np.linalg.norm(flow, axis=-1).mean())


def video_frames(folder: Path) -> Iterator[Image]:
    """A frame at 1 s and at 4 s of each video that is large and long enough, RGB."""
    import av

    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        wanted = [1.0, 4.0]
        try:
            with av.open(str(path)) as video:
                for frame in video.decode(video=0):
                    if wanted and frame.time is not None and frame.time >= wanted[0]:
                        wanted.pop(0)
                        if frame.height >= 270:
                            yield frame.to_ndarray(format="rgb24")
                    if not wanted:
                        break
        except (av.error.FFmpegError, IndexError):
            continue  # not a video


def rendered_textures() -> Iterator[Image]:
    for seed in range(8):
        yield moving_texture(0, 0, 1, (480, 640), seed=seed)[0]


def scene(rng: np.random.Generator, pictures: list[Image], px: float, size: int) -> Scene:
    """Two frames uint8 [size,size,3] and the true flow [size,size,2], of `px` mean at 128 px."""
    layers, amount = plan(rng, pictures, px, size)
    frames = [draw(rng, layers, moved, size) for moved in (0.0, amount)]
    return frames[0], frames[1], true_flow(layers, amount, size)


def plan(
    rng: np.random.Generator, pictures: list[Image], px: float, size: int
) -> tuple[list[Layer], float]:
    """The layers of a scene, and by how much they move for a mean of `px` at 128 px."""
    grounds = [picture for picture in pictures if textured(picture)]
    layers = [background(rng, grounds, size)] + [cutout(rng, pictures, size) for _ in range(4)]
    amount = 1.0
    for _ in range(3):  # turning and growing are not quite linear
        amount *= px * size / 128 / length(true_flow(layers, amount, size))
    return layers, amount


def textured(picture: Image) -> bool:
    """Whether 7 in 10 of 8 x 8 blocks have contrast. The motion of a clear sky cannot be seen."""
    grey = cv2.resize(picture, (128, 128), interpolation=cv2.INTER_AREA).mean(axis=2)
    contrast = grey.reshape(16, 8, 16, 8).std(axis=(1, 3))
    return bool((contrast > 3).mean() > 0.7)


def background(rng: np.random.Generator, pictures: list[Image], size: int) -> Layer:
    picture = pictures[rng.integers(len(pictures))]
    height, width = picture.shape[:2]
    large, zoom = size * OVERSAMPLING, 1.5 * size * OVERSAMPLING / min(height, width)
    pose = np.array(
        [[zoom, 0, (large - zoom * width) / 2], [0, zoom, (large - zoom * height) / 2], [0, 0, 1]]
    )
    mask = np.full((height, width), 255, np.uint8)
    return Layer(picture, mask, pose, np.full(2, large / 2), *moves(rng, 3.0))


def cutout(rng: np.random.Generator, pictures: list[Image], size: int) -> Layer:
    """A polygon cut out of a picture, laid somewhere into the frame."""
    picture = pictures[rng.integers(len(pictures))]
    height, width = picture.shape[:2]
    large = size * OVERSAMPLING
    zoom, angle = rng.uniform(0.4, 1) * large / min(height, width), rng.uniform(0, 2 * np.pi)
    centre, inside = rng.uniform(0.15, 0.85, 2) * large, rng.uniform(0.3, 0.7, 2) * [width, height]
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    pose = np.vstack([np.column_stack([turn, centre - turn @ inside]), [0, 0, 1]])
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(4, 9)))
    radii = rng.uniform(0.06, 0.2) * large / zoom * rng.uniform(0.6, 1.4, len(angles))
    corners = inside + radii[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [corners.astype(np.int32)], (255,))
    return Layer(picture, mask, pose, centre, *moves(rng, 6.0))


def moves(rng: np.random.Generator, px: float) -> tuple[NDArray[np.float64], float, float]:
    """A shift of `px` in any direction, and a turn and a growth of a few percent."""
    angle = rng.uniform(0, 2 * np.pi)
    shift = px * np.array([np.cos(angle), np.sin(angle)])
    return shift, rng.normal(0, 0.02) * px, rng.normal(0, 0.02) * px


def true_flow(layers: list[Layer], amount: float, size: int) -> NDArray[np.float32]:
    """Flow of the topmost layer at the centre of each pixel, float32 [size,size,2]."""
    flow = np.zeros((size, size, 2), np.float32)
    for layer in layers:
        lay(flow, layer, layer.motion(amount), size)
    return flow


def lay(flow: NDArray[np.float32], layer: Layer, motion: Matrix, size: int) -> None:
    """Put the flow of a layer that moves by `motion` over what lies below it."""
    rows, columns = np.mgrid[:size, :size] * OVERSAMPLING + (OVERSAMPLING - 1) / 2
    places = np.stack([columns, rows, np.ones_like(rows)], -1)
    large = (size * OVERSAMPLING, size * OVERSAMPLING)
    mask = cv2.warpAffine(layer.mask, layer.pose[:2], large)
    seen = cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA) > 127
    moved = places @ motion.T - places
    flow[seen] = moved[..., :2][seen] / OVERSAMPLING


def draw(rng: np.random.Generator, layers: list[Layer], amount: float, size: int) -> Image:
    return photograph(rng, paint(layers, amount, size), size)


def paint(layers: list[Layer], amount: float, size: int) -> NDArray[np.float32]:
    """The large frame of a moment, of OVERSAMPLING times `size` px a side."""
    large = (size * OVERSAMPLING, size * OVERSAMPLING)
    frame = np.zeros((*large, 3), np.float32)
    for layer in layers:
        pose = (layer.motion(amount) @ layer.pose)[:2]
        picture = cv2.warpAffine(
            layer.picture, pose, large, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT
        )
        opaque = cv2.warpAffine(layer.mask, pose, large).astype(np.float32)[..., None] / 255
        frame = frame * (1 - opaque) + picture.astype(np.float32) * opaque
    return frame


def photograph(
    rng: np.random.Generator, frame: NDArray[np.float32], size: int, noise: float = 1.5
) -> Image:
    """A large frame as a camera of `size` px sees it, with noise of so many grey levels."""
    small = cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA)
    grain = rng.normal(0, noise, (size, size, 1))
    seen: Image = np.clip(np.rint(small + grain), 0, 255).astype(np.uint8)
    return seen


if __name__ == "__main__":
    main()
