"""An S3 server for a network of test machines, and what is done with it from one of them.

The server is that of `tests.s3`. Run as a module on a machine of the network:
`python -m tests.cluster.objects upload FOLDER URL` and `... hashes URL`.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import s3
from tests.cluster.network import HUB, Network, wait_for

NOT_REPEATED = ("runs", "quarantine", "files.parquet")


def start_server(network: Network, folder: Path) -> dict[str, str]:
    """Start the server on the hub of a network; returns the environment of its clients."""
    launch = s3.prepare(folder, network.address(HUB))
    network.start(HUB, launch.command, launch.variables, folder / "log")
    return launch.environment


def call(network: Network, environment: dict[str, str], *words: str | Path) -> Any:
    """Run a command of this module on the hub; returns what it prints."""
    command = [sys.executable, "-m", __name__, *map(str, words)]
    done = subprocess.run(
        network.inside(HUB, command), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _upload(folder: str, url: str) -> int:
    """Copy a folder into a new bucket, once the server takes it."""
    import s3fs

    wait_for("the S3 server", lambda: s3.takes_a_file(s3fs.S3FileSystem(skip_instance_cache=True)))
    files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    store = s3fs.S3FileSystem()
    store.mkdir(url.split("/")[2])
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
