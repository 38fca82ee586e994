"""`sofdata.train.cluster`: workers of Ray Train learn what one process does."""

from __future__ import annotations

from pathlib import Path

import pytest

from sofdata.train.config import load_train_config
from sofdata.train.log import read_metrics
from sofdata.train.run import train_stage
from sofdata.train.stage import StageJob
from tests.train.conftest import TINY


def test_two_workers_have_the_loss_curve_of_one(pushing: Path, tmp_path: Path) -> None:
    curves = []
    for workers in (0, 2):
        out = tmp_path / str(workers)
        config = load_train_config(None, [*TINY, f"machine.workers={workers}"])
        steps: list[int] = []
        job = StageJob("skill", config, (str(pushing),), str(out), {})
        train_stage(job, lambda progress, steps=steps: steps.append(progress.step))  # type: ignore[misc]
        assert steps[-1] == 8
        lines = read_metrics(out / "skill")
        curves.append([line["loss"] for line in lines if line["kind"] == "train"])
    assert curves[0] == pytest.approx(curves[1], rel=1e-3)
