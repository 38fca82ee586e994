"""`Tree`: a folder on any file system that fsspec knows, local or remote, for corpora and datasets.

What is local goes through `sofdata.storage.local`, all else through `sofdata.storage.remote`. A write appears under
its final name whole or not at all.
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
from typing import Any, BinaryIO

from sofdata.storage import fingerprints
from sofdata.storage.local import Disk, explained
from sofdata.storage.remote import Store, open_store
from sofdata.storage.temporary import temporary_file
from sofdata.storage.uris import Location, local, safe_suffix
from sofdata.storage.urls import public_url
from sofdata.storage.walk import Item
from sofdata.system.threads import in_order

MIB = 1 << 20
PIECE = 8 * MIB  # of a download; so much is in memory for each of these at once:
PIECES_AT_ONCE = 4

Where = str | Location  # the name of a file below the tree, whatever it looks like; or any other


@dataclass(frozen=True, repr=False)
class Tree:
    """A folder at `url`: a local path or an fsspec URL such as s3://bucket/folder.

    A text names a file below it, whatever it looks like, and never one elsewhere: that takes a
    `Location`, which may also mean a part of a file.

    options: passed to fsspec's file system (endpoint, credentials, ...). Like what else may be
    secret they are kept out of `repr`.
    """

    url: str
    options: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Tree({self.name!r})"

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
            return Tree(where.file, self.options)._files, ""
        if isinstance(self._files, Disk):
            path = os.path.join(self._files.root, where.file)
            return Disk(path), ""
        return replace(self._files, root=""), where.file.lstrip("/")

    def _file(self, where: Where) -> Where:
        """The whole file of which `where` may be a part."""
        return Location(where.file, where.elsewhere) if isinstance(where, Location) else where

    # Reading

    def exists(self, where: Where = "") -> bool:
        files, path = self._of(where)
        return files.exists(path)

    def parent(self) -> Tree:
        """The folder that holds this one, or this file."""
        if self.is_local:
            return Tree(os.path.dirname(self.root))
        return Tree(self.url.rstrip("/").rpartition("/")[0], self.options)

    def is_file(self, rel: str = "") -> bool:
        return self._files.is_file(rel)

    def size(self, where: Where) -> int:
        """Bytes of a file, or of a part of one, which must be there.

        Raises `FileNotFoundError`. Costs a row group for a cell of a Parquet file.
        """
        if isinstance(where, Location) and where.cell:
            return len(self._cell(where))
        if isinstance(where, Location) and where.part:
            start, end = where.part
            if self.size(replace(where, part=None)) < end:
                what = "the file ends before this part of it"
                raise FileNotFoundError(errno.ENOENT, what, where.file)
            return end - start
        if isinstance(where, Location) and where.unpacked:
            from sofdata.storage.archives.tars import unpacked_size

            return unpacked_size(self, where.file)
        files, path = self._of(where)
        return files.size(path)

    def read(self, where: Where) -> bytes:
        """A whole file. Raises `FileNotFoundError`."""
        files, path = self._of(where)
        return files.read(path)

    def read_range(self, where: Where, start: int, end: int) -> bytes:
        """The bytes from `start` to `end` of a file; fewer where it ends before.

        Raises `FileNotFoundError`. Costs one request; a server without ranges sends the whole file.
        """
        if isinstance(where, Location):
            if where.cell:
                return self._cell(where)[start:end]
            if where.part:
                start, end = where.part[0] + start, min(where.part[1], where.part[0] + end)
            if where.unpacked:
                from sofdata.storage.archives.tars import read_unpacked

                return read_unpacked(self, where.file, start, end)
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
        if isinstance(files, Disk) and not _is_part(where):
            yield files.path(path)
            return
        # The suffix stays, since decoders look at it when they guess the container.
        name = where if isinstance(where, str) else where.file
        with ExitStack() as stack:
            with explained(f"write to {tempfile.gettempdir()}"):
                suffix = "" if _is_part(where) else safe_suffix(name)
                copy = stack.enter_context(temporary_file(suffix))
            self.download(where, copy, size_bytes)
            yield copy

    def download(self, where: Where, local_path: str, size_bytes: int | None = None) -> None:
        """Copy a file of a store, or a part of any file, to a local one, in pieces if it is large.

        size_bytes: as of `local_copy`.

        Raises `FileNotFoundError`, another `OSError` where the file shrinks meanwhile,
        `StorageError` if there is no room for it, `TransientError`.
        """
        if isinstance(where, Location) and where.cell:
            data = self._cell(where)
            with explained(f"write {local_path}"), open(local_path, "wb") as target:
                target.write(data)
            return
        files, path = self._of(where)
        part = _is_part(where)
        size = size_bytes or 0
        in_pieces = isinstance(files, Disk) or files.s3 is not None
        if part or (in_pieces and (size_bytes is None or size_bytes > PIECE)):
            size = self.size(where)
        if isinstance(files, Store) and not part and (not in_pieces or size <= PIECE):
            files.download(path, local_path)
            return

        def fetch(start: int) -> tuple[int, bytes]:
            end = min(size, start + PIECE)
            data = self.read_range(where, start, end)
            if len(data) != end - start:
                name = public_url(where if isinstance(where, str) else where.file)
                raise OSError(errno.EIO, "the file has shrunk while it was read", name)
            return start, data

        with open(local_path, "wb") as target:
            for start, data in in_order(fetch, range(0, size, PIECE), PIECES_AT_ONCE):
                with explained(f"write {local_path}"):
                    os.pwrite(target.fileno(), data, start)

    def _cell(self, where: Location) -> bytes:
        from sofdata.storage.archives.cells import read_cell

        assert where.cell is not None
        return read_cell(self, self._file(where), *where.cell)

    def fingerprint(self, where: Where, size_bytes: int) -> str:
        """Hash of a file's size and of samples of it; see `sofdata.storage.fingerprints`."""
        return fingerprints.digest(size_bytes, self._samples(where, size_bytes))

    def _samples(self, where: Where, size_bytes: int) -> Iterator[bytes]:
        offsets, length = fingerprints.offsets(size_bytes), fingerprints.SAMPLE_BYTES
        files, path = self._of(where)
        if isinstance(files, Disk) and not _is_part(where):
            with files.open(path) as handle:
                for offset in offsets:
                    handle.seek(offset)
                    yield handle.read(length)
        elif size_bytes <= len(offsets) * length:  # one request instead of three
            data = self.read_range(where, 0, max(1, size_bytes))
            yield from (data[offset : offset + length] for offset in offsets)
        elif self.has_ranges(where):
            for offset in offsets:
                yield self.read_range(where, offset, offset + length)
        else:
            with self.local_copy(where) as copy:
                yield from Tree("/")._samples(local(copy), size_bytes)

    def has_ranges(self, where: Where) -> bool:
        """Whether parts of a file can be read alone; some HTTP servers send the whole only."""
        if isinstance(where, Location) and where.cell:
            return False
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
        """Whether a file has this content. Reads it unless the store can tell by a mark."""
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


def _is_part(where: Where) -> bool:
    return isinstance(where, Location) and where.is_part
