"""Label files in JSON, read whole or piece by piece, and never trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sofdata.corpora.readers import jsonfile
from sofdata.errors import ConfigError
from sofdata.storage.tree import Tree

VALUES = {"a": [1, 2.5, None], "b": {"c": "d, }"}, "ü": "\N{SNOWMAN}" * 50, "e": 12, "f": True}


def items(tmp_path: Path, data: bytes | str, inside: str = "") -> list[tuple[str, Any]]:
    path = tmp_path / "f.json"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return list(jsonfile.items(Tree(str(tmp_path)), "f.json", inside))


@pytest.mark.parametrize("piece", [1, 7, 1 << 16])
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
    assert dict(items(tmp_path, text, inside="videos")) == VALUES
    assert items(tmp_path, '{"a": 2, "b": 1}', "videos") == [("a", 2), ("b", 1)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "expected an object"),
        ("[1]", "expected an object"),
        ('{"a" 1}', "no valid JSON"),
        ('{"a": 1 "b": 2}', "no valid JSON"),
        ('{"a": 1', "premature EOF|[Ii]ncomplete"),
        ('{"a": {"b": 1}', "premature EOF|[Ii]ncomplete"),
        ('{"a": nope}', "no valid JSON"),
        ("{1: 2}", "no valid JSON"),
        (b'{"a": "\xff"}', "UTF8|utf-8"),
    ],
)
def test_what_is_wrong_is_told_with_how_far_it_was_read(
    tmp_path: Path, data: bytes | str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        items(tmp_path, data)
    assert "f.json" in str(error.value)
    assert "bytes" in str(error.value)


def test_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    assert items(tmp_path, b'\xef\xbb\xbf {"a": 1}') == [("a", 1)]


def test_a_value_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonfile, "MAX_VALUE", 100)
    monkeypatch.setattr(jsonfile, "PIECE", 64)
    with pytest.raises(ConfigError, match="more than 100 bytes"):
        items(tmp_path, json.dumps({"a": "x" * 1000}))
