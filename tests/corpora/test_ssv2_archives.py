"""Something-Something V2 from its parts, whole and broken: the same dataset, nothing unpacked."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sofdata.corpora.base import Listing
from sofdata.corpora.registry import find_corpus
from sofdata.corpora.ssv2 import SomethingSomethingV2
from sofdata.errors import ConfigError
from sofdata.ingest.verify import verify
from sofdata.storage.archives import gzip_points, tars
from sofdata.storage.tree import Tree
from sofdata.storage.uris import parse
from tests import tars as odd
from tests.helpers import ingest
from tests.ssv2s import FOLDER, LABELS, split, tar_of, write_archive, write_parts
from tests.ssv2s import packed as gzipped

SETTINGS = ("windows.length=4", "windows.stride=4", "flow.size=64", "windows.size=32")
CLIP = b"\x1aE\xdf\xa3"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own cache, and a spacing of restart points that suits small archives."""
    monkeypatch.setenv("SOFDATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(gzip_points, "SPACING", 1 << 16)
    monkeypatch.setattr(tars, "PIECE", 1 << 14)
    tars._known.clear()
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def plain_dataset(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked corpus, ingested."""
    dest = tmp_path_factory.mktemp("plain") / "d"
    ingest(corpus, dest, *SETTINGS)
    return dest


def windows(dest: Path) -> list[dict[str, Any]]:
    """The rows of a dataset's index, without the names of shards, which hash what was read."""
    table = pq.read_table(dest / "index.parquet").drop_columns(["shard"])
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def listing(root: Path) -> Listing:
    return SomethingSomethingV2().listing(Tree(str(root)))


def small(root: Path, number: int = 40, zipped: str = "") -> dict[str, bytes]:
    """Clips of random bytes, which gzip cannot shrink, in five parts with labels."""
    clips = {f"{FOLDER}/{id}.webm": CLIP + os.urandom(9000) for id in range(100, 100 + number)}
    write_parts(root, split(gzipped(tar_of(clips)), 5), zipped=zipped)
    (root / "labels").mkdir(exist_ok=True)
    (root / "labels" / "train.json").write_text('[{"id": "100", "label": "pushing it"}]')
    return clips


def contents(root: Path) -> dict[str, bytes]:
    """What every clip reads as from its place in the archive."""
    tree, found = Tree(str(root)), {}
    for entry in listing(root).entries:
        if not entry.problem:
            with tree.local_copy(parse(entry.uri)) as copy:
                found[entry.id] = Path(copy).read_bytes()
    return found


@pytest.mark.parametrize(
    ("zipped", "stem", "labels_zip"),
    [
        ("", f"{FOLDER}-", True),
        ("stored", f"{FOLDER}-", True),
        ("deflated", "something-something-v2-", False),
    ],
)
def test_it_gives_what_the_unpacked_corpus_gives(
    corpus: Path, plain_dataset: Path, tmp_path: Path, zipped: str, stem: str, labels_zip: bool
) -> None:
    root = write_archive(corpus, tmp_path / "s", zipped=zipped, stem=stem, labels_zip=labels_zip)
    found, why = find_corpus(Tree(str(root)))
    assert found.name == "ssv2"
    assert f"{stem}??" in why
    plain = {entry.id: entry for entry in listing(corpus).entries}
    entries = {entry.id: entry for entry in found.listing(Tree(str(root))).entries}
    assert entries.keys() == plain.keys()
    for id, entry in entries.items():
        assert (entry.text, entry.labels, entry.size_bytes, entry.problem) == (
            plain[id].text,
            plain[id].labels,
            plain[id].size_bytes,
            "",
        )
        assert entry.fingerprint == Tree(str(corpus)).fingerprint(
            parse(plain[id].uri), entry.size_bytes
        )
    ingest(root, tmp_path / "d", *SETTINGS)
    assert verify(Tree(str(tmp_path / "d"))).whole
    assert windows(tmp_path / "d") == windows(plain_dataset)
    assert {row["text"] for row in windows(tmp_path / "d")} > {""}


@pytest.mark.parametrize("zipped", ["", "stored", "deflated"])
def test_every_clip_is_read_from_its_place(tmp_path: Path, zipped: str) -> None:
    clips = small(tmp_path / "s", zipped=zipped)
    found = contents(tmp_path / "s")
    assert found == {name.split("/")[1].removesuffix(".webm"): data for name, data in clips.items()}


@pytest.mark.parametrize("number", [1, 60])
def test_an_archive_of_few_restart_points_or_none_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """With the spacing of real archives, in a process that could die of it."""
    monkeypatch.setattr(gzip_points, "SPACING", 4 << 20)
    monkeypatch.setattr(tars, "PIECE", 1 << 18)
    clips = small(tmp_path / "s", number, zipped="deflated")
    script = "import sys; from tests.corpora.test_ssv2_archives import contents; "
    script += "print(len(contents(__import__('pathlib').Path(sys.argv[1]))))"
    command = [sys.executable, "-c", script, str(tmp_path / "s")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, str(len(clips))), done.stderr


def test_parts_of_a_tar_that_is_not_packed_will_do(tmp_path: Path) -> None:
    clips = small(tmp_path / "s")
    write_parts(tmp_path / "s", split(tar_of(clips), 5))
    assert set(contents(tmp_path / "s").values()) == set(clips.values())


def test_several_gzip_files_in_a_row_are_one(tmp_path: Path) -> None:
    """As `cat one.gz two.gz` makes them, and some tools that work in parallel."""
    clips = small(tmp_path / "s")
    data = tar_of(clips)
    write_parts(tmp_path / "s", split(gzipped(data[:100_000]) + gzipped(data[100_000:]), 5))
    assert set(contents(tmp_path / "s").values()) == set(clips.values())


def test_an_object_store_is_read_by_ranges(tmp_path: Path) -> None:
    clips = small(tmp_path / "s")
    remote = Tree("memory://parts")
    for path in (path for path in (tmp_path / "s").rglob("*") if path.is_file()):
        remote.write(path.relative_to(tmp_path / "s").as_posix(), path.read_bytes())
    entries = SomethingSomethingV2().listing(remote).entries
    assert len(entries) == len(clips)
    with remote.local_copy(parse(entries[7].uri)) as copy:
        assert Path(copy).read_bytes() == clips[f"{FOLDER}/{entries[7].id}.webm"]


def test_one_pass_a_machine_is_enough_and_a_worker_makes_it_where_it_must(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = []
    run = tars._Pass.run

    def counted(self: tars._Pass, folder: Path) -> None:
        passes.append(folder)
        run(self, folder)

    monkeypatch.setattr(tars._Pass, "run", counted)
    clips = small(tmp_path / "s")
    first = listing(tmp_path / "s")
    tars._known.clear()  # as in another process
    assert listing(tmp_path / "s") == first
    assert len(passes) == 1
    monkeypatch.setenv("SOFDATA_CACHE", str(tmp_path / "another machine"))
    tars._known.clear()
    with Tree(str(tmp_path / "s")).local_copy(parse(first.entries[0].uri)) as copy:
        assert Path(copy).read_bytes() in clips.values()
    assert len(passes) == 2
    assert not [name for name in os.listdir(cache / "archives") if name.startswith("new-")]


def test_nothing_is_unpacked_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 4 MB there are some restart points of 32 KiB, and one clip at a time."""
    monkeypatch.setattr(gzip_points, "SPACING", 1 << 20)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "tmp").mkdir()
    small(tmp_path / "s", number=440)
    entries = listing(tmp_path / "s").entries
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files if path.name == tars.POINTS) < 300_000
    with Tree(str(tmp_path / "s")).local_copy(parse(entries[300].uri)) as copy:
        assert [p.stat().st_size for p in (tmp_path / "tmp").iterdir()] == [9004]
        assert os.path.getsize(copy) == 9004
    assert not list((tmp_path / "tmp").iterdir())


def test_an_archive_that_changed_is_read_anew(tmp_path: Path) -> None:
    small(tmp_path / "s")
    before = contents(tmp_path / "s")
    small(tmp_path / "s")
    after = contents(tmp_path / "s")
    assert before.keys() == after.keys()
    assert all(before[id] != after[id] for id in before)


@pytest.mark.parametrize("name", [tars.POINTS, tars.MEMBERS])
@pytest.mark.parametrize("share", [0, 0.1, 0.9])
def test_an_index_of_which_a_part_was_lost_is_made_anew(
    tmp_path: Path, cache: Path, name: str, share: float
) -> None:
    clips = small(tmp_path / "s")
    before = contents(tmp_path / "s")
    assert len(before) == len(clips)
    (lost,) = (cache / "archives").glob(f"*/{name}")
    cut(lost.parent, name, share)
    tars._known.clear()  # as in another process
    assert contents(tmp_path / "s") == before


# Bad input


def cut(root: Path, name: str, share: float = 0.5) -> None:
    data = (root / name).read_bytes()
    (root / name).write_bytes(data[: int(len(data) * share)])


def swap(root: Path, one: str, other: str) -> None:
    (root / one).rename(root / "x")
    (root / other).rename(root / one)
    (root / "x").rename(root / other)


def flip(root: Path, name: str, at: int = 20_000) -> None:
    data = bytearray((root / name).read_bytes())
    data[at] ^= 0xFF
    (root / name).write_bytes(data)


P = f"{FOLDER}-"
# What wrong bytes do to the unpacking depends on the bytes: it fails where they lie or after them,
# it comes to another checksum, or it takes the end of the data for its middle.
DAMAGED = (
    rf"(cannot be unpacked .*{P}0[{{}}] or the|checksum is wrong"
    r"|or a part before its end is damaged)"
)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / f"{P}02").unlink(), rf"part {P}02 .* is missing"),
        (lambda root: (root / f"{P}00").unlink(), rf"part {P}00 .* is missing"),
        (lambda root: (root / f"{P}04").unlink(), rf"continues after {P}03: that part is cut off"),
        (lambda root: cut(root, f"{P}04"), rf"continues after {P}04"),
        (lambda root: cut(root, f"{P}01"), DAMAGED.format("1234")),
        (lambda root: swap(root, f"{P}00", f"{P}01"), rf"{P}00 begins like no tar and no gzip"),
        (lambda root: swap(root, f"{P}02", f"{P}03"), DAMAGED.format("234")),
        (lambda root: flip(root, f"{P}03"), DAMAGED.format("34")),
        (lambda root: (root / f"{P}00").write_bytes(b""), rf"{P}0[01] begins like no tar"),
    ],
)
def test_a_part_that_is_missing_damaged_or_out_of_place_is_named(
    tmp_path: Path, spoil: Callable[[Path], object], message: str, cache: Path
) -> None:
    small(tmp_path / "s")
    spoil(tmp_path / "s")
    with pytest.raises(ConfigError, match=message):
        listing(tmp_path / "s")
    assert not [path for path in cache.rglob("*") if path.is_dir() and path.parent != cache]


def test_damage_that_looks_like_a_part_that_is_missing_is_told_as_both(tmp_path: Path) -> None:
    """The last block of a gzip file of stored ones says that it is longer than what is left."""
    stored = bytearray(gzip.compress(tar_of(small(tmp_path / "s")), 0, mtime=0))
    at = 10  # where the first block begins
    while not stored[at] & 1:
        at += 5 + int.from_bytes(stored[at + 1 : at + 3], "little")
    stored[at + 1 : at + 5] = b"\xff\xff\0\0"
    assert len(stored) - at < 0xFFFF
    write_parts(tmp_path / "s", split(bytes(stored), 5))
    said = rf"continues after {P}04: that part is cut off, .* or a part before its end is damaged"
    with pytest.raises(ConfigError, match=said):
        listing(tmp_path / "s")


def test_what_holds_no_whole_tar_is_said(tmp_path: Path) -> None:
    clips = small(tmp_path / "s")
    data = tar_of(clips)
    header = 512 + 9 * (512 + 9216)  # of the tenth clip
    broken = data[:header] + b"\xff" * 512 + data[header + 512 :]
    for content in (data[:90_000], broken, b"no tar" * 1000):
        write_parts(tmp_path / "s", split(gzipped(content), 2))
        for number in (2, 3, 4):
            (tmp_path / "s" / f"{P}{number:02d}").unlink(missing_ok=True)
        with pytest.raises(ConfigError, match="holds no whole tar"):
            listing(tmp_path / "s")


def test_zips_that_hold_no_part_are_named(tmp_path: Path) -> None:
    small(tmp_path / "s", zipped="stored")
    cut(tmp_path / "s", f"{P}03.zip")
    with pytest.raises(ConfigError, match=rf"{P}03\.zip .*no whole zip"):
        listing(tmp_path / "s")


def test_links_and_names_that_leave_the_archive_are_never_read(tmp_path: Path) -> None:
    extra = []
    for name, kind in (
        (f"{FOLDER}/7.webm", tarfile.SYMTYPE),
        (f"{FOLDER}/8.webm", tarfile.LNKTYPE),
    ):
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "/etc/passwd"
        extra.append(info)
    clips = {f"{FOLDER}/1.webm": CLIP, "../../9.webm": CLIP, f"{FOLDER}/readme.txt": b"hello"}
    small(tmp_path / "s")
    write_parts(tmp_path / "s", split(gzipped(tar_of(clips, extra)), 5))
    found = listing(tmp_path / "s")
    assert {entry.id for entry in found.entries if not entry.problem} == {"1"}
    assert "3 x member of the archive is a link or has a name that leaves it" in found.notes[0]
    assert found.ignored == {".txt": 1}


def test_a_clip_that_comes_twice_counts_once_and_an_empty_one_is_a_reject(tmp_path: Path) -> None:
    clips = {f"{FOLDER}/5.webm": CLIP, f"{FOLDER}/5.mp4": CLIP + b"2", f"{FOLDER}/6.webm": b""}
    small(tmp_path / "s")
    write_parts(tmp_path / "s", split(gzipped(tar_of(clips)), 5))
    found = listing(tmp_path / "s")
    problems = {entry.id: entry.problem for entry in found.entries}
    again = f"{FOLDER}/5.mp4"
    assert problems == {"5": "", "6": "empty_file", "100": "no_file", again: "duplicate_id"}
    detail = {entry.id: entry.detail for entry in found.entries}[again]
    assert detail == f"it has the id of {FOLDER}/5.webm, which is used"


def test_parts_beside_the_unpacked_clips_are_not_read(corpus: Path, tmp_path: Path) -> None:
    root = write_archive(corpus, tmp_path / "s")
    (root / FOLDER).symlink_to(corpus / FOLDER)
    found = listing(root)
    assert "4 x part of an archive lies beside the clips; not read" in found.notes[0]
    assert all(entry.uri.startswith(f"{FOLDER}/") for entry in found.entries)
    assert found.ignored == {"part of an archive": 4}


def test_labels_in_a_zip_are_named_where_they_are_wrong(corpus: Path, tmp_path: Path) -> None:
    root = write_archive(corpus, tmp_path / "s")
    (root / LABELS).write_bytes(b"PK nothing")
    with pytest.raises(ConfigError, match=rf"{LABELS} is no whole zip"):
        listing(root)
    (root / LABELS).unlink()
    with pytest.raises(ConfigError, match="has no label file"):
        listing(root)


def test_parts_too_deep_in_folders_are_told(tmp_path: Path) -> None:
    small(tmp_path / "s" / "a" / "b")
    (tmp_path / "s" / "a" / "b" / "labels").rename(tmp_path / "s" / "labels")
    assert any("part of an archive lies too deep" in n for n in listing(tmp_path / "s").notes)


def test_what_a_killed_pass_has_left_is_removed_by_the_next(tmp_path: Path, cache: Path) -> None:
    small(tmp_path / "s")
    listing(tmp_path / "s")
    (index,) = (path for path in (cache / "archives").iterdir() if path.is_dir())
    index.rename(left := index.with_name(f"new-{index.name}"))
    tars._known.clear()
    assert contents(tmp_path / "s")
    assert index.is_dir()
    assert not left.exists()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("pack", [gzipped, bytes])
@pytest.mark.parametrize("fault", odd.FAULTS)
def test_a_header_that_makes_no_sense_costs_the_archive_and_no_time_or_memory(
    tmp_path: Path, fault: str, pack: Callable[[bytes], bytes]
) -> None:
    small(tmp_path / "s")
    data = odd.member(f"{FOLDER}/1.webm", CLIP + bytes(2044)) + odd.FAULTS[fault]
    write_parts(tmp_path / "s", split(pack(data), 5))
    start = time.monotonic()
    if pack is bytes:  # indexed_gzip takes memory outside of Python's lock, which tracemalloc needs
        tracemalloc.start()
    try:
        with pytest.raises(ConfigError, match="holds no whole tar"):
            listing(tmp_path / "s")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert time.monotonic() - start < 20


def test_names_that_are_no_utf8_and_names_that_come_again_are_told(tmp_path: Path) -> None:
    names = ("1", "1", "h\udce9", "h\udcea")
    clips = [odd.member(f"{FOLDER}/{n}.webm", CLIP + b"%d" % i) for i, n in enumerate(names)]
    small(tmp_path / "s")
    write_parts(tmp_path / "s", split(gzipped(b"".join(clips) + odd.END), 5))
    found = listing(tmp_path / "s")
    problems = {entry.id: entry.problem for entry in found.entries}
    again = (f"{FOLDER}/1.webm", "duplicate_id")
    assert (problems["1"], again in problems.items()) == ("", True)
    told = " ".join([*problems, *found.notes, *(entry.detail for entry in found.entries)])
    assert told.encode()  # raises for what cannot be stored
    assert sum(found.ignored.values()) == 2, found.ignored
