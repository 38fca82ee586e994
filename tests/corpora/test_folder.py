"""A folder of anything is listed whole: each file is an entry or counted as ignored."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from sofdata.corpora.entry import Entry
from sofdata.corpora.folder import FolderCorpus
from sofdata.storage.tree import Tree

MP4 = b"\x00\x00\x00\x20ftypisom" + b"\x00" * 64


def put(root: Path, rel: str, data: bytes = MP4) -> Path:
    path = root / rel
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def entries(root: Path) -> dict[str, Entry]:
    return {entry.id: entry for entry in FolderCorpus().listing(Tree(str(root))).entries}


def test_videos_of_any_depth_are_listed_by_their_path(tmp_path: Path) -> None:
    put(tmp_path, "a.mp4")
    put(tmp_path, "kitchen/b.MKV")
    put(tmp_path, "kitchen/deep/ü.webm")
    found = entries(tmp_path)
    assert sorted(found) == ["a.mp4", "kitchen/b.MKV", "kitchen/deep/ü.webm"]
    assert found["a.mp4"] == Entry("a.mp4", "a.mp4", len(MP4))
    assert found["kitchen/deep/ü.webm"].labels == {"folder": "kitchen/deep"}


def test_a_video_without_suffix_or_with_an_odd_one_is_recognised_by_content(tmp_path: Path) -> None:
    put(tmp_path, "clip")
    put(tmp_path, "clip.part1")
    put(tmp_path, "README", b"no video")
    listing = FolderCorpus().listing(Tree(str(tmp_path)))
    assert [entry.id for entry in listing.entries] == ["clip", "clip.part1"]
    assert listing.ignored == {"no suffix": 1}


def test_typescript_is_ignored_and_a_transport_stream_is_not(tmp_path: Path) -> None:
    put(tmp_path, "app.ts", b"export const answer = 42;\n" * 60)
    put(tmp_path, "film.ts", (b"\x47" + b"\x11" * 187) * 6)
    assert sorted(entries(tmp_path)) == ["film.ts"]


def test_a_text_file_and_an_empty_file_named_mp4_are_inputs(tmp_path: Path) -> None:
    put(tmp_path, "text.mp4", b"hello")
    put(tmp_path, "empty.mp4", b"")
    assert {id: entry.problem for id, entry in entries(tmp_path).items()} == {
        "empty.mp4": "",
        "text.mp4": "",
    }


def test_other_files_are_counted_by_suffix(tmp_path: Path) -> None:
    for name in ("notes.txt", "more.TXT", "p.jpg", "plain", ".DS_Store", "._a.mp4", ".git/x.mp4"):
        put(tmp_path, name, b"x")
    listing = FolderCorpus().listing(Tree(str(tmp_path)))
    assert listing.entries == ()
    assert listing.ignored == {".jpg": 1, ".txt": 2, "hidden": 3, "no suffix": 1}


def test_a_folder_named_mp4_is_an_entry_and_is_walked_into(tmp_path: Path) -> None:
    put(tmp_path, "x.mp4/inner.mp4")
    (tmp_path / "empty.webm").mkdir()
    found = entries(tmp_path)
    assert {id: entry.problem for id, entry in found.items()} == {
        "empty.webm": "is_a_directory",
        "x.mp4": "is_a_directory",
        "x.mp4/inner.mp4": "",
    }
    assert "folder" in found["x.mp4"].detail


def test_a_dangling_link_a_socket_and_a_bad_name_are_entries_with_a_problem(tmp_path: Path) -> None:
    (tmp_path / "link.mp4").symlink_to("nowhere.mp4")
    (tmp_path / "link.txt").symlink_to("nowhere.txt")
    with open(os.path.join(os.fsencode(tmp_path), b"caf\xe9.mp4"), "wb") as handle:
        handle.write(MP4)
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(tmp_path)  # a socket's path may hold 108 bytes
        server.bind("s.mp4")
        os.chdir(here)
    listing = FolderCorpus().listing(Tree(str(tmp_path)))
    assert {entry.id: entry.problem for entry in listing.entries} == {
        "caf\\xe9.mp4": "bad_name",
        "link.mp4": "dangling_link",
        "s.mp4": "not_a_file",
    }
    assert all(entry.detail for entry in listing.entries)
    assert listing.ignored == {".txt": 1}


LIST_AS_NOBODY = """
import json, os, sys
import pyarrow.compute, pyarrow.parquet  # while the environment may be read
from sofdata.corpora.folder import FolderCorpus
from sofdata.storage.tree import Tree
if os.getuid() == 0:  # root may read everything
    os.setuid(65534)
listing = FolderCorpus().listing(Tree(sys.argv[1]))
print(json.dumps({entry.id: entry.problem for entry in listing.entries}))
"""


def test_what_may_not_be_read_is_an_entry() -> None:
    with tempfile.TemporaryDirectory() as name:  # unlike tmp_path, others may look into its parent
        root = Path(name)
        root.chmod(0o755)
        put(root, "closed.mp4").chmod(0)
        put(root, "closed.txt").chmod(0)
        put(root, "vault/a.mp4")
        (root / "vault").chmod(0)
        command = [sys.executable, "-c", LIST_AS_NOBODY, name]
        done = subprocess.run(command, capture_output=True, check=True)
        (root / "vault").chmod(0o700)
    assert json.loads(done.stdout) == {"closed.mp4": "unreadable", "vault": "unreadable_folder"}


def test_a_link_back_to_a_folder_above_ends(tmp_path: Path) -> None:
    put(tmp_path, "a/b.mp4")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    assert sorted(entries(tmp_path)) == ["a/b.mp4"]


def test_the_source_may_be_a_single_video(tmp_path: Path) -> None:
    path = put(tmp_path, "clip.mp4")
    tree = Tree(str(path))
    (entry,) = FolderCorpus().listing(tree).entries
    assert (entry.id, entry.size_bytes) == ("clip.mp4", len(MP4))
    assert tree.parent().read(entry.uri) == MP4
    assert len(tree.parent().fingerprint(entry.uri, entry.size_bytes)) == 32


def test_a_remote_folder_and_a_remote_file_are_listed_alike() -> None:
    tree = Tree("memory://corpus")
    tree.write("a/b.mp4", MP4)
    tree.write("c", MP4)
    tree.write("notes.txt", b"x")
    listing = FolderCorpus().listing(tree)
    assert [entry.id for entry in listing.entries] == ["a/b.mp4", "c"]
    assert listing.ignored == {".txt": 1}
    single = Tree("memory://corpus/a/b.mp4")
    (entry,) = FolderCorpus().listing(single).entries
    assert (entry.id, single.parent().read(entry.uri)) == ("b.mp4", MP4)


def test_the_shared_clips_are_21_inputs(shared_clips: Path) -> None:
    listing = FolderCorpus().listing(Tree(str(shared_clips)))
    assert len(listing.entries) == 21
    assert listing.ignored == {".tsv": 1}


def test_files_that_are_here_twice_by_links_are_named(tmp_path: Path) -> None:
    """As in a cache of the Hugging Face hub: blobs, and snapshots of links to them."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshots").mkdir()
    for name in ("a", "b"):
        (tmp_path / "blobs" / f"{name}.mp4").write_bytes(b"x")
    (tmp_path / "snapshots" / "one.mp4").symlink_to("../blobs/a.mp4")
    (tmp_path / "again").symlink_to("blobs")
    notes = FolderCorpus().listing(Tree(str(tmp_path))).notes
    both = "file is a link to another one that is here; both are used"
    once = "folder is here twice by links; its files are used once"
    assert notes == (f"1 x {both}: snapshots/one.mp4", f"1 x {once}: again")
    assert not FolderCorpus().listing(Tree(str(tmp_path / "blobs"))).notes
