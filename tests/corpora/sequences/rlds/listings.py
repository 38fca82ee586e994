"""Listings of TFDS datasets, for the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from sofdata.corpora.base import Listing
from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.entry import Entry
from sofdata.corpora.sequences.rlds.corpus import Rlds
from sofdata.storage.tree import Tree
from tests import rlds_files as made

SETTINGS = (f"sequences.fps={made.FPS}", "windows.length=4", "flow.step_s=0.1", "flow.size=96")


TEXTS = ["open it"] * 12 + ["close it"] * 8


def listed(source: Path | str, fps: float | None = made.FPS, **more: Any) -> Listing:
    return Rlds(SequenceConfig(fps=fps, **more)).listing(Tree(str(source)))


def demonstrated(source: Path, with_state: bool = False, fps: float | None = made.FPS) -> Listing:
    return Rlds(SequenceConfig(fps=fps)).demonstrations(Tree(str(source)), with_state)


def short(entry: Entry) -> str:
    """train-00000/0/wrist."""
    shard, episode, camera = entry.id.rsplit("/", 2)
    split = shard.rpartition("/")[2].partition("-")[2].replace(".tfrecord", "")
    return f"{split.rpartition('-of-')[0]}/{int(episode.removeprefix('episode-'))}/{camera}"


def by_name(listing: Listing) -> dict[str, Entry]:
    return {short(entry): entry for entry in listing.entries}


def rejected(dest: Path) -> dict[str, str]:
    """Why videos are rejected, by camera; all of one reason."""
    rows = pq.ParquetFile(dest / "rejects.parquet").read().to_pylist()
    return {
        row["video"].rpartition("/")[2]: row["reason"] for row in rows if row["kind"] == "video"
    }


def accounts_for_every_file(source: Path, listing: Listing) -> bool:
    """Whether each file is that of an entry, a table or ignored."""
    of_entries = {entry.uri.partition("#")[0] for entry in listing.entries}
    tables = set(listing.tables)
    files = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    return len(files - of_entries - tables) == sum(listing.ignored.values())
