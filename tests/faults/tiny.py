"""Two hundred tiny videos, and sources that hold some of them: an ingest of all takes 1.5 s."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.videos import write_video

ALONE, JOINED, SPANS = 140, 20, 3  # files of one video, and of three spans each
VIDEOS = ALONE + JOINED * SPANS
VERSIONS = 2
SIDE, FPS, FRAMES = 32, 10, 5
# All that makes an ingest quick: what is tried is which videos are run, not what comes of them.
SETTINGS = (
    "run.engine=inline",
    "run.allow_set_aside=1",
    "flow.size=32",
    "flow.step_s=0.1",
    "flow.estimator=farneback",
    "windows.size=8",
    "windows.length=3",
    "windows.stride=3",
    "windows.min_texture=0",
    "windows.camera=off",
    "windows.shots=false",
    "units.min_units=1",
)
HEADS = ("id", "uri", "start_s", "end_s", "text", "class")


@dataclass(slots=True)
class Source:
    """What a corpus holds.

    texts: of each video that is there, by its number. versions: which content a file has, where it
    is not the first. backwards: videos whose span ends before it begins, which is refused.
    """

    texts: dict[int, str] = field(default_factory=dict)
    versions: dict[int, int] = field(default_factory=dict)
    backwards: set[int] = field(default_factory=set)

    def contents(self) -> dict[str, str]:
        """The content that each file has, by their names."""
        files = sorted({file_of(number) for number in self.texts})
        return {_name(file): f"{self.versions.get(file, 0)}-{_name(file)}" for file in files}

    def rows(self) -> Iterator[tuple[str, ...]]:
        """The rows of the table, one a video."""
        for number in sorted(self.texts):
            span = ("9", "1") if number in self.backwards else _span(number)
            row = (id_of(number), _name(file_of(number)), *span)
            yield (*row, self.texts[number], f"class {number % 7}")

    def digest(self) -> str:
        """A name for this state."""
        text = json.dumps([self.contents(), list(self.rows())])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def inputs(self) -> dict[str, tuple[str, ...]]:
        """What decides the result of each video, by id."""
        contents = self.contents()
        return {row[0]: (*row, contents[row[1]]) for row in self.rows()}

    def write(self, pool: Path, folder: Path) -> None:
        """Make a folder hold this; files that stay as they were are not touched."""
        folder.mkdir(parents=True, exist_ok=True)
        contents = self.contents()
        for path in folder.iterdir():
            if path.name not in contents:
                path.unlink()
        for name, content in contents.items():
            path = folder / name
            if not path.exists() or not os.path.samefile(path, pool / content):
                path.unlink(missing_ok=True)
                os.link(pool / content, path)
        with (folder / "manifest.csv").open("w", newline="") as handle:
            csv.writer(handle).writerows([HEADS, *self.rows()])


def write_pool(folder: Path) -> Path:
    """Write all contents that any file of a source may have."""
    folder.mkdir(parents=True)
    for file in range(ALONE + JOINED):
        for version in range(VERSIONS):
            _write_content(folder / f"{version}-{_name(file)}", file, version)
    return folder


def file_of(number: int) -> int:
    """Number of the file in which a video lies."""
    return number if number < ALONE else ALONE + (number - ALONE) // SPANS


def id_of(number: int) -> str:
    """Id of a video."""
    return f"v{number:03d}"


def _name(file: int) -> str:
    return f"f{file:03d}.avi"


def _span(number: int) -> tuple[str, str]:
    """Start and end of a video, s; empty for a whole file."""
    if number < ALONE:
        return "", ""
    start_s = (number - ALONE) % SPANS * FRAMES / FPS
    return f"{start_s:g}", f"{start_s + FRAMES / FPS:g}"


def _write_content(path: Path, file: int, version: int) -> None:
    """A moving picture; some are too short, some stand still, some are no videos."""
    rng = np.random.default_rng((file, version))
    frames = FRAMES if file < ALONE else SPANS * FRAMES
    kind = (file + 3 * version) % 20  # another version may be of another kind
    if kind == 7:
        path.write_bytes(rng.bytes(300))
        return
    if kind == 11:
        frames = 1
    write_video(path, _moving(rng, frames, speed=0 if kind == 13 else 2), FPS, codec="mpeg4")


def _moving(rng: np.random.Generator, frames: int, speed: int) -> NDArray[np.uint8]:
    """Frames [T,H,W,3] of a random picture that moves `speed` px a frame."""
    columns = (SIDE + speed * frames) // 4 + 1
    coarse = rng.integers(0, 256, (SIDE // 4, columns, 3), dtype=np.uint8)
    picture = np.kron(coarse, np.ones((4, 4, 1), np.uint8))
    return np.stack([picture[:, speed * t : speed * t + SIDE] for t in range(frames)])
