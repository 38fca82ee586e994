"""The demo, at a size for tests."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from sofdata.bench.study.config import load_bench_config
from sofdata.cli.demo import PRESETS, TASKS, DemoSize, run_demo

TINY = DemoSize(
    suite="pushing",
    clips=1,
    videos=2,
    demos=3,
    ingest=("run.engine=inline", "flow.size=64"),
    train=(
        "skill.optim.steps=4",
        "planner.optim.steps=4",
        "decoder.optim.steps=4",
        "skill.model.width=32",
        "planner.model.prior.width=32",
        "planner.model.dynamics.width=32",
        "decoder.model.width=32",
    ),
    bench=(
        "videos=2",
        "ingest.run.engine=inline",
        "skill.optim.steps=4",
        "planner.optim.steps=4",
        "decoder.optim.steps=4",
        "evaluation.episodes=1",
        "evaluation.max_steps=8",
    ),
)


def test_what_is_collected_is_what_is_compared() -> None:
    for suite, preset in PRESETS.items():
        config = load_bench_config(preset)
        assert (config.suite, config.tasks) == (suite, TASKS[suite])


@pytest.mark.slow
def test_the_demo_goes_from_a_film_to_a_page_and_again_in_no_time(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=160)
    run_demo(str(tmp_path), TINY, console)
    for part in ("film", "ssv2", "videos", "demonstrations"):
        assert (tmp_path / f"{part}-dataset" / "contact_sheet.png").exists()
    assert (tmp_path / "film.mp4").exists()
    assert (tmp_path / "ssv2-dataset" / "copies.parquet").exists()
    windows = pq.read_table(tmp_path / "film-dataset" / "index.parquet").to_pylist()
    assert {window["cut"] for window in windows} <= {"start", "motion", "length", "idle", "shot"}
    assert "sofdata view" in console.file.getvalue()  # type: ignore[attr-defined]
    assert (tmp_path / "models" / "train_report.md").exists()
    page = (tmp_path / "bench" / "report.html").read_text()
    for arm in ("bc", "sof-shuffled", "sof"):
        assert f">{arm}</th>" in page
    assert "what the robot did" in page
    cells = sorted((tmp_path / "bench" / "cells").iterdir())
    made = {path: path.stat().st_mtime_ns for path in [*cells, tmp_path / "models/skill/model.pt"]}
    run_demo(str(tmp_path), TINY, console)
    assert made == {path: path.stat().st_mtime_ns for path in made}
