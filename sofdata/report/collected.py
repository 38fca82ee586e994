"""What the user sees while and after experts act."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sofdata.bench.collect.collect import CollectListener, CollectProgress

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_INTERVAL_S = 10.0


@contextmanager
def following(console: Console, quiet: bool) -> Iterator[CollectListener]:
    """Show how many episodes are done: a bar in a terminal, a line now and then elsewhere."""
    if quiet:
        yield lambda told: None
    elif console.is_terminal:
        from rich.progress import Progress

        with Progress(console=console, transient=True) as bar:
            task = bar.add_task("episodes", total=None)
            yield lambda told: bar.update(task, completed=told.succeeded, total=told.wanted)
    else:
        yield _plain(console)


def _plain(console: Console) -> CollectListener:
    shown_s = time.monotonic()

    def follow(told: CollectProgress) -> None:
        nonlocal shown_s
        if time.monotonic() - shown_s > PLAIN_INTERVAL_S or told.succeeded == told.wanted:
            shown_s = time.monotonic()
            console.print(
                f"episodes {told.succeeded}/{told.wanted}, {told.tried} tried", highlight=False
            )

    return follow


def print_collected(console: Console, told: dict[str, Any], folder: Path) -> None:
    """A table of tasks: episodes, how often the expert succeeded, and what an episode takes."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("task")
    for name in ("videos", "demos", "expert succeeds", "steps", "CPU s an episode"):
        table.add_column(name, justify="right")
    for task in told["texts"]:
        videos, demos = told["videos"][task], told["demos"][task]
        good, tried = videos["episodes"] + demos["episodes"], videos["tried"] + demos["tried"]
        steps = [part["mean_steps"] for part in (videos, demos) if part["mean_steps"]]
        table.add_row(
            task,
            str(videos["episodes"]),
            str(demos["episodes"]),
            f"{good} of {tried}",
            f"{sum(steps) / len(steps):.0f}" if steps else "",
            f"{told['episode_cpu_s'][task] or 0:.2f}",
        )
    console.print(table)
    console.print(
        f"{folder}: videos, demos; {told['cpu_s']:.0f} s of computing in {told['wall_s']:.0f} s",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
