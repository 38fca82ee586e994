"""Kinetics-style corpora: classes from folders or tables, cut clips and whole videos."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sofdata.corpora.base import Listing
from sofdata.corpora.entry import Entry
from sofdata.corpora.kinetics import Kinetics
from sofdata.corpora.registry import find_corpus
from sofdata.errors import ConfigError
from sofdata.ingest.verify import verify
from sofdata.storage.tree import Tree
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


@pytest.mark.parametrize(
    "name",
    [
        "annotations/train.csv",
        "annotations/validate.csv",
        "kinetics700_val.csv",
        "kinetics-400_val.csv",
        "kinetics-600_val.csv",
        "kinetics_700_validate.csv",
        "kinetics700_2020/train.csv",
        "k400_train.csv",
        "test.csv",
        "my clips.csv",
    ],
)
def test_tables_are_known_by_their_columns_whatever_they_are_called(
    tmp_path: Path, name: str
) -> None:
    with_table(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / "train.csv").rename(tmp_path / name)
    corpus, why = find_corpus(Tree(str(tmp_path)))
    assert (corpus.name, name in why) == ("kinetics", True)
    assert len(entries(tmp_path)) == 2
    assert listing(tmp_path).tables == (name,)


def test_the_genuine_table_of_kinetics_400_labels_its_clips(
    shared_cases: Path, tmp_path: Path
) -> None:
    shutil.copytree(shared_cases / "kinetics_hyphen", tmp_path / "s")
    found = listing(tmp_path / "s")
    assert [entry.text for entry in found.entries] == ["", ""]  # of no row: the table has others
    assert found.unused == {"row without a file": 2}
    names = ("0wR5jVB-WPk_000417_000427", "3caPS4FHFF8_000036_000046")
    for path, name in zip(sorted((tmp_path / "s" / "val").iterdir()), names, strict=True):
        path.rename(path.with_stem(name))
    ingest(tmp_path / "s", tmp_path / "d", *SETTINGS)
    rows = pq.read_table(tmp_path / "d" / "index.parquet").to_pylist()
    assert {(row["source"], row["text"]) for row in rows} == {(n, "abseiling") for n in names}


def test_the_split_is_in_the_name_of_a_table_that_has_no_such_column(tmp_path: Path) -> None:
    with_table(tmp_path)
    rows = f"youtube_id,time_start,time_end\n{CUT},60,70\n"
    (tmp_path / "train.csv").write_text(rows)
    (tmp_path / "train.csv").rename(tmp_path / "kinetics-600_test.csv")
    (entry,) = (entry for entry in entries(tmp_path).values() if entry.id.startswith(CUT))
    assert (entry.text, entry.labels) == ("", {"split": "test", "youtube_id": CUT})


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
    assert "2 x video is in no table; used" in notes
    assert {"train/stranger.mp4", "val/stranger.mp4"} < set(entries(tmp_path))
    assert found.ignored == {".md": 1}
    assert found.unused == {"row without a file": 1}


def test_files_of_one_name_in_folders_of_classes_are_inputs_of_their_own(tmp_path: Path) -> None:
    names = [f"train/{name}/{n}.mp4" for name in ("dive", "run", "yoga") for n in range(3)]
    write_clips(tmp_path, *names, "train/yoga/0.webm")
    found = entries(tmp_path)
    assert set(found) == {*names, "train/yoga/0.webm"}
    assert found["train/run/0.mp4"].text == "run"
    assert not any(entry.problem for entry in found.values())


def test_a_second_file_of_a_clip_is_a_reject_and_a_replacement_is_used(tmp_path: Path) -> None:
    with_table(tmp_path)
    cut = f"{CUT}_000060_000070"
    folder = "replacement/replacement_for_corrupted_k400"
    write_clips(tmp_path, f"{folder}/{cut}.mp4", f"train/{cut}.webm", f"{folder}/other.mp4")
    found = entries(tmp_path)
    assert found[cut].uri == f"{folder}/{cut}.mp4"
    for again in (f"train/{cut}.mp4", f"train/{cut}.webm"):
        assert found[again].problem == "duplicate_id"
    assert found[f"{folder}/other.mp4"].text == ""  # that folder is no class


def test_beside_a_table_only_its_classes_are_classes(tmp_path: Path) -> None:
    with_table(tmp_path)
    write_clips(tmp_path, "train/Abseiling/0.mp4", "train/compressed/0.mp4")
    found = entries(tmp_path)
    assert found["train/Abseiling/0.mp4"].text == "Abseiling"
    assert found["train/compressed/0.mp4"].text == ""


def test_tables_that_overlap_count_each_row_once(tmp_path: Path) -> None:
    with_table(tmp_path)
    (tmp_path / "kinetics-400_train.csv").write_text(HEADS + ROWS.replace("abseiling", "climbing"))
    found = listing(tmp_path)
    assert [entry.problem for entry in found.entries] == ["", "", "duplicate_id"]
    assert found.unused == {"repeated row": 2, "row without a file": 1}


def test_a_table_that_cannot_be_read_is_counted(tmp_path: Path) -> None:
    write_clips(tmp_path, "train/a/0.mp4", "train/b/0.mp4")
    (tmp_path / "val.csv").symlink_to("nowhere")
    assert find_corpus(Tree(str(tmp_path)))[0].name == "kinetics"
    assert listing(tmp_path).ignored == {".csv": 1}


def test_a_span_that_is_none_is_a_reject_that_names_its_row(tmp_path: Path) -> None:
    with_table(tmp_path)
    (tmp_path / "train.csv").write_text(HEADS + f"x,{WHOLE},9,2,train\n")
    (entry,) = [entry for entry in entries(tmp_path).values() if entry.problem]
    assert entry.problem == "bad_span"
    assert entry.detail == "train.csv, line 2: 9.0 s to 2.0 s is no stretch of a video"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (f"{HEADS}x,,1,2,train\n", "line 2 needs a youtube_id"),
        (f"{HEADS}x,../../a,1,2,train\n", "line 2 needs a youtube_id"),
        (f"{HEADS}x,a,one,2,train\n", "line 2: 'one' is no time"),
        (f"{HEADS}x,a,1\n", "line 2 has 3 cells, line 1 has 5"),
    ],
)
def test_a_wrong_table_stops_with_its_line(tmp_path: Path, data: str, message: str) -> None:
    with_table(tmp_path)
    (tmp_path / "train.csv").write_text(data)
    with pytest.raises(ConfigError, match=message):
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
