"""Several machines on one: each with an address, processes, and temporary files of its own.

`Namespaces` gives each machine a network, process and mount namespace of its own, joined by a
bridge: cutting one off and ending its processes is what a power failure looks like to the others.
It needs root and iproute2. `Loopback` does with addresses of the loopback network and process
groups where that is not to be had. Nothing of either reaches another host.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

HUB = 254  # number of the machine that the others share: the one with the object store


class Network(Protocol):
    """Machines by number, and the temporary folder that each has for itself at the same path."""

    kind: str
    private: Path

    def address(self, machine: int) -> str: ...
    def start(
        self, machine: int, command: Sequence[str], environment: dict[str, str], log: Path
    ) -> None: ...
    def inside(self, machine: int, command: Sequence[str]) -> list[str]: ...
    def kill(self, machine: int) -> None: ...
    def close(self) -> None: ...


def make_network() -> Network:
    """Namespaces where this machine allows them, else the loopback network."""
    return Loopback() if kind_of_network() == Loopback.kind else Namespaces()


def kind_of_network() -> str:
    """What `make_network` makes here; SOFDATA_TEST_NETWORK=loopback asks for the lesser one."""
    asked = os.environ.get("SOFDATA_TEST_NETWORK")
    return Loopback.kind if asked == "loopback" or not namespaces_work() else Namespaces.kind


def namespaces_work() -> bool:
    """Whether this process may make namespaces and join them by virtual links."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare", "nsenter", "mount"))):
        return False
    name = f"sofprobe{os.getpid()}"
    try:
        if _quiet("ip", "netns", "add", name):
            return False
        trial = "ip link add v0 type veth peer name v1 && ip link add br0 type bridge"
        in_it = ("ip", "netns", "exec", name, "unshare", "--mount", "--pid", "--fork")
        return not _quiet(*in_it, "--mount-proc", "sh", "-c", trial)
    finally:
        _quiet("ip", "netns", "del", name)


class Namespaces:
    """Machines 10.213.7.N on a bridge that lies in a namespace as well."""

    kind = "network namespaces"

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="sof", dir="/tmp"))  # Ray wants short paths
        self.private = self._root / "own"
        self.private.mkdir()
        self._inits: dict[int, subprocess.Popen[bytes]] = {}
        self._made: list[int] = []
        self._add(HUB)
        self._ip(HUB, "link", "add", "br0", "type", "bridge")
        self._ip(HUB, "addr", "add", f"{self.address(HUB)}/24", "dev", "br0")
        self._ip(HUB, "link", "set", "br0", "up")

    def address(self, machine: int) -> str:
        return f"10.213.7.{machine}"

    def start(
        self, machine: int, command: Sequence[str], environment: dict[str, str], log: Path
    ) -> None:
        """Boot a machine: `command` becomes the parent of all that runs on it."""
        if machine != HUB:
            self._add(machine)
            self._connect(machine)
        own = self._root / f"own{machine}"
        own.mkdir()
        isolated = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        boot = ["sh", "-c", f'mount --bind {own} {self.private}; exec "$@"', "sh", *command]
        with log.open("wb") as handle:
            self._inits[machine] = subprocess.Popen(
                ["ip", "netns", "exec", self._name(machine), *isolated, *boot],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=handle,
                stderr=handle,
            )

    def inside(self, machine: int, command: Sequence[str]) -> list[str]:
        """The command line that runs a command on a machine."""
        pid = self._inits[machine].pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        wait_for(f"machine {machine}", lambda: bool(children.read_text().split()))
        init = children.read_text().split()[0]
        entered = ["nsenter", f"--target={init}", "--mount", "--pid", "--net"]
        return [*entered, f"--wd={os.getcwd()}", *command]

    def add_default_route(self, machine: int) -> None:
        """Let a machine have an address of its own in the eyes of what looks for its route out."""
        self._ip(machine, "route", "add", "default", "via", self.address(HUB))

    def wait(self, machine: int, limit_s: float) -> int:
        """Wait until what a machine was booted with has ended; returns its exit code.

        Raises `subprocess.TimeoutExpired` if it has not in time.
        """
        return self._inits[machine].wait(limit_s)

    def kill(self, machine: int) -> None:
        """Pull the plug: the link goes first, so that no one is told of what ends."""
        if machine in self._made and machine != HUB:
            self._ip(HUB, "link", "set", f"p{machine}", "down")
        init = self._inits.pop(machine)
        init.kill()
        init.wait()

    def close(self) -> None:
        for machine in list(self._inits):
            self.kill(machine)
        for machine in self._made:
            _quiet("ip", "netns", "del", self._name(machine))
        shutil.rmtree(self._root, ignore_errors=True)

    def _name(self, machine: int) -> str:
        return f"{self._root.name}-{machine}"

    def _add(self, machine: int) -> None:
        _run("ip", "netns", "add", self._name(machine))
        self._made.append(machine)
        self._ip(machine, "link", "set", "lo", "up")

    def _connect(self, machine: int) -> None:
        ends = ["type", "veth", "peer", "name", f"p{machine}", "netns", self._name(HUB)]
        _run("ip", "link", "add", "eth0", "netns", self._name(machine), *ends)
        self._ip(machine, "addr", "add", f"{self.address(machine)}/24", "dev", "eth0")
        self._ip(machine, "link", "set", "eth0", "up")
        self._ip(HUB, "link", "set", f"p{machine}", "master", "br0", "up")

    def _ip(self, machine: int, *words: str) -> None:
        _run("ip", "-n", self._name(machine), *words)


class Loopback:
    """Machines 127.0.0.N, which share everything but the mark in their processes' environment."""

    kind = "loopback addresses"

    def __init__(self) -> None:
        self.private = Path(tempfile.mkdtemp(prefix="sof", dir="/tmp"))
        self._started: dict[int, subprocess.Popen[bytes]] = {}

    def address(self, machine: int) -> str:
        return f"127.0.0.{machine}"

    def start(
        self, machine: int, command: Sequence[str], environment: dict[str, str], log: Path
    ) -> None:
        with log.open("wb") as handle:
            self._started[machine] = subprocess.Popen(
                list(command),
                env={**environment, "SOFDATA_TEST_MACHINE": self._mark(machine)},
                stdin=subprocess.DEVNULL,
                stdout=handle,
                stderr=handle,
                start_new_session=True,
            )

    def inside(self, machine: int, command: Sequence[str]) -> list[str]:
        return list(command)

    def kill(self, machine: int) -> None:
        """End all processes of a machine, before any of them sees another end."""
        process = self._started.pop(machine)
        mark = f"SOFDATA_TEST_MACHINE={self._mark(machine)}\0".encode()
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit():
                    with suppress(OSError):
                        if mark in (entry / "environ").read_bytes():
                            os.kill(int(entry.name), number)
        process.wait()

    def close(self) -> None:
        for machine in list(self._started):
            self.kill(machine)
        shutil.rmtree(self.private, ignore_errors=True)

    def _mark(self, machine: int) -> str:
        return f"{self.private.name}-{machine}"


def wait_for(what: str, happened: Callable[[], bool], limit_s: float = 240.0) -> None:
    """Wait until something has happened. Fails the test if it does not."""
    deadline = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < deadline, f"waited {limit_s:.0f} s in vain for {what}"
        time.sleep(0.1)


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def _quiet(*words: str) -> int:
    return subprocess.run(words, capture_output=True, check=False).returncode
