"""The benchmark's page and table, from results whose figures are known."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sofdata.bench.results.table import choose
from sofdata.errors import ConfigError
from sofdata.report.benchmark import PAGE, TABLE, write_benchmark

TASKS = ("open", "<script>close")


def result(
    arm: str,
    successes: int,
    *,
    demos: int = 1,
    videos: int = 0,
    seed: int = 0,
    purpose: str = "test",
    settings: str = "a",
) -> dict[str, Any]:
    """A result in which so many of ten episodes of each task succeeded."""
    seeds = list(range(10))
    episodes = [
        {"task": task, "seed": each, "success": each < successes, "steps": 20 + each}
        for task in TASKS
        for each in seeds
    ]
    return {
        "hash": f"{arm.replace('+', '-')}-{demos}-{videos}-{seed}-{purpose}-{settings}",
        "cell": {
            "suite": "toy",
            "arm": arm,
            "demos": demos,
            "seed": seed,
            "videos": videos,
            "purpose": purpose,
        },
        "chosen_sha256": [settings],
        "exploratory": False,
        "data_sha256": "d" * 64,
        "evaluation_seeds": seeds,
        "success": successes / 10,
        "success_by_task": dict.fromkeys(TASKS, successes / 10),
        "steps_to_success": 24.5,
        "chunk_error": 0.5,
        "metrics": {"planner": {"prior_nats": 7.25}, "skill": {"codes_used_share": 0.375}},
        "episodes": episodes,
        "strips": ["open-0.png"] if arm in ("sof", "bc") else [],
        "cpu_s": {"collect": 5.0, "ingest": 6.0, "decoder": 120.0, "evaluation": 9.0},
        "versions": {"sofdata": "0"},
    }


def write(out: Path, *results: dict[str, Any]) -> None:
    for number, each in enumerate(results):
        path = out / "cells" / f"{each['hash']}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(each))
        os.utime(path, (1000 + number, 1000 + number))
        for name in each["strips"]:
            drawn = out / "strips" / each["hash"] / name
            drawn.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((30, 60, 3), 200, np.uint8)).save(drawn)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write(
        tmp_path,
        *(result("bc", 2, seed=seed) for seed in (0, 1, 2)),
        *(result("bc", 6, demos=3, seed=seed) for seed in (0, 1, 2)),
        *(result("sof-novideo", 3, seed=seed) for seed in (0, 1, 2)),
        *(result("sof", 4, videos=10, seed=seed) for seed in (0, 1, 2)),
        *(result("sof", 7, videos=50, seed=seed) for seed in (0, 1, 2)),
        *(result("sof", 8, demos=3, videos=50, seed=seed) for seed in (0, 1, 2)),
    )
    return tmp_path


def page_of(out: Path, **options: Any) -> str:
    write_benchmark([str(out)], out, **options)
    return (out / PAGE).read_text()


def test_success_and_paired_differences_are_the_results_own(out: Path) -> None:
    page = page_of(out)
    rows = re.findall(r'<th scope="row" class="word"[^>]*>([^<]+)</th>(.*?)</tr>', page, re.S)
    cells = {}
    for arm, row in rows:
        numbers = [" ".join(n.split()) for n in re.findall(r'class="number">([^<]*)<', row)]
        if numbers:
            cells[arm, numbers[0], numbers[1]] = numbers[2:]
    assert cells["bc", "1", ""][0].startswith("0.20 [")
    assert cells["sof", "1", "50"][0].startswith("0.70 [")
    assert cells["bc", "1", ""][1].startswith("+0.50 [+")
    assert cells["sof", "1", "10"][1].startswith("+0.30 [")
    assert cells["bc", "3", ""][1].startswith("+0.20 [")
    assert len(cells["sof", "3", "50"]) == 1  # it is not ahead of itself


def test_the_table_has_no_column_for_an_arm_that_is_not_there(out: Path) -> None:
    page = page_of(out)
    assert '<th colspan="2">sof is ahead by</th>' in page
    assert "sof+clone is ahead by" not in page


def test_the_page_has_curves_over_demonstrations_videos_and_computing(out: Path) -> None:
    page = page_of(out)
    assert page.count("<figcaption>Success by ") == 3
    assert "sof, 0: 0.30 [" in page  # no videos: sof-novideo begins the curve
    assert "sof, 10: 0.40 [" in page
    assert "sof, 50: 0.70 [" in page


def test_the_markdown_table_has_every_arm_and_success_by_task(out: Path) -> None:
    page_of(out)
    text = (out / TABLE).read_text()
    assert "| toy | sof | 1 | 50 | 3 | 0.70 [" in text
    assert "| sof, K=1, 50 videos | 0.70 | 0.70 |" in text


def test_rollouts_are_the_first_episodes_that_were_drawn_with_what_came_of_them(out: Path) -> None:
    page = page_of(out)
    assert re.search(r"sof: <span class=\"yes\">succeeded</span> after 20 steps", page)
    assert re.search(r"bc: <span class=\"yes\">succeeded</span> after 20 steps", page)
    assert page.count('<div class="roll">') == 2


def test_the_page_asks_nothing_of_others_and_runs_nothing(out: Path) -> None:
    page = page_of(out)
    assert "<script" not in page
    assert "&lt;script&gt;close" in page
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
    assert "default-src 'none'" in page


def test_results_of_other_settings_are_left_out_and_counted(out: Path) -> None:
    write(out, result("bc", 9, settings="b"))
    page = page_of(out)  # the latest settings count
    assert "18 results of other settings" in page
    record = {"chosen_sha256": "a", "settings": {"suite": "toy"}}
    (out / "frozen.json").write_text(json.dumps(record))
    page = page_of(out)  # the frozen ones count
    assert "1 results of other settings" in page
    assert "+0.50" in page


def test_data_or_episodes_that_differ_are_not_compared() -> None:
    one, other = result("bc", 2), result("sof", 3, videos=10)
    other["data_sha256"] = "e" * 64
    assert choose([one, other]) == ([other], 1)
    other["data_sha256"] = one["data_sha256"]
    assert choose([one, other]) == ([one, other], 0)
    other["evaluation_seeds"] = [1]
    assert choose([one, other]) == ([other], 1)


def test_a_result_counts_for_all_settings_that_it_was_asked_for_by() -> None:
    one, both = result("sof", 2), result("bc", 1)
    both["chosen_sha256"] = ["a", "b"]
    other = result("sof", 3, settings="b")
    assert choose([one, both, other]) == ([both, other], 1)
    assert choose([one, both, other], frozen=["a"]) == ([one, both], 1)


def test_validation_results_are_shown_when_asked_for_and_marked(tmp_path: Path) -> None:
    write(tmp_path, result("bc", 2, purpose="validation"))
    with pytest.raises(ConfigError, match="give --validation"):
        write_benchmark([str(tmp_path)], tmp_path)
    assert "settings may have been chosen by these results" in page_of(
        tmp_path, purpose="validation"
    )


def test_a_look_and_a_single_seed_are_called_so(tmp_path: Path) -> None:
    write(tmp_path, {**result("bc", 2), "exploratory": True})
    page = page_of(tmp_path)
    assert "a look, not a result" in page
    assert "1 training seed: intervals say nothing" in page


def test_exported_results_make_a_page_without_rollouts(out: Path, tmp_path: Path) -> None:
    from sofdata.bench.results.table import export

    write(out, result("bc", 9, settings="b"), result("bc", 2))
    ((file, left_out),) = export(out, tmp_path / "results")
    assert left_out == 1
    write_benchmark([str(file)], tmp_path / "page")
    page = (tmp_path / "page" / PAGE).read_text()
    assert "0.70 [" in page
    assert "what the robot did" not in page


def test_tasks_that_do_not_count_stand_in_brackets(tmp_path: Path) -> None:
    made = result("bc", 4)
    for each in made["episodes"]:
        each["success"] = each["success"] and each["task"] == "open"
    made["success_by_task"][TASKS[1]] = 0.0
    write(tmp_path, {**made, "counted": ["open"]})
    page = page_of(tmp_path)
    assert "1 tasks that count (1 others, which do not, stand in brackets below)" in page
    assert "<th>open</th><th>(&lt;script&gt;close)</th>" in page
    assert "0.40 [" in page  # the mean is over those that count
    text = (tmp_path / TABLE).read_text()
    assert "| success by task | open | (<script>close) |" in text
    assert "| bc, K=1 | 0.40 | 0.00 |" in text


def test_rows_of_a_strip_stand_apart_and_flow_takes_the_colour_of_the_page(out: Path) -> None:
    page = page_of(out)
    shown = re.findall(
        r"<figcaption>(seen|planned|happened)</figcaption><img src=.data:image/(\w+)", page
    )
    assert sorted(set(shown)) == [("happened", "png"), ("planned", "png"), ("seen", "jpeg")]
    assert [label for label, _ in shown].count("seen") == 2  # of both arms, skills or not


def test_cpu_time_is_of_every_stage_and_of_every_decoder_that_names_actions(tmp_path: Path) -> None:
    made = result("sof+clone", 5, videos=50)
    spent = {"decoder": 100.0, "decoder 2": 23.5, "clone": 40.0, "finetune": 7.25}
    write(tmp_path, {**made, "cpu_s": spent})
    _, by_stage = page_of(tmp_path).split("CPU seconds by stage")
    row = re.search(r'<th scope="row">sof\+clone[^<]*</th>(.*?)</tr>', by_stage)
    assert row is not None
    assert re.findall(r'class="number">([^<]*)<', row[1]) == ["123.5", "40.0", "7.2"]
