"""What processes that work for another one have in common, and how they are ended."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Collection
from contextlib import suppress

from sofdata.system.fault_points import VARIABLE as FAULTS
from sofdata.system.secret_names import is_secret_name

# The variables that a process gets which decodes files of strangers: what a system, its loader,
# Python and the numeric libraries go by, and what bytes depend on. No other, as any may hold a
# secret, whatever it is called.
_PASSED = """
    HOME LANG LANGUAGE LD_LIBRARY_PATH LD_PRELOAD LOGNAME NIX_LD NIX_LD_LIBRARY_PATH PATH TEMP TMP
    TMPDIR TZ USER PYTHONDEVMODE PYTHONDONTWRITEBYTECODE PYTHONFAULTHANDLER PYTHONHASHSEED
    PYTHONHOME PYTHONIOENCODING PYTHONMALLOC PYTHONNOUSERSITE PYTHONOPTIMIZE PYTHONPLATLIBDIR
    PYTHONPYCACHEPREFIX PYTHONSAFEPATH PYTHONTRACEMALLOC PYTHONUNBUFFERED PYTHONUSERBASE
    PYTHONUTF8 PYTHONWARNINGS
"""
PASSED = frozenset([*_PASSED.split(), FAULTS])
PASSED_KINDS = ("DECORD_", "GLIBC_", "LC_", "MALLOC_", "MKL_", "OMP_", "OPENBLAS_", "OPENCV_")
WATCH_S = 1.0
POLL_S = 0.02
KILL_S = 5.0  # more only where a process hangs in the kernel, as on a dead network file system
_PR_SET_CHILD_SUBREAPER = 36


def decoding_environment() -> dict[str, str]:
    """The variables of a process that decodes: some that are known to be needed, and no others.

    Modules are found as here, one thread works, and HDF5 loads no plugins, which are libraries in
    some folder.
    """
    passed = {
        name: value
        for name, value in os.environ.items()
        if (name in PASSED or name.startswith(PASSED_KINDS)) and not is_secret_name(name)
    }
    found = os.pathsep.join(filter(None, sys.path))  # wherever sofdata came from
    set_here = {"HDF5_PLUGIN_PRELOAD": "::", "OMP_NUM_THREADS": "1", "PYTHONPATH": found}
    return passed | set_here


def end_with_parent(parent: int = 0, with_descendants: bool = False) -> None:
    """End this process, whatever it is doing, as soon as its parent has ended.

    Else the workers of a command that is killed would go on alone.

    parent: its number, 0 to ask; given, it holds also where the parent has ended already.
    with_descendants: first end all that descends from this process.
    """
    if with_descendants:
        adopt_orphans()
    arguments = (parent or os.getppid(), with_descendants)
    threading.Thread(target=_follow, args=arguments, daemon=True).start()


def adopt_orphans() -> None:
    """Become the parent of descendants that lose theirs; without effect where there is no prctl."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap() -> dict[int, int]:
    """The children that have ended since the last call, adopted ones as well, and how."""
    ended: dict[int, int] = {}
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended[found[0]] = found[1]
    return ended


def descendants(spared: Collection[int] = ()) -> list[int]:
    """All processes that descend from this one, without `spared` and what descends from these.

    Ended ones that nobody has waited for are among them: while the last threads of a process that
    is killed still end, it looks like one of these, and has children. Empty where there is no
    /proc, or only that of another namespace, with other numbers. Takes some 0.1 ms a process of
    the machine.
    """
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return []
    except FileNotFoundError:
        return []
    children = _children()
    found: list[int] = []
    waiting = [os.getpid()]
    while waiting:
        own = [pid for pid in children.get(waiting.pop(), ()) if pid not in spared]
        found += own
        waiting += own
    return found


def _children() -> dict[int, list[int]]:
    """The children of each process of the machine.

    One by one rather than by `psutil.Process.children`, which fails as a whole where /proc shows
    strangers' processes but not whose children they are (hidepid=1).
    """
    import psutil

    children: dict[int, list[int]] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            children.setdefault(process.ppid(), []).append(process.pid)
    return children


def end_descendants(
    grace_s: float = 0.0, patience_s: float = 0.0, spared: Collection[int] = ()
) -> None:
    """End all that descends from this process, and wait until it has ended, `KILL_S` at most.

    For a process that adopts orphans and waits for no child elsewhere any more.

    grace_s: how long it may take to end by itself; then SIGTERM is sent. patience_s: how long it
    may take from there; then SIGKILL is sent. spared: children to leave alone.
    """
    for number, seconds in ((0, grace_s), (signal.SIGTERM, patience_s), (signal.SIGKILL, KILL_S)):
        until, signalled = time.monotonic() + seconds, set[int]()
        while time.monotonic() < until:
            reap()
            if not (left := descendants(spared)):
                return
            for pid in left if number else ():
                if pid not in signalled:
                    signalled.add(pid)
                    with suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, number)
            time.sleep(POLL_S)


def end_workers() -> None:
    """End the processes that `multiprocessing` has begun for this one, whatever they are doing."""
    import multiprocessing

    for worker in multiprocessing.active_children():
        worker.terminate()


def _follow(parent: int, with_descendants: bool) -> None:
    ended = select.poll()
    with suppress(AttributeError, OSError):  # without it, the parent is looked at each second
        ended.register(os.pidfd_open(parent), select.POLLIN)
    while os.getppid() == parent:
        if ended.poll(WATCH_S * 1000):
            time.sleep(POLL_S)
    if with_descendants:
        end_descendants()
    os._exit(1)
