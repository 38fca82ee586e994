"""`sofdata.ingest.finish` makes by columns the tables and sums that follow row by row."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sofdata.ingest import generation as generations
from sofdata.ingest.finish import finish
from sofdata.ingest.generation import Generation, read_generation, save_generation
from sofdata.ingest.plan import IngestPlan
from sofdata.ingest.verify import verify
from sofdata.shards import commit, parquet
from sofdata.shards.commit import read_record
from sofdata.shards.schema import LedgerRecord
from sofdata.storage.tree import Tree
from sofdata.system import fault_points
from tests.helpers import hashes
from tests.ingest import row_by_row
from tests.ledgers import make_up_dataset

UNITS = 12
TABLES = tuple(row_by_row.SCHEMAS)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def begun(tmp_path: Path) -> tuple[Tree, Generation]:
    return make_up_dataset(tmp_path / "d", UNITS)


def records(dest: Tree, generation: Generation) -> list[LedgerRecord]:
    return [read_record(dest, unit.id) for unit in generation.plan.units]


def check_tables(dest: Tree, generation: Generation, apart: Path) -> None:
    """The tables are to the byte those that are made row by row."""
    row_by_row.write_tables(apart, generation.plan, records(dest, generation))
    for name in TABLES:
        assert pq.read_table(dest.path(name)).equals(pq.read_table(apart / name)), name
        assert Path(dest.path(name)).read_bytes() == (apart / name).read_bytes(), name


def test_tables_are_those_that_are_made_row_by_row(
    begun: tuple[Tree, Generation], tmp_path: Path
) -> None:
    finish(*begun)
    check_tables(*begun, tmp_path)
    assert pq.read_metadata(begun[0].path("index.parquet")).num_rows > 50


def test_counts_and_sums_are_those_of_all_rows_to_the_last_digit(
    begun: tuple[Tree, Generation],
) -> None:
    complete = finish(*begun)
    wanted = row_by_row.counts(begun[1].plan, records(*begun))
    assert {**complete.counts.model_dump(), **wanted} == complete.counts.model_dump()
    assert complete.flow == row_by_row.flow(records(*begun))
    assert complete.counts.ignored_files == {".txt": 2}
    assert complete.libraries.keys() == {each.libraries for each in records(*begun)}


def test_rows_are_cut_into_groups_of_a_fixed_size_wherever_units_end(
    begun: tuple[Tree, Generation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP", 16)
    monkeypatch.setattr(row_by_row, "GROUP", 16)
    finish(*begun)
    check_tables(*begun, tmp_path)
    footer = pq.read_metadata(begun[0].path("index.parquet"))
    sizes = [footer.row_group(number).num_rows for number in range(footer.num_row_groups)]
    assert {*sizes[:-1]} == {16}


def _without_later_fields(values: dict[str, Any]) -> None:
    del values["libraries"]
    for video in values["videos"]:
        for name in ("labels", "inputs", "frames_lost", "frames_undated", "missing_s"):
            del video[name]


def _as_another_writes_them(values: dict[str, Any]) -> None:
    for window in values["windows"]:
        window["offset"] = float(window["offset"])
        window["steps"] = str(window["steps"])


@pytest.mark.parametrize("change", [_without_later_fields, _as_another_writes_them])
def test_records_that_are_older_or_written_otherwise_give_the_same_tables(
    begun: tuple[Tree, Generation], tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    dest, generation = begun
    for unit in generation.plan.units[::2]:
        path = Path(dest.path(f"ledger/{unit.id}.json"))
        values = json.loads(path.read_text())
        change(values)
        path.write_text(json.dumps(values, indent=2))
    finish(dest, generation)
    check_tables(dest, generation, tmp_path)
    assert verify(dest, fast=True).whole


def test_a_real_dataset_has_the_tables_that_are_made_row_by_row(
    dataset: Path, tmp_path: Path
) -> None:
    dest = Tree(str(dataset))
    generation = read_generation(dest)
    assert generation is not None
    check_tables(dest, generation, tmp_path)


def test_every_record_is_read_once(
    begun: tuple[Tree, Generation], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = list[str]()
    real = commit.record_bytes

    def counted(dest: Tree, unit: str, ledger: str) -> bytes:
        read.append(unit)
        return real(dest, unit, ledger)

    monkeypatch.setattr(generations, "record_bytes", counted)
    finish(*begun)
    assert sorted(read) == sorted(begun[1].done)


def _lines(work: Callable[[], object]) -> int:
    """Lines of Python in sofdata that are run for it."""
    count = 0

    def trace(frame: Any, event: str, arg: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace if "sofdata" in frame.f_code.co_filename else None

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    return count


@pytest.fixture
def lines(tmp_path: Path) -> Callable[[int, int], tuple[int, int]]:
    """Lines that are run to finish and to verify a dataset of so many units and videos."""

    def measured(units: int, videos: int) -> tuple[int, int]:
        dest, generation = make_up_dataset(tmp_path / f"{units}-{videos}", units, videos)
        took = _lines(lambda: finish(dest, generation))
        return took, _lines(lambda: verify(dest, fast=True))

    return measured


def test_the_work_grows_with_the_units_and_no_faster(
    lines: Callable[[int, int], tuple[int, int]],
) -> None:
    few, more, most = lines(20, 7), lines(40, 7), lines(80, 7)
    for one, two, four in zip(few, more, most, strict=True):
        assert four - two < 2.2 * (two - one)


def test_the_work_grows_with_the_videos_of_a_unit_and_no_faster(
    lines: Callable[[int, int], tuple[int, int]],
) -> None:
    few, more, most = lines(3, 50), lines(3, 100), lines(3, 200)
    for one, two, four in zip(few, more, most, strict=True):
        assert four - two < 2.2 * (two - one)


def test_memory_does_not_grow_with_the_windows(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.ingest.finish_memory", str(tmp_path)]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    # Both fill the parser's cache of strings.
    (small, few), (large, many) = json.loads(printed)
    assert large - small > 3 << 20
    assert many - few < (large - small) / 10  # what is kept of a unit: its shard, its notes


class Stopped(Exception):
    """A process ends here."""


def _steps(monkeypatch: pytest.MonkeyPatch, stop_at: int = -1) -> list[str]:
    """Notes the steps that are reached from here on, and stops at one of them."""
    reached = list[str]()

    def reach(step: str) -> None:
        reached.append(step)
        if len(reached) == stop_at + 1:
            raise Stopped

    monkeypatch.setattr(fault_points, "_inject", reach)
    return reached


def _an_update(folder: Path) -> tuple[Tree, Generation]:
    """A finished dataset of eight units, and another to be put in its place that shares six."""
    dest, whole = make_up_dataset(folder, 8)
    record = finish(dest, whole)
    more, wanted = make_up_dataset(folder.parent / "more", 10)
    units = wanted.plan.units[2:]
    plan = IngestPlan.of(units, whole.plan.refused)
    update = Generation(plan, record, frozenset(unit.id for unit in units), staged=True)
    save_generation(dest, update)
    for unit in units[-2:]:
        name = f"{unit.id}.json"
        dest.write(f"next/ledger/{name}", more.read(f"ledger/{name}"))
        shard = read_record(more, unit.id).shard
        if shard:
            dest.write(f"shards/{shard.name}", more.read(f"shards/{shard.name}"))
    return dest, update


@pytest.mark.slow
@pytest.mark.parametrize("make", [lambda folder: make_up_dataset(folder, 3), _an_update])
def test_a_finish_that_was_stopped_at_any_step_is_repeated_to_the_same_bytes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Path], tuple[Tree, Generation]],
) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP", 64)
    begun = tmp_path / "begun" / "d"
    make(begun)
    shutil.copytree(begun, tmp_path / "whole")
    steps = _steps(monkeypatch)
    _finish_again(tmp_path / "whole")
    wanted, number = hashes(tmp_path / "whole"), len(steps)
    assert {"finish: tables made", "finish: retired", "table: rows"} <= {*steps}
    for stop_at in range(number):
        folder = tmp_path / str(stop_at)
        shutil.copytree(begun, folder)
        _steps(monkeypatch, stop_at)
        with pytest.raises(Stopped):
            _finish_again(folder)
        _steps(monkeypatch)
        _finish_again(folder)
        Tree(str(folder)).clear_scratch()
        assert hashes(folder) == wanted, steps[stop_at]
        shutil.rmtree(folder)


def _finish_again(folder: Path) -> None:
    dest = Tree(str(folder))
    generation = read_generation(dest)
    assert generation is not None
    finish(dest, generation)
