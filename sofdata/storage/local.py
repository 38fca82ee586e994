"""A local folder as a store of files: durable writes that appear whole or not at all.

It goes through `os` itself, since atomic renames, fsync and dangling links have no counterpart in
fsspec.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sofdata.errors import StorageError
from sofdata.storage import atomic, fingerprints
from sofdata.storage.secrets import public_message
from sofdata.storage.walk import Item, Stamp, Stat, walk_local
from sofdata.system.fault_points import fault_point

SCRATCH = ".scratch"


@dataclass(frozen=True, slots=True)
class Disk:
    """A folder at the absolute path `root`. Methods as those of `sofdata.storage.folder.Folder`."""

    root: str

    def path(self, rel: str) -> str:
        """Absolute path of `rel`. Raises `FileNotFoundError` for a name that leads elsewhere."""
        if not _is_inside(rel):
            what = "no name of a file in this folder: it leads out of it"
            raise FileNotFoundError(errno.ENOENT, what, rel)
        return f"{self.root}/{rel}" if rel else self.root

    def exists(self, rel: str) -> bool:
        return _is_inside(rel) and os.path.exists(self.path(rel))

    def is_file(self, rel: str) -> bool:
        return _is_inside(rel) and os.path.isfile(self.path(rel))

    def stat(self, rel: str) -> Stat:
        fault_point("size")
        found = os.stat(self.path(rel))
        return Stat(found.st_size, Stamp(found.st_mtime_ns))

    def read(self, rel: str) -> bytes:
        fault_point("read")
        return Path(self.path(rel)).read_bytes()

    def read_range(self, rel: str, start: int, end: int) -> bytes:
        wanted = max(0, end - start)
        with self.open(rel) as handle:
            handle.seek(start)
            # No buffer of all that may be read for a file of less: that costs more than reading it.
            first = max(0, min(wanted, os.fstat(handle.fileno()).st_size - start + 1))
            data = handle.read(first)
            return data + handle.read(wanted - first) if len(data) == first else data

    @contextmanager
    def open(self, rel: str) -> Iterator[BinaryIO]:
        fault_point("open")
        with open(self.path(rel), "rb") as handle:
            yield handle

    def samples(self, rel: str, size_bytes: int) -> Iterator[bytes]:
        """The samples of a fingerprint, in three calls to the system for a small file.

        There may be millions: a file object takes twice as long.
        """
        fault_point("open")
        handle = os.open(self.path(rel), os.O_RDONLY | os.O_CLOEXEC)
        try:
            for offset in fingerprints.offsets(size_bytes):
                yield _read_at(handle, offset, size_bytes)
        finally:
            os.close(handle)

    def has_ranges(self, rel: str) -> bool:
        return True

    def names(self, folder: str) -> list[str]:
        if not _is_inside(folder):
            return []
        path = self.path(folder)
        fault_point("names")
        return sorted(os.listdir(path)) if os.path.isdir(path) else []

    def walk(self, rel: str, folders: bool) -> Iterator[Item]:
        for item in walk_local(self.path(rel)):
            if folders or item.problem != "is_a_directory":
                yield item

    def write(self, rel: str, data: bytes) -> None:
        with self.scratch() as folder:
            path = os.path.join(folder, "file")
            with storage_errors(f"write {self.path(rel)}"):
                fault_point("write")
                Path(path).write_bytes(data)
            self.put(path, rel, "")

    def create(self, rel: str, data: bytes) -> bool:
        """Looks first: a local folder has one driver at a time."""
        if self.exists(rel):
            return False
        self.write(rel, data)
        return True

    def put(self, local_path: str, rel: str, sha256: str) -> None:
        """No mark is kept of the sum: reading a local file back is cheap."""
        target = self.path(rel)
        with storage_errors(f"write {target}"):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            atomic.put(local_path, target)

    def mark(self, rel: str) -> str:
        return ""

    def remove(self, rel: str) -> None:
        with suppress(FileNotFoundError):
            fault_point("remove")
            os.unlink(self.path(rel))

    @contextmanager
    def scratch(self) -> Iterator[str]:
        parent = os.path.join(self.root, SCRATCH)
        with ExitStack() as stack:
            with storage_errors(f"write to {parent}"):
                fault_point("scratch")
                folder = stack.enter_context(_scratch_in(parent))
            yield folder

    def clear_scratch(self) -> None:
        shutil.rmtree(os.path.join(self.root, SCRATCH), ignore_errors=True)


def _is_inside(rel: str) -> bool:
    """Whether a name, which may come from anywhere, stays below the folder, links apart."""
    return not rel.startswith("/") and "\0" not in rel and ".." not in rel.split("/")


@contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Turn a system error of the block into a `StorageError` that says what to do."""
    try:
        yield
    except OSError as error:
        hint = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "fix this"
        raise StorageError(
            f"cannot {what}: {public_message(error)}; {hint}, then rerun the command"
        ) from None


@contextmanager
def _scratch_in(parent: str) -> Iterator[str]:
    """A new folder for a while, also while another process removes its empty parent."""
    while True:
        os.makedirs(parent, exist_ok=True)
        with suppress(FileNotFoundError):
            folder = tempfile.mkdtemp(prefix="unit-", dir=parent)
            break
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # others are at work in it
            os.rmdir(parent)


def _read_at(handle: int, offset: int, size_bytes: int) -> bytes:
    """One sample, of whose file the system may give less at a time than there is."""
    data = os.pread(handle, fingerprints.SAMPLE_BYTES, offset)
    there = min(fingerprints.SAMPLE_BYTES, size_bytes - offset)
    while len(data) < there:
        more = os.pread(handle, there - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data
