"""How a command ends: whatever escapes from it becomes one line, an exit code, and a log file.

A line says what happened and what to do. What nobody foresaw, or what is a fault of sofdata's own,
also leaves a log with the traceback, the versions and the command, without secrets, below
$XDG_STATE_HOME or ~/.local/state.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from sofdata.errors import ConfigError, ContractError, Interrupted, SofdataError
from sofdata.system import interrupts
from sofdata.ui.console import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE

GOES_ON = "interrupted; the same command goes on from what is committed"
LOGS = 20  # are kept
_LINE = 1000  # characters of an error that somebody else has worded
_TRACEBACK = "Traceback (most recent call last)"
_PACKAGES = ("av", "fsspec", "numpy", "pyarrow", "pydantic", "ray", "torch", "typer")

_ADVICE = {
    errno.ENOSPC: "make room there, then run the same command again",
    errno.EDQUOT: "make room there, then run the same command again",
    errno.EACCES: "check whose it is and its permissions",
    errno.EPERM: "check whose it is and its permissions",
    errno.EROFS: "it can only be read: choose another place to write to",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a folder is expected there, or above it",
    errno.EISDIR: "a file is expected there, and it is a folder",
    errno.EEXIST: "something else is there: choose another place",
    errno.ENOTEMPTY: "something else is there: choose another place",
    errno.ENAMETOOLONG: "the path is too long",
    errno.ELOOP: "it is a link that leads to itself",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine",
    errno.EIO: "is the disk or the network drive well?",
    errno.ESTALE: "is the disk or the network drive well?",
    errno.ENXIO: "a file is expected there",
    errno.ENODEV: "a file is expected there",
    errno.EINVAL: "a path that can be used is expected",
}
_OFFLINE = frozenset(
    (
        "ConnectionError",
        "ConnectTimeout",
        "ConnectionRefusedError",
        "ClientConnectorError",
        "EndpointConnectionError",
        "LocalEntryNotFoundError",
        "MaxRetryError",
        "NewConnectionError",
        "OfflineModeIsEnabled",
        "URLError",
        "gaierror",
        "herror",
    )
)
_MEMORY = ("can't allocate memory", "cannot allocate memory", "out of memory", "bad_alloc")

_log: Path | None = None  # of this process


class Escaped(Exception):
    """Carries an error past the command line's library, which would make its own of it."""


def run(command: Callable[[], None], interrupted: Callable[[], str] = lambda: GOES_ON) -> NoReturn:
    """Run a command and end this process.

    interrupted: what to say if it was, where the command itself has said nothing.
    """
    sys.excepthook = lambda _, error, __: print_end(error, interrupted)
    threading.excepthook = _of_thread
    sys.unraisablehook = lambda args: _quietly(args.exc_value)
    code = 0
    try:
        try:
            command()
        finally:
            sys.stdout.flush()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        interrupts.end(code)
    except BaseException as error:  # noqa: BLE001 - no traceback reaches a user
        interrupts.end(EXIT_INTERRUPTED)
        code = print_end(error, interrupted)
    sys.exit(code)


def print_end(error: BaseException, interrupted: Callable[[], str] = lambda: GOES_ON) -> int:
    """Say what has ended the command, on standard error; returns the exit code."""
    while isinstance(error, Escaped) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, Interrupted | KeyboardInterrupt):
        line, code = str(error) or interrupted(), EXIT_INTERRUPTED
    else:
        line, code = words_for(error), EXIT_USAGE if _is_usage(error) else EXIT_FAILED
    with suppress(OSError, ValueError):
        print(f"sofdata: {line}", file=sys.stderr, flush=True)
    return code


def words_for(error: BaseException) -> str:
    """One line for an error; what it does not hold is kept in a log, which the line names."""
    if isinstance(error, SofdataError):
        line, foreseen = _without_traceback(str(error)), _TRACEBACK not in str(error)
        if isinstance(error, ContractError) or not foreseen:
            line, foreseen = f"{line}; this is a fault of sofdata's", False
    else:
        line, foreseen = _foreseen(error)
    if foreseen:
        return line
    log = keep(error)
    return f"{line}; {f'the rest is in {log}' if log else 'no log of it could be written'}"


def keep(error: BaseException) -> Path | None:
    """Write what is known of an error to the log of this process; None where that cannot be."""
    global _log
    text = "".join(traceback.format_exception(error))
    with suppress(OSError, ValueError):
        if _log is None:
            _log = _new_log()
            text = _circumstances() + text
        with _log.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(without_secrets(text) + "\n")
        return _log
    return None


def without_secrets(text: str) -> str:
    """A text in which neither URLs nor the environment's credentials can be read."""
    try:
        from sofdata.storage import secrets
        from sofdata.storage.urls import public_text
    except ImportError:  # an installation that is broken
        return "(left out: what would hide secrets cannot be imported)\n"
    return secrets.without_secrets(public_text(text), {})


def _is_usage(error: BaseException) -> bool:
    return isinstance(error, ConfigError)


def _foreseen(error: BaseException) -> tuple[str, bool]:
    """What to say of another's error, and whether that is all there is to say."""
    text = " ".join(_without_traceback(without_secrets(str(error))).split())[:_LINE]
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, MemoryError) or any(words in text.lower() for words in _MEMORY):
        what = "memory ran out"
        advice = "take fewer workers, smaller batches or smaller pictures, or a larger machine"
        return f"{what} ({text or type(error).__name__}): {advice}", False
    if isinstance(error, RecursionError):
        return "something here is nested too deeply to be read", False
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        return f"the package {package} is not installed; see README, 'Install'", False
    if isinstance(error, UnicodeError):
        return f"a name or text here is no Unicode, and cannot be stored ({text})", False
    if kinds & _OFFLINE and not isinstance(error, BrokenPipeError):
        advice = "is there a network? What was to be fetched can be given as a file instead"
        return f"a place on the network cannot be reached ({text}): {advice}", False
    if isinstance(error, OSError) and error.errno in _ADVICE:
        return _of_file(error), error.filename is not None
    return f"something unforeseen has ended the command: {type(error).__name__}: {text}", False


def _of_file(error: OSError) -> str:
    assert error.errno is not None
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if _is_path(name)]
    where = f"{' to '.join(map(without_secrets, names))}: " if names else ""
    line = f"{where}{os.strerror(error.errno)}; {_ADVICE[error.errno]}"
    if names and (dataset := _dataset_around(Path(names[0]))):
        line += f"; 'sofdata verify {dataset}' tells whether the dataset is whole"
    return line


def _is_path(name: Any) -> bool:
    return isinstance(name, str | bytes) and bool(name)


def _dataset_around(path: Path) -> Path | None:
    """The dataset that a file lies in, if it lies in one."""
    with suppress(OSError, ValueError):
        for folder in (path, *list(path.parents)[:4]):
            if (folder / "dataset.json").is_file():
                return folder
    return None


def _without_traceback(text: str) -> str:
    """A message in one line, where another process's traceback is part of it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    if _TRACEBACK not in text:
        return " ".join(lines)
    return f"{lines[0]} ... {lines[-1]}" if len(lines) > 1 else lines[0]


def _of_thread(args: threading.ExceptHookArgs) -> None:
    """A thread has failed; the command may go on, or wait for it."""
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        interrupts.say(f"in the background: {words_for(args.exc_value)}")


def _quietly(error: BaseException | None) -> None:
    """What failed where Python can raise nothing, as when an object is thrown away."""
    if isinstance(error, Interrupted):
        interrupts.again()
    elif error is not None and not sys.is_finalizing():
        keep(error)


def _new_log() -> Path:
    """An empty file that only this user can read; of older ones, the newest are kept."""
    import tempfile
    import time

    name = f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}-"
    try:
        folder = _state() / "sofdata"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, path = tempfile.mkstemp(".log", name, folder)
        others = sorted(other for other in folder.glob("*.log") if other != Path(path))
        for old in others[: -(LOGS - 1)]:
            old.unlink(missing_ok=True)
    except (OSError, RuntimeError):  # no home, or none that can be written
        handle, path = tempfile.mkstemp(".log", f"sofdata-{name}")
    os.close(handle)
    return Path(path)


def _state() -> Path:
    given = Path(os.environ.get("XDG_STATE_HOME", ""))
    return given if given.is_absolute() else Path.home() / ".local" / "state"


def _circumstances() -> str:
    import platform
    from importlib import metadata

    from sofdata import __version__

    versions = [f"sofdata {__version__}", f"Python {platform.python_version()}"]
    for package in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions.append(f"{package} {metadata.version(package)}")
    return (
        f"command: {' '.join(map(repr, sys.argv))}\nfolder: {os.getcwd()}\n"
        f"versions: {', '.join(versions)}\nmachine: {platform.platform()}\n\n"
    )
