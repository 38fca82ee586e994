"""Manifests: tables of videos wherever they lie, in four formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sofdata.corpora.base import Entry, Listing
from sofdata.corpora.manifest import Manifest
from sofdata.corpora.registry import find_corpus
from sofdata.errors import ConfigError
from sofdata.shards.verify import verify
from sofdata.storage import Tree
from tests.helpers import ingest
from tests.videos import moving_square, write_video

SETTINGS = ("windows.length=4", "windows.stride=2", "flow.size=64", "windows.size=32")
ROWS: list[dict[str, Any]] = [
    {"uri": "clips/a.mp4", "text": "push, then pull", "start_s": 0.5, "end_s": 2.0, "robot": "ur5"},
    {"uri": "clips/a.mp4", "text": 'say "hi"', "start_s": 1.0, "end_s": 3.0, "robot": None},
    {"uri": "clips/b.mp4", "text": "", "start_s": None, "end_s": None, "robot": "franka"},
]


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    import csv

    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), delimiter="\t" if "tsv" in path.name else ",")
        table.writeheader()
        table.writerows(rows)


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    extra = {"vector": [[1.0, 2.0]] * len(rows), "blob": [b"x"] * len(rows)}  # never read
    table = pa.Table.from_pylist(rows)
    for name, values in extra.items():
        table = table.append_column(name, pa.array(values))
    pq.write_table(table, path)


WRITERS: dict[str, Callable[[Path, list[dict[str, Any]]], None]] = {
    "m.csv": write_csv,
    "m.tsv": write_csv,
    "m.jsonl": write_jsonl,
    "m.parquet": write_parquet,
}


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    (tmp_path / "clips").mkdir()
    for name in "ab":
        write_video(tmp_path / "clips" / f"{name}.mp4", moving_square(40), 12)
    return tmp_path


def listing(path: Path) -> Listing:
    return Manifest().listing(Tree(str(path)))


def entries(path: Path) -> list[Entry]:
    return list(listing(path).entries)


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_lists_the_same_inputs(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, ROWS)
    corpus, why = find_corpus(Tree(str(tmp_path / name)))
    assert corpus.name == "manifest"
    assert name in why
    assert "uri" in why
    first, second, third = entries(tmp_path / name)
    assert first == Entry(
        id="clips/a.mp4#0.5-2",
        uri="clips/a.mp4",
        size_bytes=0,
        span_s=(0.5, 2.0),
        text="push, then pull",
        labels={"robot": "ur5"},
    )
    assert (second.text, second.labels) == ('say "hi"', {})
    assert (third.id, third.span_s, third.labels) == ("clips/b.mp4", None, {"robot": "franka"})


@pytest.mark.parametrize("name", WRITERS)
def test_it_ingests_verifies_and_carries_texts_and_labels(clips: Path, name: str) -> None:
    WRITERS[name](clips / name, ROWS)
    ingest(clips / name, clips / "d", *SETTINGS)
    assert verify(Tree(str(clips / "d"))).whole
    rows = pq.read_table(clips / "d" / "index.parquet").to_pylist()
    assert {(row["source"], row["text"]) for row in rows} == {
        ("clips/a.mp4#0.5-2", "push, then pull"),
        ("clips/a.mp4#1-3", 'say "hi"'),
        ("clips/b.mp4", ""),
    }
    for row in rows:
        if row["source"] == "clips/a.mp4#0.5-2":
            assert 0.5 <= row["start_s"] < row["end_s"] < 2.0


def test_a_folder_with_a_manifest_is_one(clips: Path) -> None:
    write_csv(clips / "manifest.csv", ROWS)
    corpus, _ = find_corpus(Tree(str(clips)))
    assert corpus.name == "manifest"
    assert len(entries(clips)) == 3


def test_absolute_paths_and_urls_of_other_places_are_read(clips: Path, tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe_file("/bucket/c.mp4", (clips / "clips" / "a.mp4").read_bytes())
    places = [{"uri": str(clips / "clips" / "b.mp4")}, {"uri": "memory://bucket/c.mp4"}]
    (tmp_path / "elsewhere").mkdir()
    write_csv(tmp_path / "elsewhere" / "m.csv", places)
    ingest(tmp_path / "elsewhere" / "m.csv", tmp_path / "d", *SETTINGS)
    rows = pq.read_table(tmp_path / "d" / "videos.parquet").to_pylist()
    assert [row["status"] for row in rows] == ["done", "done"]


def test_times_may_be_given_in_hours_and_minutes_and_ids_by_name(tmp_path: Path) -> None:
    write_csv(
        tmp_path / "m.csv", [{"uri": "a", "id": "x", "start_s": "00:01:02.5", "end_s": "1:10"}]
    )
    (entry,) = entries(tmp_path / "m.csv")
    assert (entry.id, entry.span_s) == ("x", (62.5, 70.0))


def test_rows_without_a_file_or_a_span_are_counted_with_their_place(clips: Path) -> None:
    bad = [{"uri": "gone.mp4", "start_s": "", "end_s": ""}]
    bad += [{"uri": "clips/a.mp4", "start_s": "3", "end_s": "1"}]
    bad += [{"uri": "clips/a.mp4", "start_s": "90", "end_s": "99"}]
    bad += [{"uri": "clips/a.mp4", "start_s": "", "end_s": ""}] * 2
    write_csv(clips / "m.csv", bad)
    assert "duplicate id; the first is kept: clips/a.mp4" in "; ".join(
        listing(clips / "m.csv").notes
    )
    ingest(clips / "m.csv", clips / "d", *SETTINGS)
    rows = pq.read_table(clips / "d" / "videos.parquet").to_pylist()
    assert {row["id"]: (row["status"], row["reason"]) for row in rows} == {
        "gone.mp4": ("rejected", "missing"),
        "clips/a.mp4#3-1": ("rejected", "bad_span"),
        "clips/a.mp4#90-99": ("rejected", "no_frames"),
        "clips/a.mp4": ("done", ""),
        "clips/a.mp4 (2)": ("rejected", "duplicate_id"),
    }
    (detail,) = [row["detail"] for row in rows if row["reason"] == "bad_span"]
    assert detail == "m.csv, line 3: 3.0 s to 1.0 s is no stretch of a video"


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("m.csv", b"path,text\na,b\n", "line 1 lacks the columns uri; found path, text"),
        ("m.csv", b"uri,text\na,b\n,c\n", "line 3 needs a uri"),
        ("m.csv", b"uri,text\na,b,c\n", "line 2 has 3 cells, line 1 has 2"),
        ("m.csv", b"uri,text\na,caf\xe9\n", r"line 2 is not UTF-8 \(byte 0xe9\)"),
        ("m.csv", b'uri,text\na,"b\n', "line 2: unexpected end"),
        ("m.csv", b"uri,start_s,end_s\na,1,\n", "line 2: start_s and end_s: '' is no time"),
        ("m.csv", b"uri,start_s,end_s\na,-1,2\n", "line 2: .*'-1' is no time"),
        ("m.csv", b"uri\ns3://u:pw@b/a\n", "line 2: its uri holds a user, a query"),
        ("m.csv", b"uri\nhttps://h/a?token=t\n", "line 2: its uri holds a user, a query"),
        ("m.csv", b"uri\na.mp4\nzz://b/a.mp4\n", "line 3: nothing here reads 'zz':// URLs"),
        ("m.jsonl", b'{"uri": "a"}\nno\n', "line 2 is no JSON"),
        ("m.jsonl", b'{"uri": "a"}\n[1]\n', "line 2 should be an object"),
        ("m.jsonl", b'{"uri": "a", "x": {"y": 1}}\n', "line 1: 'x' should be a plain value"),
        ("m.jsonl", b'{"uri": 5}\n{"uri": null}\n', "line 2 needs a uri"),
        ("m.jsonl", b'{"uri": ' + b"[" * 100_000, "line 1 is no JSON"),
        ("m.parquet", b"PAR1 no", "no readable Parquet"),
    ],
)
def test_a_wrong_table_stops_with_its_row(
    tmp_path: Path, name: str, data: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigError, match=told) as error:
        listing(tmp_path / name)
    assert name in str(error.value)


def test_secrets_in_uris_are_not_repeated_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("uri\ns3://key:s3cr3t@bucket/a.mp4\n")
    with pytest.raises(ConfigError) as error:
        listing(tmp_path / "m.csv")
    assert "s3cr3t" not in str(error.value)


def test_a_table_without_the_column_is_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("name\na\n")
    assert Manifest().detect(Tree(str(tmp_path / "m.csv"))) == ""
    assert Manifest().detect(Tree(str(tmp_path))) == ""


def test_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes(b"\xef\xbb\xbfuri\na.mp4\n")
    (tmp_path / "m.jsonl").write_bytes(b'\xef\xbb\xbf{"uri": "a.mp4"}\n')
    for name in ("m.csv", "m.jsonl"):
        assert [entry.uri for entry in entries(tmp_path / name)] == ["a.mp4"]
