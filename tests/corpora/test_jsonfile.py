"""Label files in JSON, read whole or piece by piece, and never trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sofdata.corpora import jsonfile
from sofdata.errors import ConfigError
from sofdata.storage import Tree

VALUES = {"a": [1, 2.5, None], "b": {"c": "d, }"}, "ü": "\N{SNOWMAN}" * 50, "e": 12, "f": True}


def items(tmp_path: Path, data: bytes | str, inside: str = "") -> list[tuple[str, Any]]:
    path = tmp_path / "f.json"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return list(jsonfile.items(Tree(str(tmp_path)), "f.json", inside))


@pytest.mark.parametrize("piece", [1, 2, 7, 1 << 20])
@pytest.mark.parametrize("ascii", [True, False])
def test_a_file_read_in_pieces_of_any_size_gives_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, ascii: bool
) -> None:
    monkeypatch.setattr(jsonfile, "PIECE", piece)
    for indent in (None, 2):
        text = json.dumps(VALUES, ensure_ascii=ascii, indent=indent)
        assert dict(items(tmp_path, text)) == VALUES
    assert items(tmp_path, "{ }") == []


def test_one_key_may_be_gone_through_in_the_same_way(tmp_path: Path) -> None:
    text = json.dumps({"version": 1, "videos": VALUES, "end": {"x": 1}})
    found = items(tmp_path, text, inside="videos")
    assert dict(found) == {"version": 1, **VALUES, "end": {"x": 1}}
    assert items(tmp_path, '{"videos": [1], "a": 2}', "videos") == [("videos", [1]), ("a", 2)]
    assert items(tmp_path, '{"videos": {}, "a": 2}', "videos") == [("a", 2)]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("", "expected '{'"),
        ("[1]", "expected '{'"),
        ('{"a" 1}', "expected ':'"),
        ('{"a": 1 "b": 2}', "expected ','"),
        ('{"a": 1', "expected ','|cut off"),
        ('{"a": {"b": 1}', "cut off"),
        ('{"a": nope}', "Expecting value"),
        ("{1: 2}", "expected a key"),
        (b'{"a": "\xff"}', "not UTF-8"),
        ('{"a": ' + "[" * 200_000 + "}", "recursion|Recursion|Expecting"),
    ],
)
def test_what_is_wrong_is_told_with_how_far_it_was_read(
    tmp_path: Path, data: bytes | str, told: str
) -> None:
    with pytest.raises(ConfigError, match=told) as error:
        items(tmp_path, data)
    assert "f.json" in str(error.value)
    assert "bytes" in str(error.value)


def test_a_value_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonfile, "MAX_VALUE", 100)
    monkeypatch.setattr(jsonfile, "PIECE", 64)
    with pytest.raises(ConfigError, match="more than 100 characters"):
        items(tmp_path, json.dumps({"a": "x" * 1000}))
