"""How this thread is scheduled, which libraries change."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def own_priority() -> Iterator[None]:
    """Leave the thread scheduled as it was.

    SVT-AV1 gives the thread that opens its encoder, where that is root's, the highest real-time
    priority, first in, first out: it and all that it starts from then on keep others off the cores.
    """
    if not hasattr(os, "sched_getscheduler"):  # macOS
        yield
        return
    policy, given = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            os.sched_setscheduler(0, policy, given)  # which gives up a right, and so is allowed
