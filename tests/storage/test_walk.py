"""`sofdata.storage.walk`: each real folder once, by a path that depends on nothing but the tree."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sofdata.storage import walk
from sofdata.storage.walk import Found, Item, walk_local


def files(folder: Path) -> list[str]:
    return [item.rel for item in walk_local(str(folder)) if not item.problem]


def problems(folder: Path) -> dict[str, str]:
    found = {item.rel: item.problem for item in walk_local(str(folder)) if item.problem}
    return {rel: problem for rel, problem in found.items() if problem != "is_a_directory"}


def test_the_shortest_path_to_a_folder_wins_then_the_real_one(tmp_path: Path) -> None:
    (tmp_path / "raw" / "2023" / "deep").mkdir(parents=True)
    (tmp_path / "raw" / "2023" / "deep" / "a.mp4").touch()
    (tmp_path / "videos").symlink_to("raw/2023/deep")
    (tmp_path / "aaa").symlink_to("raw")
    assert files(tmp_path) == ["videos/a.mp4"]
    assert problems(tmp_path) == {"aaa": "linked_folder", "raw/2023/deep": "linked_folder"}


def test_of_two_links_to_a_folder_outside_the_first_by_name_wins(tmp_path: Path) -> None:
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "a.mp4").touch()
    source = tmp_path / "source"
    source.mkdir()
    for name in ("z", "b", "m"):
        (source / name).symlink_to(tmp_path / "away")
    assert files(source) == ["b/a.mp4"]


def test_the_order_of_a_listing_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.mp4").touch()
        (tmp_path / name / "up").symlink_to(tmp_path)
        (tmp_path / f"to-{name}").symlink_to(name)
    straight = list(walk_local(str(tmp_path)))
    real = os.scandir

    @contextmanager
    def backwards(path: str) -> Iterator[list[os.DirEntry[str]]]:
        with real(path) as entries:
            yield sorted(entries, key=lambda entry: entry.name, reverse=True)

    monkeypatch.setattr(os, "scandir", backwards)
    assert list(walk_local(str(tmp_path))) == straight


@pytest.mark.parametrize(
    ("number", "problem"),
    [
        (errno.EACCES, "unreadable_folder"),
        (errno.ENOENT, "unreadable_folder"),  # it has vanished since it was listed
        (errno.EIO, "unreadable_folder"),
        (errno.ENAMETOOLONG, "path_too_long"),
    ],
)
def test_a_folder_that_cannot_be_entered_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, problem: str
) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "a.mp4").touch()
    real = os.scandir

    def scandir(path: str) -> Any:
        if path.endswith("closed"):
            raise OSError(number, os.strerror(number), path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert files(tmp_path) == ["open/a.mp4"]
    assert problems(tmp_path) == {"closed": problem}


def test_links_to_nothing_to_themselves_and_through_files_are_dangling(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    for name, target in (("1", "nowhere"), ("2", "2"), ("3", "a.mp4/b"), ("4", "5"), ("5", "4")):
        (tmp_path / name).symlink_to(target)
    assert problems(tmp_path) == dict.fromkeys("12345", "dangling_link")


def test_a_folder_that_appears_during_the_walk_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "later").touch()
    monkeypatch.setattr(walk, "_leads_to", lambda entry: "")
    (tmp_path / "later").unlink()
    (tmp_path / "later").mkdir()
    assert problems(tmp_path) == {"later": "unreadable_folder"}


def test_what_lies_at_a_path_through_a_link_is_found() -> None:
    found = Found(
        [
            Item("raw/a.mp4", 1),
            Item("videos", 0, "linked_folder", target="raw"),
            Item("raw/back", 0, "linked_folder", target=""),
        ]
    )
    assert found["videos/a.mp4"].rel == "raw/a.mp4"
    assert found["videos/back/videos/a.mp4"].rel == "raw/a.mp4"
    assert "videos/b.mp4" not in found
    assert found.ends_with("videos/a.mp4") == ["raw/a.mp4"]
    assert set(found) == {"raw/a.mp4", "videos", "raw/back"}
