"""Who holds a lock: what it does, where it runs and since when, as its lock says to others.

A lock's content is read from files that anybody may have written: it is checked, cut and made
printable before it is shown, and decides nothing but whom a message names and, in a store, whether
a process of this very machine has ended.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

from sofdata.ui.text import printable

MAX_BYTES = 4096  # of a lock's content
_SHOWN = 80  # characters of one value of another's


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds a lock, or the one that wants to.

    doing: "ingest", "repair", "training", ... since: in UTC. boot, space, started: of the machine's
    last start, the process's PID namespace and its own start, which together with host and pid are
    one process alone; "" where they are not known. token: of this one lock. renewed: how often.
    """

    doing: str = ""
    user: str = ""
    host: str = ""
    pid: int = 0
    since: str = ""
    boot: str = ""
    space: str = ""
    started: str = ""
    token: str = ""
    renewed: int = 0

    def __str__(self) -> str:
        """Such as "an ingest by anna on gpu-7 (process 4711, since 2026-11-28 22:30:05 UTC)"."""
        doing = self.doing or "sofdata command"
        article = "an" if doing[0] in "aeiou" else "a"
        of = f" by {self.user}" if self.user else ""
        on = f" on {self.host}" if self.host else ""
        more = [f"process {self.pid}"] if self.pid > 0 else []
        more += [f"since {self.since}"] if self.since else []
        return f"{article} {doing}{of}{on}" + (f" ({', '.join(more)})" if more else "")

    def encode(self) -> bytes:
        """As one line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"

    def again(self) -> Holder:
        """The same, a sign of life later."""
        return replace(self, renewed=self.renewed + 1)


def this_process(doing: str) -> Holder:
    """This process, with a token that no other lock has."""
    return Holder(
        doing=doing,
        user=_user(),
        host=socket.gethostname(),
        pid=os.getpid(),
        since=f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        boot=_boot(),
        space=_space(),
        started=_stat(os.getpid())[1],
        token=uuid.uuid4().hex,
    )


def read_holder(data: bytes) -> Holder:
    """Who a lock's content says it is; what it does not say, or not as it should, is left empty."""
    try:
        values: Any = json.loads(data[:MAX_BYTES].split(b"\n", 1)[0])
    except (ValueError, RecursionError):
        return Holder()
    if not isinstance(values, dict):
        return Holder()
    shown: dict[str, Any] = {}
    for field in fields(Holder):
        value = values.get(field.name)
        if type(value) is type(field.default):
            shown[field.name] = printable(value[:_SHOWN]) if isinstance(value, str) else value
    return Holder(**shown)


def is_near(holder: Holder) -> bool:
    """Whether its process can be looked for from here: the same machine, boot and namespace."""
    ours = (socket.gethostname(), _boot(), _space())
    return all(ours) and (holder.host, holder.boot, holder.space) == ours and bool(holder.started)


def has_ended(holder: Holder) -> bool:
    """Whether its process is known to have ended. False where that cannot be known from here."""
    if not is_near(holder) or holder.pid <= 0:
        return False
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # another user's
        pass
    state, started = _stat(holder.pid)  # empty where others' processes are hidden
    return state in ("Z", "X") or started not in ("", holder.started)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())


def _boot() -> str:
    return _line("/proc/sys/kernel/random/boot_id")


def _space() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _stat(pid: int) -> tuple[str, str]:
    """The state of a process, and when it began, in ticks since the machine did; "" for unknown."""
    words = _line(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return ("", "") if len(words) < 20 else (words[0], words[19])


def _line(path: str) -> str:
    with suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        return file.read(MAX_BYTES).strip()
    return ""
