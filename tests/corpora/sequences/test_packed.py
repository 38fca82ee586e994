"""Numbered pictures in tars and zips, as they are downloaded."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sofdata.corpora.alone import refuse_other_files
from sofdata.corpora.registry import find_corpus
from sofdata.errors import ConfigError
from sofdata.ingest.verify import verify
from sofdata.storage.tree import Tree
from tests.corpora.sequences.test_frames import SETTINGS, by_id, listing, rows
from tests.helpers import hashes, ingest
from tests.sequences import encoded, write_frames, write_frames_tar, wrong_frames

# Tars


def test_a_tar_gives_what_its_folder_gives_and_the_same_from_a_store(
    tmp_path: Path, memory_store: str
) -> None:
    import fsspec

    source = tmp_path / "s"
    write_frames_tar(source / "P01_01.tar", range(1, 25))
    write_frames_tar(source / "P01_02.tar", range(40, 60), "cam0/{}.jpg")
    with tarfile.open(source / "P01_02.tar", "a") as tar:
        for number in range(60, 80):
            member = tarfile.TarInfo(f"cam1/{number}.jpg")
            member.size = len(encoded(number))
            tar.addfile(member, io.BytesIO(encoded(number)))
    fsspec.filesystem("memory").put(f"{source}/", f"{memory_store}/", recursive=True)
    ingest(source, tmp_path / "here", *SETTINGS, "sequences.fps=10")
    assert not wrong_frames(
        tmp_path / "here", 10, {"P01_01": 1, "P01_02/cam0": 40, "P01_02/cam1": 60}
    )
    small = ("run.temporary_mib=0.001", "run.isolate=true")
    ingest(f"memory:/{memory_store}", tmp_path / "away", *SETTINGS, "sequences.fps=10", *small)
    assert hashes(tmp_path / "here") == hashes(tmp_path / "away")
    labels = by_id(listing(source))["P01_02/cam1"].labels
    assert (labels["recording"], labels["camera"]) == ("P01_02", "cam1")


def test_a_single_tar_is_a_source(tmp_path: Path) -> None:
    path = write_frames_tar(tmp_path / "P01_01.tar", range(1, 25))
    ingest(path, tmp_path / "d", *SETTINGS, "sequences.fps=10")
    assert not wrong_frames(tmp_path / "d", 10, {"P01_01": 1})
    assert rows(tmp_path / "d")["P01_01"]["status"] == "done"


def test_times_may_lie_in_a_tar(tmp_path: Path) -> None:
    lines = "".join(f"{at / 10}\n" for at in range(20))
    write_frames_tar(tmp_path / "s/a.tar", range(20), times=lines.encode())
    write_frames_tar(tmp_path / "s/b.tar", range(20))
    ingest(tmp_path / "s", tmp_path / "d", *SETTINGS, "sequences.times=times.txt")
    assert not wrong_frames(tmp_path / "d", 10, {"a": 0})
    assert rows(tmp_path / "d")["b"]["reason"] == "no_times"


def test_a_tar_that_is_cut_off_gives_what_is_before_the_cut(tmp_path: Path) -> None:
    path = write_frames_tar(tmp_path / "s/a.tar", range(20))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (tmp_path / "s/b.tar").write_bytes(b"no tar" * 1000)
    (tmp_path / "s/c.tar").write_bytes(b"")
    ingest(tmp_path / "s", tmp_path / "d", *SETTINGS, "sequences.fps=10")
    found = rows(tmp_path / "d")
    assert "the tar is cut off" in found["a"]["salvaged"]
    assert not wrong_frames(tmp_path / "d", 10, {"a": 0})
    assert {found[id]["reason"] for id in ("b", "c")} == {"damaged"}
    assert verify(Tree(str(tmp_path / "d"))).whole


# Zips


def write_zip(path: Path, folder: Path) -> Path:
    """A folder packed as by zip -r, with what macOS adds."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for each in sorted(folder.rglob("*")):
            name = str(each.relative_to(folder.parent))
            target.write(each, name)
            target.writestr(f"__MACOSX/{Path(name).parent}/._{Path(name).name}", b"\0\5\x16\7")
    return path


def test_a_zip_gives_what_its_folder_gives_and_the_same_from_a_store(
    tmp_path: Path, memory_store: str
) -> None:
    import fsspec

    folder, packed = tmp_path / "folder", tmp_path / "packed"
    write_frames(folder / "clip_1/images0", range(20), "im_{}.jpg")
    write_frames(folder / "clip_1/images1", range(20, 40), "im_{}.jpg")
    write_frames(folder / "clip_2", range(50, 70), "{:05d}.jpg")
    packed.mkdir()
    for name in ("clip_1", "clip_2"):
        write_zip(packed / f"{name}.zip", folder / name)
    fsspec.filesystem("memory").put(f"{packed}/", f"{memory_store}/", recursive=True)
    for source, dest in ((folder, "a"), (packed, "b"), (f"memory:/{memory_store}", "c")):
        ingest(source, tmp_path / dest, *SETTINGS, "sequences.fps=10")
        first = {"clip_1/images0": 0, "clip_1/images1": 20, "clip_2": 50}
        assert not wrong_frames(tmp_path / dest, 10, first)
        assert {row["status"] for row in rows(tmp_path / dest).values()} == {"done"}
    found = listing(packed)
    assert by_id(found)["clip_1/images1"].labels["recording"] == "clip_1"
    assert found.ignored == {"hidden in a zip": 62}
    assert verify(Tree(str(tmp_path / "b"))).whole


def test_zips_and_a_single_one_are_found_by_what_is_in_them(tmp_path: Path) -> None:
    write_frames(tmp_path / "x/clip", range(20))
    write_zip(tmp_path / "s.zip", tmp_path / "x/clip")
    (tmp_path / "d").mkdir()
    write_zip(tmp_path / "d/s.zip", tmp_path / "x/clip")
    assert find_corpus(Tree(str(tmp_path / "s.zip")))[0].name == "frames"
    corpus, why = find_corpus(Tree(str(tmp_path / "d")))
    assert (corpus.name, why) == (
        "frames",
        "zips of numbered pictures: clip/frame_000000.jpg in s.zip",
    )
    with zipfile.ZipFile(tmp_path / "labels.zip", "w") as target:
        target.writestr("labels.json", "{}")
    (tmp_path / "d/s.zip").unlink()
    (tmp_path / "labels.zip").rename(tmp_path / "d/labels.zip")
    assert find_corpus(Tree(str(tmp_path / "d")))[0].name == "folder"


def test_an_archive_beside_what_it_was_unpacked_to_is_not_used_twice(tmp_path: Path) -> None:
    write_frames(tmp_path / "clip_1", range(20))
    write_frames(tmp_path / "clip_2", range(20))
    write_zip(tmp_path / "clip_1.zip", tmp_path / "clip_1")  # under its own name
    write_zip(tmp_path / "all.zip", tmp_path / "clip_2")  # unpacked where it lies
    write_frames(tmp_path / "clip_3", range(10))
    write_frames_tar(tmp_path / "clip_3.tar", range(20), "frame_{:06d}.jpg")  # has more
    found = listing(tmp_path)
    assert set(by_id(found)) == {"clip_1", "clip_2", "clip_3", "clip_3 (2)"}
    assert found.ignored["picture that lies here unpacked, too, in a zip"] == 40
    assert by_id(found)["clip_3 (2)"].problem == "duplicate_id"


def test_zips_that_are_none_or_hold_no_picture_are_in_the_account(tmp_path: Path) -> None:
    source = tmp_path / "s"
    write_frames(source / "a", range(20))
    (source / "b.zip").write_bytes(b"no zip" * 1000)
    with zipfile.ZipFile(source / "labels.zip", "w") as target:
        target.writestr("labels.json", "{}")
    found = listing(source)
    assert by_id(found)["b"].problem == "damaged"
    assert "it is no whole zip" in by_id(found)["b"].detail
    assert found.ignored == {
        "file that is no numbered picture in a zip": 1,
        "zip without a sequence of pictures": 1,
    }


# What has to be unpacked


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.tar.xz", "A.TAR.ZST", "a.7z", "a.rar"])
def test_what_has_to_be_unpacked_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x1f\x8b" * 99)
    with pytest.raises(ConfigError, match=rf"unpack what holds pictures, as by tar xf: {name}"):
        listing(tmp_path)
    with pytest.raises(ConfigError, match=r"is no \.tar or \.zip of numbered pictures: unpack it"):
        listing(tmp_path / name)
    write_frames(tmp_path / "b", range(10))
    found = listing(tmp_path)
    assert set(by_id(found)) == {"b"}
    assert "1 x archive is compressed as a whole, which is not read; unpack what holds" in (
        " ".join(found.notes)
    )


def test_a_packed_archive_alone_says_so_whatever_it_holds(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        tar.add(write_frames(tmp_path / "x", range(3)), "x")
    with pytest.raises(ConfigError, match=r"is no video but gzip.*unpack it: tar xf a\.tar\.gz"):
        refuse_other_files(Tree(str(tmp_path / "a.tar.gz")))


@pytest.fixture
def memory_store() -> Iterator[str]:
    import fsspec

    yield "/frames"
    fsspec.filesystem("memory").rm("/frames", recursive=True)
