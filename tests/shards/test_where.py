"""`sofdata.shards.where`: filters select what they say, and wrong ones are explained."""

from __future__ import annotations

import pyarrow as pa
import pytest

from sofdata.errors import ConfigError
from sofdata.shards.where import columns_of, describe, select

TABLE = pa.table(
    {
        "mean_px": [0.1, 0.5, 2.0, 3.0],
        "steps": [8, 8, 3, 8],
        "text": ["push it", "", "pull it", "push that"],
        "camera_px": pa.array([None, 1.0, 2.0, None], pa.float64()),
    }
)


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("motion > 0.5", [2, 3]),
        ("mean_px >= 0.5 and text != ''", [2, 3]),
        ("not (motion > 0.5) or steps < 8", [0, 1, 2]),
        ("0.2 < motion <= 2", [1, 2]),
        ("'push' in text", [0, 3]),
        ("'push' not in text", [1, 2]),
        ("steps in (3, 4)", [2]),
        ("text not in ['', 'pull it']", [0, 3]),
        ("camera_px is None", [0, 3]),
        ("camera_px is not None and camera_px > 1", [2]),
        ("camera_px > 1", [2]),
        ("not camera_px > 1", [1]),  # a missing value fulfils neither
        ("steps / 16 == 0.5", [0, 1, 3]),
        ("motion * steps - 1 > -motion + 10", [3]),
        ("motion > -1", [0, 1, 2, 3]),
        ("motion > 100", []),
    ],
)
def test_a_filter_selects_what_it_says(where: str, rows: list[int]) -> None:
    assert select(TABLE, where).nonzero()[0].tolist() == rows


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("motion > 0.5 AND steps = 3", "not an expression"),
        ("motion", "not a condition"),
        ("1 < 2", "not a condition on a column"),
        ("text > 1", "does not fit the columns"),
        ("steps in ('a', 'b')", "does not fit the columns"),
        ("'a' in steps", "does not fit the columns"),
        ("__import__('os').system('true')", "is not understood"),
        ("text.upper() == 'A'", "is not understood"),
        ("[x for x in text]", "is not understood"),
        ("motion ** 2 > 1", "is not understood"),
        ("", "not an expression"),
        ("(" * 5000, "not an expression"),
    ],
)
def test_a_wrong_filter_is_explained(where: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        select(TABLE, where)


def test_an_unknown_column_is_told_with_the_nearest_and_the_list() -> None:
    assert columns_of("motion > 1 and text != ''", TABLE.column_names) == ["mean_px", "text"]
    with pytest.raises(ConfigError) as error:
        columns_of("txt == 'a'", TABLE.column_names)
    assert "did you mean 'text'" in str(error.value)
    assert "motion, mean_px, steps, text, camera_px" in str(error.value)


def test_columns_are_described_by_range_or_examples() -> None:
    told = describe(TABLE.select(["mean_px", "text"]))
    assert told == "mean_px runs from 0.1 to 3; text is 'push it', '', 'pull it' or one of 1 more"
