"""A Ray cluster whose nodes are machines of a test network."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster.network import Loopback, Network, wait_for

HEAD = 1
PORT, DASHBOARD = 6391, 8266
RAY = str(Path(sys.executable).with_name("ray"))
ROOT = str(Path(__file__).resolve().parents[2])


@dataclass
class Cluster:
    """Nodes by the number of their machine. `environment` is that of all nodes and drivers."""

    network: Network
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.environment = {
            **os.environ,
            # The entry point of a job says python, which in an image is the one with sofdata.
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": ROOT,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(16),
            "RAY_worker_niceness": "0",
            # A dead node is noticed after seconds, not after a minute.
            "RAY_health_check_initial_delay_ms": "1000",
            "RAY_health_check_period_ms": "1000",
            "RAY_health_check_timeout_ms": "3000",
            "RAY_health_check_failure_threshold": "3",
            **self.environment,
        }

    @property
    def address(self) -> str:
        """Where drivers connect."""
        return f"{self.network.address(HEAD)}:{PORT}"

    def start(
        self, machine: int, cpus: int = 1, resources: dict[str, float] | None = None, gate: str = ""
    ) -> str:
        """Start a node; returns its address. Machine `HEAD` must be the first.

        gate: what SOFDATA_FAULTS is on this node.
        """
        if machine == HEAD:
            role = ["--head", f"--port={PORT}", f"--dashboard-port={DASHBOARD}"]
            role += [f"--dashboard-host={self.network.address(HEAD)}"]
            role += [f"--temp-dir={self.network.private}"]
        else:
            role = [f"--address={self.address}"]
        address = self.network.address(machine)
        command = [
            *[RAY, "start", "--block", "--disable-usage-stats", *role],
            *[f"--node-ip-address={address}", f"--num-cpus={cpus}", "--num-gpus=0"],
            *[f"--object-store-memory={80 << 20}", f"--resources={json.dumps(resources or {})}"],
            *[f"--dashboard-agent-listen-port={20000 + machine}"],
        ]
        environment = {**self.environment, "SOFDATA_FAULTS": gate}
        log = self.folder / f"node{machine}.log"
        self.network.start(machine, command, environment, log)
        if self.network.kind == Loopback.kind:  # nodes that share a folder must start in turn
            wait_for(f"node {machine}", lambda: "Ray runtime started" in log.read_text())
        return address

    @property
    def dashboard(self) -> str:
        """Where jobs are submitted."""
        return f"http://{self.network.address(HEAD)}:{DASHBOARD}"

    def is_up(self) -> bool:
        """Whether the head takes connections."""
        probe = f"import socket; socket.create_connection({(self.network.address(HEAD), PORT)}, 1)"
        done = subprocess.run(
            self.network.inside(HEAD, [sys.executable, "-c", probe]), capture_output=True
        )
        return done.returncode == 0

    def launch(self, *words: Any, log: Path) -> subprocess.Popen[str]:
        """Start a command of sofdata on the head; what it tells goes to `log`."""
        command = [sys.executable, "-m", "sofdata", *map(str, words)]
        with log.open("w") as handle:
            return subprocess.Popen(
                self.network.inside(HEAD, command),
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=handle,
                text=True,
            )

    def sofdata(self, *words: Any) -> subprocess.CompletedProcess[str]:
        """Run a command of sofdata on the head."""
        return self.run(sys.executable, "-m", "sofdata", *words)

    def run(self, *words: Any, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the head."""
        return subprocess.run(
            self.network.inside(HEAD, list(map(str, words))),
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
        )
