"""`sofdata.loading.where`: filters select what they say, and wrong ones are explained."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from sofdata.errors import ConfigError
from sofdata.loading.described import describe
from sofdata.loading.quotes import quoted
from sofdata.loading.where import columns_of, select
from sofdata.shards.schema import index_schema

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


def rows(where: object) -> list[int]:
    assert columns_of(where, TABLE.column_names)
    return select([TABLE], where).nonzero()[0].tolist()


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("starts_with(text, 'push')", [0, 3]),
        ("match_like(text, 'pu%it') or utf8_length(text) == 0", [0, 1, 2]),
        ("match_substring(utf8_upper(text), 'PULL')", [2]),
        ("match_substring_regex(text, pattern='^p.*(it|at)$')", [0, 2, 3]),
        ("coalesce(camera_px, 0) < 1.5", [0, 1, 3]),
        ("abs(0 - motion) > 1 and sqrt(mean_px) < 1.5", [2]),
        ("max_element_wise(camera_px, mean_px) >= 2", [2, 3]),
        ("if_else(is_null(camera_px), motion, camera_px) > 1", [2, 3]),
        ("(motion > 0.3) & ~(text == '') | (steps < 4)", [2, 3]),
        ("(pc.field('mean_px') > 0.3) & pc.field('text').isin(['push that', ''])", [1, 3]),
        ("field('camera_px').is_null()", [0, 3]),
        ("pc.is_valid(camera_px)", [1, 2]),
        ("text.isin(('pull it',))", [2]),
    ],
)
def test_functions_of_arrow_are_called_by_their_names(where: str, found: list[int]) -> None:
    assert rows(where) == found


@pytest.mark.parametrize(
    ("where", "described"),
    [
        (
            "start_with(text, 'a')",
            r"start_with\(\) is none of the functions; did you mean 'starts",
        ),
        ("open('/etc/passwd') == text", r"open\(\) is none of the functions"),
        ("binary_repeat(text, 1000000000) == ''", "none of the functions"),
        ("pc.random() > motion", "none of the functions"),
        ("os.system('true') == motion", "is not understood"),
        ("text.cast('int64') > 1", "is not understood"),
        ("motion > 1 & steps < 2", "these need brackets"),
        ("text.isin('push')", "isin takes a list"),
        ("text.is_null(1)", "takes nothing"),
        ("field(text) == 'a'", "is a column, where a text or number belongs"),
        ("field('text', 'steps') == 'a'", "takes one argument"),
        ("starts_with('push', 'p') or steps > 1", "of constants depends on no column"),
        ("starts_with(text)", "does not fit the columns"),
        ("starts_with(text, wrong='p')", "does not fit the columns"),
        ("steps in ()", "a list without values"),
        ("match_substring_regex(text, '(')", "does not fit the columns"),
        ("utf8_length(steps) > 1", "does not fit the columns"),
        ("starts_with(text, **steps)", "is not understood"),
    ],
)
def test_a_wrong_call_is_explained_and_nothing_is_executed(where: str, described: str) -> None:
    with pytest.raises(ConfigError, match=described):
        select([TABLE], where)


def test_a_name_within_a_call_is_a_column_that_must_be_there() -> None:
    with pytest.raises(ConfigError, match="unknown column 'txt'; did you mean 'text'"):
        columns_of("starts_with(txt, 'a')", TABLE.column_names)
    with pytest.raises(ConfigError, match="unknown column 'means_px'; did you mean 'mean_px'"):
        columns_of("pc.field('means_px') > 1", TABLE.column_names)


def test_an_expression_of_pyarrow_is_a_filter_as_it_is() -> None:
    moving = (pc.field("mean_px") > 0.2) & pc.field("text").isin(["pull it", ""])
    assert columns_of(moving, TABLE.column_names) == ["mean_px", "text"]
    assert rows(moving) == [1, 2]
    label = pc.map_lookup(pc.field("labels"), "split", "first") == "train"
    assert select([LABELLED], label).nonzero()[0].tolist() == [0]


def test_an_expression_of_pyarrow_that_does_not_fit_is_explained() -> None:
    with pytest.raises(ConfigError, match="unknown column 'tex'; did you mean 'text'"):
        columns_of(pc.field("tex") == "a", index_schema().names)
    with pytest.raises(ConfigError, match="no kernel matching"):
        columns_of(pc.field("text") > 1, index_schema().names)
    with pytest.raises(ConfigError, match="not a condition"):
        select([TABLE], pc.field("mean_px"))
    with pytest.raises(ConfigError, match=r"a text or an expression of .*, not int"):
        select([TABLE], 3)


def test_rows_stay_in_their_order_whatever_the_tables() -> None:
    numbers = pa.table({"steps": range(3_000_000)}).combine_chunks()  # more than Arrow's batches
    found = select([numbers, numbers.slice(5, 7)], "steps >= 2999998 or steps in (6, 7)")
    assert found.nonzero()[0].tolist() == [6, 7, 2999998, 2999999, 3000001, 3000002]
