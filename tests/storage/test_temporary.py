"""`sofdata.storage.temporary`: nothing stays behind, and a living process keeps its files."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from sofdata.storage import temporary
from sofdata.storage.temporary import PREFIX, temporary_file, temporary_folder

HOLD = """
import sys, time
from sofdata.storage.temporary import temporary_file, temporary_folder
with temporary_file(".mp4") as one, temporary_folder() as other:
    print(one, other, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    temporary._sweep.cache_clear()
    return tmp_path


def test_a_block_leaves_nothing(folder: Path) -> None:
    with temporary_file(".mp4") as path, temporary_folder() as other:
        assert path.endswith(".mp4")
        Path(other, "inside").write_text("x")
        assert len(list(folder.iterdir())) == 2
    assert not list(folder.iterdir())


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_holds_is_not(
    folder: Path,
) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    assert holder.stdout
    paths = [Path(name) for name in holder.stdout.readline().split()]
    (folder / f"{PREFIX}young").touch()
    (folder / "sofdata-shards-0").mkdir()
    long_ago = time.time() - 3600
    for path in [*paths, folder / "sofdata-shards-0"]:
        os.utime(path, (long_ago, long_ago))
    with temporary_file():
        assert all(path.exists() for path in paths)
    holder.kill()
    holder.wait()
    temporary._sweep.cache_clear()
    with temporary_file():
        assert not any(path.exists() for path in paths)
    left = sorted(path.name for path in folder.iterdir())
    assert left == ["sofdata-shards-0", f"{PREFIX}young"]
