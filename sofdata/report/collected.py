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

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("task")
    play = ("play",) if "play" in summary else ()
    for name in ("videos", "demos", *play, "expert succeeds", "steps", "CPU s an episode"):
        table.add_column(name, justify="right")
    for task in summary["texts"]:
        videos, demos = summary["videos"][task], summary["demos"][task]
        good, tried = videos["episodes"] + demos["episodes"], videos["tried"] + demos["tried"]
        steps = [part["mean_steps"] for part in (videos, demos) if part["mean_steps"]]
        table.add_row(
            task,
            str(videos["episodes"]),
            str(demos["episodes"]),
            *(str(summary[part][task]["episodes"]) for part in play),
            f"{good} of {tried}",
            f"{sum(steps) / len(steps):.0f}" if steps else "",
            f"{summary['episode_cpu_s'][task] or 0:.2f}",
        )
    console.print(table)
    times = f"{summary['cpu_s']:.0f} s of computing in {summary['wall_s']:.0f} s"
    say(console, f"{folder}: {', '.join(('videos', 'demos', *play))}; {times}")
