"""Makes a process fail at the steps that `sofdata.system.fault_points` names, as a JSON file says.

The file holds {"faults": [...], "trace": PATH or null, "driver": PATH}: `Fault`s, where to write
the name of every step reached, and where the id of the process stands that was started (the driver,
or with Ray its supervisor). What fires is claimed through files beside it, so that a fault fires as
often as asked for, in whichever process comes first.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path


class ShortWrite(Exception):
    """Asks the file system of the tests to keep half of a file and to say that all went well."""


MOST_PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong at the `nth` time that a process reaches `step`, and at those after it.

    action: a name of `ACTIONS`; "await help", until another worker does a part of a video; or the
        name of an error such as "ENOSPC", which is then raised.
    times: how often it fires in all processes together; 0 for always.
    """

    step: str
    action: str
    nth: int = 1
    times: int = 1


def write_spec(folder: Path, faults: Iterable[Fault] = (), trace: Path | None = None) -> str:
    """Store faults in a new folder; returns what SOFDATA_FAULTS has to be."""
    folder.mkdir(parents=True)
    values = {
        "faults": [asdict(fault) for fault in faults],
        "trace": str(trace) if trace else None,
        "driver": str(folder / "driver"),
    }
    (folder / "spec.json").write_text(json.dumps(values))
    return f"{__name__}:{folder / 'spec.json'}"


def fired(folder: Path) -> int:
    """How often the faults of a folder have fired."""
    return len(list(folder.glob("claim-*")))


def injector(path: str) -> Callable[[str], None]:
    """What `sofdata.system.fault_points` calls with every step."""
    return _Injector(Path(path))


class _Injector:
    def __init__(self, path: Path) -> None:
        spec = json.loads(path.read_text())
        self._folder = path.parent
        self._faults = [Fault(**fault) for fault in spec["faults"]]
        self._trace, self._driver = spec["trace"], spec["driver"]
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, step: str) -> None:
        with self._lock:  # the corpus is fingerprinted in threads
            self._seen[step] += 1
            seen = self._seen[step]
        if self._trace:
            _append(self._trace, step)
        for number, fault in enumerate(self._faults):
            if fault.step == step and seen >= fault.nth and self._claim(number, fault):
                self._act(fault.action)

    def _claim(self, number: int, fault: Fault) -> bool:
        if not fault.times:
            (self._folder / f"claim-{number}-0").touch()
            return True
        for turn in range(fault.times):
            try:
                (self._folder / f"claim-{number}-{turn}").touch(exist_ok=False)
            except FileExistsError:
                continue
            return True
        return False

    def _act(self, action: str) -> None:
        if action == "kill supervisor":
            os.kill(int(Path(self._driver).read_text()), signal.SIGKILL)
        elif action == "kill driver":
            (driver,) = children(int(Path(self._driver).read_text()))
            os.kill(driver, signal.SIGKILL)
        elif action == "await help":
            self._wait_for("a part is claimed")
        elif action in ACTIONS:
            ACTIONS[action]()
        else:
            raise OSError(getattr(errno, action), f"{os.strerror(getattr(errno, action))} (a test)")

    def _wait_for(self, step: str) -> None:
        """Until any process has come to a step, and a moment more for what it does there."""
        until_s = time.monotonic() + MOST_PATIENCE_S
        while step not in Path(self._trace).read_text().splitlines():
            if time.monotonic() > until_s:
                return
            time.sleep(0.05)
        time.sleep(0.5)


def children(parent: int) -> list[int]:
    """The processes whose parent it is."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found


def _append(path: str, line: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


def _short() -> None:
    raise ShortWrite


def _hang() -> None:
    while True:
        time.sleep(3600)


def _spin() -> None:
    while True:
        pass


def _exhaust_memory() -> None:
    hoard = []
    while True:
        hoard.append(bytearray(16 << 20))


def _flood_stderr() -> None:
    line = b"a decoder complains without end\n" * 2048
    while True:
        os.write(2, line)


def _flood_frames() -> None:
    """Speak as the decoding process does, and send frames without end."""
    with os.fdopen(int(sys.argv[1]), "wb", closefd=False) as answers:
        header = {
            "kind": "info",
            "duration_s": 1.0,
            "stated_s": 1.0,
            "height": 240,
            "width": 320,
            "fps": 8.0,
        }
        _send(answers.write, header, b"")
        number = 0
        while True:
            times = [0.125 * (number + index) for index in range(8)]  # chunks share a frame
            header = {"kind": "frames", "decoder": "pyav", "shape": [8, 128, 128, 3]}
            _send(answers.write, {**header, "pts_s": times}, bytes(8 * 128 * 128 * 3))
            number += 7
            time.sleep(0.2)  # or the limit would be reached after minutes only


def _send(write: Callable[[bytes], object], header: dict[str, object], payload: bytes) -> None:
    head = json.dumps(header).encode()
    write(struct.pack("<II", len(head), len(payload)) + head + payload)


ACTIONS: dict[str, Callable[[], None]] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "kill parent": lambda: os.kill(os.getppid(), signal.SIGKILL),
    "segv": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "abort": lambda: os.kill(os.getpid(), signal.SIGABRT),
    "bus": lambda: os.kill(os.getpid(), signal.SIGBUS),
    "exit": lambda: os._exit(7),
    "pause": lambda: time.sleep(2),
    "rest": lambda: time.sleep(5),  # longer than a second driver is patient
    "short": _short,
    "hang": _hang,
    "spin": _spin,
    "memory": _exhaust_memory,
    "flood stderr": _flood_stderr,
    "flood frames": _flood_frames,
}
