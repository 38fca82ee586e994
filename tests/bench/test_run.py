"""Cells: made once, gone on with after a kill, and the same whenever they are made."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sofdata.bench.results.table import read_results, summary, table
from sofdata.bench.study.cells import cell_hash, cell_settings
from sofdata.bench.study.config import BenchConfig
from sofdata.bench.study.frozen import chosen, chosen_hash
from sofdata.bench.study.run import WorkDone, plan, run
from sofdata.bench.study.wanted import Cell, wanted_cells
from sofdata.errors import ConfigError
from tests.bench.conftest import TINY, tiny

MEASURED = ("cpu_s",)


def lasting(path: Path) -> dict[str, Any]:
    """What must not differ in a cell from run to run."""
    values: dict[str, Any] = json.loads(path.read_text())
    return {name: value for name, value in values.items() if name not in MEASURED}


def test_all_arms_make_their_cells_and_a_second_run_makes_none(collected: Path, out: Path) -> None:
    config = tiny()
    paths = run(config, collected, out, "test", workers=1)
    results = read_results(paths)
    assert [result["cell"]["arm"] for result in results] == list(config.arms)
    for result in results:
        assert len(result["episodes"]) == 4
        assert 0 <= result["success"] <= 1
        assert result["chunk_error"] > 0
        assert result["evaluation_seeds"] == results[0]["evaluation_seeds"]
        for strip in result["strips"]:
            assert (out / "strips" / result["hash"] / strip).exists()
    assert results[0]["cell"]["videos"] == 0
    sof = next(result for result in results if result["cell"]["arm"] == "sof")
    assert set(sof["cpu_s"]) == {"collect", "ingest", "skill", "planner", "decoder", "evaluation"}
    assert sof["metrics"]["skill"]["code_perplexity"] >= 1
    made: list[WorkDone] = []
    assert run(config, collected, out, "test", workers=1, follow=made.append) == paths
    assert not made
    assert "| pushing | sof | 1 | 3 | 1 |" in table(results)
    assert len(summary(results)["results"]) == len(paths)


def test_a_killed_run_goes_on_and_ends_with_the_same_cells(
    collected: Path, out: Path, tmp_path: Path
) -> None:
    arms = "arms=[bc, sof]"
    undisturbed = run(tiny(arms), collected, out, "test", workers=1)
    (tmp_path / "data").symlink_to(out / "data")  # ingest is not what is killed here
    command = [
        sys.executable,
        *("-m", "sofdata", "bench", "run", "--data", str(collected), "--out", str(tmp_path)),
        *("--preset", "smoke", "--workers", "1", "--quiet"),
        *(part for value in (*TINY, arms) for part in ("--set", value)),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not list(tmp_path.glob("models/*/skill/metrics.jsonl")):  # within the first training
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    resumed = run(tiny(arms), collected, tmp_path, "test", workers=1)
    assert [path.name for path in resumed] == [path.name for path in undisturbed]
    for one, other in zip(resumed, undisturbed, strict=True):
        assert lasting(one) == lasting(other)


def test_cells_side_by_side_are_those_of_one_process(
    collected: Path, out: Path, tmp_path: Path
) -> None:
    arms = "arms=[bc, sof]"
    alone = run(tiny(arms), collected, out, "test", workers=1)
    (tmp_path / "data").symlink_to(out / "data")
    both = run(tiny(arms), collected, tmp_path, "test", workers=2)
    assert [lasting(path) for path in both] == [lasting(path) for path in alone]


def test_a_cell_that_other_settings_ask_for_is_theirs_too(
    collected: Path, out: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").symlink_to(out / "data")
    arms, other = "arms=[bc, sof]", "acting.samples=3"
    bc, sof = run(tiny(arms), collected, tmp_path, "test", workers=1)
    again, another = run(tiny(arms, other), collected, tmp_path, "test", workers=1)
    assert again == bc
    assert another != sof
    first, second = chosen_hash(tiny(arms)), chosen_hash(tiny(arms, other))
    assert json.loads(bc.read_text())["chosen_sha256"] == [first, second]
    assert json.loads(sof.read_text())["chosen_sha256"] == [first]
    assert json.loads(another.read_text())["chosen_sha256"] == [second]


def test_too_few_demonstrations_are_noticed_before_any_work(collected: Path, out: Path) -> None:
    made: list[WorkDone] = []
    with pytest.raises(ConfigError, match=r"999 demos of .* are wanted"):
        run(
            tiny("seeds=[5]", "demos=[1, 999]"),
            collected,
            out,
            "test",
            workers=1,
            follow=made.append,
        )
    assert not made


def keys(config: BenchConfig) -> dict[str, str]:
    cells = wanted_cells(config, "validation")
    return {cell.arm: cell_hash(cell, config, "data", ("a",)) for cell in cells}


@pytest.mark.parametrize(
    ("change", "arms"),
    [
        ("decoder.optim.lr=0.1", set(tiny().arms)),
        ("evaluation.execute=4", set(tiny().arms)),
        ("lapa.model.tokens=3", {"lapa", "lapa+clone"}),
        ("clone_updates=17", {"sof+clone", "lapa+clone"}),
        ("compute_updates=17", {"bc+compute"}),
        ("bc_encoder=frozen", {"bc+encoder"}),
        ("acting.samples=9", {"lapa", "sof-shuffled", "sof-novideo", "sof", "sof+mpc"}),
        ("seeds=[1]", set(tiny().arms)),
        ("evaluation.strips=0", set()),
        ("evaluation.ensemble=0.01", set(tiny().arms)),
        ("evaluation.ensemble=null", set()),
        ("skill.run.log_every=5", set()),
    ],
)
def test_a_setting_changes_the_keys_of_the_cells_that_depend_on_it(
    change: str, arms: set[str]
) -> None:
    before, after = keys(tiny()), keys(tiny(change))
    assert {arm for arm in before if before[arm] != after[arm]} == arms


def test_settings_of_before_keep_their_keys_where_a_later_key_is_off() -> None:
    config = tiny()
    cell = Cell("pushing", "bc", 1, 0, 0, "test")
    assert "ensemble" not in cell_settings(cell, config)["evaluation"]
    assert "ensemble" not in chosen(config)["evaluation"]
    assert "tail" not in chosen(config)["ingest"]["windows"]
    later = tiny("evaluation.ensemble=0", "ingest.windows.tail=mask")
    assert cell_settings(cell, later)["evaluation"]["ensemble"] == 0
    assert chosen(later)["evaluation"]["ensemble"] == 0
    assert chosen(later)["ingest"]["windows"]["tail"] == "mask"


def test_other_data_tasks_or_purposes_are_other_cells() -> None:
    config = tiny()
    cell = Cell("pushing", "bc", 1, 0, 0, "test")
    name = cell_hash(cell, config, "data", ("a",))
    assert name != cell_hash(cell, config, "other", ("a",))
    assert name != cell_hash(cell, config, "data", ("a", "b"))
    other = Cell("pushing", "bc", 1, 0, 0, "validation")
    assert name != cell_hash(other, config, "data", ("a",))


def test_wanted_cells_are_all_arms_at_the_first_k_and_some_at_others() -> None:
    config = tiny("demos=[1, 3]", "seeds=[0, 1]", "arms=[bc, sof, bc-50]", "curve=[1, 2]")
    cells = [(c.seed, c.arm, c.demos, c.videos) for c in wanted_cells(config, "test")]
    of_seed = [("bc", 1, 0), ("sof", 1, 3), ("bc-50", 50, 0), ("bc", 3, 0), ("sof", 3, 3)]
    of_seed += [("sof", 1, 1), ("sof", 1, 2)]
    assert cells == [(seed, *rest) for seed in (0, 1) for rest in of_seed]
    without = config.model_copy(update={"curve_arms": ("bc-50",)})
    assert len(wanted_cells(without, "test")) == 2 * (len(of_seed) - 2)
    works = plan(wanted_cells(config, "test"))
    assert [work.prepares for work in works] == [True] * 6 + [False] * 14


def test_test_seeds_need_frozen_settings(collected: Path, out: Path) -> None:
    with pytest.raises(ConfigError, match="no settings are frozen"):
        run(tiny("exploratory=false"), collected, out, "test", workers=1)


def test_an_unknown_task_is_named(collected: Path, out: Path) -> None:
    with pytest.raises(ConfigError, match="no task fly; it has push-left"):
        run(tiny("tasks=[fly]"), collected, out, "test", workers=1)
