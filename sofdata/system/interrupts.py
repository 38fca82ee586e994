"""Ctrl-C, and SIGTERM, with which batch systems announce preemption.

The first is answered at once, by a thread: the main thread may be deep in native code, and raises
`Interrupted` as soon as it is out of it, so that what is under way is cleared away. A second Ctrl-C
stops without that. Where a command is supervised (`sofdata.system.supervise`), that process
answers.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

from sofdata.errors import Interrupted
from sofdata.ui.console import EXIT_INTERRUPTED

# A signal that was sent to all processes of a command arrives again from the one that supervises:
# what comes within this is the same, and does not disturb the cleaning up.
REPEAT_S = 1.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOPPING = "stopping, what is under way is cleared away first (Ctrl-C again: at once)"
STOPPED = "stopped at once; what was under way may have left files, which the next run removes"
_CLEAR_LINE, _SHOW_CURSOR = "\r\x1b[K", "\x1b[?25h"

_END = b"\0"  # no signal has this number

_owner = 0
_raised_s = -math.inf
_wake = -1
_thread: threading.Thread | None = None


class Presses:
    """Which press of Ctrl-C a signal is: the first, its echo, or a second one."""

    def __init__(self) -> None:
        self._first_s = math.inf

    @property
    def any(self) -> bool:
        """Whether a signal has arrived."""
        return self._first_s < math.inf

    def answer(self, number: int) -> bool:
        """Say that a first signal has arrived. Whether this one is a second Ctrl-C."""
        now_s = time.monotonic()
        if self._first_s == math.inf:
            self._first_s = now_s
            say(STOPPING)
        return number == signal.SIGINT and now_s - self._first_s > REPEAT_S


def listen() -> None:
    """Answer both signals in this process from now on. For its main thread."""
    global _wake, _thread
    own()
    os.register_at_fork(after_in_child=_forked)
    read, _wake = os.pipe()
    os.set_blocking(_wake, False)
    signal.set_wakeup_fd(_wake, warn_on_full_buffer=False)
    _thread = threading.Thread(target=_answer, args=(read,), daemon=True)
    _thread.start()


def leave() -> None:
    """Answer no more, since another process does. Signals still raise `Interrupted`."""
    global _wake, _thread
    if _thread is not None:
        signal.set_wakeup_fd(-1)
        os.write(_wake, _END)  # closing would not do: forked processes may hold it, too
        _thread.join()
        os.close(_wake)
        _wake, _thread = -1, None


def own() -> None:
    """Make this process, and none that it forks, the one that signals interrupt."""
    global _owner
    _owner = os.getpid()
    for number in SIGNALS:
        signal.signal(number, _interrupt)


def again() -> None:
    """Interrupt the main thread once more: it was where an exception is thrown away."""
    global _raised_s
    _raised_s = -math.inf
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    timer.daemon = True
    timer.start()


def end(code: int) -> None:
    """From now on this process only ends: a signal ends it at once with this exit code."""
    for number in SIGNALS:
        if _thread is None:  # the supervising process ends this one
            signal.signal(number, signal.SIG_IGN)
        else:
            signal.signal(number, lambda *_: os._exit(code))
    leave()


def say(text: str, end: str = "") -> None:
    """Write a line to standard error, over whatever progress a terminal shows."""
    with suppress(OSError):
        clear = _CLEAR_LINE if os.isatty(2) else ""
        os.write(2, f"{clear}{end}sofdata: {text}\n".encode())


def stop_hard() -> NoReturn:
    """End at once. Processes that work for this one end when it does."""
    say(STOPPED, _SHOW_CURSOR if os.isatty(2) else "")
    os._exit(EXIT_INTERRUPTED)


@contextmanager
def held() -> Iterator[None]:
    """Processes that begin meanwhile never see a Ctrl-C; here it, and SIGTERM, come afterwards.

    The terminal sends it to all processes of a command, and those that work for another one would
    end with a traceback each. A mask alone would not hold it back here: another thread takes it,
    and the main thread is interrupted all the same.
    """
    came: list[int] = []
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    answers: dict[int, Callable[[int, FrameType | None], Any]] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if callable(answer := signal.getsignal(number)):
                    answers[number] = answer
                    signal.signal(number, lambda number, _: came.append(number))
        yield
    finally:
        for held_back, answer in answers.items():
            signal.signal(held_back, answer)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for first in came[:1]:
            answers[first](first, None)


def _interrupt(number: int, _: object) -> None:
    global _raised_s
    if os.getpid() != _owner:  # a worker that was forked; the process that it works for ends it
        if number == signal.SIGTERM:
            os._exit(128 + number)
        return
    now_s = time.monotonic()
    if now_s - _raised_s > REPEAT_S:
        _raised_s = now_s
        raise Interrupted


def _answer(read: int) -> None:
    presses = Presses()
    while _END[0] not in (data := os.read(read, 64)):
        for number in data:
            if number in SIGNALS and presses.answer(number):
                stop_hard()
    os.close(read)


def _forked() -> None:
    """What is sent to a process that was forked is not sent to this one."""
    with suppress(ValueError):
        signal.set_wakeup_fd(-1)
