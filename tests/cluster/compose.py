"""The services of docker/compose.yaml, run together without a container engine.

    python -m tests.cluster.compose [--workers 2]

Each service is a container of buildah on a machine of a network of namespaces (`Namespaces`), under
the name that compose gives it, with the image, user, environment and command that the file states.
Then, as the head of that file says: `films` renders a corpus into the object store, the head
ingests it there, and one worker is killed in the middle. The ingest must go on, and `sofdata
verify` find the dataset whole. docker/images.sh builds the images and calls this. SOFDATA_IMAGES:
the folder where it keeps them.

What is not compose's own here: names stand in /etc/hosts, and gRPC is made to look there; health
checks and `depends_on` are waited for by this script; volumes are folders of the container; and
limits of shared memory are not set.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.network import HUB, Namespaces, namespaces_work, wait_for

FILE = Path(__file__).resolve().parents[2] / "docker" / "compose.yaml"
ENTRYPOINTS = {"s3": ["sh", "/usr/local/bin/s3.sh"]}  # of services that leave it to their image
HEAD, FILMS, FIRST_WORKER = 1, 2, 11
SOURCE, DEST = "s3://lab/films", "s3://lab/dataset"
START_S, INGEST_S = 180.0, 900.0


def substituted(text: str, variables: Mapping[str, str]) -> str:
    """A value of the file with `${NAME:?message}` replaced, as compose does it.

    Raises `KeyError` for a variable that is not set.
    """
    return re.sub(r"\$\{(\w+)(?::\?[^}]*)?\}", lambda found: variables[found[1]], text)


@dataclass(frozen=True, slots=True)
class Service:
    """What the file says of a service."""

    name: str
    image: str
    command: tuple[str, ...]
    environment: Mapping[str, str]


def read_services(path: Path, variables: Mapping[str, str]) -> dict[str, Service]:
    """The services of a compose file by name."""
    services = {}
    for name, stated in yaml.safe_load(path.read_text())["services"].items():
        entry = stated.get("entrypoint") or ENTRYPOINTS[name]
        services[name] = Service(
            name=name,
            image=stated["image"],
            command=(*entry, *stated.get("command", ())),
            environment={k: substituted(v, variables) for k, v in stated["environment"].items()},
        )
    return services


@dataclass
class Machines:
    """Containers of services, each the only one on its machine."""

    network: Namespaces
    services: Mapping[str, Service]
    folder: Path
    names: dict[int, str]
    _containers: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lines = [f"{self.network.address(number)}\t{name}" for number, name in self.names.items()]
        self._hosts = self.folder / "hosts"
        self._hosts.write_text("\n".join(["127.0.0.1\tlocalhost", *lines, ""]))

    def start(self, number: int, service: str) -> None:
        """Start a service on a machine of its own."""
        stated = self.services[service]
        image = f"localhost/{stated.image}"
        self._containers[number] = buildah("from", "--pull-never", image).strip()
        command = self._command(number, service, stated.command)
        self.network.start(number, command, dict(os.environ), self.log(number))
        if number != HUB:  # Ray finds its own address by asking for a route
            self.network.add_default_route(number)

    def log(self, number: int) -> Path:
        """What the service of a machine has printed."""
        return self.folder / f"{self.names[number]}.log"

    def run(self, number: int, *words: str) -> subprocess.Popen[str]:
        """Start another command in a service's container, as `docker compose exec` does."""
        service = self.names[number].rstrip("0123456789")
        command = self.network.inside(number, self._command(number, service, words))
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
        )

    def close(self) -> None:
        """Stop everything and remove the containers."""
        self.network.close()
        for container in self._containers.values():
            buildah("rm", container)

    def _command(self, number: int, service: str, words: Sequence[str]) -> list[str]:
        variables = {**self.services[service].environment, "GRPC_DNS_RESOLVER": "native"}
        environment = [f"--env={name}={value}" for name, value in variables.items()]
        return [
            *_buildah("run", "--isolation=chroot", *environment),
            *(f"--volume={self._hosts}:/etc/hosts:ro", f"--hostname={self.names[number]}"),
            *(self._containers[number], "--", *words),
        ]


def _buildah(*words: str) -> list[str]:
    store = os.environ.get("SOFDATA_IMAGES", "/var/tmp/sofdata-images")
    return ["buildah", "--root", f"{store}/root", "--runroot", f"{store}/run", *words]


def buildah(*words: str) -> str:
    """What a command of buildah prints. Raises `CalledProcessError` if it fails."""
    return subprocess.run(_buildah(*words), check=True, stdout=subprocess.PIPE, text=True).stdout


def finished(process: subprocess.Popen[str], what: str, limit_s: float = START_S) -> str:
    """What a command has printed once it has ended well; its messages if it has not."""
    out, messages = process.communicate(timeout=limit_s)
    assert process.returncode == 0, f"{what}: exit code {process.returncode}\n{out}{messages}"
    return out


def is_healthy(machines: Machines, number: int, *words: str) -> bool:
    """Whether a command ends well in the container of a machine."""
    process = machines.run(number, *words)
    process.communicate()
    return process.returncode == 0


def run_together(machines: Machines, workers: Sequence[int]) -> dict[str, Any]:
    """Everything that the head of compose.yaml says, and a worker killed; what came of it."""
    machines.start(HUB, "s3")
    machines.start(HEAD, "head")
    check = health_check(FILE, "head")
    wait_for("the head", lambda: is_healthy(machines, HEAD, *check), START_S)
    for number in workers:
        machines.start(number, "worker")
    print("rendering clips into the object store", flush=True)
    machines.start(FILMS, "films")
    assert machines.network.wait(FILMS, START_S) == 0, "films has failed"
    print("ingesting", flush=True)
    ingest = machines.run(
        HEAD, "sofdata", "ingest", SOURCE, DEST, "--address", "head:6379", "--json"
    )
    counting = ("python", "-c", COUNT_RECORDS, f"{DEST}/ledger")
    wait_for("a first unit", lambda: records(machines, counting) >= 1, INGEST_S)
    assert ingest.poll() is None, "the ingest had ended before a worker could be killed"
    print(f"killing {machines.names[workers[-1]]}", flush=True)
    machines.network.kill(workers[-1])
    summary = json.loads(finished(ingest, "ingest", INGEST_S))
    assert summary["run"]["lost_nodes"], "the ingest did not notice that a worker was gone"
    finished(machines.run(HEAD, "sofdata", "verify", DEST), "verify", INGEST_S)
    return dict(summary)


COUNT_RECORDS = """
import sys, s3fs
store = s3fs.S3FileSystem()
print(len(store.ls(sys.argv[1])) if store.exists(sys.argv[1]) else 0)
"""


def records(machines: Machines, counting: Sequence[str]) -> int:
    """How many units are committed."""
    return int(finished(machines.run(HEAD, *counting), "counting records"))


def health_check(path: Path, service: str) -> list[str]:
    """The health check that a compose file states for a service."""
    stated = yaml.safe_load(path.read_text())["services"][service]["healthcheck"]["test"]
    return [str(word) for word in stated[1:]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    if not namespaces_work():
        sys.exit("compose: network namespaces are not allowed here; they need root and iproute2")
    os.environ |= {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
    os.environ |= {"AWS_SECRET_ACCESS_KEY": secrets.token_hex(16)}
    workers = range(FIRST_WORKER, FIRST_WORKER + arguments.workers)
    names = {HUB: "s3", HEAD: "head", FILMS: "films"}
    names |= {number: f"worker{place}" for place, number in enumerate(workers, 1)}
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sofcompose") as folder:
        services = read_services(FILE, os.environ)
        machines = Machines(Namespaces(), services, Path(folder), names)
        try:
            summary = run_together(machines, workers)
        except BaseException:
            for number in names:
                if machines.log(number).exists():
                    print(f"--- {names[number]}\n{machines.log(number).read_text()[-3000:]}")
            raise
        finally:
            machines.close()
    counts = summary["counts"]
    print(
        f"compose: {counts['done']} of {counts['videos']} videos done, {counts['windows']} windows "
        f"in {counts['shards']} shards; verified after the loss of a worker; "
        f"{time.monotonic() - started:.0f} s"
    )


if __name__ == "__main__":
    main()
