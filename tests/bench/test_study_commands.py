"""From validation cells to a table of goals: freeze, test, export, table and goals as a study runs
them (benchmarks/study/README.md), at toy size."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sofdata.bench.results.table import comparable, export, into_file, table
from sofdata.bench.study.arms import ARMS
from sofdata.bench.study.frozen import freeze
from sofdata.bench.study.run import run
from sofdata.errors import ConfigError
from tests.bench.conftest import tiny
from tests.helpers import script

QUICK = ("decoder.optim.steps=3", "evaluation.max_steps=4", "evaluation.strips=0")
ROOM = (*QUICK, "exploratory=false", "counted=room", "curve=[]", "more_arms=[]")


def as_if(path: Path, **rates: float) -> None:
    """Let a cell have such success by task, and its episodes with it."""
    cell = json.loads(path.read_text())
    cell["success_by_task"] = {name.replace("_", "-"): rate for name, rate in rates.items()}
    for each in cell["episodes"]:
        each["success"] = cell["success_by_task"][each["task"]] >= 0.5
    path.write_text(json.dumps(cell))


def test_a_study_is_frozen_by_the_tasks_with_room_tested_and_held_against_its_goals(
    collected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ARMS, "bc-50", replace(ARMS["bc-50"], demos=2))  # that there are
    out, config = tmp_path / "out", tiny(*ROOM, "arms=[bc, bc-50]")
    bc, most = run(config, collected, out, "validation", workers=1)
    with pytest.raises(ConfigError, match="Before test seeds, measure them on validation seeds"):
        run(config, collected, out, "test", workers=1)
    as_if(bc, push_left=0.0, push_right=0.0)
    as_if(most, push_left=0.0, push_right=0.0)
    with pytest.raises(ConfigError, match="no task counts"):
        freeze(config, out)
    as_if(most, push_left=1.0, push_right=0.0)
    assert json.loads(freeze(config, out).read_text())["counted"]["tasks"] == ["push-left"]

    wanted = tiny(*ROOM, "arms=[bc, bc-50]", "seeds=[0, 1]")
    paths = run(wanted, collected, out, "test", workers=1)
    for path in paths:  # whatever came of it: after test, nothing is counted anew
        as_if(path, push_left=0.0, push_right=1.0)
    assert json.loads(freeze(config, out).read_text())["counted"]["tasks"] == ["push-left"]

    export(out, tmp_path / "results")
    (tmp_path / "results.md").write_text("before\n<!-- bench -->\n<!-- /bench -->\n")
    (results, _), *_ = comparable([str(tmp_path / "results")])
    into_file(tmp_path / "results.md", table(results))
    assert "| pushing | bc | 1 |  | 2 | 0.00 [" in (tmp_path / "results.md").read_text()
    assert "(push-right)" in (tmp_path / "results.md").read_text()
    goals = script("study/goals")
    assert "| not measured |" in goals.markdown(str(tmp_path / "results"))


@pytest.mark.parametrize("preset", ["standard", "scene", "transfer", "play", "look"])
def test_what_a_preset_costs_is_printed(preset: str, capsys: pytest.CaptureFixture[str]) -> None:
    cost = script("study/cost")
    cost.main([preset])
    whole = capsys.readouterr().out
    assert "| **sum** | | **" in whole
    cost.main([preset, "--set", "arms=[sof]", "--set", "more_arms=[]", "--set", "curve=[]"])
    part = capsys.readouterr().out
    assert "trying bc-50" not in part
    assert len(part) < len(whole)
