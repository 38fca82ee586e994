"""A folder as one input: what counts of it, and copies of it, wherever it lies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from sofdata.storage.archives.folders import files_in
from sofdata.storage.tree import Tree
from sofdata.storage.uris import SOURCE, Location, from_root, parse

FILES = {"a.jpg": b"one", "sub/b.jpg": b"two", ".zarray": b"{}", ".DS_Store": b"x", ".git/c": b"x"}
SHOWN = [".zarray", "a.jpg", "sub/b.jpg"]


@pytest.fixture
def store() -> Iterator[str]:
    files = fsspec.filesystem("memory")
    for name, data in FILES.items():
        files.pipe(f"/folders/{name}", data)
    yield "memory://folders"
    files.rm("/folders", recursive=True)


def write(folder: Path) -> Path:
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_hidden_files_are_none_but_those_of_zarr(tmp_path: Path) -> None:
    write(tmp_path / "clip")
    found = files_in(Tree(str(tmp_path)), Location("clip/"))
    assert [file.rel for file in found] == SHOWN


def test_the_source_itself_may_be_the_folder_wherever_it_lies(tmp_path: Path, store: str) -> None:
    here, there = Tree(str(write(tmp_path / "clip"))), Tree(store)
    marks = set()
    for tree in (here, there):
        assert [file.rel for file in files_in(tree, Location(SOURCE))] == SHOWN
        assert tree.size(Location(SOURCE)) == 8
        marks.add(tree.fingerprint(Location(SOURCE), 8))
    marks.add(Tree(str(tmp_path)).fingerprint(Location("clip/"), 8))
    assert len(marks) == 1
    with there.local_copy(Location(SOURCE)) as copy:
        assert Path(copy, "sub/b.jpg").read_bytes() == b"two"
        assert sorted(os.listdir(copy)) == [".zarray", "a.jpg", "sub"]


def test_the_source_itself_is_named_for_another_source(store: str) -> None:
    place = Location(SOURCE, sequence="frames:*.jpg?fps=5.0")
    moved = parse(from_root(place.uri, store))
    assert moved == Location(f"{store}/", elsewhere=True, sequence=place.sequence)
    assert Tree("/").size(moved) == 8


def test_a_name_that_leads_out_of_the_folder_is_refused(store: str) -> None:
    files = fsspec.filesystem("memory")
    files.pipe("/folders/sub/../../evil", b"x")
    tree = Tree(store)
    with pytest.raises(OSError, match="leads out of the folder"), tree.local_copy(Location("sub/")):
        raise AssertionError("it was copied")


def test_a_link_back_to_the_folder_changes_nothing(tmp_path: Path) -> None:
    clip, tree = write(tmp_path / "clip"), Tree(str(tmp_path))
    before = tree.fingerprint(Location("clip/"), 8)
    (clip / "sub/again").symlink_to("..")
    assert tree.fingerprint(Location("clip/"), 8) == before


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (write(tmp_path / "clip") / "gone.jpg").symlink_to("nowhere.jpg")
    with pytest.raises(OSError, match=r"gone\.jpg"):
        Tree(str(tmp_path)).size(Location("clip/"))
