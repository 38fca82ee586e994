"""Which tasks count in a suite's mean: those with room for demonstrations to make a difference.

A task that cloning from fifty demonstrations does not master says nothing of data, and neither does
one that cloning from the fewest masters as well. Which tasks count is read off validation cells
when settings are frozen, and is stored with them, so that no test result can change it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sofdata.errors import ConfigError

CEILING, FLOOR = "bc-50", "bc"  # the arms that are compared
LEAST, LEAD = 0.5, 0.15  # what the ceiling must reach, and by how much it must lead
_ROUNDING = 1e-9  # 0.65 - 0.5 is a little less than 0.15

Cells = list[dict[str, Any]]


def counted(cells: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """The tasks that count, and why; None where an arm that decides it was not measured.

    cells: of one suite, on validation seeds, with the settings that are chosen. Rates are means of
        training seeds; of the floor, cells with the fewest demonstrations count.

    Raises `ConfigError` where no task counts.
    """
    ordinary = [cell for cell in cells if _ordinary(cell["cell"])]
    floor = [cell for cell in ordinary if cell["cell"]["arm"] == FLOOR]
    ceiling = [cell for cell in ordinary if cell["cell"]["arm"] == CEILING]
    if not floor or not ceiling:
        return None
    fewest = min(cell["cell"]["demos"] for cell in floor)
    low = _rates([cell for cell in floor if cell["cell"]["demos"] == fewest])
    high = _rates(ceiling)
    tasks = [name for name in high if _has_room(high[name], low[name])]
    rates = {name: {CEILING: high[name], FLOOR: low[name]} for name in high}
    if not tasks:
        raise ConfigError(
            f"no task counts: {CEILING} reaches {LEAST} and leads {FLOOR} at K = {fewest} by "
            f"{LEAD} in none of {rates}. Choose other settings, or let all count (counted=all)"
        )
    return {"tasks": tasks, "demos": fewest, "rates": rates}


def _has_room(high: float, low: float) -> bool:
    return high >= LEAST - _ROUNDING and high - low >= LEAD - _ROUNDING


def _ordinary(cell: dict[str, Any]) -> bool:
    """Whether it learned from demonstrations of every task, and from videos that look alike."""
    return not cell.get("held_out") and cell.get("labels") != "play" and not cell.get("look")


def _rates(cells: Cells) -> dict[str, float]:
    """Success by task, the mean of some cells."""
    by_task = [cell["success_by_task"] for cell in cells]
    return {name: sum(each[name] for each in by_task) / len(cells) for name in by_task[0]}
