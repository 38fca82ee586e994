"""One driver a destination.

On a local file system the lock is an advisory lock on `DEST/.lock`, which the kernel releases when
its holder ends, however it ends: there are no stale locks. Object stores have none; two drivers
there do the same work twice and finish with the same result, since every file that they write is
named by its content or follows from the ledger.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sofdata.disk import explained
from sofdata.errors import ConfigError
from sofdata.storage import Tree

LOCK = ".lock"
PATIENCE_S = 3.0  # the child of a command that was killed needs a moment to end, too


@contextmanager
def only_driver(dest: Tree) -> Iterator[None]:
    """Hold the lock of a destination. Raises `ConfigError` that names the holder if it is taken."""
    if not dest.is_local:
        yield
        return
    path = os.path.join(dest.root, LOCK)
    handle = _acquire(path, dest)
    try:
        os.truncate(handle, 0)
        os.write(handle, json.dumps(_holder()).encode())
        yield
    finally:
        os.unlink(path)  # while it is held, so that no one else can hold it
        os.close(handle)


def _acquire(path: str, dest: Tree) -> int:
    until = time.monotonic() + PATIENCE_S
    while True:
        with explained(f"write to {dest.root}"):
            os.makedirs(dest.root, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 1000, 0).decode("utf-8", "replace")
            os.close(handle)
            if time.monotonic() < until:
                time.sleep(0.1)
                continue
            raise ConfigError(
                f"another ingest works on {dest.name} ({holder}); wait for it, or stop it"
            ) from None
        if _is_current(handle, path):
            return handle
        os.close(handle)  # its last holder removed it between our open and our lock


def _is_current(handle: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _holder() -> dict[str, str | int]:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": since}
