"""Whatever happens to a source and its dataset, it ends as a fresh ingest does.

`python -m tests.faults.history` lives more and longer lives.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.history import live
from tests.faults.tiny import write_pool

EVENTS = 7


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every content that any of the two hundred videos may have."""
    return write_pool(tmp_path_factory.mktemp("tiny") / "pool")


@pytest.fixture(scope="module")
def known() -> dict[str, dict[str, str]]:
    """Hashes of fresh ingests, by the state of the source."""
    return {}


@pytest.mark.parametrize("seed", range(3))
def test_any_history_ends_with_the_files_of_a_fresh_ingest(
    pool: Path, tmp_path: Path, known: dict[str, dict[str, str]], seed: int
) -> None:
    life = live(pool, tmp_path, seed, EVENTS, known)
    assert life.kills
