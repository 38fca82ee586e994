"""The campaign's quick mode: each kind of fault a few times. `make faults` runs the full one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.campaign import Bench
from tests.faults.films import attempt_videos
from tests.faults.results import Result, table
from tests.faults.schedule import Sizes, schedule

SIZES = Sizes(
    inline_steps=28,
    inline_moments=2,
    ray=5,
    ray_starting=1,
    local=8,
    remote=6,
    ray_storage=0,
    source=2,
)
SEED = 11


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    bench = Bench(tmp_path_factory.mktemp("faults") / "bench")
    bench.prepare()
    return bench


def attempt(bench: Bench, kinds: str) -> list[Result]:
    """Run the trials of the quick schedule whose kind begins so."""
    trials = schedule(bench.local, bench.remote, bench.wall_s, SIZES, SEED)
    return [bench.attempt(trial) for trial in trials if trial.kind.startswith(kinds)]


@pytest.mark.parametrize(
    "kinds", ["driver killed", "Ray", "storage fails (local)", "storage fails (remote)", "source"]
)
def test_after_a_fault_the_dataset_comes_out_as_if_there_had_been_none(
    bench: Bench, kinds: str
) -> None:
    results = attempt(bench, kinds)
    assert sum(result.fired for result in results) >= len(results) - 1
    wrong = [note for result in results for note in result.notes]
    assert not wrong, "\n".join([table(results), *wrong])


def test_mutated_videos_cost_nothing_but_themselves(tmp_path: Path) -> None:
    result = attempt_videos(tmp_path / "films", "quick", 0, 40, SEED, repeat=False)
    assert result.fired == 40
    assert not result.notes, "\n".join([table([result]), *result.notes])
