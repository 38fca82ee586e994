"""A thread of the decoding process that looks after it: how much memory it has, how far it is.

Memory is watched instead of being denied: an allocation that fails is often taken by a decoder for
the end of the file or for a damaged frame, and the video would come out shorter. The process ends
itself once it has more than it may. Costs two small reads in `/proc` a look.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable

from sofdata.video.progress import PROGRESS

LOOK_S = 0.05
OVER_MEMORY_CODE = 86  # with which a process that has too much memory ends itself
# How far beyond the limit allocations fail at once, before the watch can look: FFmpeg asks for at
# most 2 GiB at a time. A header that asks for much more shall not exhaust the machine.
MARGIN_BYTES = 5 << 29
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Watch:
    """Watches this process while it is busy.

    report: called about every `beat_s` where there was progress meanwhile. Must not block.
    """

    def __init__(self, report: Callable[[], None]) -> None:
        self._report = report
        self._memory_bytes = 0
        self._beat_s = 1.0
        self._busy = threading.Event()
        self._look = ProcessUsage()
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def begin(self, memory_bytes: int, beat_s: float) -> None:
        """Watch from now on; more than so much data memory ends this process."""
        self._memory_bytes, self._beat_s = memory_bytes, beat_s
        margin = MARGIN_BYTES if self._look.sees_memory else 0
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes + margin, resource.RLIM_INFINITY))
        self._busy.set()

    def end(self) -> None:
        """Watch no longer."""
        self._busy.clear()

    def _run(self) -> None:
        seen, reported_s = self._look.progress(), time.monotonic()
        while True:
            self._busy.wait()
            time.sleep(min(LOOK_S, self._beat_s))
            if self._busy.is_set() and self._look.data_bytes() > self._memory_bytes:
                os._exit(OVER_MEMORY_CODE)
            if time.monotonic() - reported_s >= self._beat_s:
                if (now := self._look.progress()) != seen:
                    self._report()
                seen, reported_s = now, time.monotonic()


class ProcessUsage:
    """What the kernel reports of this process; all figures are 0 where there is no /proc."""

    def __init__(self) -> None:
        self._read_here = 0  # bytes, which are no progress
        self._io = _open("/proc/self/io")
        self._memory = _open("/proc/self/statm")
        self.sees_memory = self._memory is not None

    def progress(self) -> tuple[int, int, int]:
        """Bytes read by this process, packets and frames: whatever is new is progress."""
        before = self._read_here
        line = self._read(self._io).partition(b"\n")[0]  # rchar: 4711
        read = int(line.split()[1]) if line else before
        return read - before, PROGRESS.packets, PROGRESS.frames

    def data_bytes(self) -> int:
        """Data memory of this process."""
        fields = self._read(self._memory).split()
        return int(fields[5]) * _PAGE if fields else 0

    def _read(self, handle: int | None) -> bytes:
        if handle is None:
            return b""
        data = os.pread(handle, 4096, 0)
        self._read_here += len(data)
        return data


def _open(path: str) -> int | None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        os.pread(handle, 1, 0)
    except OSError:
        return None
    return handle
