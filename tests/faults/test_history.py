"""Whatever happens to a source and its dataset, it ends as a fresh ingest does.

`python -m tests.faults.history` lives more and longer lives.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.history import Life, live
from tests.faults.tiny import Source, write_pool
from tests.faults.within import Killed, Steps, told

EVENTS = 7
FEW, MORE = range(60), range(64)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every content that any of the two hundred videos may have."""
    return write_pool(tmp_path_factory.mktemp("tiny") / "pool")


@pytest.fixture(scope="module")
def known() -> dict[str, dict[str, str]]:
    """Hashes of fresh ingests, by the state of the source."""
    return {}


@pytest.fixture
def life(pool: Path, tmp_path: Path, known: dict[str, dict[str, str]]) -> Life:
    """A dataset of sixty videos."""
    life = Life(pool, tmp_path, 0, known)
    life.wanted = of(FEW)
    life.complete()
    return life


def of(numbers: range) -> Source:
    return Source(dict.fromkeys(numbers, "a text"))


def update_killed_at(life: Life, step: str, nth: int = 1) -> None:
    """Update, and be killed at the nth time that a step is reached."""
    with pytest.raises(Killed), told(Steps(step, nth)):
        life.ingest()


@pytest.mark.parametrize("seed", range(3))
def test_any_history_ends_with_the_files_of_a_fresh_ingest(
    pool: Path, tmp_path: Path, known: dict[str, dict[str, str]], seed: int
) -> None:
    life = live(pool, tmp_path, seed, EVENTS, known)
    assert life.kills


def test_what_was_retired_and_comes_back_is_made_again_though_killed_updates_left_its_record(
    life: Life,
) -> None:
    for numbers in (MORE, FEW):
        life.wanted = of(numbers)
        update_killed_at(life, "next: record removed", 2)
    life.wanted = of(MORE)
    life.complete()


def test_an_update_that_is_given_up_leaves_no_shard_behind(life: Life) -> None:
    life.wanted = of(MORE)
    update_killed_at(life, "commit: record written", 2)
    life.wanted = of(range(62))
    update_killed_at(life, "stage: begun")
    life.wanted = of(FEW)
    life.ingest(update=False)
    life.judge(clean=True)


def test_an_update_that_is_given_up_and_begun_anew_ends_as_a_fresh_ingest(life: Life) -> None:
    life.wanted = of(MORE)
    update_killed_at(life, "commit: record written", 2)
    life.wanted = of(range(62))
    update_killed_at(life, "stage: plan saved")
    life.wanted = of(range(3, 64))
    life.complete()
