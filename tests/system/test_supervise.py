"""`sofdata.system.supervise`: however a command ends, it says so and leaves nothing."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sofdata.system.interrupts import STOPPED, STOPPING
from sofdata.system.processes import descendants
from tests.faults.runs import Strike, run
from tests.faults.schedule import DRIVER_CONNECTS

RERUN = "; rerun the command to continue from what is committed"

# A command of the real command line, which does what a test wants in the place of an ingest.
PROBE = """
import ctypes, os, signal, subprocess, sys, time
import typer
from sofdata.cli import app as cli
from sofdata.errors import ConfigError, Interrupted, StorageError
from sofdata.system.supervise import supervise

def start(*words, orphan=False):
    # A process that would go on; an orphan has lost the one in between.
    script = '"$@" & echo $!' + ("" if orphan else "; wait")
    made = subprocess.Popen(
        ["sh", "-c", script, "sh", *words], stdout=subprocess.PIPE, start_new_session=True
    )
    print(made.stdout.readline().decode().strip(), flush=True)

@cli.app.command()
def probe():
    supervise()
    print(os.getpid(), flush=True)
BODY

sys.argv = ["sofdata", "probe"]
cli.main()
"""


def words(body: str) -> list[str]:
    """The command that runs `body` in the child."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return [sys.executable, "-c", PROBE.replace("BODY", lines)]


def probe(body: str) -> subprocess.CompletedProcess[str]:
    """Run `body` to its end."""
    return subprocess.run(words(body), capture_output=True, text=True, timeout=120, check=False)


def start(body: str, lines: int, **options: object) -> tuple[subprocess.Popen[str], list[int]]:
    """Start `body`; returns when it has printed so many process ids, its own first."""
    process: subprocess.Popen[str] = subprocess.Popen(  # type: ignore[call-overload]
        words(body),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )
    assert process.stdout
    return process, [int(process.stdout.readline()) for _ in range(lines)]


def runs(pid: int) -> bool:
    """Whether a process is there and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(holds: Callable[[], bool], seconds: float) -> bool:
    """Whether it comes to hold in time."""
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(0.01)
    return holds()


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [
        ("pass", 0, ""),
        ("raise typer.Exit(1)", 1, ""),
        ("sys.exit(7)", 7, ""),
        ("raise ConfigError('no such key')", 2, "sofdata: no such key\n"),
        ("raise StorageError('no room')", 3, "sofdata: no room\n"),
        (
            "raise Interrupted",
            130,
            f"sofdata: interrupted{RERUN}\n",
        ),
    ],
)
def test_an_end_of_its_own_is_passed_on_and_told_once(body: str, code: int, told: str) -> None:
    done = probe(body)
    assert (done.returncode, done.stderr) == (code, told)
    assert len(done.stdout.splitlines()) == 1


def test_an_unexpected_error_is_a_line_whose_log_has_the_traceback() -> None:
    done = probe("raise RuntimeError('odd')")
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith("sofdata: unexpected error: RuntimeError: odd")
    log = Path(line.rpartition(" ")[2]).read_text()
    assert log.count("Traceback") == 1
    assert log.endswith("RuntimeError: odd\n\n")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("ctypes.CDLL(None).exit(1)", "native code, most likely Ray's, ended the working process"),
        ("os._exit(0)", "ended the working process with exit code 0"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "was killed (SIGKILL), often because memory ran"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "the working process crashed with SIGSEGV"),
        (
            # Under nohup it would be ignored.
            "signal.signal(signal.SIGHUP, signal.SIG_DFL); os.kill(os.getpid(), signal.SIGHUP)",
            "the working process was ended by SIGHUP",
        ),
    ],
)
def test_an_end_that_was_not_its_own_is_told_and_fails_with_3(body: str, told: str) -> None:
    done = probe(f"import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n{body}")
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith("sofdata: ")
    assert told in line
    assert line.endswith(RERUN)


def test_a_note_of_another_process_does_not_count() -> None:
    """A fork of the child's own that ends as Python does is not the child."""
    done = probe("if os.fork():\n    os.wait()\n    os._exit(1)\n")
    assert done.returncode == 3
    assert "exit code 1" in done.stderr


CLEANS_UP = """
try:
    print(0, flush=True)
    time.sleep(30)
finally:
    time.sleep(SECONDS)
    print("cleaned up", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("send", [os.kill, os.killpg])
def test_a_signal_interrupts_once_whether_the_child_gets_it_too_or_not(
    send: Callable[[int, int], None], number: signal.Signals
) -> None:
    process, _ = start(CLEANS_UP.replace("SECONDS", "0.3"), lines=2)
    send(process.pid, number)
    out, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert out == "cleaned up\n"
    assert told == f"sofdata: {STOPPING}\nsofdata: interrupted{RERUN}\n"


def test_ray_that_ends_the_command_when_both_are_stopped_is_an_interruption() -> None:
    """SIGTERM of a batch system reaches Ray's processes as well, whose end may end the child."""
    native = "signal.signal(signal.SIGTERM, lambda *_: ctypes.CDLL(None)._exit(1))"
    process, _ = start(f"{native}\nprint(0, flush=True)\ntime.sleep(30)", lines=2)
    os.killpg(process.pid, signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    first, second = told.splitlines()
    assert first == f"sofdata: {STOPPING}"
    assert second.startswith("sofdata: interrupted, and native code, most likely Ray's, ended")
    assert second.endswith(RERUN)


def test_a_second_interrupt_ends_a_clean_up_that_takes_long() -> None:
    process, _ = start(CLEANS_UP.replace("SECONDS", "20"), lines=2)
    process.send_signal(signal.SIGINT)
    time.sleep(1.2)
    process.send_signal(signal.SIGINT)
    out, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert out == ""
    assert told == f"sofdata: {STOPPING}\nsofdata: {STOPPED}\n"


def test_what_a_terminal_sends_to_both_is_not_relayed() -> None:
    body = """
seen = []
signal.signal(signal.SIGINT, lambda *_: seen.append(1))
print(0, flush=True)
until = time.monotonic() + 60
while not seen and time.monotonic() < until:
    time.sleep(0.01)
time.sleep(0.3)
sys.exit(40 + len(seen))
"""
    outer, inner = os.openpty()
    process, _ = start(
        body,
        lines=2,
        preexec_fn=lambda: fcntl.ioctl(inner, termios.TIOCSCTTY, 0),
        pass_fds=(inner,),
    )
    os.write(outer, b"\x03")
    process.communicate(timeout=120)
    assert process.returncode == 41
    os.close(outer)
    os.close(inner)


def test_a_terminal_gets_its_cursor_back() -> None:
    outer, inner = os.openpty()
    body = "os.write(2, b'\\x1b[?25lworking'); os.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run(words(body), stdout=subprocess.DEVNULL, stderr=inner, timeout=120, check=False)
    told = os.read(outer, 1000).decode()
    assert told.startswith("\x1b[?25lworking\r\x1b[K\x1b[?25hsofdata: ")
    os.close(outer)
    os.close(inner)


STUBBORN = "'sh', '-c', 'trap : TERM; while :; do sleep 0.1; done'"


@pytest.mark.parametrize(
    ("end", "other"),
    [
        ("os._exit(1)", STUBBORN),
        ("os.kill(os.getpid(), 9)", "'sleep', '60'"),
        ("sys.exit(0)", "'sleep', '60'"),
    ],
)
def test_nothing_that_the_child_has_started_is_left(end: str, other: str) -> None:
    done = probe(f"start('sleep', '60')\nstart({other}, orphan=True)\n{end}")
    assert done.returncode == (0 if "exit(0)" in end else 3)
    started = [int(line) for line in done.stdout.splitlines()]
    assert len(started) == 3
    assert not any(map(runs, started))


def test_what_a_half_ended_process_has_started_is_not_left_either() -> None:
    """It looks like one that has ended while its last thread goes on, and has children."""
    half = """
import ctypes, subprocess, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
print(subprocess.Popen(['sleep', '60']).pid, flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""
    body = f"""
made = subprocess.Popen([sys.executable, "-c", {half!r}], stdout=subprocess.PIPE)
print(made.pid, made.stdout.readline().decode().strip(), sep="\\n", flush=True)
while " Z " not in open(f"/proc/{{made.pid}}/stat").read():
    time.sleep(0.01)
os._exit(1)
"""
    done = probe(body)
    assert done.returncode == 3
    _, pid, of_it = (int(line) for line in done.stdout.splitlines())
    assert not Path(f"/proc/{pid}").exists()
    assert not runs(of_it)


def test_where_the_parent_is_killed_the_child_and_all_others_end() -> None:
    body = "start('sleep', '60')\nstart('sleep', '60', orphan=True)\ntime.sleep(60)"
    process, started = start(body, lines=3)
    assert all(map(runs, started))
    process.kill()
    assert wait_until(lambda: not any(map(runs, started)), 2.0)
    process.communicate()


def test_processes_from_before_the_command_are_left_alone() -> None:
    """As of a Ray that was started by the shell that has become the command."""
    script = 'sleep 60 >&2 & echo $!; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *words("start('sleep', '60')\nos._exit(1)")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    before, *own = [int(line) for line in done.stdout.splitlines()]
    assert runs(before)
    os.kill(before, signal.SIGKILL)
    for pid in own:
        if runs(pid):
            os.kill(pid, signal.SIGKILL)


def test_numbers_of_another_namespace_are_not_taken_for_our_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a container that sees the /proc of its host."""
    with subprocess.Popen(["sleep", "60"]) as child:
        assert child.pid in descendants()
        monkeypatch.setattr(os, "getpid", lambda: 1)
        assert descendants() == []
        child.kill()


def test_a_caller_that_ignores_its_children_gets_the_exit_code() -> None:
    process, _ = start(
        "sys.exit(1)", lines=1, preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    )
    process.communicate(timeout=60)
    assert process.returncode == 1


@pytest.mark.parametrize(("engine", "forks"), [("inline", False), ("ray", True)])
def test_only_what_uses_ray_is_supervised(engine: str, forks: bool, tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "def fork(): print('forks'); os._exit(0)\n"
        "os.fork = fork\n"
        "from sofdata.cli.app import main\n"
        f"sys.argv = ['sofdata', 'ingest', {str(tmp_path / 'none')!r}, {str(tmp_path / 'd')!r},"
        f" '--engine', {engine!r}]\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-u", "-c", code], capture_output=True, text=True, check=False
    )
    assert ("forks" in done.stdout) is forks
    assert done.returncode == (0 if forks else 2)


def test_a_function_of_the_library_stays_in_its_process() -> None:
    code = "import os; from sofdata.system.supervise import supervise; a = os.getpid(); supervise()"
    done = subprocess.run([sys.executable, "-c", f"{code}; assert a == os.getpid()"], check=False)
    assert done.returncode == 0


def test_ray_that_ends_the_command_while_it_connects_is_told(corpus: Path, tmp_path: Path) -> None:
    """The raylet dies; what Ray makes of that depends on the millisecond."""
    command = ("ingest", corpus, tmp_path / "d", "--workers", "1")
    outcome = run(command, strike=Strike("raylet", 0.0, once=DRIVER_CONNECTS), ray=True)
    assert outcome.struck
    assert outcome.code in (0, 3), outcome.output
    told = [line for line in outcome.output.splitlines() if line.startswith("sofdata: ")]
    assert outcome.code == 0 or told, outcome.output
    assert not outcome.survivors
