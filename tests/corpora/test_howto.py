"""HowTo100M: whole videos, whose windows carry what is said meanwhile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sofdata.corpora.base import Listing
from sofdata.corpora.entry import Entry
from sofdata.corpora.howto import HowTo100M
from sofdata.corpora.registry import find_corpus
from sofdata.errors import ConfigError
from sofdata.ingest.verify import verify
from sofdata.storage.tree import Tree
from tests.helpers import ingest
from tests.videos import moving_square, write_video

SETTINGS = ("windows.length=4", "windows.stride=2", "flow.size=64", "windows.size=32")
HERE, GONE = "nVbIUDjzWY4", "gone0000000"
TABLE = (
    "video_id,category_1,category_2,rank,task_id\n"
    f"{HERE},Cars & Other Vehicles,Motorcycles,27,52907\n"
    f"{GONE},Food,Recipes,1,7\n"
)
CAPTIONS: dict[str, Any] = {
    GONE: {"start": [0.0], "end": [1.0], "text": ["elsewhere"]},
    HERE: {
        "start": [2.0, 0.0, 3.0, 3.2],
        "end": [3.5, 2.0, 3.0, 4.0],
        "text": ["now tighten", " loosen the bolt ", "no time at all", ""],
    },
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "s"
    (root / "videos").mkdir(parents=True)
    (root / "videos" / f"{HERE}.webm").write_bytes(b"x")
    (root / "HowTo100M_v1.csv").write_text(TABLE)
    (root / "caption.json").write_text(json.dumps(CAPTIONS))
    (root / "task_ids.csv").write_text("52907\tPaint a Motorcycle\n7\tBake Bread\n")
    return root


def listing(root: Path) -> Listing:
    return HowTo100M().listing(Tree(str(root)))


def only(root: Path) -> Entry:
    (entry,) = listing(root).entries
    return entry


def test_windows_carry_what_is_said_meanwhile(root: Path, tmp_path: Path) -> None:
    (root / "videos" / f"{HERE}.webm").unlink()
    write_video(root / "videos" / f"{HERE}.mp4", moving_square(72), 12)
    corpus, why = find_corpus(Tree(str(root)))
    assert (corpus.name, "HowTo100M_v1.csv" in why) == ("howto100m", True)
    ingest(root, tmp_path / "d", *SETTINGS)
    assert verify(Tree(str(tmp_path / "d"))).whole
    rows = pq.read_table(tmp_path / "d" / "index.parquet").to_pylist()
    assert {row["text"] for row in rows if row["end_s"] < 1.9} == {"loosen the bolt"}
    assert {row["text"] for row in rows if row["start_s"] > 2.3 and row["end_s"] < 3.4} == {
        "now tighten"
    }
    assert {row["text"] for row in rows if row["start_s"] > 4} == {"Paint a Motorcycle"}


def test_categories_and_task_are_labels(root: Path) -> None:
    entry = only(root)
    assert (entry.id, entry.text) == (HERE, "Paint a Motorcycle")
    assert entry.labels == {
        "category_1": "Cars & Other Vehicles",
        "category_2": "Motorcycles",
        "task_id": "52907",
        "task": "Paint a Motorcycle",
    }


def test_captions_out_of_order_are_sorted_and_empty_ones_left_out(root: Path) -> None:
    texts = [(text.start_s, text.end_s, text.text) for text in only(root).annotations.texts]
    assert texts == [(0.0, 2.0, "loosen the bolt"), (2.0, 3.5, "now tighten")]


def test_what_is_not_here_is_told(root: Path) -> None:
    (root / "videos" / "stranger.mp4").write_bytes(b"x")
    notes = "; ".join(listing(root).notes)
    assert "1 of the 2 videos of HowTo100M_v1.csv have no file here" in notes
    assert "video is not in HowTo100M_v1.csv: stranger" in notes
    assert "video has no captions: stranger" in notes
    (root / "caption.json").unlink()
    assert "no captions: none of raw_caption_superclean.json" in "; ".join(listing(root).notes)
    assert only_texts(root) == []


def test_rows_and_captions_of_videos_that_are_not_here_are_counted(root: Path) -> None:
    (root / "HowTo100M_v1.csv").write_text(TABLE + TABLE.splitlines(keepends=True)[1])
    found = listing(root)
    assert found.unused == {
        "captions of no video here": 1,
        "repeated row": 1,
        "row without a file": 1,
    }
    assert found.tables == ("HowTo100M_v1.csv", "caption.json", "task_ids.csv")


def test_a_second_file_of_a_video_is_a_reject(root: Path) -> None:
    (root / f"{HERE}.mp4").write_bytes(b"x")
    found = {entry.id: entry for entry in listing(root).entries}
    assert found[HERE].uri == f"{HERE}.mp4"
    assert found[f"videos/{HERE}.webm"].problem == "duplicate_id"


def test_fuller_captions_come_first_and_the_others_are_told(root: Path) -> None:
    record = {"start": [0.0], "end": [2.0], "text": ["so then we loosen the bolt"]}
    (root / "raw_caption_superclean.json").write_text(json.dumps({HERE: record}))
    assert [text.text for text in only(root).annotations.texts] == ["so then we loosen the bolt"]
    assert "caption.json is not read, since raw_caption_superclean.json is there" in "; ".join(
        listing(root).notes
    )


def test_captions_in_a_table_for_each_video_are_read(root: Path) -> None:
    (root / "caption.json").unlink()
    (root / "captions").mkdir()
    rows = 'start,end,text\n0.0,6.0,evening stroll music\n6.14,8.92,"greetings, lovelies"\n'
    (root / "captions" / f"{HERE}.csv").write_text(rows)
    (root / "captions" / f"{GONE}.csv").write_text(rows)
    texts = [(text.start_s, text.end_s, text.text) for text in only(root).annotations.texts]
    assert texts == [(0.0, 6.0, "evening stroll music"), (6.14, 8.92, "greetings, lovelies")]
    found = listing(root)
    assert f"captions/{HERE}.csv" in found.tables
    assert found.ignored == {".csv": 1}
    (root / "captions" / f"{HERE}.csv").write_text("start,end,text\nsoon,6.0,x\n")
    with pytest.raises(ConfigError, match=r"captions/.*line 2: 'soon' is no time"):
        listing(root)


def only_texts(root: Path) -> list[Any]:
    return [text for entry in listing(root).entries for text in entry.annotations.texts]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"start": [0], "end": [1]}, "lists start, end and text"),
        ({"start": [0, 1], "end": [1], "text": ["a"]}, "lists start, end and text"),
        ({"start": ["0"], "end": [1], "text": ["a"]}, "no time of a caption"),
        ({"start": [-1], "end": [1], "text": ["a"]}, "no time of a caption"),
        ([], "lists start, end and text"),
    ],
)
def test_wrong_captions_stop_with_the_video(root: Path, record: Any, message: str) -> None:
    (root / "caption.json").write_text(json.dumps({HERE: record}))
    with pytest.raises(ConfigError, match=message) as error:
        listing(root)
    assert HERE in str(error.value)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("HowTo100M_v1.csv", b"video_id\na\n", "line 1 lacks the columns category_1"),
        ("HowTo100M_v1.csv", TABLE.encode() + b"a,b\n", "line 4 has 2 cells"),
        ("HowTo100M_v1.csv", TABLE.encode() + b"a,caf\xe9,b,1,2\n", "line 4 is not UTF-8"),
        ("caption.json", b'{"a": {"start": [', "premature EOF|[Ii]ncomplete"),
        ("caption.json", b"[]", "expected an object"),
    ],
)
def test_a_wrong_file_stops_with_its_place(
    root: Path, name: str, data: bytes, message: str
) -> None:
    (root / name).write_bytes(data)
    with pytest.raises(ConfigError, match=message) as error:
        listing(root)
    assert name in str(error.value)
