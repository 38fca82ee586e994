"""Makes a decoding process read slowly, hang, or go on for ever: `system.fault_points`."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

READ_BYTES = 1024


class SlowFile(io.FileIO):
    """A file whose every KB takes a while."""

    def __init__(self, path: str, pause_s: float) -> None:
        super().__init__(path)
        self._pause_s = pause_s

    def read(self, size: int | None = -1) -> bytes:
        time.sleep(self._pause_s)
        return super().read(min(READ_BYTES, size) if size and size > 0 else READ_BYTES) or b""


def injector(argument: str) -> Callable[[str], None]:
    """argument: a number of seconds a KB, "hang" or "endless"; then " of " and a name, or any."""
    how, _, name = argument.partition(" of ")

    def reached(step: str) -> None:
        if not step.startswith(f"decode {name}"):
            return
        if how == "hang":
            time.sleep(3600)
        elif how == "endless":
            with open("/dev/zero", "rb") as zeros:
                while True:
                    zeros.read(4096)
        else:
            _read_slowly(float(how))

    return reached


def _read_slowly(pause_s: float) -> None:
    import av

    really: Any = av.open

    def opens(source: Any, **options: Any) -> Any:
        return really(SlowFile(source, pause_s) if isinstance(source, str) else source, **options)

    av.open = opens
