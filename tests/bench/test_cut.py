"""The benchmark with windows that differ in length: what goes by one length is refused by name."""

from __future__ import annotations

import pytest
import torch

from sofdata.bench.study.config import BenchConfig, load_bench_config
from sofdata.bench.study.frozen import chosen
from sofdata.errors import ConfigError
from sofdata.types import ActionBatch
from tests.bench.test_naming import videos

MOTION = ["ingest.windows.cut=motion", "ingest.windows.length=8", "evaluation.execute=6"]


def test_actions_beyond_the_shortest_window_are_not_carried_out() -> None:
    assert load_bench_config(None, MOTION).evaluation.execute == 6  # 3 steps of two actions each
    with pytest.raises(ConfigError, match=r"set evaluation\.execute=6, not 8"):
        load_bench_config(None, [*MOTION, "evaluation.execute=8"])
    load_bench_config(None, [*MOTION, "evaluation.execute=8", "ingest.windows.shortest=4"])


@pytest.mark.parametrize(
    ("key", "more"),
    [
        ("evaluation.ensemble", ["evaluation.ensemble=0.01"]),
        ("decoder.model.history", ["decoder.model.history=2"]),
        ("lapa.model.reads=frames", ["lapa.model.reads=frames"]),
        ("naming.overlap", ["naming.overlap=true", "ingest.windows.shots=false"]),
    ],
)
def test_what_goes_by_windows_of_one_length_is_refused(key: str, more: list[str]) -> None:
    with pytest.raises(ConfigError, match=key):
        load_bench_config(None, [*MOTION, *more])


def test_settings_frozen_before_keep_what_they_are_known_by() -> None:
    windows = chosen(BenchConfig())["ingest"]["windows"]
    assert not {"cut", "shortest", "change", "trim", "trim_margin", "trim_inside"} & set(windows)
    assert chosen(load_bench_config(None, MOTION))["ingest"]["windows"]["cut"] == "motion"


def test_named_actions_are_as_many_as_the_steps_of_a_window_have() -> None:
    windows = videos([3, 4, 1])  # steps, all in one window of at most four
    named = windows.with_actions(torch.ones(len(windows), 6, 1), per_step=2)
    assert isinstance(named.batch, ActionBatch)
    assert named.batch.steps.tolist() == [3, 4, 1]
    assert named.batch.action_mask.sum(1).tolist() == [6, 6, 2]  # of the second, 6 of 8 are named
