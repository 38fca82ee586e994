"""The wall time: start, schedule, tables; on more workers than cores, with GPUs, on a cluster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sofdata.ingest.config import load_config
from sofdata.ingest.engines.choice import RAY_START_S
from sofdata.ingest.estimate import wall as module
from sofdata.ingest.estimate.figures import Figure
from sofdata.ingest.estimate.population import population_of
from sofdata.ingest.estimate.totals import Totals
from sofdata.ingest.estimate.wall import (
    FINISH_S,
    FINISH_UNIT_S,
    Wall,
    at_once,
    pieces_s,
    scheduled,
    start_up_s,
    wall,
    with_gpus,
    workers_of,
)
from sofdata.ingest.job import UnitJob
from sofdata.ingest.units import Unit
from sofdata.storage.tree import Tree
from sofdata.types import VideoRef

WORK = Figure(100.0, 80.0, 125.0)
UNITS = np.full(10, 10.0)


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cores", lambda: 4)


def totals(in_flow_s: float = 0.0) -> Totals:
    nothing = Figure.exact(0.0)
    return Totals(
        seconds=nothing,
        windows=nothing,
        bytes=nothing,
        cpu_s=nothing,
        cpu_without_flow_s=nothing,
        pairs=nothing,
        in_flow_s=Figure.exact(in_flow_s),
        wall_s=WORK,
        predicted_s=UNITS,
    )


def run(tmp_path: Path, *settings: str, gpus: int = 0, in_flow_s: float = 0.0) -> Wall | None:
    config = load_config(None, settings)
    job = UnitJob(Tree(str(tmp_path)), Tree(str(tmp_path / "d")), config)
    return wall(job, 10, UNITS, totals(in_flow_s), (2.0, 3.0), gpus)


def test_units_are_scheduled_on_no_more_workers_than_cores(tmp_path: Path) -> None:
    found = run(tmp_path, "run.engine=processes", "run.workers=64")
    assert found is not None
    assert (found.workers, found.cores) == (64, 4)
    assert found.work == Figure(30.0, 24.0, 37.5)  # ten units of 10 s on four cores
    assert found.longest_s == 10.0


def test_the_parts_of_a_wall_time_add_up(tmp_path: Path) -> None:
    found = run(tmp_path, "run.engine=ray", "run.workers=2")
    assert found is not None
    around = 2.0 + 3.0 + RAY_START_S + FINISH_S + 10 * FINISH_UNIT_S
    assert found.total.value == pytest.approx(50.0 + around)
    assert found.total.low == pytest.approx(40.0 + around)
    assert found.total.high == pytest.approx(62.5 + around)


def test_workers_that_start_with_the_command_are_waited_for_less() -> None:
    assert start_up_s(2.0, 3.0, is_early=False) == 3.0
    assert start_up_s(2.0, 3.0, is_early=True) == 1.5  # one of four cores planned for 2 s
    assert start_up_s(60.0, 3.0, is_early=True) == 0.0


def test_a_cluster_has_as_many_cores_as_workers_and_without_a_number_no_wall_time(
    tmp_path: Path,
) -> None:
    settings = ("run.engine=ray", "run.address=auto")
    assert run(tmp_path, *settings) is None
    found = run(tmp_path, *settings, "run.workers=10")
    assert found is not None
    assert found.cores is None
    assert found.work.value == 10.0


def test_gpus_that_take_longer_than_the_workers_decide(tmp_path: Path) -> None:
    slow = run(tmp_path, "run.engine=ray", "run.workers=4", gpus=2, in_flow_s=200.0)
    assert slow is not None
    assert slow.work.value == 100.0
    fast = run(tmp_path, "run.engine=ray", "run.workers=4", gpus=2, in_flow_s=20.0)
    assert fast is not None
    assert fast.work.value == 30.0
    assert with_gpus(WORK, Figure(400.0, 360.0, 440.0), 2) == Figure(200.0, 180.0, 220.0)


def test_as_many_are_measured_at_once_as_will_be_busy_at_once() -> None:
    def busy(units: int, seconds: float, *settings: str) -> int:
        return at_once(load_config(None, ["run.engine=processes", *settings]), units, seconds)

    assert busy(100, 400.0) == 4
    assert busy(3, 12.0) == 3
    assert busy(100, 400.0, "run.workers=2") == 2
    assert busy(100, 400.0, "run.workers=64") == 4
    assert busy(1, 3600.0) == 4  # parts of an hour
    assert busy(1, 3600.0, "run.split.from_s=null") == 1
    assert at_once(load_config(None, ["run.engine=inline"]), 100, 400.0) == 0
    assert workers_of(load_config(None, ["run.engine=inline"])) == 1


def test_a_long_video_leaves_its_unit_a_part_and_the_rest_to_others() -> None:
    refs = tuple(VideoRef(name, f"{name}.mp4", 1, "f") for name in ("long", "short", "other"))
    population = population_of((Unit("1", 1, refs[:2]), Unit("2", 2, refs[2:])))
    work_s, lengths = np.array([30.0, 1.0, 2.0]), np.array([180.0, 4.0, 8.0])
    split = load_config(None, []).run
    assert pieces_s(population, work_s, lengths, split).tolist() == [11.0, 2.0, 10.0, 10.0]
    whole = load_config(None, ["run.split.from_s=null"]).run
    assert pieces_s(population, work_s, lengths, whole).tolist() == [31.0, 2.0]
    alone = load_config(None, ["run.engine=inline"]).run
    assert pieces_s(population, work_s, lengths, alone).tolist() == [31.0, 2.0]


def test_a_schedule_keeps_the_relative_range_of_the_work() -> None:
    found = scheduled(replace(WORK, low=50.0), UNITS, 3)
    assert found == Figure(40.0, 20.0, 50.0)
