"""Ctrl-C is answered at once, ends a command in order, and a second one ends it at once."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sofdata.system.interrupts import STOPPED, STOPPING
from tests.clumsy import busy
from tests.helpers import hashes, ingest
from tests.system.test_supervise import wait_until

AT_ONCE_S = 15.0  # it takes milliseconds, on a busy machine more; native code would take a minute
RERUN = "interrupted; rerun the command to continue from what is committed"


class Command:
    """A command in a session of its own, as in a terminal, busy in native code at a step."""

    def __init__(self, folder: Path, step: str, *arguments: Any) -> None:
        self.marker = folder / "busy"
        fault = f"tests.clumsy.busy:{step}|{self.marker}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sofdata", *map(str, arguments)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "SOFDATA_FAULTS": fault},
        )
        self.lines: list[str] = []
        self._waiting: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))
            self._waiting.put(line.rstrip("\n"))

    def until_busy(self) -> None:
        assert wait_until(lambda: self.marker.exists() or self.process.poll() is not None, 60)
        assert self.process.poll() is None, self.lines

    def press(self, send: Callable[[int, int], None] = os.killpg) -> None:
        """Ctrl-C, which a terminal sends to all processes of the command."""
        send(self.process.pid, signal.SIGINT)

    def answer_s(self, line: str) -> float:
        """How long it takes until this line comes."""
        began_s = time.monotonic()
        while self._waiting.get(timeout=120) != line:
            pass
        return time.monotonic() - began_s

    def end(self, timeout_s: float = 30, *, let_go: bool = True) -> int:
        """Its exit code. let_go: whether its main thread comes back from native code."""
        if let_go:
            busy.let_go(self.marker)
        code = self.process.wait(timeout_s)
        self._reader.join(60)
        assert "Traceback" not in "\n".join(self.lines), self.lines
        return code


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "dest"
    ingest(corpus, folder)
    return folder


@pytest.mark.parametrize(
    ("step", "words", "last"),
    [
        ("unit: video ended", ["ingest", "CORPUS", "NEW", "--engine", "inline"], RERUN),
        ("begin: plan saved", ["ingest", "CORPUS", "NEW", "--engine", "ray"], RERUN),
        ("read,open", ["verify", "DATASET"], "an unfinished verification proves nothing"),
        ("read,open", ["audit", "DATASET"], "an unfinished audit proves nothing"),
        ("read,open", ["inspect", "DATASET", "--sheet", "NEW"], "interrupted"),
        ("skill: step 2", ["train", "skill", "--data", "DATASET", "--out", "NEW"], RERUN),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_ctrl_c_is_answered_at_once_whatever_the_command_is_doing(
    step: str, words: list[str], last: str, corpus: Path, whole: Path, tmp_path: Path
) -> None:
    places = {"CORPUS": corpus, "DATASET": whole, "NEW": tmp_path / "new"}
    small = ["--set", "skill.data.loaders=1", "--set", "skill.model.width=32"]
    more = small if words[0] == "train" else []
    command = Command(tmp_path, step, *[places.get(word, word) for word in words], *more)
    command.until_busy()
    command.press()
    assert command.answer_s(f"sofdata: {STOPPING}") < AT_ONCE_S
    assert command.end() == 130
    assert command.lines[-1].startswith("sofdata: ")
    assert last in command.lines[-1]
    assert command.lines.count(f"sofdata: {STOPPING}") == 1


def of_session(number: int) -> list[int]:
    """The processes of a session that still run."""
    found = []
    for name in os.listdir("/proc"):
        with suppress(OSError, ValueError):
            fields = Path(f"/proc/{int(name)}/stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == number and fields[0] != "Z":
                found.append(int(name))
    return found


@pytest.mark.parametrize("engine", ["auto", "processes"])
@pytest.mark.parametrize("press", [os.killpg, os.kill], ids=["all", "command"])
def test_ctrl_c_while_it_is_planned_leaves_no_worker_that_had_started_early(
    press: Callable[[int, int], None], engine: str, corpus: Path, tmp_path: Path
) -> None:
    words = ("ingest", corpus, tmp_path / "d", "--engine", engine, "--workers", "2")
    command = Command(tmp_path, "begin: plan saved", *words)
    command.until_busy()
    session = command.process.pid
    assert wait_until(lambda: len(of_session(session)) > 2, 30), "workers and the command"
    command.press(press)
    assert command.end() == 130
    assert RERUN in command.lines[-1]
    assert wait_until(lambda: not of_session(session), 10)


@pytest.mark.parametrize("engine", ["inline", "ray"])
def test_a_second_ctrl_c_stops_at_once_and_says_what_may_be_left(
    engine: str, corpus: Path, tmp_path: Path
) -> None:
    step = "unit: video ended" if engine == "inline" else "begin: plan saved"
    words = ("ingest", corpus, tmp_path / "d", "--engine", engine)
    command = Command(tmp_path, step, *words)
    command.until_busy()
    command.press()
    command.answer_s(f"sofdata: {STOPPING}")
    time.sleep(1.2)
    command.press()
    assert command.answer_s(f"sofdata: {STOPPED}") < AT_ONCE_S
    assert command.end(5, let_go=False) == 130
    assert command.lines[-1] == f"sofdata: {STOPPED}"


def test_what_was_stopped_at_once_goes_on_to_the_same_dataset(
    corpus: Path, whole: Path, tmp_path: Path
) -> None:
    words = ("ingest", corpus, tmp_path / "d", "--engine", "inline")
    command = Command(tmp_path, "commit: shard published", *words)
    command.until_busy()
    command.press()
    time.sleep(1.2)
    command.press()
    assert command.end(20, let_go=False) == 130
    ingest(corpus, tmp_path / "d")
    assert hashes(tmp_path / "d") == hashes(whole)


def test_an_impatient_double_press_counts_once(corpus: Path, tmp_path: Path) -> None:
    words = ("ingest", corpus, tmp_path / "d", "--engine", "inline")
    command = Command(tmp_path, "unit: video ended", *words)
    command.until_busy()
    for _ in range(3):
        command.press()
    assert command.end() == 130
    assert command.lines[-1] == f"sofdata: {RERUN}"


def test_sigterm_of_a_batch_system_is_answered_the_same_way(corpus: Path, tmp_path: Path) -> None:
    words = ("ingest", corpus, tmp_path / "d", "--engine", "inline")
    command = Command(tmp_path, "unit: video ended", *words)
    command.until_busy()
    os.kill(command.process.pid, signal.SIGTERM)
    assert command.answer_s(f"sofdata: {STOPPING}") < AT_ONCE_S
    assert command.end() == 130


def test_ctrl_c_while_a_command_starts_ends_it_with_a_line() -> None:
    """Whenever it comes: python, its imports, the command line, the command."""
    for delay_s in (0.15, 0.3, 0.5):
        process = subprocess.Popen(
            [sys.executable, "-m", "sofdata", "flows"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        time.sleep(delay_s)
        os.killpg(process.pid, signal.SIGINT)
        _, printed = process.communicate(timeout=120)
        if "site.py" not in printed:  # Python itself was not up yet
            assert "Traceback" not in printed
        assert process.returncode in (0, 130, -signal.SIGINT, 1)


def test_ctrl_c_while_processes_collect_ends_them_all_without_a_traceback(tmp_path: Path) -> None:
    out = tmp_path / "collected"
    words = ("bench", "collect", out, "--suite", "pushing", "--workers", "2", "--set", "videos=500")
    command = Command(tmp_path, "never", *words)
    assert wait_until(lambda: any(out.rglob("*.mp4")), 90), command.lines
    command.press()
    assert command.answer_s(f"sofdata: {STOPPING}") < AT_ONCE_S
    assert command.end() == 130
    assert command.lines[-1] == f"sofdata: {RERUN}"
    assert wait_until(lambda: not _is_group(command.process.pid), 10)


def _is_group(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True
