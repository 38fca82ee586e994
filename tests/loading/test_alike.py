"""What has one name because it shows the same thing."""

from __future__ import annotations

import pyarrow as pa
import pytest

from sofdata.loading.alike import same_content

Row = tuple[str, float | None, float | None, str, str]


def table(*rows: Row) -> pa.Table:
    names = ["fingerprint", "span_start_s", "span_end_s", "recording", "name"]
    kinds = [pa.string(), pa.float64(), pa.float64(), pa.string(), pa.string()]
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    return pa.table(arrays, names=names)


@pytest.mark.parametrize(
    ("rows", "same"),
    [
        # two recordings that are copies of one file
        ([("f", None, None, "a", "a"), ("f", None, None, "b", "b")], {"b": "a"}),
        # episodes in one file, one after the other
        ([("f", 0.0, 2.0, "a", "a"), ("f", 1.98, 4.0, "b", "b")], {}),
        # and a file without episodes that holds both
        (
            [("f", 0.0, 2.0, "a", "a"), ("f", 2.0, 4.0, "b", "b"), ("f", 3.0, 4.0, "", "c.mp4")],
            {"b": "a", "c.mp4": "a"},
        ),
        # a long span that holds two which do not touch each other
        (
            [("f", 0.0, 9.0, "c", "c"), ("f", 1.0, 2.0, "a", "a"), ("f", 5.0, 6.0, "b", "b")],
            {"b": "a", "c": "a"},
        ),
        # by way of a third one, in another file
        (
            [
                ("f", None, None, "a", "a"),
                ("f", None, None, "b", "b"),
                ("g", None, None, "b", "b"),
                ("g", None, None, "c", "c"),
            ],
            {"b": "a", "c": "a"},
        ),
        # other files
        ([("f", None, None, "a", "a"), ("g", None, None, "b", "b")], {}),
    ],
)
def test_what_shows_the_same_stretch_of_a_file_has_one_name(
    rows: list[Row], same: dict[str, str]
) -> None:
    found = same_content(table(*rows))
    assert {name: other for name, other in found.items() if name != other} == same
    assert same_content(table(*reversed(rows))) == found
