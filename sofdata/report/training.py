"""The result of `sofdata train`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from sofdata.ui.console import say

if TYPE_CHECKING:
    from sofdata.train.run import StageResult


def results_summary(results: Sequence[StageResult]) -> list[dict[str, Any]]:
    """The stages as plain values."""
    return [
        {
            "stage": result.name,
            "skipped": result.skipped,
            "seconds": result.seconds,
            "held_out": result.metrics,
        }
        for result in results
    ]


def print_results(console: Console, results: Sequence[StageResult], report: Path) -> None:
    """A table of held-out metrics a stage, and where the report is."""
    for result in results:
        state = "up to date" if result.skipped else f"{result.seconds:.0f} s"
        table = Table(title=f"{result.name} ({state})", title_justify="left")
        table.add_column("held out")
        table.add_column(justify="right")
        for name, value in result.metrics.items():
            table.add_row(name, f"{value:.4g}")
        console.print(table)
    say(console, f"report: {report}")
