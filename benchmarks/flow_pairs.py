"""The frame pairs of flow_pareto.py, with the flow that they should have where it is stored.

- small, medium, large: the scenes of flow_accuracy.py, with exact flow, drawn once and seen at each
  size that is compared;
- still: one or two cut-outs that move before a background that does not, at four speeds and four
  strengths of sensor noise, encoded as VP9 or H.264 and decoded by sofdata; exact flow;
- real, rendered: steps of the shared clips, and of clips like those of ingest_speed.py, as `ingest`
  takes them, and the flow of DIS with fine settings on 448 px frames of the same times, whose own
  error on the synthetic scenes `reference_errors` measures. With weights of GMFlow, only the pixels
  in which both agree count.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import flow_accuracy as scenes
import numpy as np
from numpy.typing import NDArray

from sofdata.errors import SofdataError
from sofdata.flow.config import DisConfig, FlowConfig
from sofdata.flow.estimator import Estimator, make_estimator
from sofdata.ingest.stages import still_steps
from sofdata.scenes import write_ssv2_corpus, write_video
from sofdata.video.config import VideoConfig
from sofdata.video.reader import open_video
from sofdata.video.sampling import Sampling
from sofdata.windows.shots import shot_changes
from sofdata.windows.steps import resize_flow

SIZES = (96, 128)
STORED_PX, REFERENCE_PX, STEP_S = 64, 448, 0.13
SPEEDS_PX, NOISES = (0.3, 1.0, 3.0, 8.0), (0.0, 1.5, 3.0, 6.0)  # a step at 128 px; at 256 px
CODECS = (("vp9", "34"), ("vp9", "20"), ("h264", "23"), ("h264", "28"))
AGREE_PX, AGREE_SHARE = 0.25, 0.1  # two references agree when they differ by less than both

Images = NDArray[np.uint8]
Flow = NDArray[np.float32]


@dataclass(frozen=True)
class Pair:
    """frames: the two of each size. truth: [64,64,2]. known: where it counts, [64,64].

    earlier: the frame a step before, of each size; None for scenes.
    """

    kind: str
    frames: dict[int, Images]
    truth: Flow
    known: NDArray[np.bool_]
    earlier: dict[int, Images] | None = None

    def error_px(self, flow: Flow) -> float:
        """Mean end-point error of flow of any size where it is stored."""
        return float(
            np.linalg.norm(resize_flow(flow, STORED_PX) - self.truth, axis=-1)[self.known].mean()
        )


def save(path: Path, pairs: list[Pair]) -> None:
    """Keep the pairs, which take longer to draw and decode than a cell to measure."""
    arrays: dict[str, NDArray[np.generic]] = {"kinds": np.array([pair.kind for pair in pairs])}
    for number, pair in enumerate(pairs):
        arrays |= {f"{number} truth": pair.truth, f"{number} known": pair.known}
        arrays |= {f"{number} {size}": frames for size, frames in pair.frames.items()}
        for size, frame in (pair.earlier or {}).items():
            arrays[f"{number} before {size}"] = frame
    np.savez(path, **arrays)  # type: ignore[arg-type]


def load(path: Path) -> list[Pair]:
    with np.load(path) as found:
        return [
            Pair(
                str(kind),
                {size: found[f"{number} {size}"] for size in SIZES},
                found[f"{number} truth"],
                found[f"{number} known"],
                {size: found[f"{number} before {size}"] for size in SIZES}
                if f"{number} before {SIZES[0]}" in found
                else None,
            )
            for number, kind in enumerate(found["kinds"])
        ]


def synthetic(clips: Path, count: int, seed: int) -> Iterator[Pair]:
    rng = np.random.default_rng(seed)
    pictures = pictures_of(clips)
    for kind, px in scenes.MOTION_PX.items():
        for _ in range(count):
            layers, amount = scenes.plan(rng, pictures, px, 128)
            large = [scenes.paint(layers, moved, 128) for moved in (0.0, amount)]
            frames = {
                size: np.stack([scenes.photograph(rng, each, size) for each in large])
                for size in SIZES
            }
            yield Pair(kind, frames, stored(scenes.true_flow(layers, amount, 128)), everywhere())


def reference_errors(clips: Path, count: int, seed: int) -> dict[str, float]:
    """Mean error px of the reference of real clips on scenes, by how much these move."""
    rng = np.random.default_rng(seed)
    pictures, reference = pictures_of(clips), reference_estimator()
    errors: dict[str, list[float]] = {}
    for kind, px in scenes.MOTION_PX.items():
        for _ in range(count):
            layers, amount = scenes.plan(rng, pictures, px, 128)
            large = [scenes.paint(layers, moved, 128) for moved in (0.0, amount)]
            first, second = (scenes.photograph(rng, each, REFERENCE_PX)[None] for each in large)
            truth = stored(scenes.true_flow(layers, amount, 128))
            pair = Pair(kind, {}, truth, everywhere())
            errors.setdefault(kind, []).append(pair.error_px(reference.estimate(first, second)[0]))
    return {kind: float(np.mean(found)) for kind, found in errors.items()}


def before_a_still_background(clips: Path, rounds: int, seed: int) -> Iterator[Pair]:
    rng = np.random.default_rng(seed)
    pictures = pictures_of(clips)
    number = 0
    for px in SPEEDS_PX:
        for noise in NOISES:
            for _ in range(rounds):
                yield still_pair(rng, pictures, px, noise, CODECS[number % len(CODECS)])
                number += 1


def still_pair(
    rng: np.random.Generator,
    pictures: list[Images],
    px: float,
    noise: float,
    codec: tuple[str, str],
) -> Pair:
    """The third step of a film of five frames."""
    layers, _ = scenes.plan(rng, pictures, 1.0, 128)
    ground = replace(layers[0], shift=np.zeros(2), turn=0.0, growth=0.0)
    speed = px / 6.0  # cut-outs move by 6 large px, or 1.5 px at 128, at the amount 1
    moving = [
        replace(
            each, shift=each.shift * speed * 4, turn=each.turn * speed, growth=each.growth * speed
        )
        for each in layers[1 : 2 + int(rng.integers(2))]
    ]
    layers = [ground, *moving]
    film = [
        scenes.photograph(rng, scenes.paint(layers, float(time), 128), 256, noise)
        for time in range(5)
    ]
    decoded = {size: decode_film(film, codec, size)[2:4] for size in SIZES}
    moved = [replace(each, pose=each.motion(2.0) @ each.pose) for each in layers]
    truth = np.zeros((128, 128, 2), np.float32)
    for layer, now in zip(layers, moved, strict=True):
        step = layer.motion(3.0) @ np.linalg.inv(layer.motion(2.0))
        scenes.lay(truth, now, step, 128)
    return Pair("still", decoded, stored(truth), everywhere())


def decode_film(film: list[Images], codec: tuple[str, str], size: int) -> Images:
    name, quality = codec
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/film.{'webm' if name == 'vp9' else 'mp4'}"
        write_video(path, film, 1 / STEP_S, name, options={"crf": quality})
        return frames_of(path, size)


def rendered(folder: Path, clips: int, steps: int, checkpoint: Path | None) -> Iterator[Pair]:
    """The same of clips like those of ingest_speed.py, which are kept in `folder`."""
    if not (folder / "labels" / "labels.json").exists():
        write_ssv2_corpus(folder, clips)
    videos = folder / "20bn-something-something-v2"
    for pair in real(videos, steps, checkpoint):
        yield replace(pair, kind="rendered")


def real(clips: Path, steps: int, checkpoint: Path | None) -> Iterator[Pair]:
    """`steps` steps of each clip, evenly apart, that move and are no shot change."""
    reference = reference_estimator()
    other = make_estimator(gmflow(checkpoint)) if checkpoint else None
    for path in sorted(each for each in clips.iterdir() if each.is_file()):
        try:
            films = {size: frames_of(str(path), size) for size in (*SIZES, REFERENCE_PX)}
        except SofdataError:
            continue  # not a video
        for step in chosen(films[128], steps):
            large = films[REFERENCE_PX][step : step + 2]
            truth, known = stored(reference.estimate(large[:1], large[1:])[0]), everywhere()
            if other is not None:
                second = stored(other.estimate(large[:1], large[1:])[0])
                apart = np.linalg.norm(second - truth, axis=-1)
                known = apart < AGREE_PX + AGREE_SHARE * np.linalg.norm(truth, axis=-1)
            yield Pair(
                f"real {path.stem}",
                {size: films[size][step : step + 2] for size in SIZES},
                truth,
                known,
                {size: films[size][step - 1] for size in SIZES} if step else None,
            )


def reference_estimator() -> Estimator:
    fine = DisConfig(
        gradient_descent_iterations=24,
        variational_refinement_iterations=10,
        variational_refinement_alpha=60.0,
    )
    return make_estimator(
        FlowConfig(estimator="dis", quality="earlier", size=REFERENCE_PX, dis=fine)
    )


def chosen(film: Images, steps: int) -> list[int]:
    """Steps to compare; none of a clip too short to have that many."""
    moves = ~still_steps(film, 1.0) & ~np.array(shot_changes(film, 0.85), bool)
    found = np.flatnonzero(moves)
    if len(found) < 2 * steps:
        return []
    return [int(found[at]) for at in np.linspace(0, len(found) - 1, steps).astype(int)]


def gmflow(checkpoint: Path) -> FlowConfig:
    return FlowConfig(
        estimator="ptlflow:gmflow_refine",
        checkpoint=str(checkpoint),
        size=REFERENCE_PX,
        model_args={"attn_splits_list": [2, 8]},
        batch_pairs=1,
    )


def frames_of(path: str, size: int) -> Images:
    chunks = [chunk.rgb for chunk in open_video(path, VideoConfig(), Sampling(size, STEP_S))]
    return np.concatenate([chunks[0], *(each[1:] for each in chunks[1:])])


def pictures_of(clips: Path) -> list[Images]:
    cv2.setNumThreads(1)
    pictures = list(scenes.video_frames(clips))
    return pictures if any(map(scenes.textured, pictures)) else list(scenes.rendered_textures())


def stored(flow: Flow) -> Flow:
    return resize_flow(flow, STORED_PX)


def everywhere() -> NDArray[np.bool_]:
    return np.ones((STORED_PX, STORED_PX), bool)
