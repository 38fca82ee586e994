"""The benchmark's page and its Markdown table: success of each arm, and what the robot did.

    OUT/cells/*.json, OUT/strips/ ─► OUT/report.html, OUT/report.md

Cells are only compared where settings, data, tasks and evaluation seeds are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sofdata.bench.results.counting import beside, in_mean
from sofdata.bench.results.kinds import DATASETS, title_of, what_of
from sofdata.bench.results.stats import Interval
from sofdata.bench.results.table import (
    OURS,
    Group,
    Results,
    ahead,
    between_datasets,
    comparable,
    datasets_compared,
    grouped,
    rank,
    rows_of,
    success_of,
    training_s,
)
from sofdata.bench.study.arms import ARMS
from sofdata.pictures.colour import wheel_legend
from sofdata.report.charts import Chart, MeasuredPoint, lines, points
from sofdata.report.page import picture, render, write_page
from sofdata.report.rollouts import Strip, rollouts
from sofdata.storage.tree import Tree

PAGE, TABLE = "report.html", "report.md"
OWN_TONE = 13  # of arms that are not sofdata's own: the last colour of the page
TONES = {name: min(number, OWN_TONE) for number, name in enumerate(ARMS)}


@dataclass(frozen=True, slots=True)
class Row:
    """An arm at a number of demonstrations and videos.

    name: of the row. curve: what its points are joined by in charts: the arm, and the dataset.
    videos_named: how many videos, and of which dataset.
    ahead: by how much each arm of `OURS` is ahead of it.
    """

    arm: str
    what: str
    demos: int
    videos: int
    name: str
    curve: str
    videos_named: str
    seeds: int
    success: Interval
    ahead: tuple[Interval | None, ...]
    by_task: tuple[float, ...]
    chunk_error: float | None
    steps: float | None
    nats: float | None
    codes: float | None
    minutes: float
    tone: int


@dataclass(frozen=True, slots=True)
class SuitePart:
    """The part of the page about one suite, or about transfer, play or another look in it.

    title: the suite's name, and what its results are of. what: what a reader has to know of that.
    tasks: those that count in the mean, before the `others`. between: of choices of videos, by how
    much each is ahead of the others, a heading and rows.
    """

    title: str
    what: str
    purpose: str
    exploratory: bool
    tasks: tuple[str, ...]
    others: tuple[str, ...]
    episodes: int
    seeds: tuple[int, ...]
    data_sha256: str
    rows: tuple[Row, ...]
    charts: tuple[Chart, ...]
    spent: tuple[tuple[str, tuple[float | None, ...]], ...]
    stages: tuple[str, ...]
    rollouts: tuple[tuple[str, tuple[Strip, ...]], ...]
    left_out: int
    versions: dict[str, str]
    between: tuple[list[str], ...] = ()


def write_benchmark(
    places: Sequence[str], out: Path, purpose: str = "test", path: str | None = None
) -> tuple[str, str]:
    """Write the page and the table; returns where they lie.

    places: folders of 'sofdata bench run', or files that 'sofdata bench export' wrote.
    out: folder of both. path: where the page goes instead.

    Raises `ConfigError` where there is no result of that purpose.
    """
    chosen = comparable(places, purpose)
    folders = [Path(place) for place in places if Path(place).is_dir()]
    every = grouped(result for results, _ in chosen for result in results)
    parts = [suite_part(results, left_out, folders, every) for results, left_out in chosen]
    out.mkdir(parents=True, exist_ok=True)
    tree = Tree(str(out))
    wheel = picture(wheel_legend(96), lossless=True)
    page = render(
        "benchmark.html.j2", {"parts": parts, "wheel": wheel, "arms": ARMS.values(), "ours": OURS}
    )
    tree.write(TABLE, markdown([results for results, _ in chosen], parts).encode())
    return write_page(tree, PAGE, page, path), f"{out}/{TABLE}"


def suite_part(
    results: Results,
    left_out: int,
    folders: Sequence[Path],
    every: dict[Group, Results] | None = None,
) -> SuitePart:
    """All figures and pictures of one suite. every: what its results may be compared with."""
    groups = grouped(results)
    names = sorted(groups, key=rank)
    names.sort(key=lambda group: group[1] == "bc-50")  # the ceiling stands below all others
    rows = tuple(_row(groups, name) for name in names)
    shown = [cell for name in names for cell in groups[name]]
    one, kind = shown[0], names[0].kind
    stages = _stages(results)
    return SuitePart(
        title=": ".join(filter(None, (one["cell"]["suite"], title_of(kind)))),
        what=what_of(kind),
        purpose=one["cell"]["purpose"],
        exploratory=any(result["exploratory"] for result in results),
        tasks=tuple(in_mean(one)),
        others=tuple(beside(one)),
        episodes=len(one["evaluation_seeds"]),
        seeds=tuple(sorted({result["cell"]["seed"] for result in results})),
        data_sha256=one["data_sha256"],
        rows=rows,
        charts=_charts(rows),
        spent=tuple(
            (row.name, _spent(groups[name], stages)) for row, name in zip(rows, names, strict=True)
        ),
        stages=stages,
        rollouts=rollouts(shown, folders),
        left_out=left_out,
        versions=one["versions"],
        between=tuple(between_datasets(every or groups, names[0].suite, kind))
        if DATASETS in kind
        else (),
    )


def markdown(chosen: Sequence[Results], parts: Sequence[SuitePart]) -> str:
    """The table of each suite, and success by task."""
    text = []
    every = grouped(result for results in chosen for result in results)
    for results, part in zip(chosen, parts, strict=True):
        seeds = ", ".join(map(str, part.seeds))
        text.append(f"## {part.title}\n")
        if part.what:
            text.append(part.what + "\n")
        text.append(
            f"{part.episodes} episodes a task on {part.purpose} seeds, training seeds {seeds}. "
            "Intervals: 95 %, bootstrap over seeds, tasks and episodes.\n"
        )
        own = grouped(results)
        text.append(rows_of(own) + "\n")
        if part.between:
            one = next(iter(own))
            text.append(datasets_compared(every, one.suite, one.kind) + "\n")
        if part.others:
            text.append("Tasks in brackets do not count in the mean.\n")
        names = [*part.tasks, *(f"({name})" for name in part.others)]
        text.append("| success by task | " + " | ".join(names) + " |")
        text.append("|---" * (len(names) + 1) + "|")
        for row in part.rows:
            values = " | ".join(f"{value:.2f}" for value in row.by_task)
            text.append(f"| {row.name} | {values} |")
        text.append("")
    return "\n".join(text)


def _row(groups: dict[Group, Results], name: Group) -> Row:
    arm, cells = name.arm, groups[name]
    datasets = sorted({group.dataset for group in groups if group.dataset})
    tone = TONES.get(arm, OWN_TONE)
    if name.dataset:  # rows of an arm differ in that
        tone = (tone + datasets.index(name.dataset)) % OWN_TONE
    tasks = *in_mean(cells[0]), *beside(cells[0])
    return Row(
        arm=arm,
        what=ARMS[arm].what if arm in ARMS else "",
        demos=name.demos,
        videos=name.videos,
        name=_name(name),
        curve=f"{arm}, {name.dataset}" if name.dataset else arm,
        videos_named=name.videos_named,
        seeds=len(cells),
        success=success_of(cells),
        ahead=tuple(ahead(groups, name, ours) for ours in OURS),
        by_task=tuple(
            float(np.mean([c["success_by_task"][task] for c in cells])) for task in tasks
        ),
        chunk_error=_mean(cell["chunk_error"] for cell in cells),
        steps=_mean(cell["steps_to_success"] for cell in cells),
        nats=_mean(cell["metrics"].get("planner", {}).get("prior_nats") for cell in cells),
        codes=_mean(_codes(cell) for cell in cells),
        minutes=float(np.mean([training_s(cell) for cell in cells])) / 60,
        tone=tone,
    )


def _codes(cell: dict[str, Any]) -> float | None:
    metrics = cell["metrics"].get("skill") or cell["metrics"].get("lapa") or {}
    value = metrics.get("codes_used_share")
    return None if value is None else float(value)


def _mean(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return float(np.mean(found)) if found else None


def _name(group: Group) -> str:
    of = f" of {group.dataset}" if group.dataset else ""
    videos = f", {group.videos} videos{of}" if group.videos else ""
    return f"{group.arm}, K={group.demos}{videos}"


def _charts(rows: Sequence[Row]) -> tuple[Chart, ...]:
    """Success against demonstrations, videos and computing, where there is more than a point."""
    charts, tones = [], {row.curve: row.tone for row in rows}
    most = max(row.videos for row in rows)
    first = min(row.demos for row in rows)
    by_demos = _series((row.curve, row.demos, row) for row in rows if row.videos in (0, most))
    several = {arm: points for arm, points in by_demos.items() if len(points) > 1}
    if several:
        ceiling = {arm: by_demos[arm] for arm in ("bc-50",) if arm in by_demos}
        title = "Success by number of demonstrations"
        charts.append(lines(title, "demonstrations a task (K)", several | ceiling, tones))
    if all(row.curve == row.arm for row in rows):
        charts += _by_videos([row for row in rows if row.demos == first], first)
    spent = _series(
        (row.curve, row.minutes, row)
        for row in rows
        if row.demos == first and row.videos in (0, most)
    )
    if len(spent) > 1:
        title = f"Success by computing, K = {first}"
        charts.append(points(title, "CPU minutes of training", spent, tones))
    return tuple(charts)


def _by_videos(rows: Sequence[Row], demos: int) -> list[Chart]:
    """Success against videos, beside cloning, which needs none; sof without videos stands at 0."""
    curve, numbers = dict[str, list[MeasuredPoint]](), {0}
    for ours in OURS:
        none = [row for row in rows if row.arm == "sof-novideo"] if ours == "sof" else []
        videos = [*none, *(row for row in rows if row.arm == ours)]
        if len(videos) > 1:
            curve |= _series((ours, row.videos, row) for row in videos)
            numbers |= {row.videos for row in videos}
    if not curve:
        return []
    flat = [row for row in rows if row.arm == "bc"]
    curve |= _series(("bc", number, flat[0]) for number in sorted(numbers) if flat)
    title = f"Success by number of action-free videos, K = {demos}"
    tones = {row.arm: row.tone for row in rows}
    return [lines(title, "videos a task", curve, tones)]


def _series(values: Iterable[tuple[str, float, Row]]) -> dict[str, list[MeasuredPoint]]:
    found: dict[str, list[MeasuredPoint]] = {}
    for name, at, row in values:
        measured = MeasuredPoint(at, row.success.mean, row.success.low, row.success.high)
        found.setdefault(name, []).append(measured)
    return found


def _stages(results: Results) -> tuple[str, ...]:
    order = (
        "collect",
        "ingest",
        "skill",
        "lapa",
        "tracks",
        "planner",
        "decoder",
        "clone",
        "finetune",
        "evaluation",
    )
    known = {stage for result in results for stage in result["cpu_s"]}
    return tuple(stage for stage in order if stage in known)


def _spent(cells: Results, stages: Sequence[str]) -> tuple[float | None, ...]:
    return tuple(_mean(_of_stage(cell["cpu_s"], stage) for cell in cells) for stage in stages)


def _of_stage(cpu_s: dict[str, float], stage: str) -> float | None:
    """CPU seconds of a stage; of "decoder" those of all that name actions, "decoder 2" and on."""
    all_of_it = [spent for name, spent in cpu_s.items() if name.partition(" ")[0] == stage]
    return sum(all_of_it) if all_of_it else None
