"""Results of cells: reading, exporting, and a Markdown table with intervals and differences."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sofdata.bench.records import CELL, read_record
from sofdata.bench.results.stats import Interval, Outcomes, paired_difference, success_interval
from sofdata.bench.study.arms import ARMS
from sofdata.bench.study.frozen import FROZEN
from sofdata.errors import ConfigError

Results = list[dict[str, Any]]
Group = tuple[str, str, int, int]  # suite, arm, K, videos
NOT_TRAINED = ("collect", "ingest", "evaluation")  # of a cell's CPU seconds
BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
OURS = ("sof", "sof+clone")  # what the others are compared with


def read_results(paths: Iterable[Path]) -> Results:
    """Cells from their own files, or from files that `export` wrote."""
    results: Results = []
    for path in paths:
        value = read_record(path)
        results += value["cells"] if "cells" in value else [read_record(path, *CELL)]
    return results


def result_files(places: Sequence[str]) -> list[Path]:
    """Files of results: in folders of a benchmark, in folders of exports, or named themselves.

    Raises `ConfigError` for a place without any.
    """
    found: list[Path] = []
    for place in map(Path, places):
        inside = place / "cells" if (place / "cells").is_dir() else place
        files = [place] if place.is_file() else sorted(inside.glob("*.json"))
        if not files:
            raise ConfigError(f"there are no results in {place}: 'sofdata bench run' makes them")
        found += files
    return found


def comparable(places: Sequence[str], purpose: str = "test") -> list[tuple[Results, int]]:
    """For each suite, the results that can be compared, and how many others are left out.

    places: as for `result_files`.

    Raises `ConfigError` where there is no result of that purpose.
    """
    files = sorted(result_files(places), key=lambda path: (path.stat().st_mtime_ns, path.name))
    found = {one["hash"]: one for one in read_results(files) if one["cell"]["purpose"] == purpose}
    if not found:
        try_ = "give" if purpose == "test" else "leave out"
        raise ConfigError(
            f"no result in {', '.join(places)} is of {purpose} seeds: {try_} --validation, or run "
            "the benchmark first ('sofdata bench run')"
        )
    records = [Path(place) / FROZEN for place in places]
    frozen = [
        read_record(path, "chosen_sha256")["chosen_sha256"] for path in records if path.exists()
    ]
    by_suite: dict[str, Results] = {}
    for result in found.values():
        by_suite.setdefault(result["cell"]["suite"], []).append(result)
    return [choose(by_suite[suite], frozen) for suite in sorted(by_suite)]


def choose(results: Results, frozen: Iterable[str] = ()) -> tuple[Results, int]:
    """The results of one suite that can be compared, and how many others there are.

    Of several settings those that are frozen are taken, otherwise those of the last result, which
    is the latest.
    """
    alike: dict[tuple[Any, ...], Results] = {}
    for result in results:
        episodes = tuple(result["success_by_task"]), tuple(result["evaluation_seeds"])
        for settings in result["chosen_sha256"]:
            key = (settings, result["data_sha256"], *episodes)
            alike.setdefault(key, []).append(result)
    is_frozen = [each for key, each in alike.items() if key[0] in set(frozen)]
    chosen = (is_frozen or list(alike.values()))[-1]
    return chosen, len(results) - len(chosen)


def grouped(results: Results) -> dict[Group, Results]:
    """Cells by suite, arm, K and videos, in the order of training seeds.

    Raises `ConfigError` where two are of the same training seed.
    """
    groups: dict[Group, Results] = {}
    for result in results:
        cell = result["cell"]
        name = (cell["suite"], cell["arm"], cell["demos"], cell["videos"])
        groups.setdefault(name, []).append(result)
    for cells in groups.values():
        cells.sort(key=lambda result: result["cell"]["seed"])
        seeds = [result["cell"]["seed"] for result in cells]
        if len(set(seeds)) < len(seeds):
            raise ConfigError(
                f"several results of {cells[0]['cell']['arm']} are of one training seed, and of "
                f"other settings or data: {', '.join(result['hash'] for result in cells)}"
            )
    return groups


def outcomes_of(cells: Results) -> Outcomes:
    """Success of cells, float64 [cells, tasks, episodes].

    Raises `ConfigError` where they are of different episodes.
    """
    names = list(cells[0]["success_by_task"])
    seeds = cells[0]["evaluation_seeds"]
    found = np.zeros((len(cells), len(names), len(seeds)))
    for row, cell in enumerate(cells):
        if cell["evaluation_seeds"] != seeds or list(cell["success_by_task"]) != names:
            raise ConfigError(
                "cells of different tasks or evaluation seeds cannot be compared: "
                f"{cells[0]['hash']} and {cell['hash']}"
            )
        for each in cell["episodes"]:
            place = names.index(each["task"]), seeds.index(each["seed"])
            found[(row, *place)] = each["success"]
    return found


def success_of(cells: Results) -> Interval:
    """Mean success of an arm over training seeds, tasks and episodes."""
    return success_interval(outcomes_of(cells))


def difference_of(ours: Results, theirs: Results) -> Interval | None:
    """By how much one arm is ahead on the training seeds that both have; None if there is none.

    Raises `ConfigError` where they are of different episodes.
    """
    seeds = {c["cell"]["seed"] for c in ours} & {c["cell"]["seed"] for c in theirs}
    if not seeds:
        return None
    both = outcomes_of([c for c in (*ours, *theirs) if c["cell"]["seed"] in seeds])
    return paired_difference(both[: len(seeds)], both[len(seeds) :])


def table(results: Results) -> str:
    """A Markdown table: a row an arm, K and number of videos."""
    groups = grouped(results)
    lines = [
        "| suite | arm | K | videos | seeds | success [95 %] |"
        + "".join(f" {ours} is ahead by [95 %] |" for ours in OURS)
        + " chunk error | CPU min |",
        "|---" * (8 + len(OURS)) + "|",
    ]
    for name in sorted(groups, key=lambda group: (group[0], *rank(group))):
        suite, arm, demos, videos = name
        cells = groups[name]
        errors = [cell["chunk_error"] for cell in cells if cell["chunk_error"] is not None]
        minutes = np.mean([training_s(cell) for cell in cells]) / 60
        row = [suite, arm, demos, videos or "", len(cells), _shown(success_of(cells))]
        gaps = [ahead(groups, name, ours) for ours in OURS]
        row += ["" if gap is None else _shown(gap, sign="+") for gap in gaps]
        row += [f"{np.mean(errors):.2f}" if errors else "", f"{minutes:.1f}"]
        lines.append(f"| {' | '.join(map(str, row))} |")
    return "\n".join(lines)


def rank(group: Group) -> tuple[Any, ...]:
    """What rows of one suite are sorted by: K, the order of `ARMS`, and most videos first.

    Arms that are not registered in this process come last, by name: results can be shown anywhere.
    """
    _, arm, demos, videos = group
    names = list(ARMS)
    return demos, names.index(arm) if arm in ARMS else len(names), arm, -videos


def ahead(groups: dict[Group, Results], name: Group, ours: str) -> Interval | None:
    """By how much the arm `ours` with its most videos is ahead of a group of the same suite and K;
    None where there is no such arm, or the group is that one."""
    suite, _, demos, videos = name
    mine = [group for group in groups if group[:3] == (suite, ours, demos) and group[3] >= videos]
    best = max(mine, key=lambda group: group[3], default=name)
    return None if best == name else difference_of(groups[best], groups[name])


def training_s(cell: dict[str, Any]) -> float:
    """CPU seconds of all training that a cell depends on, without collecting and ingesting."""
    return float(sum(value for name, value in cell["cpu_s"].items() if name not in NOT_TRAINED))


def _shown(found: Interval, sign: str = "") -> str:
    return f"{found.mean:{sign}.2f} [{found.low:{sign}.2f}, {found.high:{sign}.2f}]"


def summary(results: Results) -> dict[str, Any]:
    """The table's figures, for programs."""
    rows = []
    for (suite, arm, demos, videos), cells in sorted(grouped(results).items()):
        found = success_of(cells)
        rows.append(
            {
                "suite": suite,
                "arm": arm,
                "demos": demos,
                "videos": videos,
                "seeds": [cell["cell"]["seed"] for cell in cells],
                "success": found.mean,
                "low": found.low,
                "high": found.high,
            }
        )
    return {"results": rows}


def into_file(path: Path, text: str) -> None:
    """Replace the text between the marks of a Markdown file.

    Raises `ConfigError` where the marks are missing.
    """
    before, begun, rest = path.read_text().partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise ConfigError(f"{path} has no marks {BEGIN} and {END} to write the table between")
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def export(out: Path, into: Path) -> list[tuple[Path, int]]:
    """Write the test cells of a benchmark's folder that can be compared, one JSON file a suite.

    Returns the files, and how many test cells each leaves out. Raises `ConfigError` where there is
    no test cell.
    """
    chosen = comparable([str(out)])
    into.mkdir(parents=True, exist_ok=True)
    paths = []
    for cells, left_out in chosen:
        path = into / f"{cells[0]['cell']['suite']}.json"
        paths.append((path, left_out))
        cells = sorted(cells, key=lambda cell: str(cell["hash"]))
        lines = ",\n".join(json.dumps(cell, separators=(",", ":")) for cell in cells)
        path.write_text(f'{{"cells": [\n{lines}\n]}}\n')
    return paths
