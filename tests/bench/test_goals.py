"""benchmarks/study/goals.py: each goal is met, missed by so much, or not measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import script

ROOT = Path(__file__).parents[2]
TASKS = ("open", "close", "press")


goals = script("study/goals")


def cell(
    arm: str, wins: tuple[int, ...], *, suite: str = "metaworld", demos: int = 1, **more: Any
) -> dict[str, Any]:
    """A result in which so many of ten episodes of each task succeeded."""
    named = more.get("held_out", TASKS)
    episodes = [
        {"task": task, "seed": seed, "success": seed < won, "steps": 5}
        for task, won in zip(named, wins, strict=True)
        for seed in range(10)
    ]
    identity = {"suite": suite, "arm": arm, "demos": demos, "seed": 0, "videos": 0}
    return {
        "hash": json.dumps([suite, arm, demos, wins, more]),
        "chosen_sha256": ["a"],
        "data_sha256": "d",
        "cell": identity | {"purpose": "test"} | more,
        "success": sum(wins) / len(wins) / 10,
        "success_by_task": {task: won / 10 for task, won in zip(named, wins, strict=True)},
        "evaluation_seeds": list(range(10)),
        "episodes": episodes,
        "chunk_error": None,
        "cpu_s": {"decoder": 1.0},
    }


def found(tmp_path: Path, *cells: dict[str, Any]) -> Any:
    """By measure, what was found and whether it is met."""
    (tmp_path / "cells.json").write_text(json.dumps({"cells": cells}))
    study = goals.read_study([str(tmp_path / "cells.json")])
    return {row.measure: (row.found, row.met) for row in goals.rows_of(study)}


def test_a_goal_without_results_is_not_measured(tmp_path: Path) -> None:
    rows = found(tmp_path, cell("bc", (1, 1, 1)))
    assert {met for _, met in rows.values()} == {"not measured"}
    assert len(rows) == 19


def test_a_ceiling_is_met_or_missed_by_so_much(tmp_path: Path) -> None:
    name = "`bc-50`, counted Meta-World tasks"
    assert found(tmp_path, cell("bc-50", (10, 10, 10), demos=50))[name][1] == "met"
    missed = found(tmp_path, cell("bc-50", (10, 10, 4), demos=50))
    assert missed[name][0].startswith("0.80 [")
    assert missed[name][1] == "missed by 0.15"


def test_only_tasks_count_that_the_freeze_record_names(tmp_path: Path) -> None:
    cells = [cell("bc-50", (10, 10, 4), demos=50), cell("bc", (2, 2, 9)), cell("sof", (6, 6, 0))]
    rows = found(tmp_path, *(each | {"counted": ["open", "close"]} for each in cells))
    assert rows["`bc-50`, counted Meta-World tasks"] == ("1.00 [1.00, 1.00]", "met")
    text, _ = rows["Meta-World K = 1: best skill arm over `bc`"]
    assert text.startswith("`sof`: +0.40 [")


def test_the_best_skill_arm_is_compared_with_cloning(tmp_path: Path) -> None:
    cells = [cell("bc", (2, 2, 2)), cell("sof", (5, 5, 5)), cell("sof+clone", (9, 9, 9))]
    controls = [cell("sof-shuffled", (10, 10, 10)), cell("sof-novideo", (1, 1, 1))]
    rows = found(tmp_path, *cells, *controls, cell("bc", (10, 10, 10), demos=10))
    text, met = rows["Meta-World K = 1: best skill arm over `bc`"]
    assert text.startswith("`sof+clone`: +0.70 [")
    assert met == "met"
    text, met = rows["Meta-World K = 1 with videos: best skill arm over `bc` at K = 10"]
    assert text.startswith("`sof+clone`: -0.10 [")
    assert met == "missed by 0.10"
    assert rows["`sof-shuffled`, metaworld: `sof` over it"][1].startswith("missed its lower end by")
    assert rows["`sof-novideo`, metaworld: `sof` over it"][1] == "met"


def test_transfer_is_over_all_folds_and_compared_on_the_same_tasks(tmp_path: Path) -> None:
    folds = [
        cell(arm, wins, demos=10, held_out=list(tasks))
        for arm, each in (("sof", (8, 8, 4)), ("bc", (0, 1, 0)), ("lapa+clone", (8, 8, 4)))
        for tasks, wins in ((TASKS[:2], each[:2]), (TASKS[2:], each[2:]))
    ]
    rows = found(tmp_path, *folds, cell("bc", (9, 9, 9), demos=10))
    mean = rows["Meta-World, a task without labels: mean"]
    assert mean[0].startswith("`sof`: 0.67 [")
    assert mean[1] == "met"
    bc = rows["Meta-World, a task without labels: `bc`"]
    assert bc[0].startswith("`sof`: +0.63 [")
    assert bc[1] == "met"
    lapa = rows["Meta-World, a task without labels: `lapa+clone`"]
    assert lapa == ("`sof`: +0.00 [+0.00, +0.00]", "missed its lower end by 0.00")
    labelled = rows["Meta-World, a task without labels: over `bc` with labels, K = 10"]
    assert labelled[0].startswith("`sof`: -0.23 [")
    assert labelled[1] == "missed by 0.08"


def test_play_and_another_look_have_rows_of_their_own(tmp_path: Path) -> None:
    play: dict[str, Any] = {"labels": "play", "play_minutes": 20, "demos": 0}
    cells = [
        cell("sof", (4, 4, 4), **play),
        cell("lapa+clone", (1, 1, 1), **play),
        cell("sof", (6, 6, 6), look="other"),
        cell("bc", (2, 2, 2)),
    ]
    rows = found(tmp_path, *cells)
    assert rows["Meta-World, labels from play only: mean"][1] == "met"
    assert rows["Meta-World, labels from play only: over `lapa+clone`"][1] == "met"
    look = rows["metaworld K = 1, videos of another look: best skill arm over `bc`"]
    assert look[0].startswith("`sof`: +0.40 [")
    assert rows["Meta-World K = 1: best skill arm over `bc`"][1] == "not measured"  # no mixing


def test_search_is_met_where_any_interval_is_above_drawing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, name = cell("sof", (5, 5, 5)), "search over drawing (`sof`)"
    worse, better = cell("sof+mpc", (4, 4, 4)), cell("sof+mpc", (9, 9, 9))
    monkeypatch.setattr(goals, "retired", lambda: False)
    assert found(tmp_path, drawn, worse)[name][1].startswith("missed: no interval is above 0")
    assert found(tmp_path, drawn, better)[name][1] == "met"
    monkeypatch.setattr(goals, "retired", lambda: True)
    assert found(tmp_path, drawn, worse)[name][1] == "met: retired, no preset of the study has it"


def test_a_place_without_results_ends_with_what_to_try(tmp_path: Path) -> None:
    (tmp_path / "cells.json").write_text('{"cells": []}')
    with pytest.raises(SystemExit, match="run the benchmark first"):
        goals.main(str(tmp_path))
