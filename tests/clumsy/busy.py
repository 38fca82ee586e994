"""Keeps the main thread in native code at a step, where no signal reaches Python's; see faults."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

ITERATIONS = 1_000_000  # about half a second and more


def injector(argument: str) -> Callable[[str], None]:
    """argument: STEPS|PATH|TIMES: when one of them is reached, make a file, and be busy once."""
    wanted, path, times = argument.split("|")

    def inject(step: str) -> None:
        if step in wanted.split(",") and not Path(path).exists():
            Path(path).touch()
            hashlib.pbkdf2_hmac("sha256", b"", b"", ITERATIONS * int(times))

    return inject
