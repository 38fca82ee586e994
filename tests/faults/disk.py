"""`disk://`: a folder behind fsspec, so that the way to remote storage can be made to fail.

Like an object store it shows a file whole or not at all, and may fail after it has taken one.
"""

from __future__ import annotations

import os
import shutil
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from sofdata.system.fault_points import fault_point
from tests.faults.inject import ShortWrite


class DiskFileSystem(LocalFileSystem):  # type: ignore[misc]
    """Local files under the name of another protocol."""

    protocol = "disk"

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        return str(LocalFileSystem._strip_protocol(str(path).removeprefix("disk://")))

    def put_file(self, lpath: str, rpath: str, *args: Any, **kwargs: Any) -> None:
        """Upload a file; `short` leaves half of it, as a careless proxy does."""
        with open(lpath, "rb") as handle:
            self._store(rpath, handle.read(), "upload")

    def pipe_file(self, path: str, value: bytes, *args: Any, **kwargs: Any) -> None:
        """Write a small file."""
        self._store(path, value, "write")

    def _store(self, path: str, data: bytes, what: str) -> None:
        path = self._strip_protocol(path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            fault_point(f"store {what}: sent")
        except ShortWrite:
            data = data[: len(data) // 2]
        part = f"{os.path.dirname(path)}/.part-{os.getpid()}"
        with open(part, "wb") as handle:
            handle.write(data)
        shutil.move(part, path)
        fault_point(f"store {what}: taken")


def register() -> None:
    """Make `disk://` known in this process."""
    fsspec.register_implementation("disk", DiskFileSystem, clobber=True)
