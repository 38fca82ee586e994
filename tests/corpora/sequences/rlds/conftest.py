"""Fixtures: a small dataset of TFDS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from tests import rlds_files as made
from tests.corpora.sequences.rlds.listings import TEXTS


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two splits, one in two shards; in one episode the text changes."""
    shards = [[made.episode(range(14)), made.episode(range(30, 50), TEXTS)]]
    shards.append([made.episode(range(60, 74), "wait")])
    folder = tmp_path / "source" / "tiny" / "1.0.0"
    made.write_dataset(folder, {"train": shards, "val": [[made.episode(range(80, 94))]]})
    return tmp_path / "source"


@pytest.fixture
def remote(source: Path) -> Iterator[str]:
    """The same in a store."""
    files = fsspec.filesystem("memory")
    files.put(f"{source}/", "/tfds/", recursive=True)
    yield "memory://tfds"
    files.rm("/tfds", recursive=True)
