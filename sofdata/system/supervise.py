"""A command that uses Ray runs in a child process, and this one watches over it.

Ray's native code may end the process that it runs in, without a word that a user could understand,
and processes that Ray has started may outlive it. So the command forks: the child does all work,
and the parent says what happened where the child did not end by its own decision, ends what the
child has left behind, and only then returns. Where the parent is killed, the child ends itself and
all that it has started.

Costs some 10 ms, and 25 MB by what the child changes of the memory that they share; with torch,
which the settings of a training need, 40 ms and 90 MB.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Collection
from contextlib import suppress
from typing import NoReturn

from sofdata.system import interrupts
from sofdata.system.processes import (
    adopt_orphans,
    descendants,
    end_descendants,
    end_with_parent,
    reap,
)
from sofdata.ui.console import EXIT_FAILED, EXIT_INTERRUPTED

GRACE_S = 1.0  # for what an orderly end has asked to end
PATIENCE_S = 0.5  # agents of Ray without their raylet heed SIGTERM after seconds only
RELAYED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)
_FROM_KERNEL = 128  # SI_KERNEL: the terminal has sent it to the whole group, the child included
_SHOW_CURSOR = "\r\x1b[K\x1b[?25h"

_allowed = False


def allow() -> None:
    """Say that this process is a command, which `supervise` may split in two."""
    global _allowed
    _allowed = True


def supervise() -> None:
    """Go on in a child process that this one watches over. Returns in the child alone.

    To be called before threads start and before anything is opened that two processes should not
    share. (numpy's are there already, which OpenBLAS itself sees through a fork.) Does nothing
    unless `allow` was called, so that functions of the library stay in their process, or where
    there is no Linux.
    """
    global _allowed
    if not _allowed or sys.platform != "linux":
        return
    _allowed = False
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    interrupts.leave()
    others = descendants()  # of whoever became this command by exec
    relayed = [number for number in RELAYED if signal.getsignal(number) != signal.SIG_IGN]
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would take away how the child ended
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*relayed, signal.SIGCHLD})
    supervisor, (notes, note) = os.getpid(), os.pipe()
    child = os.fork()
    if child:
        os.close(note)
        if not others:  # else their orphans would be taken for the child's
            adopt_orphans()
        _watch(child, {*relayed, signal.SIGCHLD}, notes, others)
    os.close(notes)
    interrupts.own()
    end_with_parent(supervisor, with_descendants=True)
    # Registered before all others, hence called after all others, and not by a native exit.
    atexit.register(_note_end, note, os.getpid())
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _note_end(note: int, pid: int) -> None:
    if os.getpid() == pid:
        with suppress(OSError):
            os.write(note, b"x")


def _watch(
    child: int, signals: set[signal.Signals], notes: int, others: Collection[int]
) -> NoReturn:
    """Wait for the child, relay signals to it, end what it leaves, and end as it did."""
    status, presses, is_stopped = None, interrupts.Presses(), False
    while status is None:
        info = signal.sigwaitinfo(signals)
        if info.si_signo == signal.SIGCHLD:
            status = reap().get(child)
            continue
        if info.si_signo in interrupts.SIGNALS and presses.answer(info.si_signo):
            is_stopped = True
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        elif info.si_code != _FROM_KERNEL:
            with suppress(ProcessLookupError):
                os.kill(child, info.si_signo)
    if is_stopped:
        end_descendants(0.0, 0.0, others)
        interrupts.stop_hard()
    os.set_blocking(notes, False)
    code = os.waitstatus_to_exitcode(status)
    orderly = code >= 0 and _is_noted(notes)
    if not orderly:
        _say_how(code, presses.any)
    end_descendants(GRACE_S if orderly else 0.0, PATIENCE_S, others)
    # SIGTERM to the whole group ends Ray's own processes, too, maybe before the child is heard of.
    failed = EXIT_INTERRUPTED if presses.any else EXIT_FAILED
    os._exit(code if orderly else failed)


def _is_noted(notes: int) -> bool:
    try:
        return bool(os.read(notes, 1))
    except BlockingIOError:  # some process of the child's holds the other end
        return False


def _say_how(code: int, interrupted: bool) -> None:
    """Print what has happened, and show the cursor again that a progress display had hidden."""
    with suppress(OSError):
        for stream in (sys.stderr, sys.stdout):
            if stream.isatty():
                stream.write(_SHOW_CURSOR)
                stream.flush()
                break
        what = f"interrupted, and {_what(code)}" if interrupted else _what(code)
        message = f"sofdata: {what}; rerun the command to continue from what is committed"
        print(message, file=sys.stderr, flush=True)


def _what(code: int) -> str:
    if code >= 0:
        return f"native code, most likely Ray's, ended the working process with exit code {code}"
    number = signal.Signals(-code)
    if number == signal.SIGKILL:
        return "the working process was killed (SIGKILL), often because memory ran out"
    how = "crashed with" if number in CRASHES else "was ended by"
    return f"the working process {how} {number.name}"
