"""Advisory locks of the kernel, and file systems that have none.

The kernel releases such a lock when its holder ends, however it ends: there are no stale ones.
Some network file systems and FUSE mounts know no locks at all.

`locked` waits for the lock of a path, which `filelock` does well. `flock` locks a file that is open
already, which `filelock` cannot: the lock of a destination (`sofdata.storage.lock`) reads the
record of its holder from that handle, may have to lock a file that another user has left, and
removes the file while it is held; a temporary file or folder (`sofdata.storage.temporary`) is
itself what is locked.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sofdata.system.fault_points import fault_point

UNKNOWN = frozenset(
    {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOTTY}
)


@contextmanager
def locked(path: str | os.PathLike[str]) -> Iterator[None]:
    """Wait until no other process or thread holds the lock of a path, and hold it.

    The file is made, with its folder, and stays. Where its file system knows no locks, a file of
    the same meaning in the temporary folder is locked, which keeps the processes of one machine
    apart. Raises `OSError`.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        if not _acquired(stack, path):
            _acquired(stack, _stand_in(path))
        yield


def flock(handle: int, wait: bool = True) -> bool:
    """Lock an open file for this process alone; False where its file system knows no locks.

    wait: until nobody else holds it; otherwise raises `BlockingIOError` if somebody does.
    """
    try:
        fault_point("flock")
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in UNKNOWN:
            raise
        return False
    return True


def _acquired(stack: ExitStack, path: str | os.PathLike[str]) -> bool:
    """Hold a lock until the end of a stack; False where the file system knows no locks."""
    from filelock import FileLock

    # Without its own substitute for missing locks: that is a file which a killed process leaves.
    lock = FileLock(path, fallback_to_soft=False)
    try:
        lock.acquire()
    except OSError as error:
        if error.errno not in UNKNOWN:
            raise
        return False
    stack.callback(lock.release)
    return True


def _stand_in(path: str | os.PathLike[str]) -> Path:
    name = hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest()[:24]
    folder = Path(tempfile.gettempdir()) / f"sofdata-locks-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / name
