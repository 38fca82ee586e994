"""The result of `sofdata train`: a table for the terminal, and a page."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from sofdata.report.page import render
from sofdata.storage import atomic
from sofdata.storage.local import storage_errors
from sofdata.ui.console import labelled, say
from sofdata.ui.text import printable

if TYPE_CHECKING:
    from sofdata.train.config import StageName
    from sofdata.train.run import StageResult
    from sofdata.train.verdict import Judged

PAGE = "train_report.html"
CURVES = "curves.png"
PLOTS = frozenset({"curves", "actions"})  # black on white, turned round on a dark page
SAID = {
    "reconstructions": "reconstructions: the first frame of a held-out window, then some steps of "
    "its flow, above as it is and below as it comes back from the codes",
    "prior_samples": "skills that the prior proposes for two tasks at one first frame, as flow",
    "actions": "actions of held-out windows, true and decoded: a row each dimension, a column each "
    "window",
}


def results_summary(results: Sequence[StageResult]) -> list[dict[str, Any]]:
    """The stages as plain values."""
    return [
        {
            "stage": result.name,
            "skipped": result.skipped,
            "seconds": result.seconds,
            "held_out": result.metrics,
            "verdict": list(result.verdict),
        }
        for result in results
    ]


def print_results(console: Console, results: Sequence[StageResult], *reports: Path) -> None:
    """A table of held-out metrics a stage, what they come to, and where the reports are."""
    for result in results:
        state = "up to date" if result.skipped else f"{result.seconds:.0f} s"
        table = Table(title=f"{result.name} ({state})", title_justify="left")
        table.add_column("held out")
        table.add_column(justify="right")
        for name, value in result.metrics.items():
            table.add_row(name, f"{value:.4g}")
        console.print(table)
    for result in results:
        for text in result.verdict:
            labelled(console, f"{result.name:8} ", text)
    for report in reports:
        say(console, f"report: {report}")


@dataclass(frozen=True, slots=True)
class ShownPicture:
    """A picture on the page; data: a data URI. plot: whether it is curves, black on white."""

    title: str
    data: str
    plot: bool


@dataclass(frozen=True, slots=True)
class ShownStage:
    """A stage that has ended, as the page shows it. actions: what a decoder's actions are."""

    title: str
    verdict: tuple[Judged, ...]
    about: str
    metrics: tuple[tuple[str, str], ...]
    pictures: tuple[ShownPicture, ...]
    actions: str = ""


def write_training_page(out: str | Path) -> Path:
    """Write the page of all stages that have ended in a folder; one file, to be sent around.

    Raises `StorageError` where it cannot be written.
    """
    from sofdata.train.config import STAGES

    folder = Path(out)
    values = {
        "name": printable(folder.resolve().name),
        "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "stages": [each for name in STAGES for each in _stage(folder, name)],
    }
    path = folder / PAGE
    with storage_errors(f"write {path}"):
        atomic.write_bytes(path, render("training.html.j2", values))
    return path


def _stage(out: Path, name: StageName) -> Iterator[ShownStage]:
    """The stage, if it has ended."""
    from sofdata.train.report import TITLES, described
    from sofdata.train.stage import read_done
    from sofdata.train.verdict import stage_verdict

    done = read_done(out / name)
    if done is None:
        return
    yield ShownStage(
        title=TITLES[name],
        verdict=stage_verdict(out / name, name),
        about=printable(described(done)),
        metrics=tuple((each, f"{value:.4g}") for each, value in done["metrics"].items()),
        pictures=tuple(_pictures(out / name)),
        actions=_actions(done.get("actions")),
    )


def _pictures(folder: Path) -> Iterator[ShownPicture]:
    """The curves, and the last picture of each kind."""
    from sofdata.train.report import last_pictures

    found = {"curves": folder / CURVES, **last_pictures(folder)}
    for title, path in found.items():
        if path.is_file():
            data = base64.b64encode(path.read_bytes()).decode()
            said = SAID.get(title, title.replace("_", " "))
            yield ShownPicture(said, f"data:image/png;base64,{data}", title in PLOTS)


def _actions(said: dict[str, Any] | None) -> str:
    if not said or not said["names"]:
        return ""
    names = ", ".join(map(printable, said["names"]))
    return f"Actions: {names}; {said['fps']:g} a second, {said['chunk']} without looking again."
