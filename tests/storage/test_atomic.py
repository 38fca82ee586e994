"""A file that is written atomically is there whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sofdata.storage import atomic


def test_a_block_that_ends_well_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    atomic.write_text(path, "old")
    with atomic.replacing(path) as partial:
        assert partial.parent == tmp_path
        assert partial.suffix == ".json"
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("durable", [True, False])
def test_a_block_that_fails_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, durable: bool
) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")

    def write() -> None:
        with atomic.replacing(path, durable) as partial:
            partial.write_text("ne")
            raise ValueError("full")

    with pytest.raises(ValueError, match="full"):
        write()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_what_a_killed_process_leaves_can_be_removed(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    atomic.write_text(path, "old")
    code = (
        "import os, signal, sys; from sofdata.storage.atomic import replacing\n"
        "with replacing(sys.argv[1]) as partial:\n"
        "    partial.write_text('ne'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert len(os.listdir(tmp_path)) == 2
    atomic.remove_partials(tmp_path)
    assert os.listdir(tmp_path) == ["a.json"]
    assert path.read_text() == "old"


@pytest.mark.parametrize(
    ("last", "synced"), [("put: synced", ["a.json"]), ("", ["a.json", "folder"])]
)
def test_content_is_on_the_disk_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str, synced: list[str]
) -> None:
    found: list[str] = []

    def fsync(handle: int) -> None:
        name = os.path.basename(os.readlink(f"/proc/self/fd/{handle}"))
        found.append(name.rpartition("-")[2])

    def stop(step: str) -> None:
        if step == last:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr("sofdata.system.fault_points._inject", stop)
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "a.json"
    if last:
        with pytest.raises(KeyboardInterrupt):
            atomic.write_bytes(path, b"x")
    else:
        atomic.write_bytes(path, b"x")
    assert found == synced
    assert path.exists() == (not last)


def test_a_file_system_that_cannot_sync_folders_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = os.fsync

    def fsync(handle: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(22, "Invalid argument")
        whole(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    atomic.write_bytes(tmp_path / "a", b"x")
    assert (tmp_path / "a").read_bytes() == b"x"
