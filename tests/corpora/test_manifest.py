"""Manifests: tables of videos wherever they lie, in four formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sofdata.corpora.base import Listing
from sofdata.corpora.entry import Entry
from sofdata.corpora.manifest import Manifest
from sofdata.corpora.registry import find_corpus
from sofdata.errors import ConfigError
from sofdata.ingest.verify import verify
from sofdata.storage.tree import Tree
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
    ("name", "data", "message"),
    [
        ("m.csv", b"name,text\na,b\n", "no column names the files; found name, text"),
        ("m.csv", b"path,file\na,b\n", "path, file may each be its uri; .*manifest.uri=path"),
        ("m.csv", b"uri,text,text\na,b,c\n", "2 columns are called 'text'; rename all but one"),
        (
            "m.jsonl",
            b'{"uri": "a", "uri": "b"}\n',
            "line 1 is no JSON: two values are called 'uri'",
        ),
        ("m.csv", b"uri,start_s,text\na,1,b\n", "of start and end it has 'start_s' alone"),
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
        ("m.json", b'[{"uri": "a"}, 5]', "object 2 should be an object"),
        ("m.json", b'[{"uri": "a", "uri": "b"}]', "two values are called 'uri'"),
        ("m.json", b'[{"uri": "a"}, {"uri"', "no valid JSON within"),
        ("m.json", b'{\n "videos": []\n}', "line 1 is no JSON"),
        ("m.csv", "uri\npurée".encode("utf-16")[:-1], "it is no whole UTF-16"),
        ("m.parquet", b"PAR1 no", "no readable Parquet"),
    ],
)
def test_a_wrong_table_stops_with_its_row(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigError, match=message) as error:
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


def read(path: Path) -> tuple[Any, ...]:
    (entry,) = entries(path)
    return entry.uri, entry.span_s, entry.text


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("head", ["", "sep"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_every_delimiter_and_unicode_is_read(
    tmp_path: Path, delimiter: str, head: str, encoding: str
) -> None:
    rows = [f"sep={delimiter}"] if head else []
    rows += [delimiter.join(row) for row in (("uri", "start_s", "end_s", "text"),)]
    rows += [delimiter.join(("a.mp4", "0.5", "2", "pousser, la tasse à café" * (delimiter != ",")))]
    (tmp_path / "m.csv").write_bytes("\r\n".join([*rows, ""]).encode(encoding))
    text = "" if delimiter == "," else "pousser, la tasse à café"
    assert read(tmp_path / "m.csv") == ("a.mp4", (0.5, 2.0), text)


def test_a_line_that_names_the_delimiter_is_counted_in_the_place_of_an_error(
    tmp_path: Path,
) -> None:
    (tmp_path / "m.csv").write_text("sep=;\nuri;text\na.mp4\n")
    with pytest.raises(ConfigError, match="line 3 has 1 cells, line 2 has 2"):
        listing(tmp_path / "m.csv")


@pytest.mark.parametrize(("start", "end"), [("0,5", "1,25"), ("00:00:00,500", "00:00:01,250")])
def test_where_cells_are_apart_by_semicolons_a_comma_may_be_decimal(
    tmp_path: Path, start: str, end: str
) -> None:
    (tmp_path / "m.csv").write_text(f"uri;start_s;end_s\na.mp4;{start};{end}\n")
    assert read(tmp_path / "m.csv") == ("a.mp4", (0.5, 1.25), "")


def test_a_decimal_comma_between_commas_is_no_time(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text('uri,start_s,end_s\na.mp4,"0,5","1,25"\n')
    with pytest.raises(ConfigError, match="'0,5' is no time"):
        listing(tmp_path / "m.csv")


@pytest.mark.parametrize(
    ("start", "end", "span"),
    [
        ("1e-05", "2E0", (1e-05, 2.0)),
        ("5e-1", "1.5e+1", (0.5, 15.0)),
        (".5", "2.", (0.5, 2.0)),
        ("01:02", "1:02:03.250", (62.0, 3723.25)),
        ("0 days 00:00:00.500000", "0 days 00:00:02", (0.5, 2.0)),
        ("1970-01-01 00:00:01", "1970-01-01T00:00:02.5", (1.0, 2.5)),
    ],
)
@pytest.mark.parametrize("name", ["m.csv", "m.jsonl", "m.json"])
def test_times_are_read_however_programs_write_them(
    tmp_path: Path, name: str, start: str, end: str, span: tuple[float, float]
) -> None:
    row = {"uri": "a.mp4", "start_s": start, "end_s": end}
    if name == "m.csv":
        write_csv(tmp_path / name, [row])
    else:
        (tmp_path / name).write_text(json.dumps([row] if name == "m.json" else row))
    assert read(tmp_path / name) == ("a.mp4", span, "")


@pytest.mark.parametrize("name", ["m.jsonl", "m.json"])
@pytest.mark.parametrize("times", [("1e-05", "2E0"), ("0.00001", "2"), ("1E-5", "2.0e0")])
def test_numbers_with_exponents_are_read(tmp_path: Path, name: str, times: tuple[str, str]) -> None:
    row = f'{{"uri": "a.mp4", "start_s": {times[0]}, "end_s": {times[1]}}}'
    (tmp_path / name).write_text(f"[{row}]" if name == "m.json" else row)
    assert read(tmp_path / name) == ("a.mp4", (1e-05, 2.0), "")


def test_moments_of_different_days_are_no_span(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(
        "uri,start_s,end_s\na,1970-01-01 00:00:01,1970-01-02 00:00:01\n"
    )
    with pytest.raises(ConfigError, match="of different days"):
        listing(tmp_path / "m.csv")


@pytest.mark.parametrize(
    "head", ["URI", "Uri", "path", "file", "filename", "File Name", "video", "video-path", "VIDEO"]
)
def test_the_column_of_the_files_is_known_by_many_names(tmp_path: Path, head: str) -> None:
    (tmp_path / "m.csv").write_text(f"{head},Caption\na.mp4,push cup\n")
    assert find_corpus(Tree(str(tmp_path / "m.csv")))[0].name == "manifest"
    assert read(tmp_path / "m.csv") == ("a.mp4", None, "push cup")


def test_a_columns_own_name_wins_over_the_others(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path,uri,caption,text\nb,a.mp4,c,push cup\n")
    (entry,) = entries(tmp_path / "m.csv")
    assert (entry.uri, entry.text) == ("a.mp4", "push cup")
    assert entry.labels == {"path": "b", "caption": "c"}


def test_times_without_a_unit_stay_labels_and_a_note_says_so(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("uri,start,end\na.mp4,1,2\n")
    found = listing(tmp_path / "m.csv")
    assert found.entries[0].labels == {"start": "1", "end": "2"}
    assert "start and end may be times" in found.notes[0]
    assert "manifest.start" in found.notes[0]


def test_a_column_without_a_name_is_left_out(tmp_path: Path) -> None:
    """pandas writes its index so; a delimiter at the end of each line makes another."""
    (tmp_path / "m.csv").write_text(",uri,text,\n0,a.mp4,push cup,\n")
    (entry,) = entries(tmp_path / "m.csv")
    assert (entry.uri, entry.text, entry.labels) == ("a.mp4", "push cup", {})


def test_a_cell_in_quotes_may_hold_lines_and_delimiters(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes(b'uri;text\r\na.mp4;"push;\r\nthen ""pull"""\r\n')
    assert read(tmp_path / "m.csv") == ("a.mp4", None, 'push;\r\nthen "pull"')


def test_a_list_of_objects_is_a_manifest_and_long_ids_keep_their_digits(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(
        '\n[{"video": "a.mp4", "caption": "x", "id": 123456789012345678901234},\n'
        ' {"video": "b.mp4", "later": true}]'
    )
    first, second = entries(tmp_path / "m.json")
    assert (first.uri, first.text, first.id) == ("a.mp4", "x", "123456789012345678901234")
    assert second.labels == {"later": "True"}


def test_objects_may_have_columns_that_the_first_lacks(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"uri": "a"}\n{"uri": "b", "text": "push cup"}\n')
    assert [entry.text for entry in entries(tmp_path / "m.jsonl")] == ["", "push cup"]


def parquet(path: Path, **columns: Any) -> Entry:
    pq.write_table(pa.table(columns), path)
    (entry,) = entries(path)
    return entry


def test_every_kind_of_column_that_may_hold_a_time_is_read(tmp_path: Path) -> None:
    import datetime as dt

    day = dt.datetime(1970, 1, 1)
    second, half = dt.timedelta(seconds=1), dt.timedelta(seconds=2.5)
    kinds: list[tuple[Any, Any, Any]] = [
        (Decimal("1.0"), Decimal("2.5"), pa.decimal128(3, 1)),
        (Decimal("1.0"), Decimal("2.5"), pa.decimal256(50, 7)),
        (1.0, 2.5, pa.float32()),
        (1.0, 2.5, pa.float16()),
        ((day + second).time(), (day + half).time(), pa.time64("us")),
        ((day + second).time(), (day + half).time(), pa.time32("ms")),
        (second, half, pa.duration("ms")),
        (second, half, pa.duration("ns")),
        (day + second, day + half, pa.timestamp("us")),
        (day + second, day + half, pa.timestamp("ns", tz="UTC")),
        ("1", "2.5", pa.large_string()),
        ("00:01", "00:02.5", pa.string()),
    ]
    for start, end, kind in kinds:
        spans = [pa.array([value], kind) for value in (start, end)]
        entry = parquet(tmp_path / "m.parquet", uri=["a.mp4"], start_s=spans[0], end_s=spans[1])
        assert entry.span_s == (1.0, 2.5), kind
        spans = [span.dictionary_encode() for span in spans if not pa.types.is_float16(kind)]
        if spans:
            entry = parquet(tmp_path / "m.parquet", uri=["a.mp4"], start_s=spans[0], end_s=spans[1])
            assert entry.span_s == (1.0, 2.5), kind
    whole = {"start_s": pa.array([1], pa.uint64()), "end_s": pa.array([3], pa.int8())}
    assert parquet(tmp_path / "m.parquet", uri=["a.mp4"], **whole).span_s == (1.0, 3.0)


def test_texts_and_labels_are_read_from_every_plain_kind_of_column(tmp_path: Path) -> None:
    import datetime as dt

    entry = parquet(
        tmp_path / "m.parquet",
        uri=pa.array([b"a.mp4"], pa.binary()),
        text=pa.array(["push cup"]).dictionary_encode(),
        id=pa.array([7.0]),
        day=pa.array([dt.date(2024, 1, 2)]),
        share=pa.array([0.1], pa.float32()),
        price=pa.array([Decimal("1.50")]),
        seen=pa.array([True]),
        none=pa.array([None], pa.null()),
        blob=pa.array([b"x"]),
        boxes=pa.array([[1.0]]),
    )
    assert (entry.uri, entry.text, entry.id) == ("a.mp4", "push cup", "7")
    assert entry.labels == {"day": "2024-01-02", "share": "0.1", "price": "1.50", "seen": "True"}


def test_two_columns_of_one_name_in_parquet_are_refused(tmp_path: Path) -> None:
    table = pa.table([["a"], ["x"], ["y"]], names=["uri", "text", "text"])
    pq.write_table(table, tmp_path / "m.parquet")
    with pytest.raises(ConfigError, match="2 columns are called 'text'"):
        listing(tmp_path / "m.parquet")


def test_a_table_whose_files_are_in_lists_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"video": [{"bytes": b"x", "path": "a"}]}), tmp_path / "m.parquet")
    with pytest.raises(ConfigError, match="'video' holds no plain values"):
        listing(tmp_path / "m.parquet")


def test_spans_late_in_a_long_video_have_ids_of_their_own(tmp_path: Path) -> None:
    rows = [{"uri": "a", "start_s": f"7200.00{n}", "end_s": "7300"} for n in (1, 2)]
    write_csv(tmp_path / "m.csv", rows)
    assert [entry.id for entry in entries(tmp_path / "m.csv")] == [
        "a#7200.001-7300",
        "a#7200.002-7300",
    ]


def test_every_file_of_a_folder_with_a_manifest_is_accounted_for(clips: Path) -> None:
    write_csv(clips / "manifest.csv", [{"uri": "./clips/a.mp4"}, {"uri": "gone.mp4"}])
    (clips / "notes.txt").touch()
    found = listing(clips)
    assert [(entry.uri, entry.problem) for entry in found.entries] == [
        ("./clips/a.mp4", ""),
        ("gone.mp4", ""),
    ]
    assert found.ignored == {"video of no row": 1, ".txt": 1}
    assert found.tables == ("manifest.csv",)


def test_the_shared_decimal_and_exponent_times_are_read(shared_cases: Path, tmp_path: Path) -> None:
    """`decimal_times`: 1 to 3 s, "push cup". `exponent_times`: 0 to 2 s."""
    ingest(shared_cases / "decimal_times" / "manifest.parquet", tmp_path / "d", *SETTINGS)
    rows = pq.read_table(tmp_path / "d" / "index.parquet").to_pylist()
    assert {row["text"] for row in rows} == {"push cup"}
    assert rows
    assert all(1 <= row["start_s"] < row["end_s"] < 3 for row in rows)
    ingest(shared_cases / "exponent_times", tmp_path / "e", *SETTINGS)
    spans = {
        row["text"]: (row["span_start_s"], row["span_end_s"])
        for row in pq.read_table(tmp_path / "e" / "plan.parquet").to_pylist()
    }
    assert spans == {"first": (1e-05, 2.0), "second": (2.0, 4.0)}
    rows = pq.read_table(tmp_path / "e" / "index.parquet").to_pylist()
    assert {row["text"] for row in rows} == {"first", "second"}
    assert all(row["end_s"] < 2 for row in rows if row["text"] == "first")


@pytest.mark.parametrize("name", ["semi.csv", "utf16.csv", "path.csv"])
def test_the_shared_tables_are_read(shared_cases: Path, name: str) -> None:
    """`tables`: they were taken for videos."""
    path = shared_cases / "tables" / name
    assert find_corpus(Tree(str(path)))[0].name == "manifest"
    span = (0.0, 2.0) if name == "semi.csv" else None
    assert read(path) == ("a.mp4", span, "push cup")


def test_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes(b"\xef\xbb\xbfuri\na.mp4\n")
    (tmp_path / "m.jsonl").write_bytes(b'\xef\xbb\xbf{"uri": "a.mp4"}\n')
    for name in ("m.csv", "m.jsonl"):
        assert [entry.uri for entry in entries(tmp_path / name)] == ["a.mp4"]
