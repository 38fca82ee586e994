"""The fuzz of strangers' datasets, quick: `python -m tests.faults.strangers` runs 2,000."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.lies import KINDS, mutate
from tests.helpers import hashes

QUICK = int(os.environ.get("SOFDATA_STRANGERS", "100"))  # trials


def test_altered_datasets_end_in_an_answer_or_an_error_of_ours(tmp_path: Path) -> None:
    """In a process of its own, whose memory is measured."""
    command = [sys.executable, "-m", "tests.faults.strangers", "--trials", str(QUICK)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--seed", "11", "--state", str(tmp_path / "fuzz")],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-5000:]
    assert f"| **all** | {QUICK} |" in done.stdout


@pytest.mark.parametrize("number", range(len(KINDS)))
def test_the_same_seed_alters_the_same(dataset: Path, tmp_path: Path, number: int) -> None:
    told = []
    for name in ("one", "other"):
        shutil.copytree(dataset, tmp_path / name)
        told.append(mutate(tmp_path / name, 3, number))
    assert told[0] == told[1]
    if "link" not in told[0]:
        assert hashes(tmp_path / "one") == hashes(tmp_path / "other")
