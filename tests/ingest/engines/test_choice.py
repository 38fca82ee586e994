"""Which engine `auto` is: by settings, by the work, and by what is installed."""

from __future__ import annotations

from typing import Any

import pytest

from sofdata.errors import ConfigError
from sofdata.flow.config import FlowConfig
from sofdata.ingest.config import RunConfig, load_config
from sofdata.ingest.engines.choice import (
    CORE_S_PER_VIDEO_S,
    RAY_FROM_S,
    WITHOUT_RAY,
    check_engine,
    choose,
    may_use_processes,
    may_use_ray,
)
from sofdata.ingest.work import GUESSED_BYTES_PER_S, Work

CPU = FlowConfig(estimator="dis", device="cpu")
CUDA = FlowConfig(estimator="ptlflow:raft", device="cuda")
ENOUGH_S = RAY_FROM_S / CORE_S_PER_VIDEO_S  # of video for one core
CLIPS = Work(10, 0.0, 10 * 40_000)
LONG = Work(1, 0.0, int(8 * ENOUGH_S * GUESSED_BYTES_PER_S) + 1)
SPANS = Work(9000, 8 * ENOUGH_S + 1, 0)


@pytest.mark.parametrize(
    ("given", "flow", "work", "has_ray", "engine"),
    [
        ({}, CPU, CLIPS, True, "processes"),
        ({}, CPU, CLIPS, False, "processes"),
        ({}, CPU, Work(), True, "processes"),
        ({}, CPU, LONG, True, "ray"),
        ({}, CPU, SPANS, True, "ray"),
        ({}, CPU, LONG, False, "processes"),
        ({"workers": 64}, CPU, LONG, True, "processes"),  # eight times less for each
        ({"workers": 1}, CPU, Work(1, ENOUGH_S / 2), True, "processes"),
        ({"workers": 1}, CPU, Work(1, ENOUGH_S * 2), True, "ray"),
        ({}, CUDA, CLIPS, True, "ray"),
        ({}, CUDA, CLIPS, False, "processes"),
        ({"address": "10.0.0.7:6379"}, CPU, CLIPS, True, "ray"),
        ({"flow_actors": 1}, CPU, CLIPS, True, "ray"),
        ({"flow_resource": "flow"}, CPU, CLIPS, True, "ray"),
        ({"engine": "ray"}, CPU, CLIPS, True, "ray"),
        ({"engine": "processes"}, CPU, LONG, True, "processes"),
        ({"engine": "inline"}, CPU, LONG, True, "inline"),
    ],
)
def test_the_engine_follows_from_settings_work_and_what_is_installed(
    given: dict[str, Any], flow: FlowConfig, work: Work, has_ray: bool, engine: str
) -> None:
    choice = choose(RunConfig(**given), flow, work, cores=8, has_ray=has_ray)
    assert choice.engine == engine
    assert choice.why


def test_the_reason_names_the_work_and_from_where_ray_pays() -> None:
    work = Work(1, 60.0 / CORE_S_PER_VIDEO_S)
    small = choose(RunConfig(), CPU, work, cores=2, has_ray=True)
    assert (
        small.why == "with processes of this machine: about 0:30 of work a core (Ray from 3:20 on)"
    )
    assert choose(RunConfig(), CPU, LONG, cores=8, has_ray=True).why.startswith(
        "on Ray: about 3:20"
    )
    named = choose(RunConfig(address="auto"), CPU, CLIPS, cores=8, has_ray=True)
    assert named.why == "on Ray, for run.address"


def test_long_work_without_ray_says_how_to_install_it() -> None:
    assert choose(RunConfig(), CPU, LONG, cores=8, has_ray=False).why == WITHOUT_RAY
    assert "pip install 'sofdata[ray]'" in WITHOUT_RAY


@pytest.mark.parametrize(
    "setting", ["run.address=auto", "run.flow_actors=1", "run.flow_resource=G"]
)
def test_processes_refuse_what_only_ray_can_do(setting: str) -> None:
    with pytest.raises(ConfigError, match=f"{setting.partition('=')[0]} is for Ray's workers"):
        check_engine(load_config(None, ["run.engine=processes", setting]))
    check_engine(load_config(None, ["run.engine=ray", setting]))
    check_engine(load_config(None, [setting]))


@pytest.mark.parametrize(
    ("given", "ray", "processes"),
    [
        ({}, True, True),
        ({"engine": "ray"}, True, False),
        ({"engine": "processes"}, False, True),
        ({"engine": "inline"}, False, False),
        ({"address": "auto"}, True, False),
    ],
)
def test_what_may_run_it_is_known_before_the_work_is(
    given: dict[str, Any], ray: bool, processes: bool
) -> None:
    run = RunConfig(**given)
    assert (may_use_ray(run), may_use_processes(run)) == (ray, processes)
