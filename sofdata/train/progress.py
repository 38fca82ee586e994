"""What the user sees while models train: a live line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sofdata.train.loop import OnProgress, TrainingProgress
from sofdata.ui.console import say
from sofdata.ui.text import clock

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_INTERVAL_S = 10.0
SHOWN = 3


@contextmanager
def following(console: Console, quiet: bool) -> Iterator[OnProgress]:
    """Show the progress of trainings on `console` until the block ends."""
    if quiet:
        yield lambda progress: None
    elif console.is_terminal:
        with _live(console) as on_progress:
            yield on_progress
    else:
        yield _plain(console)


def line_of(progress: TrainingProgress) -> str:
    """'skill 300/1500 · loss 0.0123 · ... · 180 samples/s · 3:20 left'."""
    shown = {name: value for name, value in progress.metrics.items() if name != "lr"}
    parts = [f"{progress.stage} {progress.step}/{progress.steps}"]
    parts += [f"{name} {value:.4g}" for name, value in list(shown.items())[:SHOWN]]
    parts.append(f"{progress.samples_per_s:.0f} samples/s")
    if progress.seconds_left is not None:
        parts.append(f"{clock(progress.seconds_left)} left")
    return " · ".join(parts)


def held_out_line(progress: TrainingProgress) -> str:
    """'skill 500: held out flow_energy_explained 0.91 · ...'."""
    metrics = " · ".join(f"{name} {value:.4g}" for name, value in progress.held_out.items())
    return f"{progress.stage} {progress.step}: held out {metrics}"


@contextmanager
def _live(console: Console) -> Iterator[OnProgress]:
    from rich.progress import BarColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (SpinnerColumn(), BarColumn(24), TextColumn("{task.description}", markup=False))
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("reading the data", total=None)

        def on_progress(progress: TrainingProgress) -> None:
            if progress.held_out:
                say(console, held_out_line(progress))
            else:
                bar.update(
                    task,
                    completed=progress.step,
                    total=progress.steps,
                    description=line_of(progress),
                )

        yield on_progress


def _plain(console: Console) -> OnProgress:
    printed_s = time.monotonic()

    def on_progress(progress: TrainingProgress) -> None:
        nonlocal printed_s
        if progress.held_out:
            say(console, held_out_line(progress))
        elif time.monotonic() - printed_s > PLAIN_INTERVAL_S:
            printed_s = time.monotonic()
            say(console, line_of(progress))

    return on_progress
