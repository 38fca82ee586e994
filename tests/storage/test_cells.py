"""Cells of Parquet files: the right bytes in any order, and no group unpacked twice in a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sofdata.storage.archives import cells
from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location, cell_of, parse

CONTENTS = [bytes([number]) * (100 + number) for number in range(10)]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    pq.write_table(pa.table({"v": CONTENTS}), tmp_path / "t.parquet", row_group_size=3)
    return Tree(str(tmp_path))


def test_cells_are_read_in_any_order(tree: Tree) -> None:
    for row in (9, 0, 5, 4, 3, 8, 1):
        assert cells.read_cell(tree, "t.parquet", row, "v") == CONTENTS[row]
        where = Location("t.parquet", cell=(row, "v"))
        assert tree.read_range(where, 90, 1000) == CONTENTS[row][90:]


def test_a_group_is_unpacked_once_for_cells_that_come_one_after_the_other(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    whole = cells.Column.cells

    def counting(column: cells.Column, group: cells.Group) -> Any:
        asked.append(group.number)
        return whole(column, group)

    monkeypatch.setattr(cells.Column, "cells", counting)
    for row in range(10):
        cells.read_cell(tree, "t.parquet", row, "v")
    assert asked == [0, 1, 2, 3]
    monkeypatch.setattr(cells, "KEPT_BYTES", 10)
    assert cells.read_cell(tree, "t.parquet", 1, "v") == CONTENTS[1]


def test_a_file_that_was_written_again_is_read_again(tree: Tree, tmp_path: Path) -> None:
    assert cells.read_cell(tree, "t.parquet", 0, "v") == CONTENTS[0]
    pq.write_table(pa.table({"v": [b"new"]}), tmp_path / "t.parquet")
    assert cells.read_cell(tree, "t.parquet", 0, "v") == b"new"


@pytest.mark.parametrize(("row", "column"), [(10, "v"), (0, "w")])
def test_what_is_not_there_is_no_file(tree: Tree, row: int, column: str) -> None:
    with pytest.raises(FileNotFoundError):
        tree.size(Location("t.parquet", cell=(row, column)))


def test_a_file_that_is_no_table_cannot_be_read(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"rubbish")
    with pytest.raises(OSError, match="no readable Parquet"):
        tree.size(Location("t.parquet", cell=(0, "v")))


@pytest.mark.parametrize("column", ["mp4", "video.bytes", "a b&c=/#ü"])
def test_uris_of_cells_name_file_row_and_column(column: str) -> None:
    uri = cell_of("a/00000.parquet", 12, column)
    assert parse(uri) == Location("a/00000.parquet", cell=(12, column))
    assert parse(uri).is_part
