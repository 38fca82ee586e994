"""Temporary files and folders that do not outlive their process for long, however it ends.

Each is locked by its process. Whoever makes the first one in a process removes those of the same
user that nobody holds any more: a process was killed there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache

from sofdata.system.locks import flock

PREFIX = "sofdata-tmp-"
YOUNG_S = 60.0  # one that was just made may not be locked yet
_not_ours: list[ExitStack] = []  # of the process that this one was forked from


@contextmanager
def temporary_file(suffix: str = "") -> Iterator[str]:
    """The path of an empty file, removed at the end of the block."""
    _sweep(tempfile.gettempdir())
    handle, path = tempfile.mkstemp(prefix=PREFIX, suffix=suffix)
    try:
        flock(handle)  # without locks nobody sweeps, so that it is safe all the same
        yield path
    finally:
        os.unlink(path)
        os.close(handle)


@contextmanager
def temporary_folder() -> Iterator[str]:
    """The path of an empty folder, removed at the end of the block with all that is in it."""
    _sweep(tempfile.gettempdir())
    path = tempfile.mkdtemp(prefix=PREFIX)
    handle = os.open(path, os.O_RDONLY)
    try:
        flock(handle)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


class TemporaryFile:
    """As `temporary_file`, for as long as the object lives that has made it.

    Removed by the process that made it alone: in a fork of it the object is there, too.
    """

    def __init__(self, suffix: str = "") -> None:
        self._stack = ExitStack()
        self.path = self._stack.enter_context(temporary_file(suffix))
        self._maker = os.getpid()

    def __del__(self) -> None:
        with suppress(AttributeError):  # the constructor has failed
            if self._maker == os.getpid():
                self._stack.close()
            else:
                _not_ours.append(self._stack)


@cache
def _sweep(folder: str) -> None:
    """Once a process: remove what dead processes have left."""
    for entry in os.scandir(folder):
        if entry.name.startswith(PREFIX):
            with suppress(OSError):  # it is held, another's, or just removed
                _remove_if_dead(entry.path)


def _remove_if_dead(path: str) -> None:
    info = os.lstat(path)
    if info.st_uid != os.getuid() or time.time() - info.st_mtime < YOUNG_S:
        return
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        if not flock(handle, wait=False):
            return
        if os.path.isdir(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            os.unlink(path)
    finally:
        os.close(handle)
