"""`sofdata.storage.tree` on a local folder: whole files or none, and all files are listed."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import pytest

from sofdata.errors import StorageError
from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location


def test_a_file_is_written_whole_and_leaves_no_scratch(tmp_path: Path) -> None:
    tree = Tree(str(tmp_path / "d"))
    tree.write("a/b.json", b"x" * 100_000)
    assert tree.read("a/b.json") == b"x" * 100_000
    assert sorted(path.name for path in (tmp_path / "d").iterdir()) == ["a"]


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree(str(tmp_path))
    tree.write("a", b"old")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StorageError, match="free some space"):
        tree.write("a", b"new")
    assert tree.read("a") == b"old"


def test_a_relative_folder_stays_the_same_in_a_process_with_another_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    packed = pickle.dumps(Tree("data"))
    monkeypatch.chdir("/")
    assert pickle.loads(packed).root == str(tmp_path / "data")


def test_folders_are_walked_to_any_depth(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a"] * 550)
    deep.mkdir(parents=True)
    (deep / "b.mp4").write_bytes(b"x")
    (item,) = Tree(str(tmp_path)).walk()
    assert (item.rel, item.size_bytes) == ("/".join(["a"] * 550) + "/b.mp4", 1)


def test_a_loop_of_links_is_walked_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "clip.mp4").touch()
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    items = [(item.rel, item.problem) for item in Tree(str(tmp_path)).walk()]
    assert items == [("a/again", "linked_folder"), ("a/clip.mp4", "")]


def test_a_folder_whose_name_is_not_utf8_is_told(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/odd\xfe"
    os.mkdir(folder)
    (item,) = Tree(str(tmp_path)).walk()
    assert (item.problem, item.rel) == ("unreadable_folder", "odd\\xfe")


def test_a_file_that_shrinks_while_it_is_copied_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its copy would pass for a whole one."""
    (tmp_path / "all").write_bytes(bytes(100))
    tree = Tree(str(tmp_path))
    monkeypatch.setattr(Tree, "size", lambda *_: 60)  # what it had a moment ago
    where = Location("all", part=(10, 70))
    with tree.local_copy(where) as copy:
        assert Path(copy).stat().st_size == 60
    (tmp_path / "all").write_bytes(bytes(50))
    with pytest.raises(OSError, match="shrunk"), tree.local_copy(where):
        pass
