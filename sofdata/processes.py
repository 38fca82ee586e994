"""What processes that work for another one have in common."""

from __future__ import annotations

import os
import threading
import time

WATCH_S = 1.0


def end_with_parent() -> None:
    """End this process, whatever it is doing, about a second after its parent has ended.

    Else the workers of a command that is killed would go on alone.
    """
    threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)
