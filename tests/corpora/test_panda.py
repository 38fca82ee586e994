"""Panda-70M: captioned clips as spans of their videos."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sofdata.corpora.base import Listing
from sofdata.corpora.entry import Entry
from sofdata.corpora.panda import Panda70M
from sofdata.corpora.registry import find_corpus
from sofdata.errors import ConfigError
from sofdata.ingest.verify import verify
from sofdata.storage.tree import Tree
from tests.helpers import ingest
from tests.videos import moving_square, write_video

SETTINGS = ("windows.length=4", "windows.stride=2", "flow.size=64", "windows.size=32")
HEADS = ["videoID", "url", "timestamp", "caption", "matching_score"]
HERE, GONE = "--_S9IDQPLg", "nowhere0000"
SPANS = "[['0:00:00.500', '0:00:02.000'], ['0:00:02.000', '0:00:03.750']]"
CAPTIONS = """['a man cuts "bread", slowly', "it's done"]"""


def write_table(root: Path, *rows: list[str], name: str = "panda70m_testing.csv") -> None:
    with (root / name).open("w", newline="") as file:
        csv.writer(file).writerows([HEADS, *rows])


def row(id: str = HERE, spans: str = SPANS, captions: str = CAPTIONS) -> list[str]:
    return [id, f"https://www.youtube.com/watch?v={id}", spans, captions, "[0.43, 0.51]"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "s" / "videos").mkdir(parents=True)
    (tmp_path / "s" / "videos" / f"{HERE}.mp4").write_bytes(b"x")
    write_table(tmp_path / "s", row(), row(GONE))
    return tmp_path / "s"


def listing(root: Path) -> Listing:
    return Panda70M().listing(Tree(str(root)))


def entries(root: Path) -> list[Entry]:
    return list(listing(root).entries)


def test_clips_are_ingested_with_their_captions(root: Path, tmp_path: Path) -> None:
    write_video(root / "videos" / f"{HERE}.mp4", moving_square(48), 12)
    corpus, why = find_corpus(Tree(str(root)))
    assert (corpus.name, "panda70m_testing.csv" in why) == ("panda70m", True)
    ingest(root, tmp_path / "d", *SETTINGS)
    assert verify(Tree(str(tmp_path / "d"))).whole
    rows = pq.read_table(tmp_path / "d" / "index.parquet").to_pylist()
    spans = {f"{HERE}_0000": (0.5, 2.0), f"{HERE}_0001": (2.0, 3.75)}
    assert {each["source"] for each in rows} == set(spans)
    for each in rows:
        start_s, end_s = spans[each["source"]]
        assert start_s <= each["start_s"] < each["end_s"] < end_s
    assert {each["text"] for each in rows} == {'a man cuts "bread", slowly', "it's done"}


def test_scores_are_labels_and_urls_are_not_read(root: Path) -> None:
    first, second = entries(root)
    assert first.labels == {"videoID": HERE, "matching_score": "0.43"}
    assert second.labels["matching_score"] == "0.51"


def test_what_is_not_here_and_what_is_in_no_table_is_told(root: Path) -> None:
    (root / "videos" / "stranger.mp4").write_bytes(b"x")
    (root / f"{HERE}.webm").write_bytes(b"x")
    found = listing(root)
    notes = "; ".join(found.notes)
    assert f"video of the tables has no file here: {GONE}" in notes
    assert "video is in no table; not used: videos/stranger.mp4" in notes
    assert found.ignored == {"video of no row": 1}
    assert found.unused == {"row without a file": 1}
    assert found.tables == ("panda70m_testing.csv",)
    again = next(entry for entry in found.entries if entry.id == f"videos/{HERE}.mp4")
    assert again.problem == "duplicate_id"
    assert again.detail == f"by its name it is what {HERE}.webm is, which is used"


def test_a_clip_that_another_table_has_too_counts_once(root: Path) -> None:
    second = row(spans="[['0:00:02.000', '0:00:03.750']]", captions='["it\'s done"]')
    second[-1] = "[0.51]"
    write_table(root, second, name="panda70m_few.csv")
    assert [entry.problem for entry in entries(root)] == ["", ""]
    assert [entry.span_s for entry in entries(root)] == [(0.5, 2.0), (2.0, 3.75)]
    assert listing(root).unused == {"repeated clip": 1, "row without a file": 1}


def test_another_clip_of_an_id_that_is_taken_is_a_reject(root: Path) -> None:
    other = row(spans="[['0:00:00.100', '0:00:00.200']]", captions="['x']")
    other[-1] = "[0.5]"
    write_table(root, other, name="panda70m_more.csv")
    assert [entry.problem for entry in entries(root)] == ["", "", "duplicate_id"]
    assert "duplicate id" in "; ".join(listing(root).notes)


def test_clips_as_the_authors_downloader_stores_them_carry_their_captions(root: Path) -> None:
    folder = root / "00000"
    folder.mkdir()
    url = f"https://www.youtube.com/watch?v={GONE}"
    for clip, text in ((0, "a man cuts bread"), (1, "")):
        stem = f"0000012_{clip:05d}"
        meta = {"url": url, "caption": "from the JSON", "key": stem, "matching_score": "0.43"}
        (folder / f"{stem}.mp4").write_bytes(b"x")
        (folder / f"{stem}.txt").write_text(text)
        (folder / f"{stem}.json").write_text(json.dumps(meta))
    (folder / "0000013.txt").write_text("['of a video', 'that was taken down']")
    (folder / "0000013.json").write_text('{"status": "failed_to_download"}')
    found = listing(root)
    texts = {entry.id: entry.text for entry in found.entries}
    assert texts["00000/0000012_00000"] == "a man cuts bread"
    assert texts["00000/0000012_00001"] == "from the JSON"
    assert len(found.entries) == 4
    assert found.unused == {"row of clips that are cut already": 1, "sample without a video": 1}
    assert found.ignored == {}
    assert len(found.tables) == 7


@pytest.mark.parametrize("spans", ["[['0:00:03', '0:00:01']]", "[['soon', '0:00:01']]"])
def test_a_clip_whose_times_are_none_is_a_reject_that_names_its_place(
    root: Path, spans: str
) -> None:
    write_table(root, [HERE, "", spans, "['a']", "[1]"])
    (entry,) = entries(root)
    assert entry.problem == "bad_span"
    assert entry.detail.startswith("panda70m_testing.csv, line 2, clip 0 ['")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (row(spans="later"), "line 2: 'later' should be a list"),
        (row(spans="[('a', 'b')]"), "line 2: timestamp should hold pairs"),
        (row(spans="['0:00']"), "line 2: timestamp should hold pairs"),
        (row(captions="['one']"), "line 2: 2 times and 1 of caption"),
        (row(captions="__import__('os').system('true')"), "line 2: .* should be a list"),
        (row(captions="[" + "'x'," * 40_000 + "]"), "line 2: 2 times and 40000 of caption"),
        (row(captions="[" * 100_000), "line 2: .* should be a list"),
        (row(captions="x" * 3_000_000), "line 2: field larger than field limit"),
        (row()[:3], "line 2 has 3 cells, line 1 has 5"),
    ],
)
def test_a_wrong_table_stops_with_its_line(root: Path, changed: list[str], message: str) -> None:
    write_table(root, changed)
    with pytest.raises(ConfigError, match=message) as error:
        listing(root)
    assert "panda70m_testing.csv" in str(error.value)


def test_without_a_table_it_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")
    with pytest.raises(ConfigError, match="columns videoID, timestamp, caption"):
        listing(tmp_path)


def test_a_caption_that_is_none_is_no_text(root: Path) -> None:
    write_table(root, row(captions="[None, 'None of them moves']"))
    assert [entry.text for entry in entries(root)] == ["", "None of them moves"]
