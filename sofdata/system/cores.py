"""How many cores this process may use: of the machine's, those that the system allows it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath


def cores(root: str = "/") -> int:
    """Cores for this process, at least 1: by CPU affinity and by the limits of its cgroups.

    A batch system, a container or `taskset` gives less than the machine has; as many threads as
    the machine has would then wait for each other. A limit of one and a half cores counts as two.

    root: where /proc and /sys lie, for tests.
    """
    try:
        found = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not on every system
        found = os.cpu_count() or 1
    limit = min(_limits(Path(root)), default=math.inf)
    return max(1, min(found, math.ceil(limit)) if limit < found else found)


def _limits(root: Path) -> Iterator[float]:
    """What each cgroup that this process is in allows, in cores."""
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                yield from _at_and_above(root / "sys/fs/cgroup", path, _limit_v2)
            elif "cpu" in controllers.split(","):
                for folder in (controllers, "cpu"):
                    yield from _at_and_above(root / "sys/fs/cgroup" / folder, path, _limit_v1)


def _at_and_above(mount: Path, path: str, limit_at: Callable[[Path], float]) -> Iterator[float]:
    """Limits of a group and of those that it lies in; in a container, paths may be the host's."""
    group = PurePosixPath("/") / path
    for each in (group, *group.parents):
        with suppress(OSError, ValueError):
            if limit := limit_at(mount / str(each).lstrip("/")):
                yield limit


def _limit_v2(folder: Path) -> float:
    quota, period = (folder / "cpu.max").read_text().split()[:2]
    return int(quota) / int(period)  # "max" is no number, and no limit


def _limit_v1(folder: Path) -> float:
    quota_us = int((folder / "cpu.cfs_quota_us").read_text())  # -1: no limit
    return max(0, quota_us) / int((folder / "cpu.cfs_period_us").read_text())
