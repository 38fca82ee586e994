"""Results of cells: reading, exporting, and a Markdown table with intervals and differences."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sofdata.bench.records import CELL, read_record
from sofdata.bench.results.counting import beside, in_mean, rates, with_counted
from sofdata.bench.results.kinds import (
    DATASETS,
    TRANSFER,
    counting_tasks,
    joined_folds,
    kind_of,
    labels_of,
    order_of,
    title_of,
    what_of,
)
from sofdata.bench.results.stats import Interval, Outcomes, paired_difference, success_interval
from sofdata.bench.study.arms import ARMS
from sofdata.bench.study.frozen import FROZEN, records
from sofdata.errors import ConfigError
from sofdata.storage import atomic

Results = list[dict[str, Any]]
NOT_TRAINED = ("collect", "ingest", "evaluation")  # of a cell's CPU seconds
BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
OURS = ("sof", "sof+clone")  # what the others are compared with


class Group(NamedTuple):
    """What results of several training seeds have in common.

    demos: K, or minutes of play. kind: what they are of, as `kind_of` gives it. dataset: of their
    videos, "" where these were collected.
    """

    suite: str
    arm: str
    demos: int
    videos: int
    kind: str = ""
    dataset: str = ""

    @property
    def videos_named(self) -> str:
        """How many videos, and of which dataset; "" for none."""
        of = f" of {self.dataset}" if self.dataset else ""
        return f"{self.videos}{of}" if self.videos else ""


def read_results(paths: Iterable[Path]) -> Results:
    """Cells from their own files, or from files that `export` wrote."""
    results: Results = []
    for path in paths:
        value = read_record(path)
        results += value["cells"] if "cells" in value else [read_record(path, *CELL)]
    return results


def results_of_run(paths: Iterable[Path], out: Path) -> Results:
    """Cells of a folder of the benchmark, with the tasks that count in their means by what is
    frozen there or in sofdata's own records."""
    known = records(out)
    return [with_counted(result, known) for result in read_results(paths)]


def result_files(places: Sequence[str]) -> list[Path]:
    """Files of results: in folders of a benchmark, in folders of exports, or named themselves.

    In a folder of exports, JSON files that are of something else are passed over.

    Raises `ConfigError` for a place without any.
    """
    found: list[Path] = []
    for place in map(Path, places):
        inside = place / "cells" if (place / "cells").is_dir() else place
        files = [place] if place.is_file() else sorted(inside.glob("*.json"))
        if inside == place and place.is_dir():
            files = [path for path in files if _of_results(path)]
        if not files:
            raise ConfigError(f"there are no results in {place}: 'sofdata bench run' makes them")
        found += files
    return found


def _of_results(path: Path) -> bool:
    """Whether a JSON file has results in it, or is damaged, which reading it will tell."""
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return True
    return isinstance(value, dict) and ("cells" in value or "cell" in value)


def comparable(places: Sequence[str], purpose: str = "test") -> list[tuple[Results, int]]:
    """For each suite, and in it for ordinary results, transfer, play, another look and choices of
    videos, those that can be compared, and how many others are left out.

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
    paths = [Path(place) / FROZEN for place in places]
    frozen = [
        read_record(path, "chosen_sha256")["chosen_sha256"] for path in paths if path.exists()
    ]
    known = [record for place in places for record in records(Path(place))]
    apart: dict[tuple[str, str], Results] = {}
    for result in (with_counted(each, known) for each in found.values()):
        name = result["cell"]["suite"], kind_of(result["cell"])
        apart.setdefault(name, []).append(result)
    names = sorted(apart, key=lambda name: (name[0], order_of(name[1])))
    return [choose(apart[name], frozen) for name in names]


def choose(results: Results, frozen: Iterable[str] = ()) -> tuple[Results, int]:
    """The results of one suite and kind that can be compared, and how many others there are.

    Of several settings those that are frozen are taken, otherwise those of the last result, which
    is the latest, and of these those that most results share. Of transfer, arms of which a fold is
    missing are left out.
    """
    alike: dict[tuple[Any, ...], Results] = {}
    for result in results:
        for key in _terms(result):
            alike.setdefault(key, []).append(result)
    is_frozen = [each for key, each in alike.items() if key[0] in set(frozen)]
    last = list(alike.values())[-1][-1]  # of the terms that came last
    latest = max((alike[key] for key in reversed(_terms(last))), key=len)
    chosen = _all_folds(_latest_datasets(is_frozen[-1] if is_frozen else latest))
    return chosen, len(results) - len(chosen)


def _terms(result: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What results share that can be compared, for each of the settings that it is a result of."""
    transfer = kind_of(result["cell"]).startswith(TRANSFER)
    tasks = () if transfer else tuple(result["success_by_task"])
    shared = result["data_sha256"], tasks, tuple(result["evaluation_seeds"])
    return [(settings, *shared) for settings in result["chosen_sha256"]]


def _latest_datasets(results: Results) -> Results:
    """Those with videos of the latest content of each dataset, where one of a name was replaced."""
    latest = {each["cell"].get("dataset"): each.get("dataset_sha256") for each in results}
    return [
        each
        for each in results
        if latest[each["cell"].get("dataset")] == each.get("dataset_sha256")
    ]


def _all_folds(results: Results) -> Results:
    """Those of an arm, K, seed and videos whose folds cover as many tasks as those of any other."""
    tasks: dict[tuple[Any, ...], set[str]] = {}
    names = [
        (_group(result["cell"]), result["cell"]["seed"])
        if kind_of(result["cell"]).startswith(TRANSFER)
        else None
        for result in results
    ]
    for name, result in zip(names, results, strict=True):
        if name:
            tasks.setdefault(name, set()).update(counting_tasks(result))
    most = max(map(len, tasks.values()), default=0)
    return [
        result
        for name, result in zip(names, results, strict=True)
        if name is None or len(tasks[name]) == most
    ]


def grouped(results: Iterable[dict[str, Any]]) -> dict[Group, Results]:
    """Cells by suite, arm, K, videos and kind, in the order of training seeds; the folds of a
    transfer are one, over the tasks of all.

    Raises `ConfigError` where two are of the same training seed.
    """
    groups: dict[Group, Results] = {}
    for result in joined_folds(results):
        groups.setdefault(_group(result["cell"]), []).append(result)
    for cells in groups.values():
        cells.sort(key=lambda result: result["cell"]["seed"])
        seeds = [result["cell"]["seed"] for result in cells]
        if len(set(seeds)) < len(seeds):
            raise ConfigError(
                f"several results of {cells[0]['cell']['arm']} are of one training seed, and of "
                f"other settings or data: {', '.join(result['hash'] for result in cells)}"
            )
    return groups


def _group(cell: dict[str, Any]) -> Group:
    own = cell.get("dataset", "")
    return Group(cell["suite"], cell["arm"], labels_of(cell), cell["videos"], kind_of(cell), own)


def outcomes_of(cells: Results) -> Outcomes:
    """Success of cells in the tasks that count, float64 [cells, tasks, episodes].

    Raises `ConfigError` where they are of different episodes.
    """
    tasks, names = list(cells[0]["success_by_task"]), in_mean(cells[0])
    seeds = cells[0]["evaluation_seeds"]
    found = np.zeros((len(cells), len(names), len(seeds)))
    for row, cell in enumerate(cells):
        alike = list(cell["success_by_task"]) == tasks and in_mean(cell) == names
        if cell["evaluation_seeds"] != seeds or not alike:
            raise ConfigError(
                "cells of different tasks or evaluation seeds cannot be compared: "
                f"{cells[0]['hash']} and {cell['hash']}"
            )
        for each in (each for each in cell["episodes"] if each["task"] in names):
            place = names.index(each["task"]), seeds.index(each["seed"])
            found[(row, *place)] = each["success"]
    return found


def success_of(cells: Results) -> Interval:
    """Mean success of an arm over training seeds, the tasks that count, and episodes."""
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
    """A Markdown table: a row an arm, K and number of videos; below it, with headings of their own,
    those of transfer, of labels from play, of videos of another look, and of choices of videos.

    Where some tasks do not count in the mean, it has a column for these, and is followed by success
    in each task.
    """
    groups = grouped(results)
    parts = []
    for kind in sorted({group.kind for group in groups}, key=order_of):
        if kind:
            parts.append(f"### {_capital(title_of(kind))}\n\n{what_of(kind)}")
        alike = {name: cells for name, cells in groups.items() if name.kind == kind}
        parts.append(rows_of(alike))
        for suite in sorted({name.suite for name in alike}):
            own = {name: cells for name, cells in alike.items() if name.suite == suite}
            if any(beside(cells[0]) for cells in own.values()):
                parts.append(by_task(own))
            if DATASETS in kind:
                parts.append(datasets_compared(groups, suite, kind))
    return "\n\n".join(parts)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def rows_of(groups: dict[Group, Results]) -> str:
    """The table of results of one kind."""
    others = any(beside(cells[0]) for cells in groups.values())
    lines = [
        "| suite | arm | K | videos | seeds | success [95 %] |"
        + " other tasks |" * others
        + "".join(f" {ours} is ahead by [95 %] |" for ours in OURS)
        + " chunk error | CPU min |",
        "|---" * (8 + others + len(OURS)) + "|",
    ]
    for name in sorted(groups, key=lambda group: (group[0], *rank(group))):
        cells = groups[name]
        errors = [cell["chunk_error"] for cell in cells if cell["chunk_error"] is not None]
        minutes = np.mean([training_s(cell) for cell in cells]) / 60
        row = [name.suite, name.arm, name.demos, name.videos_named, len(cells)]
        row += [shown(success_of(cells))]
        row += [_of_others(cells)] * others
        gaps = [ahead(groups, name, ours) for ours in OURS]
        row += ["" if gap is None else shown(gap, sign="+") for gap in gaps]
        row += [f"{np.mean(errors):.2f}" if errors else "", f"{minutes:.1f}"]
        lines.append(f"| {' | '.join(map(str, row))} |")
    return "\n".join(lines)


def between_datasets(groups: dict[Group, Results], suite: str, kind: str) -> list[list[str]]:
    """By how much each choice of videos is ahead of each other one and of cloning without videos,
    with the same arm, K and number of videos: a table, its heading first.

    groups: those of the kind, and those that were measured without videos beside them.
    """
    mine = sorted((one for one in groups if (one.suite, one.kind) == (suite, kind)), key=rank)
    names = sorted({group.dataset for group in mine})
    rows = [["arm", "K", "videos", *(f"ahead of {name}" for name in names), "ahead of bc"]]
    for group in mine:
        others = [group._replace(dataset=name) for name in names]
        cloned = group._replace(arm="bc", videos=0, kind=_without_videos(kind), dataset="")
        gaps = [_gap(groups, group, other) for other in (*others, cloned)]
        rows.append([group.arm, str(group.demos), group.videos_named, *gaps])
    return rows


def datasets_compared(groups: dict[Group, Results], suite: str, kind: str) -> str:
    """`between_datasets` as Markdown."""
    rows = between_datasets(groups, suite, kind)
    return f"By how much choices of videos in {suite} are ahead [95 %]:\n\n{_markdown(rows)}"


def _markdown(rows: list[list[str]]) -> str:
    head, *others = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|---" * len(rows[0]) + "|", *others])


def _without_videos(kind: str) -> str:
    return "+".join(part for part in kind.split("+") if part != DATASETS)


def _gap(groups: dict[Group, Results], ours: Group, theirs: Group) -> str:
    """How far one group is ahead of another; "" where they cannot be compared."""
    if ours == theirs or theirs not in groups:
        return ""
    cells = groups[ours][0], groups[theirs][0]
    terms = [(c["data_sha256"], c["evaluation_seeds"], list(c["success_by_task"])) for c in cells]
    if terms[0] != terms[1] or not set(cells[0]["chosen_sha256"]) & set(cells[1]["chosen_sha256"]):
        return ""
    found = difference_of(groups[ours], groups[theirs])
    return "" if found is None else shown(found, sign="+")


def _of_others(cells: Results) -> str:
    """Mean success in the tasks that do not count."""
    found = rates(cells)
    values = [found[name] for name in beside(cells[0])]
    return f"{np.mean(values):.2f}" if values else ""


def by_task(groups: dict[Group, Results]) -> str:
    """Success in each task, of one suite: first those that count in its mean, then the others."""
    some = next(iter(groups.values()))[0]
    tasks, others = in_mean(some), beside(some)
    names = [*tasks, *(f"({name})" for name in others)]
    lines = [
        f"Success in each task of {some['cell']['suite']}; those in brackets do not count in the "
        "mean:\n",
        f"| arm | K | videos | {' | '.join(names)} |",
        "|---" * (3 + len(names)) + "|",
    ]
    for name in sorted(groups, key=rank):
        found = rates(groups[name])
        values = [f"{found[task]:.2f}" if task in found else "" for task in (*tasks, *others)]
        lines.append(f"| {name.arm} | {name.demos} | {name.videos_named} | {' | '.join(values)} |")
    return "\n".join(lines)


def rank(group: Group) -> tuple[Any, ...]:
    """What rows of one suite are sorted by: K, the order of `ARMS`, and most videos first.

    Arms that are not registered in this process come last, by name: results can be shown anywhere.
    """
    arm, names = group.arm, list(ARMS)
    place = names.index(arm) if arm in ARMS else len(names)
    return group.demos, place, arm, -group.videos, group.dataset


def ahead(groups: dict[Group, Results], name: Group, ours: str) -> Interval | None:
    """By how much the arm `ours` with its most videos is ahead of a group of the same suite, K and
    kind; None where there is no such arm, or the group is that one."""
    alike = [group for group in groups if group == name._replace(arm=ours, videos=group.videos)]
    mine = [group for group in alike if group.videos >= name.videos]
    best = max(mine, key=lambda group: group.videos, default=name)
    return None if best == name else difference_of(groups[best], groups[name])


def training_s(cell: dict[str, Any]) -> float:
    """CPU seconds of all training that a cell depends on, without collecting and ingesting."""
    return float(sum(value for name, value in cell["cpu_s"].items() if name not in NOT_TRAINED))


def shown(found: Interval, sign: str = "") -> str:
    """A mean with its interval: 0.60 [0.50, 0.70]."""
    return f"{found.mean:{sign}.2f} [{found.low:{sign}.2f}, {found.high:{sign}.2f}]"


def summary(results: Results) -> dict[str, Any]:
    """The table's figures, for programs."""
    rows = []
    for group, cells in sorted(grouped(results).items()):
        found = success_of(cells)
        rows.append(
            {
                **group._asdict(),
                "tasks": in_mean(cells[0]),
                "success_by_task": rates(cells),
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
    """Write the test cells of a benchmark's folder that can be compared, one JSON file a suite, and
    others for its transfer, play, other look and choices of videos: scene-transfer.json.

    Cells of other folders that such a file holds already are kept, so that a study may go on where
    its cells lie and its folder does not. What a transfer has measured with labels, to be compared
    with, is left out where the suite's file holds results of settings of its own.

    Returns the files, and how many test cells of the folder each leaves out. Raises `ConfigError`
    where there is no test cell, and, before anything is written, where what a file holds cannot be
    compared with what comes to it.
    """
    chosen = comparable([str(out)])
    files: list[tuple[Path, Results, int]] = []
    for cells, left_out in chosen:
        cell = cells[0]["cell"]
        path = into / f"{'-'.join(filter(None, (cell['suite'], kind_of(cell))))}.json"
        kept = read_results([path]) if path.exists() else []
        together = list({each["hash"]: each for each in (*kept, *cells)}.values())
        if not _alike(together):
            if not _of_transfer(cells, chosen):
                raise ConfigError(
                    f"{path} holds {len(kept)} results, and what is exported cannot be compared "
                    "with all of them: settings, data, episodes or folds differ. Move that file "
                    "away, or name another folder with --into"
                )
            together, left_out = kept, left_out + len(cells)
        grouped(together)
        files.append((path, together, left_out))
    into.mkdir(parents=True, exist_ok=True)
    for path, cells, _ in files:
        cells = sorted(cells, key=lambda cell: str(cell["hash"]))
        lines = ",\n".join(json.dumps(cell, separators=(",", ":")) for cell in cells)
        atomic.write_text(path, f'{{"cells": [\n{lines}\n]}}\n')
    return [(path, left_out) for path, _, left_out in files]


def _alike(results: Results) -> bool:
    """Whether all of them can be compared, by settings that they share."""
    shared = set.intersection(*(set(result["chosen_sha256"]) for result in results))
    return any(choose(results, [settings])[1] == 0 for settings in shared)


def _of_transfer(cells: Results, chosen: list[tuple[Results, int]]) -> bool:
    """Whether cells of labelled tasks have the settings of a transfer in the same folder."""
    own = cells[0]["cell"]
    if kind_of(own):
        return False
    settings = {
        name
        for alike, _ in chosen
        for each in alike
        if kind_of(each["cell"]).startswith(TRANSFER) and each["cell"]["suite"] == own["suite"]
        for name in each["chosen_sha256"]
    }
    return not settings.isdisjoint(cells[0]["chosen_sha256"])
