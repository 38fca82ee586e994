"""Workers that start before there is a plan, and the account of those that there are."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from sofdata.ingest.config import RunConfig, load_config
from sofdata.ingest.engines.choice import may_start_early
from sofdata.ingest.engines.crew import EARLY, Crew, EarlyWorkers, Worker, early_workers
from sofdata.ingest.job import UnitJob
from sofdata.ingest.run import execute, prepare, working_on
from sofdata.storage.tree import Tree
from tests.helpers import hashes

ENGINE = "run.engine=processes"


def pids(early: EarlyWorkers) -> list[int]:
    return [worker.process.pid for worker in early._workers]


def is_gone(worker: Worker) -> bool:
    return worker.process.returncode is not None


def crew_of(workers: int) -> Crew:
    config = load_config(None, [f"run.workers={workers}"])
    return Crew(cast("UnitJob", SimpleNamespace(config=config)))


def ingest(source: Path, dest: Path, early: EarlyWorkers, *settings: str) -> None:
    """Ingest with workers that were started before."""
    begin, end, config = Tree(str(source)), Tree(str(dest)), load_config(None, [ENGINE, *settings])
    with working_on(begin, end, config):
        execute(prepare(begin, end, config, "auto"), lambda event: None, early)


def test_workers_that_start_early_make_the_same_bytes_and_end_with_the_run(
    corpus: Path, dataset: Path, tmp_path: Path
) -> None:
    with early_workers(2) as early:
        workers = list(early._workers)
        assert len(workers) == 2
        ingest(corpus, tmp_path / "d", early, "run.workers=2")
        assert not early._workers, "they were taken over"
    assert all(map(is_gone, workers))
    assert hashes(tmp_path / "d") == hashes(dataset)


def test_one_that_has_died_before_the_plan_is_replaced(
    corpus: Path, dataset: Path, tmp_path: Path
) -> None:
    with early_workers(1) as early:
        os.kill(pids(early)[0], signal.SIGKILL)
        ingest(corpus, tmp_path / "d", early, "run.workers=1")
    assert hashes(tmp_path / "d") == hashes(dataset)


def test_those_that_nobody_takes_end_with_the_block() -> None:
    with early_workers(2) as early:
        workers = list(early._workers)
    assert len(workers) == 2
    assert all(map(is_gone, workers))


def test_no_more_are_kept_than_there_are_units() -> None:
    with early_workers(2) as early:
        workers = list(early._workers)
        crew = crew_of(2)
        try:
            crew.fill(1, early)
            assert [is_gone(worker) for worker in workers] == [False, True]
            assert len(crew) == 1
        finally:
            crew.end()
    assert all(map(is_gone, workers))


def test_few_start_early_however_many_are_wanted() -> None:
    with early_workers(1000) as early:
        assert len(early._workers) == EARLY
    with early_workers(1000, wanted=False) as early:
        assert not early._workers


@pytest.mark.parametrize(
    ("engine", "place", "starts"),
    [
        ("auto", "new", True),
        ("processes", "new", True),
        ("ray", "new", False),
        ("inline", "new", False),
        ("auto", "begun", False),  # of which nothing may be left to do
        ("auto", "memory://x", False),
    ],
)
def test_they_start_early_where_there_will_be_work_for_them(
    engine: str, place: str, starts: bool, tmp_path: Path
) -> None:
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "dataset.json").write_text("{}")
    dest = Tree(place if "://" in place else str(tmp_path / place))
    assert may_start_early(RunConfig.model_validate({"engine": engine}), dest) is starts
