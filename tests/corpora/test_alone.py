"""A source that is one file and no video is refused before any work, in words about the file."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sofdata.corpora.readers.textfile import is_text
from sofdata.corpora.registry import find_corpus
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree
from tests.helpers import sofdata
from tests.videos import moving_square, write_video

TABLE = b"name,label\nx,1\ny,2\n"


def refused(path: Path, corpus: str = "auto") -> str:
    with pytest.raises(ConfigError) as error:
        find_corpus(Tree(str(path)), corpus)
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t.csv", TABLE, "no column names the files; found name, label. Expected uri"),
        ("t.csv", TABLE.replace(b",", b";"), "found name, label. Expected uri"),
        ("t.csv", TABLE.decode().encode("utf-16"), "found name, label. Expected uri"),
        ("t.tsv", TABLE.replace(b",", b"\t"), "found name, label. Expected uri"),
        ("t.jsonl", b'{"name": "x", "label": 1}\n', "found name, label. Expected uri"),
        ("t.json", b'[{"name": "x", "label": 1}]', "found name, label. Expected uri"),
        ("t.txt", TABLE, "found name, label. Expected uri"),
        ("t.dat", TABLE, "found name, label. Expected uri"),
        ("t", TABLE, "found name, label. Expected uri"),
        ("t.mp4", TABLE, "found name, label. Expected uri"),
        ("t.txt", b"uri,text\na.mp4,x\n", "columns uri, text; read it with --corpus manifest"),
        ("t.txt", b"a.mp4\nb.mp4\n", "begins with b'a.mp4"),
        ("t.mp4", b"<!DOCTYPE html><html>no such file</html>", "begins with b'<!DOCTYPE html>"),
        ("t.md", "où est la vidéo ?".encode("latin-1"), "is no video but text"),
        ("t.csv", b"", "no column names the files; found nothing"),
        ("t.bin", b"PK\x03\x04" + bytes(40), "is no video but a zip file"),
        ("t.npy", b"\x93NUMPY\x01\x00" + bytes(200), "is no video. Expected a video"),
        ("t.json", b'{"a": {"b": 1}}', "'a' should be a plain value"),
    ],
)
def test_what_is_plainly_no_video_is_refused_in_words_about_it(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(data)
    said = refused(tmp_path / name)
    assert message in said
    assert name in said


def test_files_that_may_hold_tables_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"name": ["x"]}), tmp_path / "t.parquet")
    assert "found name. Expected uri" in refused(tmp_path / "t.parquet")
    (tmp_path / "t.data").write_bytes((tmp_path / "t.parquet").read_bytes())
    assert "is no video but Parquet" in refused(tmp_path / "t.data")
    with zipfile.ZipFile(tmp_path / "t.xlsx", "w") as file:
        file.writestr("xl/workbook.xml", "<workbook/>")
    assert "save a sheet of Excel as CSV" in refused(tmp_path / "t.xlsx")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(TABLE))
    assert "is no video but gzip" in refused(tmp_path / "t.csv.gz")


def test_a_table_is_no_video_either_where_the_folder_corpus_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("uri,text\na.mp4,x\n")
    assert "read it with --corpus manifest" in refused(tmp_path / "t.csv", "folder")
    (tmp_path / "t.txt").write_text("uri,text\na.mp4,x\n")
    tree = Tree(str(tmp_path / "t.txt"))
    (entry,) = find_corpus(tree, "manifest")[0].listing(tree).entries
    assert (entry.uri, entry.text) == ("a.mp4", "x")


@pytest.mark.parametrize("name", ["v.csv", "v.txt", "v", "v.zip"])
def test_a_video_is_one_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    write_video(tmp_path / "v.mp4", moving_square(5), 12)
    (tmp_path / "v.mp4").rename(tmp_path / name)
    assert find_corpus(Tree(str(tmp_path / name)))[0].name == "folder"


@pytest.mark.parametrize("data", [b"", bytes(100), bytes(range(256))])
def test_a_broken_video_is_an_input_like_any_other(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "v.mp4").write_bytes(data)
    assert find_corpus(Tree(str(tmp_path / "v.mp4")))[0].name == "folder"


@pytest.mark.parametrize("name", ["none.csv", "none.mp4"])
def test_the_command_ends_with_2_and_no_traceback(tmp_path: Path, name: str) -> None:
    """Such a table was "not_a_video", and the exit code 0."""
    (tmp_path / name).write_bytes(TABLE)
    done = sofdata("ingest", tmp_path / name, tmp_path / "d", "--engine", "inline")
    assert done.returncode == 2
    assert "no column names the files" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "d").exists()


def test_text_is_told_from_other_bytes() -> None:
    for text in ("plain", "où est-ce ?", "杯を押す", "Толкает чашку\t"):
        for encoding in ("utf-8", "utf-16", "utf-8-sig", "utf-32"):
            assert is_text(text.encode(encoding)), (text, encoding)
    assert is_text("杯を押す".encode()[:-1])  # cut off within a character
    for data in (b"", b"\x00\x00\x00\x20ftyp", b"RIFF\x00\x10\x00\x00AVI ", bytes(range(256))):
        assert not is_text(data)
