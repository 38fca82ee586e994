"""A search finds the windows that it asks for, in its order, or says what it is not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from sofdata.errors import ConfigError
from sofdata.loading.index import Index
from sofdata.storage.tree import Tree
from sofdata.view.query import Query, counted, find

Columns = dict[str, list[Any]]


@pytest.fixture
def index(dataset: Path) -> Index:
    return Index(Tree(str(dataset)))


@pytest.fixture
def table(dataset: Path) -> Columns:
    found: Columns = pq.read_table(dataset / "index.parquet").to_pydict()
    return found


def test_all_words_must_occur_in_text_or_id_whatever_their_case(
    index: Index, table: Columns
) -> None:
    text, source = next(
        (text, source) for text, source in zip(table["text"], table["source"], strict=True) if text
    )
    words = f"{text.split()[0].upper()} {source[-4:]}"
    rows = find(index, Query.of({"q": words}))
    expected = [
        row
        for row, (one, other) in enumerate(zip(table["text"], table["source"], strict=True))
        if text.split()[0].lower() in one.lower() + other.lower() and source[-4:] in one + other
    ]
    assert rows.tolist() == expected
    assert find(index, Query.of({"q": "no such word"})).tolist() == []


def test_bounds_of_motion_hold_both_ends(index: Index, table: Columns) -> None:
    motion = sorted(table["mean_px"])
    least, most = motion[1], motion[-2]
    rows = find(index, Query.of({"least": repr(least), "most": repr(most).replace(".", ",")}))
    assert len(rows) == len(motion) - 2
    assert {least, most} <= {table["mean_px"][row] for row in rows}


def test_video_cut_and_filter_narrow_together(index: Index, table: Columns) -> None:
    source = table["source"][0]
    rows = find(index, Query.of({"video": source, "cut": "start", "where": "window >= 1"}))
    expected = [
        row
        for row, one in enumerate(table["source"])
        if one == source and table["cut"][row] == "start" and table["window"][row] >= 1
    ]
    assert rows.tolist() == expected


@pytest.mark.parametrize(
    ("order", "name", "sign"),
    [("fast", "mean_px", -1), ("slow", "mean_px", 1), ("long", "length", -1)],
)
def test_orders_sort(index: Index, table: Columns, order: str, name: str, sign: int) -> None:
    table["length"] = np.subtract(table["end_s"], table["start_s"]).tolist()
    values = [sign * table[name][row] for row in find(index, Query.of({"order": order}))]
    assert values == sorted(values)
    assert len(values) == index.num_rows


@pytest.mark.parametrize(
    "given",
    [{"order": "up"}, {"least": "much"}, {"most": "nan"}, {"where": "no_such > 1"}, {"where": "("}],
)
def test_what_is_not_understood_is_said(index: Index, given: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        find(index, Query.of(given))


def test_texts_of_a_column_are_counted(index: Index, table: Columns) -> None:
    assert counted(index, "cut") == dict(Counter(table["cut"]).most_common())


def test_some_rows_come_in_the_order_in_which_they_are_asked_for(
    index: Index, table: Columns
) -> None:
    rows = index.rows(["key", "window"], [3, 0, 3])
    assert [row["key"] for row in rows] == [table["key"][at] for at in (3, 0, 3)]
