"""What a resume reads of its source: nothing of a file that looks as it did, all of any other."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from sofdata.errors import ConfigError
from sofdata.ingest.config import load_config
from sofdata.ingest.files import MARGIN_NS, KnownFiles, fingerprint, look_at
from sofdata.ingest.mode import Mode
from sofdata.ingest.plan import IngestPlan, load_plan
from sofdata.ingest.run import Prepared, prepare
from sofdata.shards.layout import FILES
from sofdata.storage.local import Disk
from sofdata.storage.tree import Tree
from tests.corpora.test_account import SOURCES, put
from tests.ingest.cutting import calls
from tests.lerobots import write_grey

ALL = ["a.mp4", "b/c.mp4", "b/d.webm", "e.mkv"]
LONG_AGO_NS = 1_700_000_000_123_456_789


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the files that are opened below a folder "source"."""
    found: list[str] = []

    def noting(name: str) -> None:
        whole = getattr(Disk, name)

        def note(disk: Disk, rel: str, *more: Any) -> Any:
            if f"{disk.path(rel)}/".count("/source/"):
                found.append(rel)
            return whole(disk, rel, *more)

        monkeypatch.setattr(Disk, name, note)

    for name in ("open", "read", "samples"):
        noting(name)
    return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    put(root, "a.mp4", "b/c.mp4", "b/d.webm", "e.mkv", data=b"0123456789" * 20)
    age(root)
    return root


def age(root: Path, by_ns: int = 0) -> None:
    """Let all files look as if they were written long ago."""
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, ns=(LONG_AGO_NS + by_ns, LONG_AGO_NS + by_ns))


def planned(source: Path, dest: Path, *settings: str, mode: Mode = Mode.RESUME) -> Prepared:
    return prepare(
        Tree(str(source)), Tree(str(dest)), load_config(None, settings), "auto", mode=mode
    )


def read(opened: list[str], source: Path, dest: Path, *settings: str) -> list[str]:
    """The files of the source that a plan opens."""
    opened.clear()
    planned(source, dest, *settings)
    return sorted(opened)


def test_no_file_is_opened_on_a_resume_of_a_source_that_has_not_changed(
    source: Path, tmp_path: Path, opened: list[str]
) -> None:
    assert read(opened, source, tmp_path / "d") == ALL
    plan = load_plan(Tree(str(tmp_path / "d")))
    again = planned(source, tmp_path / "d")
    assert read(opened, source, tmp_path / "d") == []
    assert plan is not None
    assert again.plan.stored() == plan.stored()


def test_only_a_file_that_has_changed_is_read(
    source: Path, tmp_path: Path, opened: list[str]
) -> None:
    planned(source, tmp_path / "d")
    (source / "b" / "c.mp4").write_bytes(b"x" * 200)  # of the same size
    opened.clear()
    with pytest.raises(ConfigError, match=r"1 changed \(b/c.mp4\)"):
        planned(source, tmp_path / "d")
    assert opened == ["b/c.mp4"]
    opened.clear()
    now = planned(source, tmp_path / "d", mode=Mode.UPDATE).plan.find("b/c.mp4")
    assert opened == ["b/c.mp4"]
    assert now is not None
    assert now.fingerprint == Tree(str(source)).fingerprint("b/c.mp4", 200)  # type: ignore[union-attr]


def test_a_file_that_was_only_touched_is_read_once_and_is_no_change(
    source: Path, tmp_path: Path, opened: list[str]
) -> None:
    planned(source, tmp_path / "d")
    os.utime(source / "a.mp4", ns=(LONG_AGO_NS + 1, LONG_AGO_NS + 1))
    assert read(opened, source, tmp_path / "d") == ["a.mp4"]
    assert read(opened, source, tmp_path / "d") == []


def test_a_file_that_was_written_just_before_it_was_listed_is_read_again(
    source: Path, tmp_path: Path, opened: list[str]
) -> None:
    """It could be written once more, and its file system's clock show the same time."""
    now_ns = time.time_ns()
    os.utime(source / "a.mp4", ns=(now_ns, now_ns))
    planned(source, tmp_path / "d")
    kept = KnownFiles.load(Tree(str(tmp_path / "d"))).table
    assert kept["uri"].to_pylist() == ["b/c.mp4", "b/d.webm", "e.mkv"]
    (source / "a.mp4").write_bytes(b"y" * 200)
    os.utime(source / "a.mp4", ns=(now_ns, now_ns))
    with pytest.raises(ConfigError, match=r"1 changed \(a.mp4\)"):
        planned(source, tmp_path / "d")


@pytest.mark.parametrize(("before_ns", "kept"), [(MARGIN_NS - 1, 0), (MARGIN_NS, 1)])
def test_a_stamp_is_kept_if_it_is_older_than_the_listing_by_the_margin(
    before_ns: int, kept: int, source: Path
) -> None:
    from sofdata.corpora.entries import Entries
    from sofdata.corpora.folder import FolderCorpus

    listing = FolderCorpus().listing(Tree(str(source)))
    rows = Entries.of(listing.entries[:1]).table
    looked = look_at(Tree(str(source)), rows, KnownFiles.none(), LONG_AGO_NS + before_ns)
    assert len(looked.known.table) == kept


def test_a_forged_time_and_size_are_believed_unless_all_is_to_be_read(
    source: Path, tmp_path: Path, opened: list[str]
) -> None:
    planned(source, tmp_path / "d")
    (source / "a.mp4").write_bytes(b"z" * 200)
    age(source)
    assert read(opened, source, tmp_path / "d") == []
    with pytest.raises(ConfigError, match=r"1 changed \(a.mp4\)"):
        planned(source, tmp_path / "d", "run.checksum=true")


@pytest.mark.parametrize("content", [None, b"", b"PAR1 nonsense PAR1"])
def test_without_what_it_knows_of_files_a_resume_reads_them_and_writes_it_again(
    content: bytes | None, source: Path, tmp_path: Path, opened: list[str]
) -> None:
    planned(source, tmp_path / "d")
    known, was = tmp_path / "d" / FILES, (tmp_path / "d" / FILES).read_bytes()
    known.unlink()
    if content is not None:
        known.write_bytes(content)
    assert read(opened, source, tmp_path / "d") == ALL
    assert known.read_bytes() == was


def test_a_dry_run_writes_nothing_of_what_it_has_read(source: Path, tmp_path: Path) -> None:
    dest = Tree(str(tmp_path / "d"))
    prepare(Tree(str(source)), dest, load_config(None, ()), "auto", dry_run=True)
    assert not (tmp_path / "d").exists()


def test_a_file_of_many_spans_is_read_once_and_then_known(
    tmp_path: Path, opened: list[str]
) -> None:
    root = tmp_path / "source"
    put(root, "a.mp4", "b.mp4", data=b"x" * 500)
    rows = "".join(f"{name}.mp4,{at},{at + 1}\n" for name in "ab" for at in range(40))
    put(root, "manifest.csv", data=f"uri,start_s,end_s\n{rows}".encode())
    age(root)
    planned(root, tmp_path / "d")
    assert [rel for rel in sorted(opened) if rel.endswith(".mp4")] == ["a.mp4", "b.mp4"]
    opened.clear()
    planned(root, tmp_path / "d")
    assert [rel for rel in opened if rel.endswith(".mp4")] == []


def test_a_file_that_only_a_manifest_names_is_known_by_what_the_file_system_says_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "films", "a.mp4", data=b"x" * 500)
    put(tmp_path / "tables", "clips.csv", data=f"uri\n{tmp_path}/films/a.mp4\n".encode())
    age(tmp_path)
    planned(tmp_path / "tables" / "clips.csv", tmp_path / "d")
    monkeypatch.setattr(Tree, "fingerprint", lambda *_: pytest.fail("it was read"))
    planned(tmp_path / "tables" / "clips.csv", tmp_path / "d")


def test_videos_with_actions_are_read_again_since_these_lie_in_other_files(
    tmp_path: Path, opened: list[str]
) -> None:
    root = tmp_path / "source"
    write_grey(root)
    age(root)
    first = read(opened, root, tmp_path / "d", "with_actions=true")
    assert first
    assert KnownFiles.load(Tree(str(tmp_path / "d"))).table.num_rows == 0


def test_fingerprints_are_those_of_the_whole_files(source: Path, tmp_path: Path) -> None:
    plan: IngestPlan = planned(source, tmp_path / "d").plan
    tree = Tree(str(source))
    for video in plan.all_videos():
        assert video.fingerprint == fingerprint(tree, video.uri, video.size_bytes, None)


def test_the_work_of_a_plan_and_of_a_resume_grows_with_the_files_and_no_faster(
    tmp_path: Path,
) -> None:
    def work(number: int) -> tuple[int, int]:
        root, dest = tmp_path / f"s{number}", tmp_path / f"d{number}"
        put(root, *(f"{each % 10}/{each}.mp4" for each in range(number)))
        age(root)
        return calls(lambda: planned(root, dest)), calls(lambda: planned(root, dest))

    work(10)  # what is imported and cached at first
    few, many = work(400), work(800)
    assert many[0] < 2.3 * few[0]
    assert many[1] < 2.3 * few[1]
    assert many[1] < many[0]


def test_all_kinds_of_sources_are_accounted_for_in_what_is_known(tmp_path: Path) -> None:
    """Files that hold several videos, such as tars, are known by the bytes of each."""
    root = tmp_path / "source"
    for write in SOURCES["video2dataset"]:
        write(root)
    age(root)
    planned(root, tmp_path / "d")
    uris = KnownFiles.load(Tree(str(tmp_path / "d"))).table["uri"].to_pylist()
    assert sum("#bytes=" in uri for uri in uris) == 1
    assert uris == sorted(set(uris))
