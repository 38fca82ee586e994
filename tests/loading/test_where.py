"""`sofdata.loading.where`: filters select what they say, and wrong ones are explained."""

from __future__ import annotations

import pyarrow as pa
import pytest

from sofdata.errors import ConfigError
from sofdata.loading.quotes import quoted
from sofdata.loading.where import columns_of, describe, select

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
    assert select([TABLE], where).nonzero()[0].tolist() == rows


@pytest.mark.parametrize(
    ("where", "described"),
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
def test_a_wrong_filter_is_explained(where: str, described: str) -> None:
    with pytest.raises(ConfigError, match=described):
        select([TABLE], where)


def test_an_unknown_column_is_told_with_the_nearest_and_the_list() -> None:
    assert columns_of("motion > 1 and text != ''", TABLE.column_names) == ["mean_px", "text"]
    with pytest.raises(ConfigError) as error:
        columns_of("txt == 'a'", TABLE.column_names)
    assert "did you mean 'text'" in str(error.value)
    assert "motion, mean_px, steps, text, camera_px" in str(error.value)


def test_columns_are_described_by_range_or_examples() -> None:
    found = describe([TABLE.select(["mean_px", "text"])])
    assert found == "mean_px runs from 0.1 to 3; text is 'push it', '', 'pull it' or one of 1 more"


LABELLED = pa.table(
    {
        "text": ["it's", 'say "x"', "a\\b", "#1"],
        "labels": pa.array(
            [{"split": "train", "class": "3"}, {"split": "validation"}, {}, None],
            pa.map_(pa.string(), pa.string()),
        ),
    }
)


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("labels.split == 'train'", [0]),
        ('labels["split"] in ("train", "validation")', [0, 1]),
        ("labels['class'] == '3'", [0]),
        ("labels.split is None", [2, 3]),
        ("labels.split != 'train'", [1]),  # a missing label fulfils no comparison
        ("not (labels.split == 'train') and 'valid' in labels.split", [1]),
        ("""text == "it's" """, [0]),
        (r"text == 'it\'s'", [0]),
        ("""text == 'say "x"'""", [1]),
        (r'text == "say \"x\""', [1]),
        (r"text == 'a\\b'", [2]),
        ("text == '#1'", [3]),
        ("text == '#1'\n  or text == \"it's\"\n", [0, 3]),
        (r"text == '\x231'", [3]),
    ],
)
def test_labels_and_quotes_are_read_as_a_person_means_them(where: str, rows: list[int]) -> None:
    assert columns_of(where, LABELLED.column_names)
    assert select([LABELLED], where).nonzero()[0].tolist() == rows


@pytest.mark.parametrize(
    ("where", "described"),
    [
        ("text == 'it's'", "at character 13, .*: the quote before it ends the text"),
        ("text == 'it''s'", "at character 13, .*: two texts stand side by side"),
        ("text == 'push", 'at character 9, "\'push": the quote .* not closed'),
        ("text == “push”", "at character 9, '“push”': “ is a typographic quote"),
        (r"text == 'videos\new.mp4'", "at character 16, .*a backslash stands before 'n'"),
        ("text == r'push'", "at character 10, .*right after a letter"),
        ("text == 'push' # and so on", "at character 16, .*only within quotes"),
        ("text == 'a\nb'", "not closed"),
        ("text = 'push'", "at character 6, .*written =="),
        ("text == 'a' AND text == 'b'", "at character 13, .*AND is not a word of it"),
        ("labels.class == '3'", r"at character 8, .*write labels\['class'\]"),
        ("labels.splt == 'train'", "label 'splt', which no window has; did you mean 'split'"),
        ("labels['none'] == 'train'", "which no window has .labels: class, split"),
        ("labels.split == 3", "labels are texts"),
        ("labels == 'train'", "labels are texts, each asked for by its name"),
        ("text == None", "write 'is None'"),
        ("text > 1e999", "too large"),
        ("text in text", "'text' is a column, where a text or number belongs"),
        ("text in 'push'", "write 'push' in text, or text in"),
        ("text in ('push', text)", "'text' is a column"),
        ("text == " + "1" * 40, "does not fit the columns"),
    ],
)
def test_what_a_filter_cannot_mean_is_refused_with_its_place(where: str, described: str) -> None:
    with pytest.raises(ConfigError, match=described):
        select([LABELLED], where)


@pytest.mark.parametrize(
    "text", ["it's", 'a"b', "a\\b\\'", "tab\t, line\n", "\u2028", "Übung 押す"]
)
def test_any_text_can_be_quoted(text: str) -> None:
    table = pa.table({"text": [text, "another"]})
    assert select([table], f"text == {quoted(text)}").tolist() == [True, False]


def test_labels_are_described_each_by_its_values() -> None:
    assert describe([LABELLED.select(["labels"])]) == (
        "labels.class is '3', None; labels.split is 'train', 'validation', None"
    )
