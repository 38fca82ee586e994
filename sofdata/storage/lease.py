"""A lock in an object store, where nothing ends with the process that made it: a lease.

    DEST/.lock   who holds it and how often it was renewed; made only if there is none

The holder renews it every `RENEW_S`. Who finds one watches it on a clock of its own: what changes
is alive, and what has not changed for `STALE_S` is taken over, whatever the clocks of the two say.
One whose holder ran on this machine and has ended is taken over at once. A holder that finds
another's lease in place of its own has lost it, and must stop before it writes again.

It is as good as the store. AWS makes the object on one condition, that there is none; others look
first and then write, or know no conditions. So who has written it looks again after `SETTLE_S`: of
those who come at the same time the last writer has it, and whoever was slower than that sees it at
the next `check`. A holder that was halted for longer than `STALE_S` may still write what it was
about to: what two drivers commit at once fits together all the same, see `sofdata.shards.commit`.

Costs three requests and half a second, at its end two, and two every `RENEW_S`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from sofdata.errors import ConfigError, StorageError
from sofdata.storage.holder import MAX_BYTES, Holder, has_ended, is_near, read_holder
from sofdata.storage.tree import Tree

RENEW_S = 15.0
STALE_S = 60.0
SETTLE_S = 0.5
POLL_S = 1.0
REPORT_S = 15.0  # between two lines to a user who waits

Report = Callable[[str], None]


class Lease:
    """A lease that this process holds, renewed by a thread of its own until `release`."""

    def __init__(self, dest: Tree, name: str, holder: Holder) -> None:
        self._dest, self._name, self._holder = dest, name, holder
        self._lost = ""
        self._seen_s = _now_s()
        self._asking = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise `StorageError` if another has taken it over. Costs a request."""
        with self._asking:
            self._look()
        if self._lost:
            raise StorageError(
                f"the lock on {self._dest.name} is no longer this command's: {self._lost}. It "
                "stops, so that two do not write there; rerun the command to continue from what "
                "is committed"
            )

    def abandon(self) -> None:
        """Renew it no more; it is left where it is."""
        self._end.set()

    def release(self) -> None:
        """Remove it. Raises as `check`, and what the store does."""
        self.abandon()
        self._thread.join(RENEW_S)
        self.check()
        self._dest.remove(self._name)

    def _keep(self) -> None:
        while not self._end.wait(RENEW_S) and not self._lost:
            try:
                self._renew()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next turn may do better
                if _now_s() - self._seen_s > STALE_S:
                    self._lost = f"it could not be renewed for {STALE_S:.0f} s ({error})"

    def _renew(self) -> None:
        with self._asking:
            began_s = _now_s()
            self._look()
            if self._lost or self._end.is_set():
                return
            self._holder = self._holder.again()
            self._dest.write(self._name, self._holder.encode())
            if _now_s() - began_s > STALE_S - RENEW_S:
                self._lost = "this process was halted, and another may have taken it over"

    def _look(self) -> None:
        if self._lost:
            return
        began_s = _now_s()
        found = _read(self._dest, self._name)
        if found is None:
            self._lost = f"{self._name} was removed"
        elif (holder := read_holder(found)).token != self._holder.token:
            self._lost = f"it was taken over by {holder}"
        else:
            self._seen_s = began_s


def acquire(dest: Tree, name: str, holder: Holder, patience_s: float, report: Report) -> Lease:
    """Wait for the lease of a folder, if it is stale, and hold it.

    name: of its object. patience_s: how long a holder on this machine may take to end. report: gets
    a line for the user every now and then while this waits.

    Raises `ConfigError` that names the holder if it is alive, `StorageError`, `TransientError`.
    """
    watch = _Watch(patience_s)
    while True:
        found = _read(dest, name)  # first, since a store may make one over another's
        if found is None:
            if dest.create(name, holder.encode()) and _stays(dest, name, holder):
                return Lease(dest, name, holder)
            continue
        other = read_holder(found)
        if other.token and other.token == holder.token:  # made by a try whose answer was lost
            return Lease(dest, name, holder)
        if watch.is_alive(found, other):
            raise in_use(dest, other)
        if has_ended(other) or watch.unchanged_s >= STALE_S:
            report(f"{dest.name}: the lock of {other} is taken over: {watch.why(other)}")
            if _taken_over(dest, name, found, holder):
                return Lease(dest, name, holder)
            continue
        if not is_near(other):
            watch.report(f"{dest.name} is locked by {other}", report)
        time.sleep(POLL_S)


def in_use(dest: Tree, holder: Holder) -> ConfigError:
    """The error of a second command."""
    return ConfigError(
        f"{dest.name} is in use: {holder} is at work on it; wait until that has ended, or stop it"
    )


class _Watch:
    """What has been seen of another's lease, and for how long on this process's clock."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._found = b""
        self._since_s = self._began_s = time.monotonic()
        self._reported_s = -REPORT_S

    @property
    def unchanged_s(self) -> float:
        return time.monotonic() - self._since_s

    def is_alive(self, found: bytes, holder: Holder) -> bool:
        """Whether its holder lives: it has changed, or its process is at work on this machine."""
        before, self._found = self._found, found
        if before and before != found:
            self._since_s = time.monotonic()
            return True
        waited_s = time.monotonic() - self._began_s
        return is_near(holder) and not has_ended(holder) and waited_s >= self._patience_s

    def why(self, holder: Holder) -> str:
        if has_ended(holder):
            return "that process has ended"
        return f"nothing was heard of it for {self.unchanged_s:.0f} s"

    def report(self, what: str, report: Report) -> None:
        """Say what is waited for, every `REPORT_S`."""
        if (waited_s := time.monotonic() - self._began_s) < self._reported_s + REPORT_S:
            return
        self._reported_s = waited_s
        left_s = max(0.0, STALE_S - self.unchanged_s)
        report(f"{what}; it is taken over in {left_s:.0f} s unless it shows a sign of life")


def _taken_over(dest: Tree, name: str, found: bytes, holder: Holder) -> bool:
    """Put our lease in the place of a stale one, and see whether it stays there."""
    if _read(dest, name) != found:
        return False
    dest.write(name, holder.encode())
    return _stays(dest, name, holder)


def _stays(dest: Tree, name: str, holder: Holder) -> bool:
    """Whether a lease just written is ours, among those of who wrote at the same time."""
    time.sleep(SETTLE_S)
    return read_holder(_read(dest, name) or b"").token == holder.token


def _read(dest: Tree, name: str) -> bytes | None:
    try:
        return dest.read_range(name, 0, MAX_BYTES)
    except FileNotFoundError:
        return None


def _now_s() -> float:
    """Goes on while the machine sleeps, where there is such a clock."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)
