"""Where commands print, people's consoles and JSON, and their exit codes."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 160
EXIT_SET_ASIDE, EXIT_USAGE, EXIT_FAILED, EXIT_INTERRUPTED = 1, 2, 3, 130


def stdout() -> Console:
    """What a command answers."""
    return _console(sys.stdout)


def stderr() -> Console:
    """What a command tells on its way."""
    return _console(sys.stderr)


def print_json(value: Any) -> None:
    """The answer of a command that was asked for JSON."""
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
