"""A bar in a terminal that counts what is done of a number, for commands that do one thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@contextmanager
def counting(console: Console, what: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show how many of a number are done; nothing where there is no terminal."""
    from rich.progress import Progress as Bar

    with Bar(console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
