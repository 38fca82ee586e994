"""A lock on a file, for work that several processes might begin at the same time.

The kernel releases it when its holder ends, however it ends.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sofdata.system.flocks import flock


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait until no other process holds the lock, and hold it. The file stays.

    Where the file system of `path` knows no locks, a file of the same meaning in the temporary
    folder is locked, which keeps the processes of one machine apart.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if flock(handle):
            yield
            return
    finally:
        os.close(handle)
    name = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:24]
    beside = Path(tempfile.gettempdir()) / f"sofdata-locks-{os.getuid()}" / name
    beside.parent.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        flock(handle)
        yield
    finally:
        os.close(handle)
