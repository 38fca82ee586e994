"""The checks of `verify`, by columns: they find one wrong row among many, and ask for little."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sofdata.ingest import check_tables
from sofdata.ingest.check_units import reaching_into
from sofdata.ingest.finish import finish
from sofdata.ingest.verify import Finding, Remedy, verify
from sofdata.storage.folder import Where
from sofdata.storage.tree import Tree
from tests.ledgers import make_up_dataset

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture
def whole(tmp_path: Path) -> Tree:
    dest, generation = make_up_dataset(tmp_path / "d", 8)
    finish(dest, generation)
    assert verify(dest, fast=True).findings == ()
    return dest


def found(dest: Tree) -> list[Finding]:
    return [*verify(dest, fast=True).findings]


@pytest.mark.parametrize("batch", [1, 7, 1 << 14])
@pytest.mark.parametrize("row", [0, 20, -1])
def test_the_first_row_that_differs_is_named(
    whole: Tree, row: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_tables, "BATCH_ROWS", batch)
    table = pq.read_table(whole.path("index.parquet"))
    number = row % table.num_rows
    values = table["p99_px"].to_pylist()
    values[number] += 1e-9
    place = table.schema.get_field_index("p99_px")
    field = table.schema.field(place)
    pq.write_table(table.set_column(place, field, pa.array(values)), whole.path("index.parquet"))
    what = f"rows from {number} on do not follow from plan and ledger"
    assert found(whole) == [Finding("index.parquet", what, Remedy.TABLES)]


@pytest.mark.parametrize("name", ["index.parquet", "rejects.parquet", "videos.parquet"])
def test_a_row_too_many_or_too_few_is_found(whole: Tree, name: str) -> None:
    table = pq.read_table(whole.path(name))
    number = table.num_rows
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), whole.path(name))
    what = f"it has {number + 1} rows instead of {number}"
    assert found(whole) == [Finding(name, what, Remedy.TABLES)]
    pq.write_table(table.slice(0, number - 1), whole.path(name))
    what = f"rows from {number - 1} on do not follow from plan and ledger"
    assert found(whole) == [Finding(name, what, Remedy.TABLES)]


def test_long_texts_are_compared_a_few_at_a_time(
    whole: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_tables, "MOST_BYTES", 100)
    assert verify(whole, fast=True).whole


def _first_done(values: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in values["videos"] if each["windows"])
    return found


CHANGES: dict[str, Change] = {
    "counts of written windows differ": lambda values: _first_done(values).update(windows=77),
    "counts of rejected windows differ": lambda values: _first_done(values).update(
        windows_rejected={"static": 77}
    ),
    "with [0-9] windows": lambda values: _first_done(values).update(status="rejected"),
    "windows of videos that are not its own": lambda values: values["windows"][0].update(
        source="else"
    ),
    "it lists [0-9]+ windows, and its shard has": lambda values: values["windows"].pop(),
    "its videos are not those of the plan": lambda values: values["videos"].reverse(),
    "it is the record of unit": lambda values: values.update(ordinal=99),
    "made with another configuration": lambda values: values.update(config_sha256="d" * 64),
    "does not fit the schema: .*offset": lambda values: values["windows"][0].update(offset=-512),
    "does not fit the schema: windows.0.more": lambda values: values["windows"][0].update(more=1),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_record_that_does_not_agree_with_itself_or_the_plan_is_named(
    whole: Tree, what: str
) -> None:
    path = sorted(Path(whole.path("ledger")).iterdir())[3]
    values = json.loads(path.read_text())
    CHANGES[what](values)
    path.write_text(json.dumps(values))
    ours = [each for each in found(whole) if each.where == f"ledger/{path.name}"]
    assert any(re.search(what, each.what) for each in ours), found(whole)
    assert {(each.remedy, each.unit) for each in ours} == {(Remedy.RERUN, path.stem)}


def _change_the_plan(dest: Tree, change: Callable[[dict[str, list[Any]]], None]) -> None:
    table = pq.read_table(dest.path("plan.parquet"))
    columns = table.to_pydict()
    change(columns)
    pq.write_table(pa.table(columns, schema=table.schema), dest.path("plan.parquet"))


def test_a_unit_that_does_not_have_the_id_of_its_videos_is_named(whole: Tree) -> None:
    def change(columns: dict[str, list[Any]]) -> None:
        columns["fingerprint"][-1] = "another"

    _change_the_plan(whole, change)
    unit = pq.read_table(whole.path("plan.parquet"))["unit"][-1].as_py()
    assert unit
    what = f"unit {unit} does not have the id of its videos"
    assert found(whole) == [Finding("plan.parquet", what, Remedy.PLAN)]


def test_a_plan_that_says_the_same_in_other_words_is_whole(whole: Tree) -> None:
    def change(columns: dict[str, list[Any]]) -> None:
        columns["labels"] = [" { } " if each == "{}" else each for each in columns["labels"]]

    _change_the_plan(whole, change)
    assert found(whole) == []


def test_windows_reach_into_spans_that_they_touch() -> None:
    windows = [(0, 0.0, 1.0), (1, 1.5, 2.5), (2, 3.0, 4.0), (3, 8.0, 9.0)]
    spans_s = [(4.0, 5.0), (0.5, 0.6), (0.0, 6.0), (6.0, 7.0)]
    assert [number for number, _ in reaching_into(windows, spans_s[:2])] == [0, 2]
    assert [number for number, _ in reaching_into(windows, spans_s)] == [0, 1, 2]
    assert [*reaching_into(windows, [])] == []


def test_windows_are_found_as_by_comparing_each_with_each_span() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        starts, lengths = rng.integers(0, 60, 30), rng.integers(0, 5, 30)
        spans_s = [(float(a), float(a + b)) for a, b in zip(starts[:9], lengths[:9], strict=True)]
        ends = starts + lengths
        windows = [(n, float(starts[n]), float(ends[n])) for n in range(9, 30)]
        touching = dict(reaching_into(windows, spans_s))
        for number, start_s, end_s in windows:
            those = [span for span in spans_s if start_s <= span[1] and span[0] <= end_s]
            assert (touching[number] in those) if those else (number not in touching)


class Counting(Tree):
    """A tree that counts what is asked of its store."""

    asked: ClassVar[Counter[str]] = Counter()

    def size(self, where: Where) -> int:
        self.asked["size"] += 1
        return super().size(where)

    def exists(self, where: Where = "") -> bool:
        self.asked["exists"] += 1
        return super().exists(where)

    def read_range(self, where: Where, start: int, end: int) -> bytes:
        self.asked["read"] += 1
        return super().read_range(where, start, end)

    def names(self, folder: str) -> list[str]:
        self.asked["list"] += 1
        return super().names(folder)

    def walk(self, rel: str = "", folders: bool = False) -> Any:
        self.asked["list"] += 1
        return super().walk(rel, folders)


def _asked(work: Callable[[], object]) -> Counter[str]:
    Counting.asked.clear()
    work()
    return Counter(Counting.asked)


def _costs(units: int) -> tuple[Counter[str], Counter[str]]:
    """What is asked to finish and to verify a dataset of so many units."""
    _, generation = make_up_dataset(f"memory://checks-{units}", units)
    dest = Counting(f"memory://checks-{units}")
    finishing = _asked(lambda: finish(dest, generation))
    return finishing, _asked(lambda: verify(dest, fast=True))


def test_in_a_store_a_unit_costs_one_request_to_finish_and_one_to_verify() -> None:
    for few, more in zip(_costs(6), _costs(12), strict=True):
        assert more - few == {"read": 6}


def test_in_a_store_a_shard_of_another_size_and_one_that_is_gone_are_found() -> None:
    dest, generation = make_up_dataset("memory://sizes", 4)
    finish(dest, generation)
    one, other, *_ = dest.names("shards")[1:]
    dest.write(f"shards/{one}", b"short")
    dest.remove(f"shards/{other}")
    assert {each.where: each.what.split(" ")[0:3] for each in found(dest)} == {
        f"shards/{one}": ["it", "has", "5"],
        f"shards/{other}": ["it", "is", "missing"],
    }
