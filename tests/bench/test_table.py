"""Results as a table, and where they are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sofdata.bench.results.table import comparable, export, into_file, result_files, table
from sofdata.errors import ConfigError
from tests.report.test_benchmark_page import write


def cell(arm: str, seed: int, wins: int, **more: Any) -> dict[str, Any]:
    """A result over two tasks of five episodes, of which the first so many succeed."""
    episodes = [
        {"task": task, "seed": number, "success": number < wins, "steps": 5}
        for task in ("open", "close")
        for number in range(5)
    ]
    name = {"suite": "toy", "arm": arm, "demos": 1, "seed": seed, "videos": 0}
    return {
        "hash": "-".join([arm, str(seed), str(wins), *map(str, more.values())]),
        "chosen_sha256": ["a"],
        "data_sha256": "d",
        "cell": name | {"purpose": "test"} | more,
        "success": wins / 5,
        "success_by_task": {"open": wins / 5, "close": wins / 5},
        "evaluation_seeds": list(range(5)),
        "episodes": episodes,
        "strips": [],
        "chunk_error": None if arm == "bc" else 0.25,
        "cpu_s": {"collect": 1e6, "decoder": 60.0, "evaluation": 1e6},
    }


def exported(out: Path, into: Path, *cells: dict[str, Any]) -> list[tuple[Path, int]]:
    """What an export of a benchmark's folder with these results writes."""
    write(out, *cells)
    return export(out, into)


def test_a_row_tells_success_and_by_how_much_ours_is_ahead() -> None:
    results = [cell("bc", 0, 1), cell("bc", 1, 1), cell("sof", 0, 4), cell("sof", 1, 4)]
    lines = table(results).splitlines()
    assert len(lines) == 4
    bc, sof = lines[2:]
    assert bc.startswith("| toy | bc | 1 |  | 2 | 0.20 [")
    assert "| +0.60 [" in bc
    assert bc.endswith("|  |  | 1.0 |")
    assert sof.startswith("| toy | sof | 1 |  | 2 | 0.80 [")
    assert sof.endswith("|  |  | 0.25 | 1.0 |")


def test_both_of_our_arms_are_compared_with_each_other() -> None:
    results = [cell("bc", 0, 1), cell("sof", 0, 3), cell("sof+clone", 0, 4)]
    bc, sof, clone = (line.split(" | ") for line in table(results).splitlines()[2:])
    assert [each[6][:5] for each in (bc, sof, clone)] == ["+0.40", "", "-0.20"]
    assert [each[7][:5] for each in (bc, sof, clone)] == ["+0.60", "+0.20", ""]


def test_seeds_that_only_one_arm_has_are_left_out_of_the_difference() -> None:
    results = [cell("bc", 0, 1), cell("sof", 0, 2), cell("sof", 1, 5)]
    assert "| +0.20 [" in table(results).splitlines()[2]


def test_cells_of_other_episodes_are_not_compared() -> None:
    other = cell("bc", 1, 1)
    other["evaluation_seeds"] = [number + 5 for number in other["evaluation_seeds"]]
    for each in other["episodes"]:
        each["seed"] += 5
    with pytest.raises(ConfigError, match="cannot be compared: bc-0-1 and bc-1-1"):
        table([cell("bc", 0, 1), other])
    with pytest.raises(ConfigError, match="cannot be compared: sof-1-2 and bc-1-1"):
        table([cell("sof", 1, 2), other])


def test_a_training_seed_counts_once() -> None:
    with pytest.raises(ConfigError, match="several results of bc are of one training seed"):
        table([cell("bc", 0, 1), cell("bc", 0, 2)])


def test_test_cells_are_exported_and_give_the_same_table(tmp_path: Path) -> None:
    cells = [cell("bc", 0, 1), cell("sof", 0, 4), cell("sof", 0, 3, purpose="validation")]
    ((path, left_out),) = exported(tmp_path, tmp_path / "results", *cells)
    assert (path.name, left_out) == ("toy.json", 0)
    places = [str(tmp_path), str(tmp_path / "results"), str(path)]
    ((results, _),) = comparable(places[1:2])
    assert table(results) == table(cells[:2])
    ((again, _),) = comparable(places)  # the same result in three places
    assert len(again) == 2
    ((validation, _),) = comparable(places, "validation")
    assert validation == cells[2:]


def test_an_export_keeps_what_other_folders_have_exported(tmp_path: Path) -> None:
    into = tmp_path / "results"
    exported(tmp_path / "first", into, cell("bc", 0, 1), cell("sof", 0, 4))
    exported(tmp_path / "next", into, cell("bc", 1, 2), cell("sof", 0, 4))
    exported(tmp_path / "again", into, cell("bc", 1, 2))
    ((results, _),) = comparable([str(into)])
    assert sorted(each["hash"] for each in results) == ["bc-0-1", "bc-1-2", "sof-0-4"]


def test_an_export_beside_others_shares_but_one_of_their_settings(tmp_path: Path) -> None:
    into = tmp_path / "results"
    exported(tmp_path / "first", into, cell("bc", 0, 1))
    both = cell("sof", 0, 4) | {"chosen_sha256": ["a", "b"]}
    exported(tmp_path / "next", into, both)
    ((results, _),) = comparable([str(into)])
    assert len(results) == 2


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (cell("bc", 1, 2) | {"chosen_sha256": ["b"]}, "cannot be compared with all of them"),
        (cell("bc", 1, 2) | {"data_sha256": "e"}, "cannot be compared with all of them"),
        (cell("bc", 1, 2) | {"evaluation_seeds": [9]}, "cannot be compared with all of them"),
        (cell("bc", 0, 2), "several results of bc are of one training seed"),
    ],
)
def test_an_export_over_results_of_another_kind_is_refused_and_changes_nothing(
    other: dict[str, Any], message: str, tmp_path: Path
) -> None:
    into = tmp_path / "results"
    ((path, _),) = exported(tmp_path / "first", into, cell("bc", 0, 1))
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=message):
        exported(tmp_path / "next", into, other)
    assert path.read_bytes() == before


def test_a_damaged_file_of_results_is_told_and_left(tmp_path: Path) -> None:
    into = tmp_path / "results"
    into.mkdir()
    (into / "toy.json").write_text("{")
    fold = cell("bc", 0, 2, held_out=["open", "close"])
    with pytest.raises(ConfigError, match=r"toy\.json is no JSON"):
        exported(tmp_path / "transfer", into, cell("bc", 0, 1), fold)
    assert [each.name for each in into.iterdir()] == ["toy.json"]


def test_a_table_is_written_between_its_marks_and_nothing_else_changes(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n")
    into_file(page, "new")
    assert page.read_text() == "before\n<!-- bench -->\nnew\n<!-- /bench -->\nafter\n"
    page.write_text("no marks")
    with pytest.raises(ConfigError, match="has no marks"):
        into_file(page, "new")
    assert page.read_text() == "no marks"


def test_a_place_without_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no results in"):
        result_files([str(tmp_path)])
