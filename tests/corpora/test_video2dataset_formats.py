"""video2dataset's formats "files" and "parquet": the dataset that the tars give."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sofdata.corpora.base import Listing
from sofdata.corpora.entry import Entry
from sofdata.corpora.registry import find_corpus
from sofdata.corpora.video2dataset import Video2Dataset
from sofdata.errors import ConfigError
from sofdata.ingest.verify import verify
from sofdata.storage.archives import cells
from sofdata.storage.tree import Tree
from sofdata.storage.uris import parse
from tests.corpora.test_video2dataset import SETTINGS, sample, write_tar
from tests.helpers import hashes, ingest, sofdata
from tests.videos import moving_square, write_video

TEXTS = {"000000000": "a cat", "000000001": "a dog jumps", "000000002": ""}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("clip") / "a.mp4"
    return write_video(path, moving_square(36), 12).read_bytes()


def listing(root: Path) -> Listing:
    return Video2Dataset().listing(Tree(str(root)))


def entries(root: Path) -> dict[str, Entry]:
    return {entry.id: entry for entry in listing(root).entries}


def write_files(root: Path, clip: bytes) -> Path:
    """A shard with three videos, and one whose download has failed."""
    folder = root / "00000"
    folder.mkdir(parents=True)
    for key, text in TEXTS.items():
        (folder / f"{key}.mp4").write_bytes(clip)
        put_texts(folder / key, text, status="success")
    put_texts(folder / "000000003", "never seen", status="failed_to_download")
    (root / "00000_stats.json").write_text("{}")
    status = ["success"] * 3 + ["failed_to_download"]
    pq.write_table(pa.table({"status": status}), root / "00000.parquet")
    return root


def put_texts(path: Path, text: str, **meta: object) -> None:
    path.with_suffix(".txt").write_text(text)
    path.with_suffix(".json").write_text(json.dumps({"key": path.name, **meta}))


def write_table(
    root: Path, clips: Sequence[bytes | None], name: str = "00000.parquet", **options: Any
) -> Path:
    """A table as `ParquetSampleWriter` writes it; a failed download has no bytes."""
    root.mkdir(parents=True, exist_ok=True)
    keys = [f"{number:09d}" for number in range(len(clips))]
    status = ["success" if each else "failed_to_download" for each in clips]
    texts = [TEXTS.get(key, "") for key in keys]
    columns = {"key": keys, "caption": texts, "status": status}
    rows = pa.table({**columns, "m4a": pa.array([b"x"] * len(keys)), "mp4": pa.array(clips)})
    pq.write_table(rows, root / name, row_group_size=2, **options)
    return root


def test_files_tars_and_tables_give_the_same_dataset(tmp_path: Path, clip: bytes) -> None:
    tars = tmp_path / "tars"
    tars.mkdir()
    members = [sample(key, clip, text) for key, text in TEXTS.items()]
    write_tar(tars / "00000.tar", [each for every in members for each in every])
    files = write_files(tmp_path / "files", clip)
    tables = write_table(tmp_path / "tables", [clip, clip, clip, None])
    found = []
    for root in (tars, files, tables):
        corpus, _ = find_corpus(Tree(str(root)))
        assert corpus.name == "video2dataset"
        ingest(root, root / "../d" / root.name, *SETTINGS)
        assert verify(Tree(str(root / "../d" / root.name))).whole
        found.append(pq.read_table(root / "../d" / root.name / "index.parquet"))
    assert {row["source"]: row["text"] for row in found[0].to_pylist()} == {
        f"00000/{key}": text for key, text in TEXTS.items()
    }
    columns = ["source", "text", "start_s", "end_s", "mean_px", "p99_px"]
    assert found[0].select(columns).equals(found[1].select(columns))
    assert found[0].select(columns).equals(found[2].select(columns))


def test_all_files_of_a_shard_are_in_the_account(tmp_path: Path, clip: bytes) -> None:
    root = write_files(tmp_path, clip)
    (root / "00000" / "000000000.m4a").write_bytes(b"x")
    (root / "README.txt").write_text("x")
    (root / "00000" / "000000001.webm").write_bytes(clip)
    found = listing(root)
    problems = {entry.id: entry.problem for entry in found.entries if entry.problem}
    assert problems == {"00000/000000001 (2)": "duplicate_id"}
    assert found.unused == {"download that failed": 1, "sample without a video": 1}
    assert found.ignored == {".m4a": 1, ".txt": 1}
    assert len(found.tables) == 10


def test_a_shard_alone_is_recognised_by_the_texts_beside_its_videos(
    tmp_path: Path, clip: bytes
) -> None:
    root = write_files(tmp_path, clip) / "00000"
    corpus, why = find_corpus(Tree(str(root)))
    assert (corpus.name, "texts beside them" in why) == ("video2dataset", True)
    assert entries(root)["000000000"].text == "a cat"


def test_shards_in_folders_of_splits_are_no_classes(tmp_path: Path, clip: bytes) -> None:
    for shard in ("00000", "00001"):
        write_files(tmp_path / "train" / shard, clip)
        (tmp_path / "train" / shard / "00000").rename(tmp_path / "train" / f"{shard}x")
        shutil.rmtree(tmp_path / "train" / shard)
        (tmp_path / "train" / f"{shard}x").rename(tmp_path / "train" / shard)
    assert find_corpus(Tree(str(tmp_path)))[0].name == "video2dataset"
    assert entries(tmp_path)["train/00001/000000001"].text == "a dog jumps"


def test_a_text_beside_a_video_that_cannot_be_read_is_left_out(tmp_path: Path, clip: bytes) -> None:
    root = write_files(tmp_path, clip)
    (root / "00000" / "000000000.txt").write_bytes(b"caf\xe9")
    (root / "00000" / "000000001.txt").write_bytes(b"x" * (1 << 21))
    found = listing(root)
    assert [entry.text for entry in found.entries] == ["", "", ""]
    assert "2 x text or JSON cannot be read; left out" in found.notes[-1]


def test_the_engine_and_replay_read_tables_too(tmp_path: Path, clip: bytes) -> None:
    root = write_table(tmp_path / "s", [clip, clip, clip])
    ingest(root, tmp_path / "d", *SETTINGS)
    settings = [f"--set={each}" for each in SETTINGS]
    done = sofdata("ingest", root, tmp_path / "e", "--workers", "1", *settings)
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "e") == hashes(tmp_path / "d")
    assert "ended" in sofdata("replay", tmp_path / "e", "00000/000000001").stdout


def test_tables_in_an_object_store_are_read(tmp_path: Path, clip: bytes) -> None:
    root = write_table(tmp_path / "s", [clip, None, clip])
    Tree("memory://tables").write("00000.parquet", (root / "00000.parquet").read_bytes())
    ingest(root, tmp_path / "d", *SETTINGS)
    ingest("memory://tables", tmp_path / "e", *SETTINGS)
    assert hashes(tmp_path / "e") == hashes(tmp_path / "d")


@pytest.mark.parametrize("use_dictionary", [True, False])
@pytest.mark.parametrize("compression", ["snappy", "zstd", "none"])
def test_sizes_and_fingerprints_are_those_of_the_content(
    tmp_path: Path, clip: bytes, compression: str, use_dictionary: bool
) -> None:
    contents = [clip, clip[:-1], clip + b"x"]
    options: dict[str, Any] = {"compression": compression, "use_dictionary": use_dictionary}
    tree = Tree(str(write_table(tmp_path, contents, **options)))
    for entry, content in zip(listing(tmp_path).entries, contents, strict=True):
        assert entry.size_bytes == tree.size(parse(entry.uri)) == len(content)
        assert entry.fingerprint == tree.fingerprint(parse(entry.uri), len(content))
        with tree.local_copy(parse(entry.uri)) as copy:
            assert Path(copy).read_bytes() == content


def test_rows_without_bytes_are_counted_and_empty_ones_are_rejects(
    tmp_path: Path, clip: bytes
) -> None:
    write_table(tmp_path, [clip, None, b""])
    found = listing(tmp_path)
    assert [(e.id, e.problem) for e in found.entries] == [
        ("00000/000000000", ""),
        ("00000/000000002", "empty_file"),
    ]
    assert found.unused == {"sample without a video": 1}
    assert found.ignored == {}


def test_a_column_of_structs_and_one_of_json_are_read(tmp_path: Path, clip: bytes) -> None:
    (tmp_path / "data").mkdir()
    video = pa.array([{"bytes": clip, "path": "a.mp4"}, None])
    rows = {"video": video, "json": [{"caption": "a cat"}, None], "n": [1, 2]}
    pq.write_table(pa.table(rows), tmp_path / "data" / "train-00000-of-00001.parquet")
    assert find_corpus(Tree(str(tmp_path)))[0].name == "video2dataset"
    (entry,) = listing(tmp_path).entries
    assert (entry.id, entry.text) == ("data/train-00000-of-00001/000000", "a cat")
    with Tree(str(tmp_path)).local_copy(parse(entry.uri)) as copy:
        assert Path(copy).read_bytes() == clip


def test_each_column_of_videos_gives_an_input(tmp_path: Path, clip: bytes) -> None:
    rows = {"key": ["a"], "txt": pa.array(["x"]).dictionary_encode(), "mp4": [clip], "webm": [clip]}
    pq.write_table(pa.table(rows), tmp_path / "00000.parquet")
    found = entries(tmp_path)
    assert set(found) == {"00000/a", "00000/a/webm"}
    assert {entry.text for entry in found.values()} == {"x"}


def test_a_row_group_that_is_too_large_is_a_reject_a_row(
    tmp_path: Path, clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells, "MAX_GROUP_BYTES", len(clip))
    write_table(tmp_path, [clip, clip, b"x"])
    found = entries(tmp_path)
    assert [entry.problem for entry in found.values()] == [*["row_group_too_large"] * 2, ""]
    assert ", rows 0 to 1: a row group of " in found["00000/000000000"].detail
    assert "smaller row_group_size" in found["00000/000000000"].detail


def test_a_damaged_table_gives_its_good_rows_and_rejects(tmp_path: Path, clip: bytes) -> None:
    contents = [bytes([number]) * 500 for number in range(4)]
    path = write_table(tmp_path, contents, compression="none") / "00000.parquet"
    data = path.read_bytes()
    meta = pq.ParquetFile(path).metadata.row_group(1).column(4)
    at = meta.dictionary_page_offset
    path.write_bytes(data[:at] + b"\xff" * 20 + data[at + 20 :])
    found = list(entries(tmp_path).values())
    assert [entry.problem for entry in found] == ["", "", "bad_archive", "bad_archive"]


def test_what_is_no_table_is_counted(tmp_path: Path, clip: bytes) -> None:
    write_table(tmp_path, [clip])
    (tmp_path / "00001.parquet").write_bytes(b"PAR1 no more")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    found = listing(tmp_path)
    assert len(found.entries) == 1
    assert found.tables == ("00001.parquet",)
    assert found.ignored == {".parquet": 1}
    assert "no readable Parquet" in "; ".join(found.notes)


def test_a_table_given_as_the_source_is_read(tmp_path: Path, clip: bytes) -> None:
    path = write_table(tmp_path, [clip], "clips.parquet") / "clips.parquet"
    assert find_corpus(Tree(str(path)))[0].name == "video2dataset"
    assert ingest(path, tmp_path / "d", *SETTINGS).dataset.counts.done == 1


def test_a_table_that_changed_since_the_plan_is_noticed(tmp_path: Path, clip: bytes) -> None:
    root = write_table(tmp_path / "s", [clip, clip])
    ingest(root, tmp_path / "d", *SETTINGS)
    write_table(root, [clip, clip[:-100] + bytes(100)])
    with pytest.raises(ConfigError, match=r"1 changed \(00000/000000001\)"):
        ingest(root, tmp_path / "d", *SETTINGS)
