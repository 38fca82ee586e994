"""`sofdata.storage`: whole files or none, errors that say what to do, and no secrets shown."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import pytest

from sofdata.errors import StorageError, TransientError
from sofdata.storage import Tree, explained, public_url

SECRET = "s3cr3t-m4rker"


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


def test_a_loop_of_links_is_walked_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "clip.mp4").touch()
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    items = [item.rel for item in Tree(str(tmp_path)).walk()]
    assert items == ["a/clip.mp4"]


def test_a_folder_whose_name_is_not_utf8_is_told(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/odd\xfe"
    os.mkdir(folder)
    (item,) = Tree(str(tmp_path)).walk()
    assert (item.problem, item.rel) == ("unreadable_folder", "odd\\xfe")


@pytest.mark.parametrize(
    "url", [f"s3://key:{SECRET}@bucket/a", f"https://host/a?token={SECRET}", f"s3://b/a#{SECRET}"]
)
def test_a_secret_in_a_url_is_neither_shown_nor_told_in_errors(url: str) -> None:
    tree = Tree(url, {"secret": SECRET})
    assert SECRET not in public_url(url) + tree.name + repr(tree.name)

    def fail() -> None:
        raise OSError(f"could not reach {url} today")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.sleep", lambda seconds: None)
        with pytest.raises(TransientError) as error:
            tree._call("look", fail)
    assert SECRET not in str(error.value)
    assert "could not reach" in str(error.value)


def test_a_remote_failure_is_retried_and_a_refused_credential_is_not() -> None:
    tree, calls = Tree("memory://x"), []

    def flaky() -> str:
        calls.append(1)
        if len(calls) < 3:
            raise ConnectionResetError("reset by peer")
        return "ok"

    assert tree._call("read", flaky) == "ok"
    assert len(calls) == 3

    def refuse() -> None:
        calls.append(1)
        raise PermissionError("Access Denied")

    with pytest.raises(StorageError, match="check the credentials"):
        tree._call("read", refuse)
    assert len(calls) == 4


def test_an_error_of_the_system_says_what_to_do() -> None:
    with pytest.raises(StorageError, match="run the same command again"), explained("write x"):
        raise OSError(errno.EROFS, "Read-only file system")
