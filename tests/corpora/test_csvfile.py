"""Tables written by others: streamed, of any size, and what is wrong names its line."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from sofdata.corpora.readers import csvfile
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree


def rows(folder: Path, data: bytes) -> list[tuple[int, dict[str, str]]]:
    (folder / "t.csv").write_bytes(data)
    return list(csvfile.read_rows(Tree(str(folder)), "t.csv", ["a"]))


def test_rows_come_with_the_line_on_which_they_end(tmp_path: Path) -> None:
    assert rows(tmp_path, b'a, b\r\n1,2\r\n\r\n"x\ny",3\r\n') == [
        (2, {"a": "1", "b": "2"}),
        (5, {"a": "x\ny", "b": "3"}),
    ]
    assert csvfile.columns(Tree(str(tmp_path)), "t.csv") == ["a", "b"]


def test_a_table_is_never_held_as_a_whole(tmp_path: Path) -> None:
    """Of 16 MB, whatever the most that is read of a file that has to be."""
    with (tmp_path / "t.csv").open("wb") as file:
        file.write(b"a,b\n")
        for number in range(160):
            file.write(b"%d,%s\n" % (number, b"x" * 100_000))
    tracemalloc.start()
    count = sum(1 for _ in csvfile.read_rows(Tree(str(tmp_path)), "t.csv", ["a"]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 160
    assert peak < 3 << 20


def test_a_cell_may_be_long_but_not_endless(tmp_path: Path) -> None:
    """A quote that is never closed would make one cell of the rest of the file."""
    long = b"x" * 200_000
    assert rows(tmp_path, b"a,b\n" + long + b",2\n")[0][1]["a"] == long.decode()
    with pytest.raises(ConfigError, match=r"t\.csv.*line 3: field larger"):
        rows(tmp_path, b'a,b\n1,2\n"' + b"x" * (csvfile.MAX_CELL + 9))
    with pytest.raises(ConfigError, match=r"line [34]: unexpected end"):
        rows(tmp_path, b'a,b\n1,2\n"3,4\n')


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_unicode_is_read_with_and_without_a_mark(tmp_path: Path, encoding: str) -> None:
    assert rows(tmp_path, "a\npurée\n".encode(encoding)) == [(2, {"a": "purée"})]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("a\nb\npurée\n".encode("latin-1"), r"line 3 is not UTF-8 \(byte 0xe9\)"),
        ("a\npurée\n".encode("utf-16")[:-1], "it is no whole UTF-16"),
        (b"a,b\n1\n", "line 2 has 1 cells, line 1 has 2"),
        (b"b\n1\n", "line 1 lacks the columns a; found b"),
        (b"", "line 1 lacks the columns a; found nothing"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"t\.csv.*{message}"):
        rows(tmp_path, data)


@pytest.mark.parametrize(
    "cell", ["__import__('os')", "[x for x in 'ab']", "{'a': 1}", "[1", "[" * 9999, "[1] * 9"]
)
def test_literals_are_read_and_nothing_is_run(tmp_path: Path, cell: str) -> None:
    tree = Tree(str(tmp_path))
    assert csvfile.literal_list(tree, "t.csv", 2, "[['0:00', 1.5], None]") == [["0:00", 1.5], None]
    with pytest.raises(ConfigError, match=r"line 2: .*should be a list"):
        csvfile.literal_list(tree, "t.csv", 2, cell)


def test_what_is_no_table_has_no_heading(tmp_path: Path) -> None:
    """So that a look at a folder does not stop at a file that has nothing to do with it."""
    for data in (b"\x00\x01\x02", "name;straße".encode("utf-16"), b""):
        (tmp_path / "t.csv").write_bytes(data)
        assert "a" not in csvfile.columns(Tree(str(tmp_path)), "t.csv")


def test_a_time_beyond_all_numbers_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="more seconds than can be counted"):
        csvfile.seconds("9" * 400)


def test_a_literal_that_python_cannot_make_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="should be a list"):
        csvfile.literal_list(Tree(str(tmp_path)), "t.csv", 2, "[{[]: 1}]")
