"""Sources full of links, of folders that are closed and of paths without end, in every layout."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sofdata.corpora.base import Listing
from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.registry import CORPORA, find_corpus, list_source
from sofdata.errors import ConfigError
from sofdata.scenes import write_clip
from sofdata.storage.tree import Tree
from tests.clumsy.strange import LAYOUTS, SEQUENCES, as_nobody, put, write_layout
from tests.helpers import ingest

RATE = SequenceConfig(fps=10)
TIMED = ("agibot", "egoexo4d", "mcap", "rosbag")  # which have times of their own
LOOKED_INTO = ("droid", "hdf5", "mcap", "rlds", "rosbag", "zarr")  # by a process of its own
SETTINGS = ("windows.length=4", "windows.stride=2", "flow.size=64", "windows.size=32")


def listed(root: Path, layout: str = "auto") -> Listing:
    tree = Tree(str(root))
    if layout in SEQUENCES:  # "auto" may take these for a folder of the videos beside them
        own = RATE if layout not in TIMED else None
        corpus, _ = find_corpus(tree, layout, sequences=own)
        return list_source(corpus, tree, with_actions=False, sequences=own)
    corpus, _ = find_corpus(tree)
    assert layout in ("auto", corpus.name)
    return list_source(corpus, tree, with_actions=False)


def problems(listing: Listing) -> dict[str, str]:
    return {entry.uri: entry.problem for entry in listing.entries if entry.problem}


def test_every_layout_is_tried_here() -> None:
    assert sorted(LAYOUTS) == sorted(corpus.name for corpus in CORPORA)


def test_a_farm_of_links_with_a_million_paths_is_walked_once(tmp_path: Path) -> None:
    """Twenty levels of two links to the next one: 2^20 ways to one clip."""
    for level in range(20):
        (tmp_path / f"{level:02d}").mkdir()
        for side in ("left", "right"):
            (tmp_path / f"{level:02d}" / side).symlink_to(f"../{level + 1:02d}")
    put(tmp_path, "20/clip.mp4")
    began = time.monotonic()
    listing = listed(tmp_path)
    assert time.monotonic() - began < 20
    assert [entry.id for entry in listing.entries] == ["20/clip.mp4"]
    assert listing.ignored == {"folder that is here twice": 40}


def test_links_to_the_parent_and_to_the_source_end(tmp_path: Path) -> None:
    put(tmp_path, "source/a/clip.mp4", "beside/other.mp4")
    (tmp_path / "source" / "a" / "up").symlink_to("..")
    (tmp_path / "source" / "a" / "over").symlink_to("../..")
    ids = [entry.id for entry in listed(tmp_path / "source").entries]
    assert ids == ["a/clip.mp4", "a/over/beside/other.mp4"]


def test_a_folder_that_is_there_twice_is_named_in_a_note(tmp_path: Path) -> None:
    put(tmp_path, "clips/a.mp4")
    (tmp_path / "again").symlink_to("clips")
    listing = listed(tmp_path)
    assert [entry.id for entry in listing.entries] == ["clips/a.mp4"]
    note = "1 x folder is here twice by links; its files are used once: again"
    assert listing.notes == (note,)


def test_rows_of_a_manifest_find_their_files_by_the_path_of_a_link(tmp_path: Path) -> None:
    put(tmp_path, "raw/a.mp4", "raw/deep/b.mp4")
    (tmp_path / "videos").symlink_to("raw")
    put(tmp_path, "manifest.csv", data=b"uri\nvideos/a.mp4\nvideos/deep/b.mp4\n")
    listing = listed(tmp_path, "manifest")
    assert not problems(listing)
    assert [entry.id for entry in listing.entries] == ["videos/a.mp4", "videos/deep/b.mp4"]
    assert "video of no row" not in listing.ignored


def test_lerobot_finds_its_videos_below_a_linked_folder(tmp_path: Path) -> None:
    root = write_layout(tmp_path / "root", "lerobot")
    os.rename(root / "videos", root / "a")
    (root / "videos").symlink_to("a")
    listing = listed(root, "lerobot")
    assert not problems(listing)
    assert "video of no episode" not in listing.ignored


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_link_to_a_folder_that_is_gone_is_a_row(tmp_path: Path, layout: str) -> None:
    """As of a disk that is not mounted."""
    root = write_layout(tmp_path / "root", layout)
    before = problems(listed(root, layout))
    (root / "more").symlink_to("/nowhere/at/all")
    assert problems(listed(root, layout)) == before | {"more": "dangling_link"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_path_that_is_too_long_is_a_row(tmp_path: Path, layout: str) -> None:
    root = write_layout(tmp_path / "root", layout)
    before = problems(listed(root, layout))
    here = os.getcwd()
    try:
        os.chdir(root)
        for _ in range(18):  # of 250 characters: more than the 4,096 of a path
            os.mkdir("d" * 250)
            os.chdir("d" * 250)
        Path("clip.mp4").touch()
    finally:
        os.chdir(here)
    found = problems(listed(root, layout))
    (uri,) = found.keys() - before.keys()
    assert found[uri] == "path_too_long"
    assert set(uri) == {"d", "/"}


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in LOOKED_INTO])
def test_a_folder_that_cannot_be_entered_is_a_row_for_any_user(tmp_path: Path, layout: str) -> None:
    root = write_layout(tmp_path / "root", layout)
    for path in (root, *root.rglob("*")):
        path.chmod(0o755)
    before = problems(listed(root, layout))
    put(root, "secret/9.mp4", "looked/9.mp4")
    (root / "secret").chmod(0)  # nor entered, nor listed
    (root / "looked").chmod(0o444)  # listed, not entered
    try:
        found = as_nobody(lambda: problems(listed(root, layout)), root.parent)
    finally:
        (root / "secret").chmod(0o755)
        (root / "looked").chmod(0o755)
    assert found.pop("secret") == "unreadable_folder"
    closed = found.pop("looked/9.mp4", "no row of it")
    assert closed in ("unreadable", "no row of it")  # of a video, unless rows alone name videos
    assert found == before


def test_a_source_that_cannot_be_entered_is_refused_with_the_reason(tmp_path: Path) -> None:
    put(tmp_path, "source/a.mp4")
    (tmp_path / "source").chmod(0)
    try:
        message = as_nobody(lambda: refusal(tmp_path / "source"), tmp_path)
        assert "you may not look into" in message
    finally:
        (tmp_path / "source").chmod(0o755)


def refusal(root: Path) -> str:
    with pytest.raises(ConfigError) as error:
        listed(root)
    return str(error.value)


def test_rows_of_what_cannot_be_read_reach_the_tables(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    write_clip(source / "clip.webm", 0, seconds=2.0)
    (source / "unmounted").symlink_to("/nowhere/at/all")
    os.mkdir(os.fsencode(source) + b"/odd\xfe")
    ingest(source, tmp_path / "d", *SETTINGS)
    rows = pq.read_table(tmp_path / "d" / "rejects.parquet").to_pylist()
    found = {row["video"]: row["reason"] for row in rows if row["kind"] == "video"}
    assert found == {"odd\\xfe": "unreadable_folder", "unmounted": "dangling_link"}


def test_what_is_redacted_stays_so_where_a_link_leads_to_it_from_the_other_side(
    tmp_path: Path,
) -> None:
    """The files are used by a path that is not below the ego4d.json; a link below it is."""
    uid = "0a1b2c3d-0000-4000-8000-00000000000f"
    put(tmp_path, f"raw/{uid}.mp4")
    record = {"video_uid": uid, "duration_sec": 9.0}
    spans = [{"start_sec": 1.0, "end_sec": 2.0}]
    metadata = {"videos": [{**record, "redacted_intervals": spans}]}
    put(tmp_path, "ego/deep/ego4d.json", data=json.dumps(metadata).encode())
    (tmp_path / "way").mkdir()
    (tmp_path / "way" / "full_scale").symlink_to("../raw")
    (tmp_path / "ego" / "deep" / "way").symlink_to("../../way")
    (entry,) = listed(tmp_path, "folder").entries
    assert entry.uri == f"raw/{uid}.mp4"
    assert entry.annotations.hidden_s == ((0.95, 2.05),)
