"""How a process gets its memory: large blocks are kept, and in training made of large pages.

An update asks for and gives back the same few hundred MB, a worker of an ingest the same few MB. By
default the C library returns such blocks to the kernel at once and gets them again as pages of 4
KiB, each of which has to be cleared: a sixth of a short training's time or more
(benchmarks/README.md).
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
_MMAP_BYTES = 32 << 20  # the largest that glibc takes
_ALL_BYTES = (1 << 31) - 1
_SOME_BYTES = 64 << 20  # more than a worker has under way: a chunk of frames, its flow, a window


def keep_memory() -> None:
    """Keep freed blocks, and have torch ask for huge pages, here and in processes begun later.

    Without effect where the C library or the kernel knows nothing of it. To be called before the
    first tensor is made; a value of THP_MEM_ALLOC_ENABLE that the user has set stays.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    _keep(_ALL_BYTES)


def keep_some_memory() -> None:
    """Keep up to 64 MiB of freed blocks here, for a process that goes on with blocks of some MiB.

    Without effect where the C library knows nothing of it.
    """
    _keep(_SOME_BYTES)


def _keep(most_bytes: int) -> None:
    with suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, most_bytes)


def release_unused() -> None:
    """Give memory back that Arrow has kept for later, after work that took much of it once."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
