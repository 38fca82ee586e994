"""Keeps the main thread in native code at a step, where no signal reaches Python's; see faults.

It stays there until a test lets it go, so that nothing depends on how fast the machine is.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from pathlib import Path

MOST_S = 60.0  # a test that failed lets nothing go
MUTEX_BYTES = 128  # more than any system's `pthread_mutex_t`


def let_go(busy: Path) -> None:
    """End what is busy and has made this file."""
    busy.with_suffix(".over").touch()


def injector(argument: str) -> Callable[[str], None]:
    """argument: STEPS|PATH: when one of them is reached, make a file, and be busy once."""
    wanted, path = argument.split("|")

    def inject(step: str) -> None:
        if step in wanted.split(",") and not Path(path).exists():
            _stay(Path(path))

    return inject


def _stay(busy: Path) -> None:
    """Wait for a mutex, which unlike other waits goes on when a signal comes."""
    library, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(MUTEX_BYTES)
    library.pthread_mutex_init(mutex, None)
    library.pthread_mutex_lock(mutex)

    def unlock() -> None:
        until_s = time.monotonic() + MOST_S
        while not busy.with_suffix(".over").exists() and time.monotonic() < until_s:
            time.sleep(0.01)
        library.pthread_mutex_unlock(mutex)

    threading.Thread(target=unlock, daemon=True).start()
    busy.touch()
    library.pthread_mutex_lock(mutex)
