"""Many tiny videos, and settings with which a hundred of them are ingested in seconds."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sofdata.edits.append import Corpus, append
from sofdata.edits.derive import derive, quietly, run_config
from sofdata.edits.merge import merged
from sofdata.edits.parents import open_parent
from sofdata.edits.select import Selection, selected
from sofdata.ingest.mode import Mode
from sofdata.ingest.run import Summary
from sofdata.storage.tree import Tree
from tests.helpers import hashes, ingest
from tests.videos import write_video

SETTINGS = (
    *("flow.size=32", "flow.estimator=farneback", "windows.size=16", "windows.length=2"),
    *("windows.stride=2", "windows.min_steps=1", "windows.min_texture=0"),
)
MANIFEST = "corpus.jsonl"


def write_tiny(folder: Path, numbers: Iterable[int], name: str = "{:03}.mp4") -> None:
    """Videos of six frames at 8 fps; every fifth stands still, the others move by 1 to 3 px."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        write_video(folder / name.format(number), _frames(number), fps=8)


def ingest_tiny(source: Path, dest: Path | str, *settings: str) -> Summary:
    """Ingest in this process."""
    return ingest(source, dest, *SETTINGS, *settings)


def select_tiny(dest: Path | str, new: Path | str, where: str = "", **run: object) -> Summary:
    """Select in this process, unless `run` says otherwise."""
    derivation = selected(open_parent(Tree(str(dest))), Tree(str(new)), Selection(where))
    return derive(derivation, run_config(**{"engine": "inline", **run}))  # type: ignore[arg-type]


def merge_tiny(new: Path | str, *dests: Path | str, **run: object) -> Summary:
    """Merge in this process, unless `run` says otherwise."""
    derivation = merged([open_parent(Tree(str(dest))) for dest in dests], Tree(str(new)))
    return derive(derivation, run_config(**{"engine": "inline", **run}))  # type: ignore[arg-type]


def append_tiny(
    source: Path | str, dest: Path | str, *, update: bool = False, name: str = "", **run: object
) -> Summary:
    """Append in this process, unless `run` says otherwise."""
    how = run_config(**{"engine": "inline", **run})  # type: ignore[arg-type]
    corpus, mode = Corpus(Tree(str(source)), name=name), Mode.of(update=update)
    return append(corpus, Tree(str(dest)), how, quietly, mode=mode)


def but_record(dest: Path) -> dict[str, str]:
    """As `hashes`, without `dataset.json`, which tells how it was made."""
    return {name: each for name, each in hashes(dest).items() if name != "dataset.json"}


def _frames(number: int) -> NDArray[np.uint8]:
    """A texture [6,32,32,3], a little different in each video, that moves by so many px a frame."""
    speed = 0 if number % 5 == 4 else 1 + number % 3
    texture = np.roll(_texture(), 4 * (number % 12), axis=0)
    texture[:8] = (40 + number % 200, 40 + 3 * (number // 200), 7)
    return np.stack([np.roll(texture, step * speed, axis=1)[:32, :32] for step in range(6)])


@cache
def _texture() -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 12, 3), np.uint8)
    return np.repeat(np.repeat(coarse, 4, axis=0), 4, axis=1)
