"""An update, a retry or a repair that is killed, and several commands at once: quick mode."""

from __future__ import annotations

import pytest

from tests.faults.generations import Stage, changes
from tests.faults.results import table

DAMAGES = ("a record is cut", "a shard is gone", "a table is garbled", "the plan is gone")
KILLS, TOGETHER, LIBRARIES, SEED = 30, 4, 3, 11


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    stage = Stage(tmp_path_factory.mktemp("generations") / "stage")
    stage.prepare(DAMAGES)
    return stage


@pytest.mark.parametrize("kinds", ["update", "retry", "repair", "mend", "several", "a library"])
def test_a_change_that_is_disturbed_loses_nothing_and_ends_as_a_fresh_ingest(
    stage: Stage, kinds: str
) -> None:
    trials = changes(stage, KILLS, TOGETHER, LIBRARIES, SEED)
    results = [stage.attempt(trial) for trial in trials if trial.id.startswith(kinds)]
    assert sum(result.fired for result in results) >= len(results) - 1
    wrong = [note for result in results for note in result.notes]
    assert not wrong, "\n".join([table(results), *wrong])
