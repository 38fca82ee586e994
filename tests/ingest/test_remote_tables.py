"""Tables on an S3 server and on HTTP servers, and the videos that they name relative to these."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sofdata.corpora.registry import find_corpus
from sofdata.errors import ConfigError
from sofdata.ingest.config import load_config
from sofdata.storage.tree import Tree
from tests.helpers import ingest
from tests.ingest.test_http_source import Plain, Ranges, serving
from tests.lerobots import grey_episodes, write_v2
from tests.s3 import S3Server
from tests.videos import moving_square, write_video

SETTINGS = ("windows.length=4", "windows.stride=4", "flow.size=64", "windows.size=32")
ROWS: list[dict[str, Any]] = [
    {"uri": "clips/a.mp4", "start_s": 0.5, "end_s": 2.5, "text": "push cup"},
    {"uri": "clips/b c.mp4", "start_s": None, "end_s": None, "text": "pull cup"},
    {"uri": "../more/d.mp4", "start_s": None, "end_s": None, "text": "lift cup"},
]


class Unsized(Plain):
    """Sends files as a stream, without saying how large they are."""

    def send_header(self, keyword: str, value: str) -> None:
        if keyword != "Content-Length" or self.path.endswith(".mp4"):
            super().send_header(keyword, value)


class Counting(Ranges):
    """Keeps what was asked for."""

    asked: ClassVar[Counter[str]] = Counter()

    def do_GET(self) -> None:
        self.asked[self.path] += 1
        super().do_GET()


class Unlisted(Ranges):
    """Does not list folders."""

    def list_directory(self, path: Any) -> Any:
        self.send_error(404)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`videos` with a table in every format, and `more` beside it."""
    top = tmp_path_factory.mktemp("top")
    (top / "videos" / "clips").mkdir(parents=True)
    (top / "more").mkdir()
    for name in ("videos/clips/a.mp4", "videos/clips/b c.mp4", "more/d.mp4"):
        write_video(top / name, moving_square(40), 12)
    heads = list(ROWS[0])
    lines = [[("" if row[head] is None else str(row[head])) for head in heads] for row in ROWS]
    for name, delimiter in (("m.csv", ","), ("m.tsv", "\t"), ("semi.csv", ";")):
        text = "\r\n".join(delimiter.join(line) for line in [heads, *lines])
        encoding = "utf-16" if name == "semi.csv" else "utf-8"
        (top / "videos" / name).write_bytes(text.encode(encoding))
    (top / "videos" / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (top / "videos" / "m.json").write_text(json.dumps(ROWS))
    pq.write_table(pa.Table.from_pylist(ROWS), top / "videos" / "m.parquet")
    return top / "videos"


TABLES = ["m.csv", "m.tsv", "semi.csv", "m.jsonl", "m.json", "m.parquet"]


def listed(source: str) -> list[tuple[str, tuple[float, float] | None, str]]:
    tree = Tree(source)
    corpus, _ = find_corpus(tree)
    assert corpus.name == "manifest"
    return [(entry.id, entry.span_s, entry.text) for entry in corpus.listing(tree).entries]


@pytest.fixture(params=[Plain, Ranges, Unsized])
def url(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    with serving(request.param, folder.parent) as url:
        yield url


@pytest.mark.parametrize("name", TABLES)
def test_a_table_on_a_web_server_lists_what_the_local_one_does(
    url: str, folder: Path, name: str
) -> None:
    assert listed(f"{url}/{name}") == listed(str(folder / name))
    assert len(listed(f"{url}/{name}")) == 3


def test_videos_beside_a_table_on_a_web_server_are_ingested(
    url: str, folder: Path, tmp_path: Path
) -> None:
    ingest(f"{url}/m.csv", tmp_path / "d", *SETTINGS)
    ingest(folder / "m.csv", tmp_path / "local", *SETTINGS)
    for name in ("index", "videos"):
        there, here = (
            pq.read_table(tmp_path / dest / f"{name}.parquet").to_pylist()
            for dest in ("d", "local")
        )
        assert [(row.get("text"), row.get("status")) for row in there] == [
            (row.get("text"), row.get("status")) for row in here
        ]
    rows = pq.read_table(tmp_path / "d" / "videos.parquet").to_pylist()
    assert [row["status"] for row in rows] == ["done"] * 3


def test_a_uri_may_begin_at_the_root_of_a_web_server(folder: Path, tmp_path: Path) -> None:
    with serving(Ranges, folder.parent) as url:
        (folder / "root.csv").write_text("uri\n/more/d.mp4\n")
        ingest(f"{url}/root.csv", tmp_path / "d", *SETTINGS)
        (folder / "root.csv").unlink()
    (row,) = pq.read_table(tmp_path / "d" / "videos.parquet").to_pylist()
    assert (row["id"], row["status"]) == ("/more/d.mp4", "done")


def test_no_adapter_reads_a_table_that_is_not_its_own(folder: Path) -> None:
    """One that asked for a listing would be sent the whole table."""
    with serving(Counting, folder.parent) as url:
        Counting.asked.clear()
        find_corpus(Tree(f"{url}/m.csv"))
        assert Counting.asked["/videos/m.csv"] <= 2


def test_ids_are_looked_for_where_a_server_lists_its_folders(folder: Path) -> None:
    (folder / "ids.csv").write_text("key,caption\na,push cup\nz,gone\n")
    settings = ["manifest.uri=key", "manifest.find=anywhere"]
    anywhere = load_config(None, settings).manifest
    pattern = load_config(None, ["manifest.uri=clips/{key}.mp4"]).manifest
    try:
        with serving(Ranges, folder.parent) as url:
            tree = Tree(f"{url}/ids.csv")
            found = find_corpus(tree, "auto", anywhere)[0].listing(tree)
            assert [(entry.uri, entry.text) for entry in found.entries] == [
                ("clips/a.mp4", "push cup")
            ]
            assert found.unused == {"row of ids.csv without a file here": 1}
        with serving(Unlisted, folder.parent) as url:
            tree = Tree(f"{url}/ids.csv")
            with pytest.raises(ConfigError, match="cannot be listed"):
                find_corpus(tree, "auto", anywhere)[0].listing(tree)
            found = find_corpus(tree, "auto", pattern)[0].listing(tree)
            assert [entry.uri for entry in found.entries] == ["clips/a.mp4", "clips/z.mp4"]
            assert "could not be listed" in found.notes[0]
    finally:
        (folder / "ids.csv").unlink()


def upload(s3: S3Server, folder: Path, url: str) -> None:
    client = s3.client()
    for path in folder.rglob("*"):
        if path.is_file():
            client.put_file(str(path), f"{url}/{path.relative_to(folder).as_posix()}")


@pytest.fixture(scope="module")
def bucket(s3: S3Server, folder: Path) -> str:
    """The same in a bucket."""
    place = s3.make_bucket("tables")
    upload(s3, folder.parent, place)
    return place


@pytest.mark.parametrize("name", TABLES)
def test_a_table_in_a_bucket_lists_what_the_local_one_does(
    s3_env: S3Server, bucket: str, folder: Path, name: str
) -> None:
    assert listed(f"{bucket}/videos/{name}") == listed(str(folder / name))


def test_videos_beside_a_table_in_a_bucket_are_ingested(
    s3_env: S3Server, bucket: str, tmp_path: Path
) -> None:
    ingest(f"{bucket}/videos/m.jsonl", tmp_path / "d", *SETTINGS)
    rows = pq.read_table(tmp_path / "d" / "videos.parquet").to_pylist()
    assert {row["id"]: row["status"] for row in rows} == {
        "clips/a.mp4#0.5-2.5": "done",
        "clips/b c.mp4": "done",
        "../more/d.mp4": "done",
    }
    assert {row["text"] for row in pq.read_table(tmp_path / "d" / "index.parquet").to_pylist()} == {
        row["text"] for row in ROWS
    }


def test_a_table_of_ids_in_a_bucket_finds_its_files(s3_env: S3Server, bucket: str) -> None:
    s3_env.client().pipe_file(f"{bucket}/videos/ids.csv", b"key,caption\nd,x\nz,y\n")
    config = load_config(
        None, ["manifest.table=ids.csv", "manifest.uri=key", "manifest.find=anywhere"]
    )
    tree = Tree(bucket)
    found = find_corpus(tree, "auto", config.manifest)[0].listing(tree)
    assert [(entry.uri, entry.size_bytes > 0) for entry in found.entries] == [("more/d.mp4", True)]
    assert found.ignored["video of no row"] == 2


def write_kinetics(source: Path) -> None:
    (source / "val").mkdir(parents=True)
    (source / "val.csv").write_text(
        "label,youtube_id,time_start,time_end,split\npush cup,7pRfb0t34uo,158,168,val\n"
    )
    (source / "val" / "7pRfb0t34uo_000158_000168.mp4").write_bytes(b"x")


@pytest.mark.parametrize("kind", ["s3", "http"])
@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("kinetics", write_kinetics),
        ("lerobot", lambda source: write_v2(source, grey_episodes())),
    ],
)
def test_tables_of_other_corpora_are_read_where_they_lie(
    s3_env: S3Server, tmp_path: Path, kind: str, name: str, write: Callable[[Path], object]
) -> None:
    """Kinetics' CSV, and the JSONL of LeRobot's version 2.1."""
    source = tmp_path / "videos"
    write(source)

    def texts(url: str) -> list[str]:
        corpus, _ = find_corpus(Tree(url))
        assert corpus.name == name
        return [entry.text for entry in corpus.listing(Tree(url)).entries]

    here = texts(str(source))
    assert any(here)
    if kind == "s3":
        place = f"{s3_env.make_bucket(f'other-{name}')}/k"
        upload(s3_env, source, place)
        assert texts(place) == here
    else:
        with serving(Ranges, tmp_path) as url:
            assert texts(url) == here
