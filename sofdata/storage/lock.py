"""One driver a destination, one training a folder: a second is refused with the holder's name.

On a local file system the lock is an advisory lock on `DEST/.lock`, which the kernel releases when
its holder ends, however it ends: there are no stale locks. Object stores have none; there a lease
takes its place, see `sofdata.storage.lease`. A lock is held by a thread: whatever it calls may take
it again, and other threads of the process are refused as other processes are.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

from sofdata.errors import ConfigError, StorageError, TransientError
from sofdata.storage.holder import MAX_BYTES, Holder, read_holder, this_process
from sofdata.storage.lease import Report, acquire, in_use
from sofdata.storage.local import storage_errors
from sofdata.storage.tree import Tree
from sofdata.system.locks import flock

LOCK = ".lock"
PATIENCE_S = 3.0  # the child of a command that was killed needs a moment to end, too
POLL_S = 0.1

Choice = Literal["auto", "none"]
Key = tuple[str, str, str]


@dataclass(eq=False)
class Lock:
    """A lock that is held.

    kind: "flock", "lease", "process" (of a store that no other process sees), or "none" as asked.
    """

    kind: str
    holder: Holder
    check: Callable[[], None] = field(default=lambda: None)
    """Raises `StorageError` if it was lost: to be called before what cannot be taken back."""

    @property
    def token(self) -> str:
        """Of this one time that it is held."""
        return self.holder.token


@dataclass(eq=False, slots=True)
class _Place:
    """A destination that a thread of this process works on. lock: None while it is waited for."""

    holder: Holder
    thread: int
    lock: Lock | None = None


_places: dict[Key, _Place] = {}
_guard = threading.Lock()


_log = logging.getLogger("sofdata")


def _say(line: str) -> None:
    _log.warning("%s", line)


@contextmanager
def only_driver(
    dest: Tree, doing: str = "ingest", choice: Choice = "auto", report: Report = _say
) -> Iterator[Lock]:
    """Hold the lock of a destination, or go on under the one that this thread holds already.

    doing: what the errors of others call it: "ingest", "repair", "training", ...
    choice: "none" takes no lock that other processes could see, for users who are sure that no
    other writes there.
    report: gets lines for the user while a lease that may be stale is waited for.

    Raises `ConfigError` that names the holder if another has it, or that names the choice where the
    file system knows no locks; `StorageError` where no lock can be made, or where it was lost by
    the end of the block.
    """
    key = _key(dest)
    outer = _mine(key)
    if outer is not None:
        yield outer
        return
    holder = this_process(doing)
    place = _reserve(key, dest, holder)
    try:
        with _locked(dest, holder, choice, report) as place.lock:
            yield place.lock
    finally:
        with _guard:
            _places.pop(key, None)


def held(dest: Tree) -> str:
    """The token of the lock on a destination that this thread holds; "" if it holds none."""
    lock = _mine(_key(dest))
    return lock.token if lock else ""


def _key(dest: Tree) -> Key:
    if dest.is_local:
        return "", os.path.realpath(dest.root), ""
    return dest.url.split("://", 1)[0], dest.root, repr(dest.options)


def _mine(key: Key) -> Lock | None:
    with _guard:
        place = _places.get(key)
    ours = place and (place.holder.pid, place.thread) == (os.getpid(), threading.get_ident())
    return place.lock if place and ours else None


def _reserve(key: Key, dest: Tree, holder: Holder) -> _Place:
    """Note that this thread works on a destination, which no other of the process may then."""
    place, until = _Place(holder, threading.get_ident()), time.monotonic() + PATIENCE_S
    while True:
        with _guard:
            other = _places.get(key)
            if other is None or other.holder.pid != os.getpid():  # a parent's, before a fork
                _places[key] = place
                return place
        if time.monotonic() >= until:
            raise in_use(dest, other.holder)
        time.sleep(POLL_S)


@contextmanager
def _locked(dest: Tree, holder: Holder, choice: Choice, report: Report) -> Iterator[Lock]:
    if choice == "none":
        yield Lock("none", holder)
    elif dest.is_local:
        with _flocked(dest, holder) as lock:
            yield lock
    elif dest.url.startswith("memory://"):
        yield Lock("process", holder)
    else:
        lease = acquire(dest, LOCK, holder, PATIENCE_S, report)
        try:
            yield Lock("lease", holder, lease.check)
        except TransientError:  # the store fails: no more waiting for it, as others know what to do
            lease.abandon()
            raise
        except BaseException:
            with suppress(Exception):  # the first error is the one that is raised
                lease.release()
            raise
        lease.release()


@contextmanager
def _flocked(dest: Tree, holder: Holder) -> Iterator[Lock]:
    path, made = os.path.join(dest.root, LOCK), not os.path.isdir(dest.root)
    handle = _acquire(path, dest)

    def check() -> None:
        if not _is_current(handle, path):
            raise StorageError(
                f"{path} was removed or replaced while this command held it. It stops, so that two "
                "do not write there; rerun the command to continue from what is committed"
            )

    try:
        with storage_errors(f"write to {dest.root}"):
            line = holder.encode()
            os.pwrite(handle, line, 0)  # first, so that it can be read at any moment
            os.truncate(handle, len(line))
        yield Lock("flock", holder, check)
    finally:
        if _is_current(handle, path):
            with suppress(OSError):
                os.unlink(path)  # while it is held, so that no one else can hold it
                if made:
                    os.rmdir(dest.root)  # where nothing came of it, nothing is left
        os.close(handle)


def _acquire(path: str, dest: Tree) -> int:
    until = time.monotonic() + PATIENCE_S
    while True:
        with storage_errors(f"write to {dest.root}"):
            os.makedirs(dest.root, exist_ok=True)
            try:
                handle = _open(path)
            except FileNotFoundError:  # another that has just ended has removed its empty folder
                if time.monotonic() < until:
                    continue
                raise
        try:
            with storage_errors(f"lock {path}"):
                known = _try(handle)
        except BaseException:
            os.close(handle)
            raise
        if known is None:
            other = read_holder(os.pread(handle, MAX_BYTES, 0))
            os.close(handle)
            if time.monotonic() >= until:
                raise in_use(dest, other)
            time.sleep(POLL_S)
            continue
        if not known:
            os.close(handle)
            with suppress(OSError):
                os.unlink(path)
            raise ConfigError(
                f"the file system of {dest.name} knows no locks, so nothing would keep a second "
                "command from writing there at the same time. If you are sure that nothing else "
                "does, say --no-lock (or run.lock=none); otherwise choose another folder"
            )
        if _is_current(handle, path) and _may_write(handle):
            return handle
        with suppress(FileNotFoundError):
            if _is_current(handle, path):  # left by another user, who is gone
                with storage_errors(f"write to {dest.root}"):
                    os.unlink(path)
        os.close(handle)


def _try(handle: int) -> bool | None:
    """True if it is locked now, None if another holds it, False where locks are unknown."""
    try:
        return flock(handle, wait=False)
    except BlockingIOError:
        return None


def _open(path: str) -> int:
    """Open the file of a lock, to read only where another user has left it. No link is followed."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except PermissionError:
        if not os.path.exists(path):
            raise
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)


def _may_write(handle: int) -> bool:
    return fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR


def _is_current(handle: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except OSError:
        return False
