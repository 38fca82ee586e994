"""Advisory locks of the kernel on open files, and file systems that have none.

The kernel releases such a lock when its holder ends, however it ends: there are no stale ones.
Some network file systems and FUSE mounts know no locks at all.
"""

from __future__ import annotations

import errno
import fcntl

from sofdata.system.fault_points import fault_point

UNKNOWN = frozenset(
    {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOTTY}
)


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
