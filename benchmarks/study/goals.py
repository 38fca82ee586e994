"""The study's goals against its test cells: each met, missed and by how much, or not measured.

    python benchmarks/study/goals.py                        of benchmarks/results
    python benchmarks/study/goals.py OUT FILE ...           of folders of a benchmark, or of exports
    python benchmarks/study/goals.py --validation OUT       a look ahead, which may choose settings

Prints Markdown. Differences are paired by training seed, task and episode, with 95 % intervals, as
in the table. Means are over the tasks that count: those in the freeze record of the suite, all
where it names none. "Best skill arm": of those that read skills from flow, controls apart, the one
with the highest success where the row compares.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sofdata.bench.results.counting import in_mean
from sofdata.bench.results.kinds import LOOK, PLAY, TRANSFER, labels_of, on_tasks
from sofdata.bench.results.stats import Interval
from sofdata.bench.results.table import (
    Group,
    Results,
    comparable,
    difference_of,
    grouped,
    success_of,
)
from sofdata.bench.study.arms import ARMS
from sofdata.bench.study.config import load_bench_config
from sofdata.errors import ConfigError

ROOT = Path(__file__).parents[2]
CONTROLS = ("sof-shuffled", "sof-novideo")
SEARCHES = ("sof+mpc", "sof-flat")
SUITES = ("metaworld", "scene")
FEW, MORE, CEILING = 1, 10, "bc-50"
NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Row:
    """A goal: what is measured, what is wanted, what was found, and what became of it."""

    measure: str
    goal: str
    found: str = ""
    met: str = NOT_MEASURED


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """Results by what they have in common."""

    groups: dict[Group, Results]

    def of(self, suite: str, arm: str, demos: int | None, kind: str = "") -> Results:
        """The results of an arm with its most videos; [] if there are none. demos: None for any."""
        alike = [
            group
            for group in self.groups
            if (group.suite, group.arm, group.kind) == (suite, arm, kind)
            and demos in (None, group.demos)
        ]
        best = max(alike, key=lambda group: (group.videos, group.demos), default=None)
        return self.groups[best] if best else []

    def best(self, suite: str, demos: int | None, kind: str = "") -> tuple[str, Results]:
        """The skill arm with the highest success, and its results; "" and [] if there is none."""
        found = [(arm, self.of(suite, arm, demos, kind)) for arm in skill_arms()]
        measured = [(arm, cells) for arm, cells in found if cells]
        return max(measured, key=lambda pair: success_of(pair[1]).mean, default=("", []))

    def like(self, cells: Results, arm: str, kind: str) -> Results:
        """The results of an arm with as many labels as `cells`, in the same suite."""
        if not cells:
            return []
        cell = cells[0]["cell"]
        return self.of(cell["suite"], arm, labels_of(cell), kind)

    def suites(self) -> list[str]:
        """All suites that there are results of."""
        return sorted({group.suite for group in self.groups})


def skill_arms() -> list[str]:
    """Arms that learn skills of flow from videos, controls apart."""
    return [
        arm.name
        for arm in ARMS.values()
        if arm.latent == "flow" and arm.skills and arm.name not in CONTROLS
    ]


# Rows


def ceiling(study: Study, suite: str, measure: str, least: float) -> Row:
    """How well cloning does that has all demonstrations."""
    return _level(Row(measure, f"{least:.2f}"), study.of(suite, CEILING, None), least)


def level(study: Study, suite: str, measure: str, demos: int, least: float) -> Row:
    """How well the best skill arm does."""
    arm, cells = study.best(suite, demos)
    row = _level(Row(measure, f"{least:.2f}"), cells, least)
    return Row(row.measure, row.goal, f"`{arm}`: {row.found}", row.met) if cells else row


def lead(
    study: Study, suite: str, measure: str, goal: str, *, demos: int, mean: float, low: float
) -> Row:
    """By how much the best skill arm is ahead of cloning from as many demonstrations."""
    arm, cells = study.best(suite, demos)
    gap = _gap(cells, study.of(suite, "bc", demos))
    return _judged(Row(measure, goal), f"`{arm}`: ", gap, mean, low)


def few_against_more(study: Study) -> Row:
    """Skills from one demonstration against cloning from ten."""
    arm, cells = study.best("metaworld", FEW)
    gap = _gap(cells, study.of("metaworld", "bc", MORE))
    row = Row(
        f"Meta-World K = {FEW} with videos: best skill arm over `bc` at K = {MORE}", "0 or more"
    )
    return _judged(row, f"`{arm}`: ", gap, 0.0, None)


def without_labels(study: Study) -> list[Row]:
    """Transfer to tasks of which no label was seen."""
    arm, cells = study.best("metaworld", None, TRANSFER)
    rows = [_level(Row("Meta-World, a task without labels: mean", "0.60"), cells, 0.6, arm)]
    for other in ("bc", "lapa+clone"):
        row = Row(
            f"Meta-World, a task without labels: `{other}`",
            "below the best skill arm by its interval",
        )
        gap = _gap(cells, study.like(cells, other, TRANSFER))
        rows.append(_judged(row, f"`{arm}`: ", gap, None, 0.0))
    row = Row(
        f"Meta-World, a task without labels: over `bc` with labels, K = {MORE}",
        "beyond: at least -0.15",
    )
    rows.append(_judged(row, f"`{arm}`: ", _gap(cells, study.of("metaworld", "bc", MORE)), -0.15))
    arm, cells = study.best("scene", None, TRANSFER)
    row = Row("scene, a task without labels: over `bc`", "above 0 by its interval")
    gap = _gap(cells, study.like(cells, "bc", TRANSFER))
    return [*rows, _judged(row, f"`{arm}`: ", gap, None, 0.0)]


def from_play(study: Study) -> list[Row]:
    """Labels of undirected play alone."""
    arm, cells = study.best("metaworld", None, PLAY)
    gap = _gap(cells, study.like(cells, "lapa+clone", PLAY))
    row = Row("Meta-World, labels from play only: over `lapa+clone`", "above 0 by its interval")
    return [
        _level(Row("Meta-World, labels from play only: mean", "0.35"), cells, 0.35, arm),
        _judged(row, f"`{arm}`: ", gap, None, 0.0),
    ]


def another_look(study: Study) -> list[Row]:
    """Whether the gain stays where videos look otherwise; measured, without a goal of its own."""
    rows = []
    for suite in study.suites():
        arm, cells = study.best(suite, None, LOOK)
        if cells:
            demos = cells[0]["cell"]["demos"]
            bc = study.like(cells, "bc", LOOK) or study.like(cells, "bc", "")
            row = Row(
                f"{suite} K = {demos}, videos of another look: best skill arm over `bc`",
                "does the gain stay? above 0 by its interval",
            )
            rows.append(_judged(row, f"`{arm}`: ", _gap(cells, bc), None, 0.0))
    missing = Row("videos of another look: best skill arm over `bc`", "does the gain stay?")
    return rows or [missing]


def searching(study: Study) -> Row:
    """Whether any search is ahead of drawing anywhere, or no preset asks for it any more."""
    row, gaps = Row("search over drawing (`sof`)", "above 0 by its interval, or retired"), []
    for group in sorted(study.groups):
        if group.arm in SEARCHES:
            drawn = study.groups.get(group._replace(arm="sof"), [])
            gap = _gap(study.groups[group], drawn)
            if gap:
                gaps.append((f"{group.suite}, `{group.arm}`, K = {group.demos}", gap))
    if not gaps:
        return row
    found = "; ".join(f"{where}: {_shown(gap)}" for where, gap in gaps)
    best = max(gap.low for _, gap in gaps)
    met = f"missed: no interval is above 0, the nearest begins at {best:+.2f}"
    if best > 0 or retired():
        met = "met" if best > 0 else "met: retired, no preset of the study has it"
    return Row(row.measure, row.goal, found, met)


def retired() -> bool:
    """Whether no preset of the study searches."""
    wanted = [load_bench_config(preset) for preset in ("standard", "scene")]
    return not any(set(SEARCHES) & {*config.arms, *config.more_arms} for config in wanted)


def controls(study: Study) -> list[Row]:
    """Whether controls are below skills in every suite where they were measured."""
    rows = []
    for suite in sorted({*study.suites(), *SUITES}):
        for name in CONTROLS:
            row = Row(f"`{name}`, {suite}: `sof` over it", "above 0 by its interval")
            theirs = study.of(suite, name, None)
            mine = study.like(theirs, "sof", "")
            rows.append(_judged(row, "", _gap(mine, theirs), None, 0.0))
    return rows


def rows_of(study: Study) -> list[Row]:
    """All goals, in the order of their table."""
    return [
        ceiling(study, "metaworld", f"`{CEILING}`, counted Meta-World tasks", 0.95),
        ceiling(study, "scene", f"`{CEILING}`, scene, five tasks", 0.60),
        lead(
            study,
            "metaworld",
            f"Meta-World K = {FEW}: best skill arm over `bc`",
            "+0.25, lower end above +0.10",
            demos=FEW,
            mean=0.25,
            low=0.10,
        ),
        few_against_more(study),
        lead(
            study,
            "scene",
            f"scene K = {MORE}: best skill arm over `bc`",
            "+0.15, lower end above 0",
            demos=MORE,
            mean=0.15,
            low=0.0,
        ),
        level(study, "scene", f"scene K = {MORE}: best skill arm", MORE, 0.45),
        *without_labels(study),
        *from_play(study),
        *another_look(study),
        searching(study),
        *controls(study),
    ]


# Comparing


def _gap(ours: Results, theirs: Results) -> Interval | None:
    """A paired difference on the tasks that count and that both have; None where there is none."""
    if not ours or not theirs:
        return None
    shared = [task for task in in_mean(ours[0]) if task in theirs[0]["success_by_task"]]
    if not shared:
        return None
    return difference_of(*([on_tasks(cell, shared) for cell in each] for each in (ours, theirs)))


def _level(row: Row, cells: Results, least: float, arm: str = "") -> Row:
    if not cells:
        return row
    found = success_of(cells)
    text = f"{found.mean:.2f} [{found.low:.2f}, {found.high:.2f}]"
    met = "met" if found.mean >= least else f"missed by {least - found.mean:.2f}"
    return Row(row.measure, row.goal, f"`{arm}`: {text}" if arm else text, met)


def _judged(
    row: Row, before: str, gap: Interval | None, mean: float | None = None, low: float | None = None
) -> Row:
    """What became of a difference: its mean is to be at least `mean`, its lower end above `low`."""
    if gap is None:
        return row
    short = []
    if mean is not None and gap.mean < mean:
        short.append(f"by {mean - gap.mean:.2f}")
    if low is not None and gap.low <= low:
        short.append(f"its lower end by {low - gap.low:.2f}")
    met = f"missed {' and '.join(short)}" if short else "met"
    return Row(row.measure, row.goal, f"{before}{_shown(gap)}", met)


def _shown(gap: Interval) -> str:
    return f"{gap.mean:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}]"


# Reading


def read_study(places: Sequence[str], purpose: str = "test") -> Study:
    """The comparable results of these places.

    Raises `ConfigError` where there is no result of that purpose.
    """
    groups: dict[Group, Results] = {}
    for results, _ in comparable(places, purpose):
        groups |= grouped(results)
    return Study(groups)


def markdown(*places: str, purpose: str = "test") -> str:
    """The table of goals. Raises `ConfigError` where there is no result of that purpose."""
    lines = ["| measure | goal | found | |", "|---|---|---|---|"]
    for row in rows_of(read_study(places, purpose)):
        lines.append(f"| {row.measure} | {row.goal} | {row.found} | {row.met} |")
    return "\n".join(lines)


def main(*arguments: str) -> None:
    """Print the table of goals."""
    places = [each for each in arguments if each != "--validation"]
    purpose = "validation" if "--validation" in arguments else "test"
    try:
        print(markdown(*(places or [str(ROOT / "benchmarks" / "results")]), purpose=purpose))
    except ConfigError as error:
        sys.exit(f"goals.py: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
