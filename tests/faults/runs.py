"""Runs the command line under faults: in a forked process, or with Ray in one of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from sofdata.system import fault_points as hook
from tests.faults.inject import children

T = TypeVar("T")
POLL_S = 0.01
KILLED = -signal.SIGKILL
RAY_PATIENCE_S = 20.0  # for all to end where the supervisor itself was killed
INLINE_LIMIT_S = 90.0
RAY_LIMIT_S = 180.0
VICTIMS = {
    "worker": "ray::UnitWorker",
    "raylet": "raylet/raylet",
    "decoder": "sofdata.video.child",
}


@dataclass(frozen=True, slots=True)
class Strike:
    """Kill a process at some moment: `after_s` seconds after it is first seen.

    victim: "driver" (what does the work), "supervisor" (what was started, and with Ray watches over
        the driver), "worker", "raylet" or "decoder".
    once: a glob pattern; nothing counts as seen before Ray has a log of such a name.
    """

    victim: str
    after_s: float
    once: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. code: exit code, negative for a signal, None if it had to be stopped."""

    code: int | None
    output: str
    wall_s: float
    struck: bool = False
    survivors: int = 0

    @property
    def hung(self) -> bool:
        return self.code is None

    @property
    def traceback(self) -> bool:
        return "Traceback" in self.output


@dataclass(frozen=True, slots=True)
class Command:
    """A command that is begun `after_s` seconds after others of its group."""

    arguments: Sequence[str | Path]
    faults: str = ""
    after_s: float = 0.0


def run(
    arguments: Sequence[str | Path],
    faults: str = "",
    strike: Strike | None = None,
    ray: bool = False,
    before: Callable[[], object] | None = None,
) -> Outcome:
    """Run a command of sofdata, with SOFDATA_FAULTS set to `faults`, and wait for its end.

    ray: have it run on Ray, in a process of its own.
    before: called in the process of the command before it begins; without Ray only.
    """
    words = [*map(str, arguments), *(["--engine", "ray"] if ray else [])]
    with tempfile.TemporaryDirectory(prefix="sof", dir="/tmp") as folder:  # Ray wants short paths
        log = Path(folder) / "log"
        began = time.monotonic()
        spawn = _spawn if ray else partial(_fork, before=before)
        pid = spawn(words, faults, log, folder)
        _note_driver(faults, pid)
        limit_s = RAY_LIMIT_S if ray else INLINE_LIMIT_S
        code, struck = _wait(pid, began + limit_s, strike, folder, ray)
        wall_s = time.monotonic() - began
        # Once a command has returned nothing may be left of it, unless it was killed itself.
        killed = ray and code in (None, KILLED)
        survivors = _clean_up(folder, patience_s=RAY_PATIENCE_S if killed else 0.0)
        output = log.read_text(errors="replace")
    return Outcome(code, output, wall_s, struck, survivors)


def run_together(commands: Sequence[Command]) -> list[tuple[int, Outcome]]:
    """Run commands at once, without Ray; returns the process of each, and how it ended."""
    with tempfile.TemporaryDirectory(prefix="sof", dir="/tmp") as folder:
        began = time.monotonic()
        pids: dict[int, int] = {}
        ended: dict[int, tuple[int, Outcome]] = {}
        while len(ended) < len(commands):
            wall_s = time.monotonic() - began
            for number, command in enumerate(commands):
                log = Path(folder) / f"log{number}"
                if number not in pids and wall_s >= command.after_s:
                    words = [str(argument) for argument in command.arguments]
                    pids[number] = _fork(words, command.faults, log, folder)
                    _note_driver(command.faults, pids[number])
                elif number in pids and number not in ended:
                    pid, status = os.waitpid(pids[number], os.WNOHANG)
                    code = os.waitstatus_to_exitcode(status) if pid else None
                    if not pid and wall_s > command.after_s + INLINE_LIMIT_S:
                        os.kill(pids[number], signal.SIGKILL)
                        os.waitpid(pids[number], 0)
                    elif not pid:
                        continue
                    output = log.read_text(errors="replace")
                    ended[number] = pids[number], Outcome(code, output, wall_s)
            time.sleep(POLL_S)
        _clean_up(folder, patience_s=0.0)
    return [ended[number] for number in range(len(commands))]


def aside(act: Callable[[], T]) -> T:
    """What a function returns, called in a child of this process: it may start threads there.

    What it returns has to fit into JSON. A failure is raised as a `RuntimeError`.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            told: dict[str, object] = {"value": act()}
        except BaseException as error:  # noqa: BLE001 - goes to the parent
            told = {"error": f"{type(error).__name__}: {error}"}
        with os.fdopen(writing, "w") as handle:
            json.dump(told, handle)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as handle:
        found = json.load(handle)
    os.waitpid(pid, 0)
    if "error" in found:
        raise RuntimeError(found["error"])
    value: T = found["value"]
    return value


def preload() -> None:
    """Import all that an ingest needs, so that forked runs need not."""
    import av  # noqa: F401
    import cv2
    import pandas  # noqa: F401 - by pyarrow, where it is installed
    import pyarrow.parquet  # noqa: F401
    from PIL import JpegImagePlugin  # noqa: F401

    import sofdata.cli.app
    import sofdata.cli.demo
    import sofdata.ingest.engines.inline
    import sofdata.ingest.progress
    import sofdata.ingest.run
    import sofdata.ingest.verify
    import sofdata.report.summary
    import sofdata.video.decord_reader  # noqa: F401
    from tests.faults.disk import register

    cv2.setNumThreads(1)
    register()


def _fork(
    words: list[str],
    faults: str,
    log: Path,
    folder: str,
    before: Callable[[], object] | None = None,
) -> int:
    """Run the command in a child of this process, which must have no threads."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        os.environ["SOFDATA_TEST_RUN"] = folder
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - pytest has put its own there
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        _note_driver(faults, os.getpid())
        hook.arm(faults)
        if before:
            before()
        code = _main(words)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _main(words: list[str]) -> int:
    from sofdata.cli.app import main

    sys.argv = ["sofdata", *words]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0) if isinstance(end.code, int | None) else 1
    except BaseException:  # noqa: BLE001 - shown as Python itself would show it
        traceback.print_exc()
        return 1
    return 0


def _spawn(words: list[str], faults: str, log: Path, folder: str) -> int:
    environment = {**os.environ, "SOFDATA_TEST_RUN": folder, "RAY_TMPDIR": folder}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    environment.pop(hook.VARIABLE, None)
    if faults:
        environment[hook.VARIABLE] = faults
    with log.open("wb") as handle:
        process = subprocess.Popen(
            [sys.executable, "-m", "sofdata", *words],
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
            env=environment,
            start_new_session=True,
        )
    process.returncode = 0  # it is waited for by its number, not through this object
    return process.pid


def _note_driver(faults: str, pid: int) -> None:
    if faults:
        spec = Path(faults.partition(":")[2])
        (spec.parent / "driver").write_text(str(pid))


def _wait(
    pid: int, deadline: float, strike: Strike | None, folder: str, ray: bool
) -> tuple[int | None, bool]:
    """Wait for a process to end, strike when it is time, and stop it when it takes too long."""
    victim, due, struck = 0, 0.0, False
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            # The victim may have ended just before the kill. What a killed driver's supervisor has
            # to say is the judge's affair.
            if strike and strike.victim in ("driver", "supervisor"):
                struck = struck and code == (3 if strike.victim == "driver" and ray else KILLED)
            return code, struck
        now = time.monotonic()
        if strike and not struck:
            if not victim and _is_logged(strike.once, folder):
                victim = _find(strike.victim, pid, folder, ray)
                due = now + strike.after_s
            if victim and now >= due:
                victim = _find(strike.victim, pid, folder, ray) or victim
                with suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                    struck = True
        if now > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None, struck
        time.sleep(POLL_S)


def _find(victim: str, started: int, folder: str, ray: bool) -> int:
    """The id of a victim, 0 if it is not there. `started`: the process that was started."""
    if victim == "supervisor" or (victim == "driver" and not ray):
        return started
    if victim == "driver":
        return next(iter(children(started)), 0)
    name = VICTIMS[victim]
    for pid in _ours(folder):
        if name in _command(pid):
            return pid
    return 0


def _is_logged(pattern: str, folder: str) -> bool:
    logs = Path(folder) / "ray" / "session_latest" / "logs"
    return not pattern or any(logs.glob(pattern))


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    return ""


def _ours(folder: str) -> Iterator[int]:
    """The processes of one run, known by a variable of their environment."""
    mark = f"SOFDATA_TEST_RUN={folder}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if mark in (entry / "environ").read_bytes():
                    yield int(entry.name)


def _clean_up(folder: str, patience_s: float) -> int:
    """Give what is left of a run time to end, then end it; returns how many were still there."""
    deadline = time.monotonic() + patience_s
    while (left := list(_ours(folder))) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in _ours(folder):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(Path(folder) / "ray", ignore_errors=True)
    return len(left)
