"""`Folder`: the plain files of a folder on any file system that fsspec knows, local or remote.

What is local goes through `sofdata.storage.local`, all else through `sofdata.storage.remote`. A
write appears under its final name whole or not at all. Parts of files and of archives are read by
`sofdata.storage.tree`, whose `Tree` is a `Folder`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, BinaryIO, Self

from sofdata.storage import fingerprints
from sofdata.storage.local import Disk, storage_errors
from sofdata.storage.remote import Store, open_store
from sofdata.storage.temporary import temporary_file
from sofdata.storage.uris import Location, local, safe_suffix
from sofdata.storage.urls import public_url
from sofdata.storage.walk import Item, Stat
from sofdata.system.threads import in_order

MIB = 1 << 20
PIECE = 8 * MIB  # of a download; so much is in memory for each of these at once:
PIECES_AT_ONCE = 4

Where = (
    str | Location
)  # the name of a file below the folder, whatever it looks like; or any other place


@dataclass(frozen=True, repr=False)
class Folder:
    """A folder at `url`: a local path or an fsspec URL such as s3://bucket/folder.

    A text names a file below it, whatever it looks like, and never one elsewhere: that takes a
    `Location`, of a whole file here.

    options: passed to fsspec's file system (endpoint, credentials, ...). Like what else may be
    secret they are kept out of `repr`.
    """

    url: str
    options: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @cached_property
    def is_local(self) -> bool:
        return "://" not in self.url or self.url.startswith(("file://", "local://"))

    @property
    def root(self) -> str:
        """The folder's path as the file system wants it."""
        return self._files.root

    @property
    def name(self) -> str:
        """The URL without any user name, password or query, fit to be shown and stored."""
        return public_url(self.url)

    @cached_property
    def _files(self) -> Disk | Store:
        if self.is_local:
            return Disk(os.path.abspath(os.path.expanduser(self.url.split("://", 1)[-1])))
        return open_store(self.url, self.options)

    def __getstate__(self) -> dict[str, Any]:
        """What travels to other processes, whose working directory may be another."""
        return {"url": self.root if self.is_local else self.url, "options": self.options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def path(self, where: Where) -> str:
        """Absolute path of a file, or its URL where it lies in another store."""
        if isinstance(where, Location) and "://" in where.file and where.elsewhere:
            return where.file
        files, rel = self._of(where)
        return files.path(rel)

    def is_on_disk(self, where: Where) -> bool:
        """Whether a file lies on this machine, be it alone or as a part of another."""
        return isinstance(self._of(where)[0], Disk)

    def _of(self, where: Where) -> tuple[Disk | Store, str]:
        """What holds a file, and the name to ask for there."""
        if isinstance(where, str):
            return self._files, where
        if not where.elsewhere:
            return self._files, where.file
        if "://" in where.file:
            return Folder(where.file, self.options)._files, ""
        if isinstance(self._files, Disk):
            path = os.path.join(self._files.root, where.file)
            return Disk(path), ""
        return replace(self._files, root=""), where.file.lstrip("/")

    # Reading

    def exists(self, where: Where = "") -> bool:
        files, path = self._of(where)
        return files.exists(path)

    def parent(self) -> Self:
        """The folder that holds this one, or this file."""
        if self.is_local:
            return type(self)(os.path.dirname(self.root))
        return type(self)(self.url.rstrip("/").rpartition("/")[0], self.options)

    def is_file(self, rel: str = "") -> bool:
        return self._files.is_file(rel)

    def size(self, where: Where) -> int:
        """Bytes of a file, which must be there. Raises `FileNotFoundError`."""
        files, path = self._of(where)
        return files.stat(path).size_bytes

    def stat(self, where: Where) -> Stat:
        """Size and stamp of a file, which must be there. Raises `FileNotFoundError`."""
        files, path = self._of(where)
        return files.stat(path)

    def read(self, where: Where) -> bytes:
        """A whole file. Raises `FileNotFoundError`."""
        files, path = self._of(where)
        return files.read(path)

    def read_range(self, where: Where, start: int, end: int) -> bytes:
        """The bytes from `start` to `end` of a file; fewer where it ends before.

        Raises `FileNotFoundError`. Costs one request; a server without ranges sends the whole file.
        """
        files, path = self._of(where)
        return files.read_range(path, start, end)

    def open(self, where: Where) -> AbstractContextManager[BinaryIO]:
        """Open a file for reading bytes; a remote one is read in blocks of some MiB."""
        files, path = self._of(where)
        return files.open(path)

    @contextmanager
    def local_copy(self, where: Where, size_bytes: int | None = None) -> Iterator[str]:
        """A local path with the content of a file: the file itself, or a copy removed after.

        size_bytes: what is known of its size, which saves a request for a small file.
        """
        files, path = self._of(where)
        if isinstance(files, Disk):
            yield files.path(path)
            return
        # The suffix stays, since decoders look at it when they guess the container.
        suffix = safe_suffix(where if isinstance(where, str) else where.file)
        with self._downloaded(where, size_bytes, suffix) as copy:
            yield copy

    @contextmanager
    def _downloaded(self, where: Where, size_bytes: int | None, suffix: str) -> Iterator[str]:
        """A copy in the temporary folder, removed after."""
        with ExitStack() as stack:
            with storage_errors(f"write to {tempfile.gettempdir()}"):
                copy = stack.enter_context(temporary_file(suffix))
            self.download(where, copy, size_bytes)
            yield copy

    def download(self, where: Where, local_path: str, size_bytes: int | None = None) -> None:
        """Copy a file to a local one, in pieces if it is large.

        size_bytes: as of `local_copy`.

        Raises `FileNotFoundError`, another `OSError` where the file shrinks meanwhile,
        `StorageError` if there is no room for it, `TransientError`.
        """
        files, path = self._of(where)
        size = size_bytes or 0
        in_pieces = isinstance(files, Disk) or files.s3 is not None
        if in_pieces and (size_bytes is None or size_bytes > PIECE):
            size = self.size(where)
        if isinstance(files, Store) and (not in_pieces or size <= PIECE):
            files.download(path, local_path)
        else:
            self._download_in_pieces(where, local_path, size)

    def _download_in_pieces(self, where: Where, local_path: str, size: int) -> None:
        def fetch(start: int) -> tuple[int, bytes]:
            end = min(size, start + PIECE)
            data = self.read_range(where, start, end)
            if len(data) != end - start:
                name = public_url(where if isinstance(where, str) else where.file)
                raise OSError(errno.EIO, "the file has shrunk while it was read", name)
            return start, data

        with open(local_path, "wb") as target:
            for start, data in in_order(fetch, range(0, size, PIECE), PIECES_AT_ONCE):
                with storage_errors(f"write {local_path}"):
                    os.pwrite(target.fileno(), data, start)

    def fingerprint(self, where: Where, size_bytes: int) -> str:
        """Hash of a file's size and of samples of it; see `sofdata.storage.fingerprints`."""
        return fingerprints.digest(size_bytes, self._samples(where, size_bytes))

    def _samples(self, where: Where, size_bytes: int) -> Iterator[bytes]:
        files, path = self._of(where)
        if not isinstance(files, Disk):
            yield from self._samples_by_range(where, size_bytes)
            return
        yield from files.samples(path, size_bytes)

    def _samples_by_range(self, where: Where, size_bytes: int) -> Iterator[bytes]:
        offsets, length = fingerprints.offsets(size_bytes), fingerprints.SAMPLE_BYTES
        if size_bytes <= len(offsets) * length:  # one request instead of three
            data = self.read_range(where, 0, max(1, size_bytes))
            yield from (data[offset : offset + length] for offset in offsets)
        elif self.has_ranges(where):
            for offset in offsets:
                yield self.read_range(where, offset, offset + length)
        else:
            with self.local_copy(where) as copy:
                yield from Folder("/")._samples(local(copy), size_bytes)

    def has_ranges(self, where: Where) -> bool:
        """Whether parts of a file can be read alone; some HTTP servers send the whole only."""
        files, path = self._of(where)
        return files.has_ranges(path)

    def walk(self, rel: str = "", folders: bool = False) -> Iterator[Item]:
        """All files below `rel`, sorted by path, links followed, each loop entered once.

        What cannot be read is yielded too, with its problem: "dangling_link", "unreadable",
        "unreadable_folder", "not_a_file" (a socket, a pipe), "bad_name" (not UTF-8).

        folders: yield each local folder as well, before the files in it, as "is_a_directory".
        """
        return self._files.walk(rel, folders)

    def names(self, folder: str) -> list[str]:
        """Sorted names of the files directly in `folder`; empty if there is no such folder."""
        return self._files.names(folder)

    # Writing

    def write(self, rel: str, data: bytes) -> None:
        """Write a small file, whole or not at all. Raises `StorageError`."""
        self._files.write(rel, data)

    def create(self, rel: str, data: bytes) -> bool:
        """Write a small file unless there is one already; False if there is. Raises `StorageError`.

        Decided by the store where it can: of many who try at the same time one gets True. Local
        folders, which have one driver at a time, and stores that know no conditions look first.
        """
        return self._files.create(rel, data)

    def put(self, local_path: str, rel: str, sha256: str = "") -> None:
        """Move a finished local file to its final name, durably. Raises `StorageError`.

        sha256: of its content, for `holds`; may be left out.
        """
        self._files.put(local_path, rel, sha256)

    def holds(self, rel: str, sha256: str) -> bool:
        """Whether a file has this content. Reads it unless the store has marked it."""
        try:
            found = self._files.mark(rel) or hashlib.sha256(self.read(rel)).hexdigest()
        except FileNotFoundError:
            return False
        return found == sha256

    def remove(self, rel: str) -> None:
        """Remove a file; nothing happens if there is none."""
        self._files.remove(rel)

    def remove_folder(self, rel: str) -> None:
        """Remove a folder if it is empty; stores have no folders."""
        if isinstance(self._files, Disk):
            with suppress(OSError):
                os.rmdir(self._files.path(rel))

    def scratch(self) -> AbstractContextManager[str]:
        """A temporary local folder, on the destination's own file system where that is local."""
        return self._files.scratch()

    def clear_scratch(self) -> None:
        """Remove what killed processes have left behind: temporary files, uploads in parts.

        Uploads of another process that is at work are aborted with them, and begin again.
        """
        self._files.clear_scratch()

    # Remote stores

    def unfinished(self) -> list[str]:
        """Files below this folder whose upload was begun and not ended.

        Either a process was killed at it, or one is at it now. No listing shows them, but the
        store keeps (and bills) their parts.
        """
        return self._files.unfinished() if isinstance(self._files, Store) else []

    def connect(self) -> None:
        """Make the client of a remote store now, which takes a third of a second, not at first use.

        Raises `ConfigError` if its library is missing.
        """
        if isinstance(self._files, Store):
            self._files.connect()

    def check_bucket(self) -> None:
        """Raise `ConfigError` if this lies in a bucket that does not exist."""
        if isinstance(self._files, Store):
            self._files.check_bucket()
