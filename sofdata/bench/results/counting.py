"""Which tasks count in a result's mean, by the record of what was frozen.

A result says so itself, in `counted`: `comparable` puts it there, and exported cells keep it. In
results without it all tasks count. Tasks that do not count are reported beside.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sofdata.bench.results.kinds import kind_of

COUNTED = "counted"


def with_counted(result: dict[str, Any], records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The result with the tasks that count in its mean.

    records: of what was frozen. The one of its settings decides; for transfer, play and another
        look, which are compared with an ordinary study, otherwise one of the same suite.
    """
    if COUNTED in result:
        return result
    known = [record for record in records if record.get(COUNTED)]
    own = [record for record in known if record["chosen_sha256"] in result["chosen_sha256"]]
    if not own and kind_of(result["cell"]):
        suite = result["cell"]["suite"]
        own = [record for record in known if record["settings"]["suite"] == suite]
    return result | {COUNTED: own[0][COUNTED]["tasks"]} if own else result


def in_mean(result: dict[str, Any]) -> list[str]:
    """The tasks over which its success is the mean: those of its tasks that count.

    A result in which none of them counts, as of a task held out, is shown over all.
    """
    names = list(result["success_by_task"])
    return [name for name in names if name in result.get(COUNTED, names)] or names


def beside(result: dict[str, Any]) -> list[str]:
    """Its other tasks."""
    mean = in_mean(result)
    return [name for name in result["success_by_task"] if name not in mean]


def rates(cells: list[dict[str, Any]]) -> dict[str, float]:
    """Success by task, the mean over training seeds."""
    return {
        name: sum(cell["success_by_task"][name] for cell in cells) / len(cells)
        for name in cells[0]["success_by_task"]
    }
