"""Where commands print and how: one way for lines, notes and headlines, JSON, and exit codes."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from sofdata.ui.text import printable

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 160
EXIT_QUARANTINED, EXIT_USAGE, EXIT_FAILED, EXIT_INTERRUPTED = 1, 2, 3, 130


def stdout() -> Console:
    """For a command's result."""
    return _console(sys.stdout)


def stderr() -> Console:
    """For progress, notes and warnings."""
    return _console(sys.stderr)


def say(console: Console, text: str, style: str | None = None) -> None:
    """Print a text as it is.

    Brackets are no markup, numbers get no colours, and a line is never broken: paths and commands
    can be copied from a terminal, and a pipe gets one line for each.
    """
    console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)


def note(console: Console, text: str) -> None:
    """Print a note whose text may hold names of others, control characters included."""
    say(console, f"note: {printable(text)}")


def labelled(console: Console, label: str, text: str, style: str = "bold") -> None:
    """Print a label in a style, and a text as `say` does after it."""
    from rich.text import Text

    line = Text.assemble((label, style), text)
    console.print(line, highlight=False, soft_wrap=True)


@contextmanager
def counting(console: Console, what: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show how many of a number are done."""
    from rich.progress import Progress as Bar

    with Bar(console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def headline(console: Console, text: str) -> None:
    """Print a rule across the terminal with a text in it."""
    from rich.text import Text

    console.rule(Text(text))


def print_json(value: Any) -> None:
    """The result of a command that was called with --json."""
    print(json.dumps(value, indent=2))


class _ToConsole(logging.Handler):
    """Prints what the library logs as a command prints everything else on its way."""

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        stderr().print(line, highlight=False, markup=False, soft_wrap=True)


def show_log() -> None:
    """Print warnings of the logger "sofdata" on standard error, each once."""
    log = logging.getLogger("sofdata")
    if not any(isinstance(handler, _ToConsole) for handler in log.handlers):
        log.addHandler(_ToConsole())


def _console(stream: TextIO) -> Console:
    """A console that fits the terminal, or writes long lines to a file or pipe."""
    from rich.console import Console

    return Console(file=stream, width=None if stream.isatty() else PIPE_WIDTH)
