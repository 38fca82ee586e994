"""The goals of the first study against its test cells. goals.py has those of the present one.

    python benchmarks/study/first_goals.py benchmarks/results/first/metaworld.json

Prints Markdown: each goal, what was found with its 95 % interval, and whether it is met.
Differences are paired by training seed, task and episode, as in the table. Without videos, sof is
sof-novideo, and sof+clone has nothing to clone but what bc has. How long a seed takes is
measured by running one: see LOG.md.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from sofdata.bench.results.stats import Interval
from sofdata.bench.results.table import (
    OURS,
    Results,
    difference_of,
    grouped,
    read_results,
    success_of,
)

VIDEOS, CURVE = 50, (10, 25, 50)
LONG = ("scene",)  # suites whose tasks have several stages

Cells = dict[tuple[str, int, int], Results]  # by arm, K and videos
Goal = tuple[str, str, bool]  # what was wanted, what was found, whether it is met


def main(*paths: str) -> None:
    """Print the goals of each suite in the files."""
    groups = grouped(read_results(map(Path, paths)))
    print("| suite | goal | found | met |")
    print("|---|---|---|---|")
    for suite in sorted({group[0] for group in groups}):
        cells = {
            (group.arm, group.demos, group.videos): results
            for group, results in groups.items()
            if (group.suite, group.kind) == (suite, "")
        }
        first = min(demos for arm, demos, _ in cells if arm == "bc")
        for ours in (*OURS, "sof+mpc"):
            goals = _long_goals if suite in LONG else _goals
            for goal, found, met in goals(cells, ours, first):
                print(f"| {suite} | {goal} | {found} | {'yes' if met else 'no'} |")


def _long_goals(cells: Cells, ours: str, demos: int) -> list[Goal]:
    mine, bc = cells.get((ours, demos, VIDEOS)), cells.get(("bc", demos, 0))
    gap = difference_of(mine, bc) if mine and bc else None
    if not mine or not bc or not gap:
        return []
    text = f"{success_of(mine).mean:.2f} against {success_of(bc).mean:.2f}: {_shown(gap)}"
    return [(f"{ours}, K={demos}: ahead of bc, interval above 0", text, gap.low > 0)]


def _goals(cells: Cells, ours: str, first: int) -> list[Goal]:
    mine, bc = cells.get((ours, first, VIDEOS)), cells.get(("bc", first, 0))
    if not mine or not bc:
        return []
    success, cloned = success_of(mine), success_of(bc)
    ratio = success.mean / max(cloned.mean, 1e-9)
    text = f"{success.mean:.2f} against {cloned.mean:.2f}: {ratio:.2f} times"
    rows = [(f"{ours}, K={first}: twice bc", text, ratio >= 2)]
    for other in ("bc+encoder", "lapa", "sof-shuffled"):
        theirs = cells.get((other, first, VIDEOS))
        gap = difference_of(mine, theirs) if theirs else None
        if gap:
            goal = f"{ours}, K={first}: ahead of {other} by at least 0.10, interval above 0"
            rows.append((goal, _shown(gap), gap.mean >= 0.1 and gap.low > 0))
    more = cells.get(("bc", 10, 0))
    gap = difference_of(mine, more) if more and first < 10 else None
    if gap:
        rows.append((f"{ours}, K={first}: as good as bc with K=10", _shown(gap), gap.mean >= 0))
    none = cells.get(("sof-novideo", first, 0)) if ours == "sof" else bc
    curve = [none, *(cells.get((ours, first, videos)) for videos in CURVE)]
    if all(curve):
        found = [success_of(results).mean for results in curve if results]
        rises = all(one <= more for one, more in itertools.pairwise(found))
        goal = f"{ours}, K={first}: rises with videos (0, {', '.join(map(str, CURVE))})"
        rows.append((goal, ", ".join(f"{value:.3f}" for value in found), rises))
    return rows


def _shown(gap: Interval) -> str:
    return f"{gap.mean:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}]"


if __name__ == "__main__":
    main(*sys.argv[1:])
