"""Tars of video2dataset: videos decoded from their places, odd and broken tars reported."""

from __future__ import annotations

import io
import json
import tarfile
import time
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sofdata.corpora.base import Listing
from sofdata.corpora.entry import Entry
from sofdata.corpora.registry import find_corpus
from sofdata.corpora.video2dataset import Video2Dataset
from sofdata.errors import ConfigError
from sofdata.ingest.verify import verify
from sofdata.storage.tree import Tree
from tests import tars
from tests.helpers import hashes, ingest, sofdata
from tests.videos import moving_square, write_video

SETTINGS = ("windows.length=4", "windows.stride=2", "flow.size=64", "windows.size=32")
Members = list[tuple[str, bytes]]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("clip") / "a.mp4"
    return write_video(path, moving_square(36), 12).read_bytes()


def write_tar(path: Path, members: Members) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def sample(key: str, clip: bytes, text: str | None = "a cat", **record: object) -> Members:
    """The members that video2dataset writes of a video."""
    members = [(f"{key}.mp4", clip)]
    if text is not None:
        members.append((f"{key}.txt", text.encode()))
    values = {"key": key, "status": "success", "error_message": None, **record}
    return [*members, (f"{key}.json", json.dumps(values).encode())]


def write_corpus(root: Path, clip: bytes) -> Path:
    root.mkdir()
    first = sample("000000000_0", clip) + sample("000000000_1", clip, "a dog jumps")
    write_tar(root / "00000.tar", first)
    write_tar(root / "00001.tar", sample("000010000", clip, None, caption="caption in JSON"))
    status = pa.table({"status": ["success", "success", "failed_to_download"]})
    pq.write_table(status, root / "00000.parquet")
    (root / "00000_stats.json").write_text("{}")
    return root


def listing(root: Path) -> Listing:
    return Video2Dataset().listing(Tree(str(root)))


def entries(root: Path) -> dict[str, Entry]:
    return {entry.id: entry for entry in listing(root).entries}


def test_videos_are_ingested_from_their_tars_with_their_captions(
    tmp_path: Path, clip: bytes
) -> None:
    root = write_corpus(tmp_path / "s", clip)
    corpus, why = find_corpus(Tree(str(root)))
    assert corpus.name == "video2dataset"
    assert "2 tars such as 00000.tar" in why
    ingest(root, tmp_path / "d", *SETTINGS)
    assert verify(Tree(str(tmp_path / "d"))).whole
    rows = pq.read_table(tmp_path / "d" / "index.parquet").to_pylist()
    assert {(row["source"], row["text"]) for row in rows} == {
        ("00000/000000000_0", "a cat"),
        ("00000/000000000_1", "a dog jumps"),
        ("00001/000010000", "caption in JSON"),
    }


def test_a_video_in_a_tar_gives_the_windows_that_it_gives_as_a_file(
    tmp_path: Path, clip: bytes
) -> None:
    write_tar(tmp_path / "00000.tar", sample("k", clip))
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "k.mp4").write_bytes(clip)
    ingest(tmp_path / "f", tmp_path / "d", *SETTINGS)
    (tmp_path / "t").mkdir()
    (tmp_path / "00000.tar").rename(tmp_path / "t" / "00000.tar")
    ingest(tmp_path / "t", tmp_path / "e", *SETTINGS)
    columns = ["start_s", "end_s", "mean_px", "p99_px", "error_mean_px"]
    found = [pq.read_table(tmp_path / d / "index.parquet", columns=columns) for d in "de"]
    assert found[0].num_rows > 2
    assert found[0].equals(found[1])


def test_the_engine_and_replay_read_members_too(tmp_path: Path, clip: bytes) -> None:
    root = write_corpus(tmp_path / "s", clip)
    ingest(root, tmp_path / "d", *SETTINGS)
    settings = [f"--set={each}" for each in SETTINGS]
    done = sofdata("ingest", root, tmp_path / "e", "--workers", "1", *settings)
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "e") == hashes(tmp_path / "d")
    assert "ended" in sofdata("replay", tmp_path / "e", "00000/000000000_1").stdout


def test_remote_tars_are_read_in_ranges(tmp_path: Path, clip: bytes) -> None:
    import fsspec

    root = write_corpus(tmp_path / "s", clip)
    memory = fsspec.filesystem("memory")
    for path in root.iterdir():
        memory.pipe_file(f"/tars/{path.name}", path.read_bytes())
    ingest(root, tmp_path / "d", *SETTINGS)
    ingest("memory://tars", tmp_path / "e", *SETTINGS)
    assert hashes(tmp_path / "e") == hashes(tmp_path / "d")


def test_failed_downloads_and_lone_texts_are_told(tmp_path: Path, clip: bytes) -> None:
    root = write_corpus(tmp_path / "s", clip)
    write_tar(root / "00002.tar", [("9.txt", b"lone"), *sample("8", clip)])
    notes = "; ".join(listing(root).notes)
    assert "00000.parquet: 1 downloads failed (failed_to_download 1)" in notes
    assert "00002.tar: 1 samples have no video" in notes
    assert listing(root).unused == {"download that failed": 1, "sample without a video": 1}
    assert listing(root).tables == ("00000.parquet", "00000_stats.json")


def test_a_tar_that_is_cut_off_gives_the_videos_before_the_cut(tmp_path: Path, clip: bytes) -> None:
    path = write_tar(tmp_path / "00000.tar", sample("a", clip) + sample("b", clip))
    size = 512 + -len(clip) % 512 + len(clip)  # of a video with its header
    cut = size + 2 * 1024 + size // 2  # in the middle of b's video
    path.write_bytes(path.read_bytes()[:cut])
    found = entries(tmp_path)
    assert found["00000/a"].problem == ""
    assert found["00000/b"].problem == "truncated"
    assert "00000.tar ends at" in found["00000/b"].detail
    assert "it may be cut off" in "; ".join(listing(tmp_path).notes)


def test_a_tar_cut_between_members_is_told(tmp_path: Path, clip: bytes) -> None:
    path = write_tar(tmp_path / "00000.tar", sample("a", clip))
    data = path.read_bytes().rstrip(b"\0")
    path.write_bytes(data + bytes(-len(data) % 512))
    assert "it may be cut off" in "; ".join(listing(tmp_path).notes)
    write_tar(path, sample("a", clip))
    assert not listing(tmp_path).notes


@pytest.mark.parametrize("data", [b"", b"not a tar" * 200, b"\x1f\x8b" + b"x" * 2000])
def test_what_is_no_tar_is_a_counted_reject(tmp_path: Path, clip: bytes, data: bytes) -> None:
    write_tar(tmp_path / "00000.tar", sample("a", clip))
    (tmp_path / "00001.tar").write_bytes(data)
    assert entries(tmp_path)["00001"].problem == "bad_archive"
    assert "00000/a" in entries(tmp_path)


def test_links_and_members_that_climb_out_lead_nowhere(tmp_path: Path, clip: bytes) -> None:
    root = tmp_path / "s"
    root.mkdir()
    with tarfile.open(root / "00000.tar", "w") as tar:
        link = tarfile.TarInfo("evil.mp4")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        out = tarfile.TarInfo("../../out.mp4")
        out.size = len(clip)
        tar.addfile(out, io.BytesIO(clip))
    found = entries(root)
    assert list(found) == ["00000/../../out"]
    assert "member is no file of its own; not read: 00000.tar: evil.mp4" in "; ".join(
        listing(root).notes
    )
    before = set(tmp_path.rglob("*")) | set(tmp_path.parent.glob("*"))
    ingest(root, tmp_path / "deep" / "d", *SETTINGS, corpus="video2dataset")
    new = (set(tmp_path.rglob("*")) | set(tmp_path.parent.glob("*"))) - before
    assert all((tmp_path / "deep") in (path, *path.parents) for path in new)
    assert verify(Tree(str(tmp_path / "deep" / "d"))).whole


def test_a_key_that_comes_again_is_a_reject(tmp_path: Path, clip: bytes) -> None:
    write_tar(tmp_path / "00000.tar", sample("a", clip) + sample("a", clip))
    assert [entry.problem for entry in entries(tmp_path).values()] == ["", "duplicate_id"]
    assert "duplicate id" in "; ".join(listing(tmp_path).notes)


@pytest.mark.parametrize(
    ("name", "data"),
    [("a.txt", b"\xff\xfe"), ("a.json", b"[1]"), ("a.json", b"{"), ("a.json", b"[" * 100_000)],
)
def test_a_text_that_cannot_be_read_is_left_out_and_told(
    tmp_path: Path, clip: bytes, name: str, data: bytes
) -> None:
    write_tar(tmp_path / "00000.tar", [("a.mp4", clip), (name, data)])
    found = listing(tmp_path)
    assert found.entries[0].text == ""
    assert f"text or JSON cannot be read; left out: 00000.tar: {name}" in "; ".join(found.notes)


def test_empty_videos_and_other_members_are_counted(tmp_path: Path, clip: bytes) -> None:
    write_tar(tmp_path / "00000.tar", [("a.mp4", b""), ("b.mp4", clip), ("b.jpg", b"x")])
    assert entries(tmp_path)["00000/a"].problem == "empty_file"
    assert listing(tmp_path).ignored == {".jpg in a tar": 1}


@pytest.mark.parametrize(
    "name", ["shard-00000.tar", "train-000000.tar", "part/000000.tar", "webvid.0001.tar"]
)
def test_tars_of_other_names_are_found(tmp_path: Path, clip: bytes, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    write_tar(tmp_path / name, sample("k", clip))
    corpus, why = find_corpus(Tree(str(tmp_path)))
    assert (corpus.name, name in why) == ("video2dataset", True)
    assert entries(tmp_path)[f"{name.removesuffix('.tar')}/k"].text == "a cat"


def test_a_tar_given_as_the_source_is_read(tmp_path: Path, clip: bytes) -> None:
    path = write_tar(tmp_path / "some.tar", sample("k", clip))
    assert find_corpus(Tree(str(path)))[0].name == "video2dataset"
    assert ingest(path, tmp_path / "d", *SETTINGS).dataset.counts.done == 1


@pytest.mark.parametrize("field", ["caption", "text", "prompt", "description", "title"])
def test_a_caption_is_found_under_its_usual_names(tmp_path: Path, clip: bytes, field: str) -> None:
    record = json.dumps({"other": "x", field: "a cat"}).encode()
    write_tar(tmp_path / "00000.tar", [("k.mp4", clip), ("k.json", record)])
    assert entries(tmp_path)["00000/k"].text == "a cat"


def test_keys_may_end_at_the_first_dot_as_webdataset_reads_them(
    tmp_path: Path, clip: bytes
) -> None:
    members = [("a.video.mp4", clip), ("a.caption.txt", b"a cat"), ("b.0.mp4", clip)]
    write_tar(tmp_path / "00000.tar", [*members, ("b.1.mp4", clip), ("b.1.txt", b"a dog")])
    found = {entry.id: entry.text for entry in listing(tmp_path).entries}
    assert found == {"00000/a.video": "a cat", "00000/b.0": "", "00000/b.1": "a dog"}
    assert listing(tmp_path).unused == {}


def test_a_tar_without_videos_and_hidden_members_are_counted(tmp_path: Path, clip: bytes) -> None:
    write_tar(tmp_path / "00000.tar", [*sample("a", clip), ("._a.mp4", b"x")])
    write_tar(tmp_path / "00001.tar", [("a.txt", b"x")])
    found = listing(tmp_path)
    assert found.ignored == {"hidden in a tar": 1, "tar without a video": 1}
    assert found.unused == {"sample without a video": 1}


def test_a_folder_without_tars_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no tar such as 00000\.tar"):
        listing(tmp_path)


def test_a_tar_that_changed_since_the_plan_is_noticed(tmp_path: Path, clip: bytes) -> None:
    root = write_corpus(tmp_path / "s", clip)
    ingest(root, tmp_path / "d", *SETTINGS)
    write_tar(root / "00001.tar", sample("000010000", clip[:-100] + bytes(100), None))
    with pytest.raises(ConfigError, match=r"1 changed \(00001/000010000\)"):
        ingest(root, tmp_path / "d", *SETTINGS)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("fault", tars.FAULTS)
def test_a_header_that_makes_no_sense_ends_a_tar_and_is_told(
    tmp_path: Path, clip: bytes, fault: str
) -> None:
    path = tmp_path / "00000.tar"
    path.write_bytes(tars.member("a.mp4", clip + bytes(2048)) + tars.FAULTS[fault])
    start = time.monotonic()
    tracemalloc.start()
    try:
        found = listing(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert time.monotonic() - start < 10
    assert [(entry.id, entry.problem) for entry in found.entries] == [("00000/a", "")]
    assert "00000.tar ends without the mark of a tar's end" in "; ".join(found.notes)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("fault", [fault for fault in tars.FAULTS if fault != "cut"])
def test_a_tar_that_begins_with_such_a_header_is_a_reject(
    tmp_path: Path, clip: bytes, fault: str
) -> None:
    write_tar(tmp_path / "00000.tar", sample("a", clip))
    (tmp_path / "00001.tar").write_bytes(tars.FAULTS[fault])
    assert find_corpus(Tree(str(tmp_path)))[0].name == "video2dataset"
    assert {id: entry.problem for id, entry in entries(tmp_path).items()} == {
        "00000/a": "",
        "00001": "bad_archive",
    }
    (tmp_path / "00000.tar").unlink()  # so that it is looked at, to tell what the source is
    assert find_corpus(Tree(str(tmp_path)))[0].name != "video2dataset"


def test_names_that_are_no_utf8_are_kept_as_they_can_be(tmp_path: Path, clip: bytes) -> None:
    data = [tars.member("h\udce9.mp4", b""), tars.member("i\udce9.mp4", clip)]
    data += [tars.member("i\udce9.txt", b"\xff"), tars.member("j\udce9.mp4", clip)[:-1024]]
    (tmp_path / "00000.tar").write_bytes(b"".join(data))
    found = listing(tmp_path)
    assert {entry.id: entry.problem for entry in found.entries} == {
        "00000/h?": "empty_file",
        "00000/i?": "",
        "00000/j?": "truncated",
    }
    said = [*found.notes, *(entry.detail for entry in found.entries)]
    assert "h?.mp4 in 00000.tar has no bytes" in said
    assert "text or JSON cannot be read; left out: 00000.tar: i?.txt" in "; ".join(said)
    assert "".join(said).encode()  # raises for what cannot be stored


def test_a_text_that_comes_again_is_told_and_the_first_is_kept_as_of_videos(
    tmp_path: Path, clip: bytes
) -> None:
    members = [*sample("a", clip, "a cat"), *sample("a", clip + b"2", "a dog")]
    write_tar(tmp_path / "00000.tar", members)
    found = listing(tmp_path)
    assert [(entry.text, entry.problem) for entry in found.entries] == [
        ("a cat", ""),
        ("", "duplicate_id"),
    ]
    assert (
        "2 x text of a sample comes again; the first is kept: 00000.tar: a.txt, 00000.tar: a.json"
        in "; ".join(found.notes)
    )
