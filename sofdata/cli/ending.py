"""How a command ends: whatever escapes from it becomes one line, an exit code, and a log file.

A line says what happened and what to do. An unexpected error, or a bug of sofdata,
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

RERUN = "interrupted; rerun the command to continue from what is committed"
LOGS = 20  # that are kept
_LINE = 1000  # characters of an error of another library
_TRACEBACK = "Traceback (most recent call last)"
_PACKAGES = (
    "av",
    "decord",
    "fsspec",
    "mujoco",
    "numpy",
    "opencv-python-headless",
    "ptlflow",
    "pyarrow",
    "pydantic",
    "ray",
    "torch",
    "typer",
)

_ADVICE = {
    errno.ENOSPC: "free some space there, then rerun the command",
    errno.EDQUOT: "free some space there, then rerun the command",
    errno.EACCES: "check its owner and permissions",
    errno.EPERM: "check its owner and permissions",
    errno.EROFS: "it is read-only: choose another place",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a folder is expected there, or above it",
    errno.EISDIR: "a file is expected there, and it is a folder",
    errno.EEXIST: "something else is there: choose another place",
    errno.ENOTEMPTY: "something else is there: choose another place",
    errno.ENAMETOOLONG: "the path is too long",
    errno.ELOOP: "it is a link that leads to itself",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine",
    errno.EIO: "check the disk or the network drive",
    errno.ESTALE: "check the disk or the network drive",
    errno.ENXIO: "a file is expected there",
    errno.ENODEV: "a file is expected there",
    errno.EINVAL: "the path cannot be used",
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
    """Carries an error past typer, which would replace it by one of its own."""


def run(command: Callable[[], None], interrupted: Callable[[], str] = lambda: RERUN) -> NoReturn:
    """Run a command and end this process.

    interrupted: gives the message for an interruption where the command itself raised none.
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
    except BaseException as error:  # noqa: BLE001 - users get a line, the log gets the traceback
        interrupts.end(EXIT_INTERRUPTED)
        code = print_end(error, interrupted)
    sys.exit(code)


def print_end(error: BaseException, interrupted: Callable[[], str] = lambda: RERUN) -> int:
    """Print what ended the command to standard error; returns the exit code."""
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
    """One line for an error. If it does not hold everything, it names the log that does."""
    if isinstance(error, SofdataError):
        line, foreseen = _without_traceback(str(error)), _TRACEBACK not in str(error)
        if isinstance(error, ContractError) or not foreseen:
            line, foreseen = f"{line}; this is a bug in sofdata", False
    else:
        line, foreseen = _foreseen(error)
    if foreseen:
        return line
    log = keep(error)
    return f"{line}; {f'details are in {log}' if log else 'no log could be written'}"


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


def versions() -> dict[str, str]:
    """Versions of sofdata, Python, and the installed packages that results or errors depend on."""
    import platform

    from sofdata import __version__
    from sofdata.system.versions import installed

    return {"sofdata": __version__, "Python": platform.python_version(), **installed(*_PACKAGES)}


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
    """A line for an error of another library, and whether it holds everything."""
    text = " ".join(_without_traceback(without_secrets(str(error))).split())[:_LINE]
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, MemoryError) or any(words in text.lower() for words in _MEMORY):
        what = "memory ran out"
        advice = "use fewer workers, smaller batches or smaller pictures, or a larger machine"
        return f"{what} ({text or type(error).__name__}): {advice}", False
    if isinstance(error, RecursionError):
        return "something in the input is nested too deeply to be read", False
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        return f"the package {package} is not installed; see docs/install.md", False
    if isinstance(error, UnicodeError):
        return f"a name or text in the input is not Unicode, and cannot be stored ({text})", False
    if kinds & _OFFLINE and not isinstance(error, BrokenPipeError):
        advice = "check the network, or give what was to be fetched as a local file"
        return f"a place on the network cannot be reached ({text}): {advice}", False
    if isinstance(error, OSError) and error.errno in _ADVICE:
        return _of_file(error), error.filename is not None
    return f"unexpected error: {type(error).__name__}: {text}", False


def _of_file(error: OSError) -> str:
    assert error.errno is not None
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if _is_path(name)]
    where = f"{' to '.join(map(without_secrets, names))}: " if names else ""
    line = f"{where}{os.strerror(error.errno)}; {_ADVICE[error.errno]}"
    if names and (dataset := _dataset_around(Path(names[0]))):
        line += f"; 'sofdata verify {dataset}' shows whether the dataset is whole"
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
    """A thread has failed; the command may continue, or wait for it."""
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

    installed = ", ".join(f"{package} {version}" for package, version in versions().items())
    return (
        f"command: {' '.join(map(repr, sys.argv))}\nfolder: {os.getcwd()}\n"
        f"versions: {installed}\nmachine: {platform.platform()}\n\n"
    )
