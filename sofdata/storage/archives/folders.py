"""A folder as one input: pictures of one recording, chunks of a Zarr store, files of a bag.

Its size is that of all files in it, and its fingerprint is made of their names and sizes and of the
content of a few: one more, one less, or one that was written again with another length gives
another. Of hidden files (.DS_Store) nothing depends.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sofdata.storage.folder import Folder, Where
from sofdata.storage.local import storage_errors
from sofdata.storage.temporary import temporary_folder
from sofdata.storage.uris import SOURCE, Location
from sofdata.storage.walk import LINKED_FOLDER
from sofdata.system.threads import in_order

# Zarr keeps what an array is in files whose names begin with a dot.
KEPT = frozenset({".zarray", ".zattrs", ".zgroup", ".zmetadata"})
READ_FILES = 16  # of a folder, for its fingerprint
THREADS = 8


class FileInFolder(NamedTuple):
    """rel: below the folder."""

    rel: str
    size_bytes: int


def files_in(tree: Folder, where: Location) -> list[FileInFolder]:
    """The files of a folder that are not hidden, sorted. Raises `FileNotFoundError` for none.

    A folder that links lead to once more is gone through once. Raises `OSError` for a file that
    cannot be read, without which the folder is not what it was made as, and for a name that would
    lead a copy of it out of the folder, as stores may have it.
    """
    base, prefix = _inside(tree, where)
    found = []
    for item in base.walk(prefix):
        rel = item.rel.removeprefix(f"{prefix}/") if prefix else item.rel
        parts = rel.split("/")
        if ".." in parts:
            raise OSError(errno.EINVAL, f"{rel}: its name leads out of the folder", where.file)
        if _is_hidden(parts) or item.problem == LINKED_FOLDER:
            continue
        if item.problem:
            raise OSError(errno.EIO, f"{rel}: {item.detail or item.problem}", where.file)
        found.append(FileInFolder(rel, item.size_bytes))
    if not found:
        raise FileNotFoundError(errno.ENOENT, "there is no file in this folder", where.file)
    return sorted(found)


def folder_size(tree: Folder, where: Location) -> int:
    """Bytes of all files. Raises as `files_in`."""
    return sum(file.size_bytes for file in files_in(tree, where))


def folder_fingerprint(tree: Folder, where: Location) -> str:
    """32 hexadecimal digits. Raises as `files_in`."""
    files = files_in(tree, where)
    found = hashlib.sha256()
    for file in files:
        found.update(f"{file.rel}\0{file.size_bytes}\0".encode(errors="surrogatepass"))
    step = max(1, -(-len(files) // READ_FILES))
    chosen = files[::step]
    for mark in in_order(lambda file: _mark(tree, where, file), chosen, THREADS):
        found.update(mark.encode())
    return found.hexdigest()[:32]


@contextmanager
def folder_copy(tree: Folder, where: Location) -> Iterator[str]:
    """A local path of the folder, with "/" at its end: itself, or a copy that is removed after.

    Raises as `files_in`.
    """
    if tree.is_on_disk(where):
        yield tree.path(where)
        return
    with copy_of(tree, where, files_in(tree, where)) as copy:
        yield copy


@contextmanager
def copy_of(tree: Folder, where: Location, files: list[FileInFolder]) -> Iterator[str]:
    """A local copy of some files of a folder, with "/" at its end, which is removed after."""
    with temporary_folder() as copy:
        for file in files:
            with storage_errors(f"write to {copy}"):
                os.makedirs(os.path.dirname(f"{copy}/{file.rel}"), exist_ok=True)
        for _ in in_order(lambda file: _copy(tree, where, file, copy), files, THREADS):
            pass
        yield f"{copy}/"


def _mark(tree: Folder, where: Location, file: FileInFolder) -> str:
    return tree.fingerprint(_file(where, file), file.size_bytes)


def _copy(tree: Folder, where: Location, file: FileInFolder, copy: str) -> None:
    tree.download(_file(where, file), f"{copy}/{file.rel}", file.size_bytes)


def _is_hidden(parts: list[str]) -> bool:
    return any(part.startswith(".") and part != "." and part not in KEPT for part in parts)


def _file(where: Location, file: FileInFolder) -> Where:
    return file_in(where, file.rel)


def file_in(where: Location, rel: str) -> Location:
    """A file by its path below a folder."""
    folder = "" if where.file == SOURCE else where.file
    return Location(folder + rel, where.elsewhere)


def _inside(tree: Folder, where: Location) -> tuple[Folder, str]:
    """A tree to walk, and the folder in it."""
    folder = "" if where.file == SOURCE else where.file.rstrip("/")
    if not where.elsewhere:
        return tree, folder
    return type(tree)(tree.path(Location(folder, elsewhere=True)), tree.options), ""
