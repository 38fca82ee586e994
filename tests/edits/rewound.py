"""A source with one video of each kind, and datasets that are rewound from what is kept of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sofdata.edits.derive import derive, run_config
from sofdata.edits.parents import open_parent
from sofdata.edits.rewindow import rewound
from sofdata.ingest.run import Summary
from sofdata.scenes import moving_texture
from sofdata.storage.tree import Tree
from tests.helpers import hashes, ingest
from tests.videos import write_video

FAST = ("flow.size=32", "windows.size=16", "windows.length=4", "windows.stride=2")
EXACT = ("flow.keep=true", "flow.kept.codec=float32")
COMPACT = ("flow.keep=true",)


def write_kinds(folder: Path) -> Path:
    """Moving videos, a shot change, a gap, one that stands still, one frame, no video, nothing."""
    folder.mkdir(parents=True)
    one, two = (np.stack(list(moving_texture(2, 1, 40, (48, 48), seed))) for seed in (0, 1))
    write_video(folder / "moves.mp4", one, 10)
    write_video(folder / "cut.mp4", np.concatenate([one[:20], 255 - two[:20]]), 10)
    times = [frame / 10 + (2 if frame >= 20 else 0) for frame in range(40)]
    write_video(folder / "gap.mp4", one, 10, pts=times)
    write_video(folder / "still.mp4", one[:1].repeat(20, axis=0), 10)
    write_video(folder / "short.mp4", one[:1], 10)
    (folder / "broken.mp4").write_bytes(b"no video")
    (folder / "empty.mp4").write_bytes(b"")
    return folder


def rewind(dest: Path | str, new: Path | str, *settings: str, **run: object) -> Summary:
    """Rewindow in this process, unless `run` says otherwise."""
    derivation = rewound(open_parent(Tree(str(dest))), Tree(str(new)), settings)
    return derive(derivation, run_config(**{"engine": "inline", **run}))  # type: ignore[arg-type]


def ingested(source: Path, dest: Path, *settings: str) -> Path:
    """A dataset of the source with small settings."""
    ingest(source, dest, *FAST, *settings)
    return dest


def all_but_record(dest: Path) -> dict[str, str]:
    """Hashes of all files but `dataset.json`, which holds the lineage."""
    return {name: sha for name, sha in hashes(dest).items() if name != "dataset.json"}


def shard_files(dest: Path, folders: Iterable[str] = ("shards", "flow")) -> list[Path]:
    """The shards of a dataset, those of kept flow last."""
    return [path for folder in folders for path in sorted((dest / folder).glob("*.tar"))]
