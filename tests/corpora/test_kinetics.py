"""Kinetics-style corpora: classes from folders or tables, cut clips and whole videos."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sofdata.corpora.base import Entry, Listing
from sofdata.corpora.kinetics import Kinetics
from sofdata.corpora.registry import find_corpus
from sofdata.errors import ConfigError
from sofdata.shards.verify import verify
from sofdata.storage import Tree
from tests.helpers import ingest
from tests.videos import moving_square, write_video

SETTINGS = ("windows.length=4", "windows.stride=2", "flow.size=64", "windows.size=32")
HEADS = "label,youtube_id,time_start,time_end,split\n"
CUT, WHOLE, GONE = "-0KMEViYyzE", "a_b-c", "zzzzzzzzzzz"
ROWS = (
    f"abseiling,{CUT},60,70,train\n"
    f'"opening bottle, not wine",{WHOLE},1,3,train\n'
    f"yoga,{GONE},5,15,train\n"
)


def write_clips(root: Path, *names: str, real: bool = False) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if real:
            write_video(path, moving_square(48), 12)
        else:
            path.write_bytes(b"x")


def with_table(root: Path, real: bool = False) -> Path:
    write_clips(root, f"train/{CUT}_000060_000070.mp4", f"train/{WHOLE}.mp4", real=real)
    (root / "train.csv").write_text(HEADS + ROWS)
    return root


def listing(root: Path) -> Listing:
    return Kinetics().listing(Tree(str(root)))


def entries(root: Path) -> dict[str, Entry]:
    return {entry.id: entry for entry in listing(root).entries}


def test_clips_of_a_table_are_ingested_with_their_classes(tmp_path: Path) -> None:
    root = with_table(tmp_path / "s", real=True)
    corpus, why = find_corpus(Tree(str(root)))
    assert (corpus.name, "train.csv" in why) == ("kinetics", True)
    ingest(root, tmp_path / "d", *SETTINGS)
    assert verify(Tree(str(tmp_path / "d"))).whole
    rows = pq.read_table(tmp_path / "d" / "index.parquet").to_pylist()
    texts = {row["source"]: row["text"] for row in rows}
    assert texts == {
        f"{CUT}_000060_000070": "abseiling",
        f"{WHOLE}_000001_000003": "opening bottle, not wine",
    }
    whole = [row for row in rows if row["source"].startswith(WHOLE)]
    assert all(1 <= row["start_s"] < row["end_s"] < 3 for row in whole)
    cut = [row for row in rows if row["source"].startswith(CUT)]
    assert min(row["start_s"] for row in cut) < 1  # the file begins where the clip does


def test_a_cut_file_is_used_whole_and_a_whole_one_by_its_span(tmp_path: Path) -> None:
    found = entries(with_table(tmp_path))
    assert found[f"{CUT}_000060_000070"].span_s is None
    assert found[f"{WHOLE}_000001_000003"].span_s == (1.0, 3.0)
    assert found[f"{CUT}_000060_000070"].labels == {
        "label": "abseiling",
        "split": "train",
        "youtube_id": CUT,
    }


@pytest.mark.parametrize("name", ["annotations/train.csv", "kinetics700_val.csv", "test.csv"])
def test_tables_are_found_by_their_usual_names(tmp_path: Path, name: str) -> None:
    with_table(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / "train.csv").rename(tmp_path / name)
    assert len(entries(tmp_path)) == 2


def test_without_a_table_the_folder_is_the_class(tmp_path: Path) -> None:
    write_clips(tmp_path, f"train/opening_bottle/{CUT}_000060_000070.mp4", "train/yoga/a.webm")
    corpus, why = find_corpus(Tree(str(tmp_path)))
    assert corpus.name == "kinetics"
    assert "folders of classes in train/" in why
    found = entries(tmp_path)
    entry = found[f"train/opening_bottle/{CUT}_000060_000070.mp4"]
    assert entry.text == "opening bottle"
    assert entry.labels == {"label": "opening_bottle", "split": "train", "youtube_id": CUT}
    assert found["train/yoga/a.webm"].text == "yoga"


def test_class_folders_without_splits_are_read_when_asked_for(tmp_path: Path) -> None:
    write_clips(tmp_path, "yoga/a.mp4", "diving/b.mp4", "c.mp4")
    assert find_corpus(Tree(str(tmp_path)))[0].name == "folder"
    found = entries(tmp_path)
    assert {entry.text for entry in found.values()} == {"yoga", "diving", ""}
    assert "video lies in no folder of a class; used without: c.mp4" in "; ".join(
        listing(tmp_path).notes
    )


def test_what_has_no_file_or_no_row_is_told(tmp_path: Path) -> None:
    with_table(tmp_path)
    write_clips(tmp_path, "train/stranger.mp4", "val/stranger.mp4", "notes.md")
    found = listing(tmp_path)
    notes = "; ".join(found.notes)
    assert f"clip of the tables has no file here: {GONE}_000005_000015" in notes
    assert "video is in no table; its folder names its class: stranger" in notes
    assert "name came again; not used: val/stranger.mp4" in notes
    assert found.ignored == {".md": 1}


def test_a_span_that_is_none_is_a_reject_that_names_its_row(tmp_path: Path) -> None:
    with_table(tmp_path)
    (tmp_path / "train.csv").write_text(HEADS + f"x,{WHOLE},9,2,train\n")
    (entry,) = [entry for entry in entries(tmp_path).values() if entry.problem]
    assert entry.problem == "bad_span"
    assert entry.detail == "train.csv, line 2: 9.0 s to 2.0 s is no stretch of a video"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (f"{HEADS}x,,1,2,train\n", "line 2 needs a youtube_id"),
        (f"{HEADS}x,../../a,1,2,train\n", "line 2 needs a youtube_id"),
        (f"{HEADS}x,a,one,2,train\n", "line 2: 'one' is no time"),
        (f"{HEADS}x,a,1\n", "line 2 has 3 cells, line 1 has 5"),
    ],
)
def test_a_wrong_table_stops_with_its_line(tmp_path: Path, data: str, told: str) -> None:
    with_table(tmp_path)
    (tmp_path / "train.csv").write_text(data)
    with pytest.raises(ConfigError, match=told):
        listing(tmp_path)


def test_latin_1_is_refused_and_a_byte_order_mark_read(tmp_path: Path) -> None:
    with_table(tmp_path)
    (tmp_path / "train.csv").write_bytes(b"\xef\xbb\xbf" + (HEADS + ROWS).encode())
    assert len(entries(tmp_path)) == 2
    (tmp_path / "train.csv").write_bytes(HEADS.encode() + b"caf\xe9,a,1,2,train\n")
    with pytest.raises(ConfigError, match="line 2 is not UTF-8"):
        listing(tmp_path)


def test_a_folder_that_is_neither_says_what_was_looked_for(tmp_path: Path) -> None:
    write_clips(tmp_path, "a.mp4")
    with pytest.raises(ConfigError, match="no folders of classes and no table"):
        listing(tmp_path)
