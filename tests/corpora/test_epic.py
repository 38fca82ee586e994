"""EPIC-KITCHENS-100: action segments as spans of their videos, with their words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sofdata.corpora.base import Listing
from sofdata.corpora.entry import Entry
from sofdata.corpora.epic import EpicKitchens
from sofdata.corpora.readers import csvfile
from sofdata.corpora.registry import find_corpus
from sofdata.errors import ConfigError
from sofdata.ingest.verify import verify
from sofdata.storage.tree import Tree
from tests.epics import ABSENT, BARE, HEADS, INFO, OTHER, VIDEO, put, segment, train, write_epic
from tests.helpers import ingest

SETTINGS = ("windows.length=4", "windows.stride=2", "flow.size=64", "windows.size=32")
TRAIN = "EPIC_100_train.csv"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    return write_epic(tmp_path / "s", videos=False)


def listing(root: Path) -> Listing:
    return EpicKitchens().listing(Tree(str(root)))


def entries(root: Path) -> dict[str, Entry]:
    return {entry.id: entry for entry in listing(root).entries}


def test_segments_are_ingested_with_their_words_and_lie_in_their_spans(tmp_path: Path) -> None:
    ingest(write_epic(tmp_path / "s"), tmp_path / "d", *SETTINGS)
    assert verify(Tree(str(tmp_path / "d"))).whole
    rows = pq.read_table(tmp_path / "d" / "index.parquet").to_pylist()
    spans = {f"{VIDEO}_0": (0.5, 2.0), f"{VIDEO}_1": (1.5, 4.25), f"{VIDEO}_7": (4.0, 5.5)}
    for source, (start_s, end_s) in spans.items():
        mine = [row for row in rows if row["source"] == source]
        assert mine
        assert all(start_s <= row["start_s"] < row["end_s"] < end_s for row in mine)
    texts = {row["source"]: row["text"] for row in rows}
    assert texts[f"{VIDEO}_0"] == "open door"
    assert texts[f"{VIDEO}_1"] == 'take "big" plate'
    assert texts[f"{VIDEO}_7"] == texts[BARE] == ""


@pytest.mark.parametrize("tables", ["", "annotations", "epic-kitchens-100-annotations"])
def test_it_is_recognised_wherever_its_tables_lie(tmp_path: Path, tables: str) -> None:
    root = write_epic(tmp_path, videos=False, tables=tables)
    corpus, why = find_corpus(Tree(str(root)))
    assert corpus.name == "epic"
    assert TRAIN in why
    assert len(entries(root)) == 5


def test_verbs_nouns_and_split_are_labels(bare: Path) -> None:
    assert entries(bare)[f"{VIDEO}_0"].labels == {
        "split": "train",
        "video_id": VIDEO,
        "verb": "open",
        "verb_class": "0",
        "noun": "door",
        "noun_class": "2",
        "all_nouns": "door, cupboard",
    }


def test_videos_in_one_folder_and_lower_case_suffixes_are_found(bare: Path) -> None:
    for path in list(bare.rglob("*.MP4")):
        path.rename(bare / path.name.replace(".MP4", ".mp4"))
    assert entries(bare)[f"{OTHER}_2"].uri == f"{OTHER}.mp4"


def test_what_is_not_here_and_what_has_no_segment_is_told(bare: Path) -> None:
    (bare / "notes.txt").write_text("x")
    (bare / f"{VIDEO}.mp4").write_bytes(b"x")
    found = listing(bare)
    notes = "; ".join(found.notes)
    assert f"video has no file here: {ABSENT}; their 1 segments are no input" in notes
    assert f"video has no segment; taken whole: {BARE}" in notes
    assert found.ignored == {".txt": 1}
    assert found.unused == {"row without a file": 1}


def test_a_second_file_of_a_video_is_a_reject_and_other_containers_are_read(bare: Path) -> None:
    (bare / "again").mkdir()
    (bare / "again" / f"{VIDEO}.MP4").write_bytes(b"x")
    (bare / "P02" / "videos" / f"{OTHER}.MP4").rename(bare / f"{OTHER}.mkv")
    (bare / f"{VIDEO}_flow.mp4").write_bytes(b"x")
    found = entries(bare)
    assert found[f"{OTHER}_2"].uri == f"{OTHER}.mkv"
    again = found[f"again/{VIDEO}.MP4"]
    assert again.problem == "duplicate_id"
    assert again.detail.startswith(f"by its name it is what P01/videos/{VIDEO}.MP4 is")
    assert listing(bare).ignored == {"video of no id": 1}
    assert f"video is not named by an id; ignored: {VIDEO}_flow.mp4" in listing(bare).notes[-1]


def test_a_segment_that_is_repeated_word_for_word_is_counted(bare: Path) -> None:
    put(bare / "EPIC_100_validation.csv", [HEADS, train()[1]])
    assert len(entries(bare)) == 5
    assert listing(bare).unused == {"repeated row": 1, "row without a file": 1}


def test_tables_are_told_apart_from_copies_that_are_not_read(bare: Path) -> None:
    (bare / "old").mkdir()
    (bare / TRAIN).rename(bare / "old" / TRAIN)
    put(bare / TRAIN, train())
    found = listing(bare)
    assert found.tables == (
        "EPIC_100_test_timestamps.csv",
        "EPIC_100_train.csv",
        "EPIC_100_video_info.csv",
    )
    assert found.ignored == {".csv": 1}


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (("00:00:03.00", "00:00:03.00"), "3.0 s to 3.0 s is no stretch"),
        (("00:00:03.00", "00:00:01.00"), "3.0 s to 1.0 s is no stretch"),
        (("01:00:03.00", "01:00:04.00"), "the video ends at 6.0 s"),
    ],
)
def test_a_segment_outside_its_video_is_a_reject_that_names_its_row(
    bare: Path, times: tuple[str, str], message: str
) -> None:
    put(bare / TRAIN, [*train(), segment(5, *times, "cut bread")])
    entry = entries(bare)[f"{VIDEO}_5"]
    assert entry.problem == "bad_span"
    assert entry.detail.startswith(f"{TRAIN}, line 6: ")
    assert message in entry.detail


def test_the_first_of_two_segments_of_one_id_counts(bare: Path) -> None:
    put(bare / TRAIN, [*train(), segment(0, "00:00:01.00", "00:00:02.00", "cut bread")])
    assert entries(bare)[f"{VIDEO}_0"].text == "open door"
    assert f"duplicate id; the first is kept: {VIDEO}_0" in "; ".join(listing(bare).notes)


def _cell(column: str, value: str) -> Callable[[list[list[str]]], None]:
    def change(rows: list[list[str]]) -> None:
        rows[2][HEADS.index(column)] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_cell("start_timestamp", "1 minute"), r"line 3: '1 minute' is no time"),
        (_cell("start_timestamp", "00:00:00:01"), "line 3: .* is no time"),
        (_cell("stop_timestamp", ""), "line 3: '' is no time"),
        (_cell("video_id", "../P01_01"), r"line 3: .* should be like P01_01_0"),
        (_cell("narration_id", "7"), "line 3: '7' of"),
        (_cell("all_nouns", "__import__('os')"), "line 3: .* list"),
        (_cell("all_nouns", "[1, 2]"), "line 3: .* list"),
        (_cell("all_nouns", "[" * 90000), "line 3: .* list"),
        (lambda rows: rows[3].append("more"), "line 4 has 16 cells, line 1 has 15"),
        (lambda rows: rows[0].__setitem__(9, "action"), "line 1 lacks the columns verb"),
        (lambda rows: rows.clear(), "line 1 lacks the columns"),
    ],
)
def test_a_wrong_table_stops_with_its_line(
    bare: Path, change: Callable[[list[list[str]]], None], message: str
) -> None:
    rows = [list(row) for row in train()]
    change(rows)
    put(bare / TRAIN, rows)
    with pytest.raises(ConfigError, match=message) as error:
        listing(bare)
    assert TRAIN in str(error.value)


def test_a_byte_order_mark_is_read_and_latin_1_is_refused_with_its_line(bare: Path) -> None:
    data = (bare / TRAIN).read_bytes()
    (bare / TRAIN).write_bytes(b"\xef\xbb\xbf" + data)
    assert len(entries(bare)) == 5
    (bare / TRAIN).write_bytes(data.replace(b"plate", b"pur\xe9e"))
    with pytest.raises(ConfigError, match=r"line 3 is not UTF-8 \(byte 0xe9\)"):
        listing(bare)


def test_a_table_of_durations_that_is_wrong_names_its_line(bare: Path) -> None:
    put(bare / "EPIC_100_video_info.csv", [*INFO, [OTHER, "long", "50", "x"]])
    with pytest.raises(ConfigError, match=r"EPIC_100_video_info\.csv .*line 3"):
        listing(bare)


def test_without_any_table_it_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"annotations/EPIC_100_train\.csv"):
        listing(tmp_path)


@pytest.mark.parametrize(
    ("text", "value"), [("00:01:02.50", 62.5), ("01:00:00", 3600.0), ("7.25", 7.25), ("1:2", 62.0)]
)
def test_times_are_read_in_all_usual_forms(text: str, value: float) -> None:
    assert csvfile.seconds(text) == value


@pytest.mark.parametrize("text", ["", "e3", "1e", "1:1e3", "-1", "1:2:3:4", "nan", "1::2", "٣"])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        csvfile.seconds(text)
