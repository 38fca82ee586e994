"""The progress and the result of collecting episodes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sofdata.bench.collect.collect import CollectListener, CollectProgress
from sofdata.ui.console import say

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_INTERVAL_S = 10.0


@contextmanager
def following(console: Console, quiet: bool) -> Iterator[CollectListener]:
    """Show how many episodes are done: a bar in a terminal, a line now and then elsewhere."""
    if quiet:
        yield lambda done: None
    elif console.is_terminal:
        from rich.progress import Progress

        with Progress(console=console, transient=True) as bar:
            task = bar.add_task("episodes", total=None)
            yield lambda done: bar.update(task, completed=done.succeeded, total=done.wanted)
    else:
        yield _plain(console)


def _plain(console: Console) -> CollectListener:
    shown_s = time.monotonic()

    def follow(done: CollectProgress) -> None:
        nonlocal shown_s
        if time.monotonic() - shown_s > PLAIN_INTERVAL_S or done.succeeded == done.wanted:
            shown_s = time.monotonic()
            say(console, f"episodes {done.succeeded}/{done.wanted}, {done.tried} tried")

    return follow


def print_collected(console: Console, summary: dict[str, Any], folder: Path) -> None:
    """A table of tasks: episodes, how often the expert succeeded, and what an episode takes."""
    from rich.table import Table

    parts = [part for part in ("videos", "demos", "play") if part in summary]
    acted = "play" not in parts
    rate = ("expert succeeds",) if acted else ()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("task")
    for name in (*parts, *rate, "steps", "CPU s an episode"):
        table.add_column(name, justify="right")
    for task in summary["texts"]:
        made = [summary[part][task] for part in parts]
        steps = [part["mean_steps"] for part in made if part["mean_steps"]]
        good, tried = (sum(part[key] for part in made) for key in ("episodes", "tried"))
        table.add_row(
            task,
            *(str(part["episodes"]) for part in made),
            *([f"{good} of {tried}"] if acted else []),
            f"{sum(steps) / len(steps):.0f}" if steps else "",
            f"{summary['episode_cpu_s'][task] or 0:.2f}",
        )
    console.print(table)
    times = f"{summary['cpu_s']:.0f} s of computing in {summary['wall_s']:.0f} s"
    say(console, f"{folder}: {', '.join(parts)}; {times}")
