"""Local copies of remote shards, bounded in size and shared by the processes of one user.

Samples are small and read in random order, which would be a request each. A shard is fetched whole
when it is first needed, by one process while the others wait, and appears under its final name
whole or not at all. Its name holds its md5, so a copy is never taken for another shard. Each
process checks a copy before it first reads it, as disks lose bytes and people edit files: one that
is damaged is named in a warning and fetched again. The copies used longest ago go first. A file
that is removed while another process reads it stays readable there.
"""

from __future__ import annotations

import os
import tempfile
import time
import warnings
import zlib
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import BinaryIO

from sofdata.errors import ConfigError, InputError, StorageError
from sofdata.loading.catalog import ShardFile
from sofdata.shards.tar import hash_file
from sofdata.storage import atomic
from sofdata.storage.local import storage_errors
from sofdata.system.locks import locked

LOCKS = 16
_STALE_S = 24 * 3600.0
_sound: set[tuple[int, int, int, int]] = set()  # copies that this process has checked


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
        the dataset lists, `StorageError` or `TransientError` if it cannot be fetched, or is damaged
        again at once where it is kept.
        """
        path = os.path.join(self.folder, f"{shard.md5}-{shard.rel.rsplit('/', 1)[-1]}")
        with storage_errors(f"keep copies of shards in {self.folder}"):
            _make_private(self.folder)
        thrown_away = False
        while True:
            with suppress(FileNotFoundError):
                handle = open(path, "rb")  # noqa: SIM115 - the caller closes it
                if not (damage := _damage(handle, shard)):
                    _mark_as_used(path)
                    return handle
                handle.close()
                if thrown_away:
                    raise StorageError(
                        f"{path}, a copy that was fetched twice, {damage} again: the disk that "
                        "holds it does not keep what is written; give another cache_dir"
                    )
                self._throw_away(shard, path, damage)
                thrown_away = True
            with self._only_one(path):
                if not os.path.exists(path):
                    self._fetch(shard, path)

    def _throw_away(self, shard: ShardFile, path: str, damage: str) -> None:
        """Remove a damaged copy, unless another process has replaced it meanwhile."""
        with self._only_one(path):
            with suppress(FileNotFoundError), open(path, "rb") as handle:
                if not _damage(handle, shard):
                    return
            warnings.warn(
                f"{path}, a copy of {shard.rel}, {damage}: it is fetched again",
                RuntimeWarning,
                stacklevel=2,
            )
            with suppress(FileNotFoundError):
                os.unlink(path)

    def _fetch(self, shard: ShardFile, path: str) -> None:
        with storage_errors(f"keep copies of shards in {self.folder}"):
            self._make_room(shard.size_bytes)
        with atomic.replacing(path, durable=False) as part:
            shard.tree.download(shard.rel, str(part), shard.size_bytes)
            if hash_file(str(part))[1] != shard.md5:
                raise InputError("its md5 is not the one that the dataset lists")

    def _make_room(self, size: int) -> None:
        """Remove the copies used longest ago, until `size` more bytes fit."""
        copies = []
        for entry in os.scandir(self.folder):
            with suppress(FileNotFoundError):  # another process removed it
                info = entry.stat()
                if entry.name.startswith(atomic.PARTIAL):
                    if time.time() - info.st_mtime > _STALE_S:  # of a process that was killed
                        os.unlink(entry.path)
                elif entry.name.endswith(".tar"):
                    copies.append((info.st_atime_ns, info.st_size, entry.path))
        copies.sort(reverse=True)
        total = size
        for number, (_, copy_size, path) in enumerate(copies):
            total += copy_size
            if total > self.limit_bytes and number >= self.keep:
                with suppress(FileNotFoundError):
                    os.unlink(path)

    def _only_one(self, path: str) -> AbstractContextManager[None]:
        """Hold the lock of this copy, so that no two fetch it."""
        number = zlib.crc32(os.path.basename(path).encode()) % LOCKS
        return locked(os.path.join(self.folder, f".lock-{number:02d}"))


def _damage(handle: BinaryIO, shard: ShardFile) -> str:
    """What is wrong with a copy, "" if nothing is. Its md5 is computed once in a process."""
    info = os.fstat(handle.fileno())
    if info.st_size != shard.size_bytes:
        return f"has {info.st_size} bytes instead of {shard.size_bytes}"
    state = (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns)
    if state in _sound:
        return ""
    if hash_file(handle.name)[1] != shard.md5:
        return "does not have the md5 of the shard"
    _sound.add(state)
    return ""


def _mark_as_used(path: str) -> None:
    """By the time of access: that of change decides whether a copy is checked again."""
    with suppress(OSError):
        os.utime(path, ns=(time.time_ns(), os.stat(path).st_mtime_ns))


def default_folder() -> str:
    """Where copies are kept if nothing else is said: of this user, in the temporary folder."""
    return os.path.join(tempfile.gettempdir(), f"sofdata-shards-{os.getuid()}")


def _make_private(folder: str) -> None:
    """Make the folder, for this user only; others could put what they like into a shared one."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    if os.stat(folder).st_uid != os.getuid():
        raise ConfigError(f"{folder} belongs to another user; give another cache_dir")
