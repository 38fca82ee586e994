"""A dataset of tiny videos that the tests of this folder share, and must not write to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.edits.tiny import ingest_tiny, write_tiny


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty tiny videos and a file that is none, ingested in units of about four."""
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny(folder / "videos", range(30))
    (folder / "videos" / "999.mp4").write_bytes(b"no video")
    ingest_tiny(folder / "videos", folder / "dataset", "units.min_units=8")
    return folder / "dataset"
