"""Local copies of remote shards, bounded in size and shared by the processes of one user.

Samples are small and read in random order, which would be a request each. A shard is fetched whole
when it is first needed, by one process while the others wait, and appears under its final name
whole or not at all. Its name holds its md5, so a copy is never taken for another shard. The copies
used longest ago go first. A file that is removed while another process reads it stays readable
there.
"""

from __future__ import annotations

import os
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO

from sofdata.disk import explained
from sofdata.errors import ConfigError, InputError
from sofdata.flocks import flock
from sofdata.shards.catalog import ShardFile
from sofdata.shards.tar import hash_file

LOCKS = 16
_PART = ".part"
_STALE_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class ShardCache:
    """A folder of copies.

    limit_bytes: how large all copies together may grow.
    keep: so many that were used last stay even if they are larger: those that are mixed just now.
    """

    folder: str
    limit_bytes: int
    keep: int

    def open(self, shard: ShardFile) -> BinaryIO:
        """A shard's copy, opened for reading. Fetches it if it is not there.

        Raises `FileNotFoundError` if there is no such shard, `InputError` if it is not the one that
        the dataset lists, `StorageError` or `TransientError` if it cannot be fetched.
        """
        path = os.path.join(self.folder, f"{shard.md5}-{shard.rel.rsplit('/', 1)[-1]}")
        with explained(f"keep copies of shards in {self.folder}"):
            _make_private(self.folder)
        while True:
            with suppress(FileNotFoundError):
                return self._use(path)
            with self._only_one(path):
                if not os.path.exists(path):
                    self._fetch(shard, path)

    def _use(self, path: str) -> BinaryIO:
        handle = open(path, "rb")  # noqa: SIM115 - the caller closes it
        with suppress(OSError):
            os.utime(path)  # used last
        return handle

    def _fetch(self, shard: ShardFile, path: str) -> None:
        with explained(f"keep copies of shards in {self.folder}"):
            self._make_room(shard.size_bytes)
        part = f"{path}{_PART}{os.getpid()}"
        try:
            shard.tree.download(shard.rel, part, shard.size_bytes)
            if hash_file(part)[1] != shard.md5:
                raise InputError("its md5 is not the one that the dataset lists")
            os.replace(part, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(part)

    def _make_room(self, size: int) -> None:
        """Remove the copies used longest ago, until `size` more bytes fit."""
        copies = []
        for entry in os.scandir(self.folder):
            with suppress(FileNotFoundError):  # another process removed it
                info = entry.stat()
                if _PART in entry.name and time.time() - info.st_mtime > _STALE_S:
                    os.unlink(entry.path)  # of a process that was killed
                elif entry.name.endswith(".tar"):
                    copies.append((info.st_mtime_ns, info.st_size, entry.path))
        copies.sort(reverse=True)
        total = size
        for number, (_, copy_size, path) in enumerate(copies):
            total += copy_size
            if total > self.limit_bytes and number >= self.keep:
                with suppress(FileNotFoundError):
                    os.unlink(path)

    @contextmanager
    def _only_one(self, path: str) -> Iterator[None]:
        """Hold the lock of this copy, which the kernel releases if the process dies."""
        number = zlib.crc32(os.path.basename(path).encode()) % LOCKS
        with open(os.path.join(self.folder, f".lock-{number:02d}"), "w") as lock:
            flock(lock.fileno())  # without locks it may be fetched twice, and is whole anyway
            yield


def default_folder() -> str:
    """Where copies are kept if nothing else is said: of this user, in the temporary folder."""
    return os.path.join(tempfile.gettempdir(), f"sofdata-shards-{os.getuid()}")


def _make_private(folder: str) -> None:
    """Make the folder, for this user only; others could put what they like into a shared one."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    if os.stat(folder).st_uid != os.getuid():
        raise ConfigError(f"{folder} belongs to another user; give another cache_dir")
