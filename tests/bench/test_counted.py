"""Which tasks count in a mean: chosen on validation, kept with the record, used by tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sofdata.bench.results.table import (
    comparable,
    export,
    grouped,
    outcomes_of,
    results_of_run,
    success_of,
    summary,
    table,
)
from sofdata.bench.study.counted import counted
from sofdata.bench.study.frozen import FROZEN, chosen_hash, freeze
from sofdata.errors import ConfigError
from sofdata.report.benchmark import suite_part
from tests.bench.conftest import tiny

RATES = {
    "bc-50": {"open": 0.9, "close": 0.9, "pick": 0.2, "press": 0.65},
    "bc": {"open": 0.3, "close": 0.8, "pick": 0.0, "press": 0.5},
}
ROOM = {"exploratory=false", "counted=room"}


def cell(arm: str, rates: dict[str, float], demos: int = 1, **more: Any) -> dict[str, Any]:
    """A result over four tasks of twenty episodes."""
    purpose = more.pop("purpose", "validation")
    chosen = more.pop("chosen", "a")
    name = {"suite": "toy", "arm": arm, "demos": demos, "seed": 0, "videos": 0, **more}
    return {
        "hash": f"{arm}-{demos}-{purpose}-{more}",
        "chosen_sha256": [chosen],
        "data_sha256": "d",
        "cell": {**name, "purpose": purpose},
        "success": sum(rates.values()) / len(rates),
        "success_by_task": rates,
        "evaluation_seeds": list(range(20)),
        "episodes": [
            {"task": task, "seed": seed, "success": seed < round(rate * 20), "steps": 5}
            for task, rate in rates.items()
            for seed in range(20)
        ],
        "chunk_error": None,
        "cpu_s": {"decoder": 60.0},
        "exploratory": False,
        "steps_to_success": 5.0,
        "metrics": {},
        "strips": [],
        "versions": {},
    }


def validation(**more: Any) -> list[dict[str, Any]]:
    return [
        cell("bc-50", RATES["bc-50"], 50, **more),
        cell("bc", RATES["bc"], 1, **more),
        cell("bc", RATES["bc-50"], 10, **more),
    ]


def write(out: Path, cells: list[dict[str, Any]]) -> None:
    (out / "cells").mkdir(parents=True, exist_ok=True)
    for number, each in enumerate(cells):
        (out / "cells" / f"{each['cell']['purpose']}-{number}.json").write_text(json.dumps(each))


def test_a_task_counts_where_the_ceiling_is_high_and_well_above_the_fewest_demonstrations() -> None:
    found = counted(validation())
    assert found is not None
    assert found["tasks"] == ["open", "press"]  # close has no room, pick no ceiling
    assert found["demos"] == 1
    assert found["rates"]["press"] == {"bc-50": 0.65, "bc": 0.5}


def test_the_mean_of_training_seeds_decides() -> None:
    more = cell("bc-50", dict.fromkeys(RATES["bc"], 0.0), 50, seed=1)
    with pytest.raises(ConfigError, match=r"no task counts: bc-50 reaches 0\.5"):
        counted([*validation(), more])


def test_cells_of_transfer_play_and_another_look_decide_nothing() -> None:
    others = [
        cell("bc", dict.fromkeys(RATES["bc"], 0.9), 0, **more)
        for more in ({"held_out": ["open"]}, {"labels": "play"}, {"look": "other"})
    ]
    assert counted([*validation(), *others]) == counted(validation())


def test_nothing_is_said_where_an_arm_that_decides_was_not_measured() -> None:
    assert counted([cell("bc", RATES["bc"])]) is None
    assert counted([cell("bc-50", RATES["bc-50"], 50)]) is None


def test_freezing_records_the_tasks_and_test_results_change_nothing(tmp_path: Path) -> None:
    config = tiny(*ROOM)
    chosen = chosen_hash(config)
    assert chosen == chosen_hash(tiny("exploratory=false"))  # earlier records keep their hash
    write(tmp_path, validation(chosen=chosen))
    record = json.loads(freeze(config, tmp_path).read_text())
    assert record["counted"] == counted(validation())
    other = {name: dict.fromkeys(rates, 0.9) for name, rates in RATES.items()}
    test = [cell("bc", other["bc"], purpose="test", chosen=chosen)]
    write(tmp_path, [cell("bc-50", other["bc-50"], 50, chosen=chosen), *test])
    assert json.loads(freeze(config, tmp_path).read_text())["counted"] == record["counted"]
    assert json.loads(freeze(tiny("exploratory=false"), tmp_path).read_text())["counted"]


def test_without_the_setting_all_tasks_count_and_the_record_has_no_such_key(
    tmp_path: Path,
) -> None:
    config = tiny("exploratory=false")
    write(tmp_path, validation(chosen=chosen_hash(config)))
    assert "counted" not in json.loads(freeze(config, tmp_path).read_text())


def results_of(tmp_path: Path, **more: Any) -> list[dict[str, Any]]:
    """Results of a folder in which two of four tasks count."""
    arms = [cell("bc", RATES["bc"], purpose="test"), cell("sof", RATES["bc-50"], purpose="test")]
    write(
        tmp_path, [*arms, *([cell("sof", RATES["bc-50"], purpose="test", **more)] if more else [])]
    )
    frozen = {"chosen_sha256": "a", "settings": {"suite": "toy"}, "counted": counted(validation())}
    (tmp_path / FROZEN).write_text(json.dumps(frozen))
    return [result for alike, _ in comparable([str(tmp_path)]) for result in alike]


def test_the_mean_and_its_interval_are_of_tasks_that_count_and_the_others_stand_beside(
    tmp_path: Path,
) -> None:
    results = results_of(tmp_path)
    (bc, sof) = sorted(grouped(results).values(), key=lambda cells: cells[0]["cell"]["arm"])
    assert outcomes_of(bc).shape == (1, 2, 20)
    assert success_of(bc).mean == pytest.approx(0.4)
    assert success_of(sof).mean == pytest.approx((0.9 + 0.65) / 2)
    text = table(results)
    assert "| success [95 %] | other tasks |" in text
    assert "| toy | bc | 1 |  | 1 | 0.40 [" in text
    assert "] | 0.40 | +0.38 [" in text  # close and pick: 0.8 and 0.0
    assert "| arm | K | videos | open | press | (close) | (pick) |" in text
    assert "| bc | 1 |  | 0.30 | 0.50 | 0.80 | 0.00 |" in text
    assert summary(results)["results"][0]["tasks"] == ["open", "press"]


def test_what_a_run_prints_at_its_end_is_the_mean_that_the_table_has_later(tmp_path: Path) -> None:
    later = table(results_of(tmp_path))
    assert table(results_of_run((tmp_path / "cells").iterdir(), tmp_path)) == later


def test_the_page_names_the_tasks_beside(tmp_path: Path) -> None:
    results = results_of(tmp_path)
    part = suite_part(results, 0, [])
    assert (part.tasks, part.others) == (("open", "press"), ("close", "pick"))
    for result in results:
        del result["counted"]
    assert suite_part(results, 0, []).others == ()


def test_exported_results_say_themselves_which_tasks_count(tmp_path: Path) -> None:
    results = results_of(tmp_path)
    ((path, _),) = export(tmp_path, tmp_path / "results")
    ((again, _),) = comparable([str(path)])
    assert table(again) == table(results)


def test_transfer_counts_the_tasks_of_the_study_that_it_is_compared_with(tmp_path: Path) -> None:
    results = results_of(tmp_path, held_out=["open", "close"], chosen="b")
    transfer = [each for each in results if each["cell"].get("held_out")]
    assert success_of(next(iter(grouped(transfer).values()))).mean == pytest.approx(0.9)
    assert transfer[0]["counted"] == ["open", "press"]


def test_results_without_a_record_count_every_task_as_before(tmp_path: Path) -> None:
    write(tmp_path, [cell("bc", RATES["bc"], purpose="test")])
    ((results, _),) = comparable([str(tmp_path)])
    assert "counted" not in results[0]
    assert outcomes_of(results).shape == (1, 4, 20)
    assert "other tasks" not in table(results)
