"""Transfer, labels from play and videos of another look stand beside ordinary results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sofdata.bench.results.kinds import joined_folds, kind_of
from sofdata.bench.results.table import (
    Group,
    comparable,
    export,
    grouped,
    success_of,
    summary,
    table,
)
from sofdata.errors import ConfigError
from sofdata.report.benchmark import PAGE, TABLE, write_benchmark
from tests.report.test_benchmark_page import result as whole
from tests.report.test_benchmark_page import write

TASKS = ("open", "close", "press", "turn")


def cell(arm: str, wins: int, *, tried: tuple[str, ...] = TASKS, **more: Any) -> dict[str, Any]:
    """A result over tasks of ten episodes, of which the first so many succeed."""
    made = whole(arm, wins, demos=10, videos=0 if arm == "bc" else 50)
    episodes = [
        {"task": task, "seed": seed, "success": seed < wins, "steps": 20 + seed}
        for task in tried
        for seed in range(10)
    ]
    made["cell"] |= more
    tag = "-".join(str(value) for value in more.values())
    return made | {
        "hash": f"{made['hash']}-{tag}",
        "success_by_task": dict.fromkeys(tried, wins / 10),
        "episodes": episodes,
        "strips": [f"{tried[0]}-0.png"],
    }


def fold(arm: str, wins: int, *tasks: str, seed: int = 0) -> dict[str, Any]:
    return cell(arm, wins, tried=tasks, held_out=list(tasks), seed=seed)


def test_a_cell_says_what_it_is_of() -> None:
    assert kind_of(cell("bc", 1)["cell"]) == ""
    empty: dict[str, Any] = {"held_out": [], "labels": "demos", "play_minutes": 0, "look": ""}
    assert kind_of(cell("bc", 1, **empty)["cell"]) == ""
    assert kind_of(fold("bc", 1, "open")["cell"]) == "transfer"
    assert kind_of({"labels": "play", "play_minutes": 10}) == "play"
    assert kind_of({"held_out": ["open"], "look": "other"}) == "transfer+look"


def test_the_folds_of_a_transfer_are_one_result_over_the_tasks_of_all() -> None:
    folds = [fold("sof", 8, "open", "close"), fold("sof", 4, "press", "turn")]
    (joined,) = joined_folds(folds)
    assert joined["success"] == pytest.approx(0.6)
    assert joined["success_by_task"] == {"close": 0.8, "open": 0.8, "press": 0.4, "turn": 0.4}
    assert joined["cell"]["held_out"] == sorted(TASKS)
    assert joined["strip_hashes"] == {
        "open-0.png": folds[0]["hash"],
        "press-0.png": folds[1]["hash"],
    }
    ((group, cells),) = grouped(folds).items()
    assert group == Group("toy", "sof", 10, 50, "transfer")
    assert success_of(cells).mean == pytest.approx(0.6)


def test_tasks_with_labels_do_not_count_in_a_transfer() -> None:
    made = cell("sof", 10, held_out=["open"])
    for each in made["episodes"]:
        each["success"] = each["success"] and each["task"] != "open"
    made["success_by_task"]["open"] = 0.0
    (joined,) = joined_folds([made])
    assert joined["success"] == 0.0
    assert list(joined["success_by_task"]) == ["open"]
    assert joined["steps_to_success"] is None


def test_a_task_that_is_left_out_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="several results of sof are of one training seed"):
        grouped([fold("sof", 8, "open", "close"), fold("sof", 4, "press", "open")])


def test_ordinary_cells_and_others_are_never_mixed(tmp_path: Path) -> None:
    cells = [
        cell("bc", 5),
        cell("sof", 6),
        fold("bc", 0, "open", "close"),
        fold("bc", 2, "press", "turn"),
        fold("sof", 8, "open", "close"),
        fold("sof", 4, "press", "turn"),
        cell("sof", 3, labels="play", play_minutes=20),
        cell("sof", 7, look="other"),
    ]
    text = table(cells)
    ordinary, transfer, play, look = text.split("### ")
    assert "| toy | bc | 10 |  | 1 | 0.50 [" in ordinary
    assert "| toy | sof | 10 | 50 | 1 | 0.60 [" in ordinary
    assert look.startswith("Videos of another look\n\nThe videos have another camera")
    assert "| toy | sof | 10 | 50 | 1 | 0.70 [" in look
    assert play.startswith("Labels from play\n")
    assert "| toy | sof | 20 | 50 | 1 | 0.30 [" in play  # minutes
    assert transfer.startswith("Tasks without labels\n")
    assert "| toy | bc | 10 |  | 1 | 0.10 [" in transfer
    assert "| +0.50 [" in transfer  # sof has 0.6 there
    assert table(cells[:2]) == ordinary.strip()
    rows = summary(cells)["results"]
    assert [row["kind"] for row in rows] == ["", "transfer", "", "look", "transfer", "play"]


def test_an_arm_that_lacks_a_fold_is_left_out_and_counted(tmp_path: Path) -> None:
    write(
        tmp_path,
        fold("sof", 8, "open", "close"),
        fold("sof", 4, "press", "turn"),
        fold("bc", 0, "open", "close"),
        cell("sof", 6),
    )
    (ordinary, out), (transfer, left_out) = comparable([str(tmp_path)])
    assert ([each["cell"]["arm"] for each in ordinary], out) == (["sof"], 0)
    assert ([each["cell"]["arm"] for each in transfer], left_out) == (["sof", "sof"], 1)


def test_each_kind_is_exported_into_a_file_of_its_own_and_read_back(tmp_path: Path) -> None:
    write(tmp_path, cell("bc", 5), fold("bc", 0, "open"), fold("bc", 2, "press"))
    into = tmp_path / "results"
    paths = [path.name for path, _ in export(tmp_path, into)]
    assert paths == ["toy.json", "toy-transfer.json"]
    assert [len(cells) for cells, _ in comparable([str(into)])] == [1, 2]


def test_what_a_transfer_is_compared_with_replaces_no_results_of_the_suite(tmp_path: Path) -> None:
    into = tmp_path / "results"
    own = {"chosen_sha256": ["of the suite"]}
    write(tmp_path / "suite", cell("bc", 5) | own, cell("sof", 6) | own)
    ((path, _),) = export(tmp_path / "suite", into)
    before = path.read_bytes()
    folds = fold("bc", 0, "open", "close"), fold("sof", 8, "open", "close")
    write(tmp_path / "transfer", *folds, cell("bc", 4))
    assert export(tmp_path / "transfer", into) == [(path, 1), (into / "toy-transfer.json", 0)]
    assert path.read_bytes() == before
    assert [len(cells) for cells, _ in comparable([str(into)])] == [2, 2]


def test_other_files_in_a_folder_of_results_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, cell("bc", 5))
    export(tmp_path, tmp_path / "results")
    (tmp_path / "results" / "driver.json").write_text('[{"engine": "ray"}]')
    ((cells, _),) = comparable([str(tmp_path / "results")])
    assert len(cells) == 1
    with pytest.raises(ConfigError, match=r"driver\.json is no file of a benchmark"):
        comparable([str(tmp_path / "results" / "driver.json")])
    (tmp_path / "results" / "broken.json").write_text("{")
    with pytest.raises(ConfigError, match=r"broken\.json is no JSON"):
        comparable([str(tmp_path / "results")])


def test_the_page_shows_each_kind_with_its_rollouts(tmp_path: Path) -> None:
    write(
        tmp_path,
        cell("sof", 6),
        fold("sof", 8, "open", "close"),
        fold("sof", 0, "press", "turn"),
    )
    write_benchmark([str(tmp_path)], tmp_path)
    page = (tmp_path / PAGE).read_text()
    assert "<h2>toy: success</h2>" in page
    assert "<h2>toy: tasks without labels: success</h2>" in page
    shown = page.partition("<h2>toy: tasks without labels: what the robot did</h2>")[2]
    assert shown.count('<div class="roll">') == 2  # one of each fold
    assert '<span class="no">failed</span>' in shown
    text = (tmp_path / TABLE).read_text()
    assert "## toy: tasks without labels\n\nOf these tasks there were videos" in text
    assert "| sof, K=10, 50 videos | 0.80 | 0.80 | 0.00 | 0.00 |" in text


def test_results_of_today_read_as_before(tmp_path: Path) -> None:
    made = cell("bc", 5)
    assert json.loads(json.dumps(made)) == joined_folds([made])[0]
