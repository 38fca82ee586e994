"""`Tree`: a folder on any file system that fsspec knows, local or remote, for corpora and datasets.

Local folders go through `os` itself, since atomic renames, fsync and dangling links have no
counterpart in fsspec. A write appears under its final name whole or not at all.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit, urlunsplit

from sofdata.errors import ConfigError, StorageError, TransientError
from sofdata.faults import reached

T = TypeVar("T")

FINGERPRINT_CHUNK = 1 << 16
SCRATCH = ".scratch"
_TRIES = 5
_REMOTE_LIBRARIES = {"adlfs", "aiobotocore", "aiohttp", "botocore", "gcsfs", "huggingface_hub"}


@dataclass(frozen=True, slots=True)
class Item:
    """A file found in a tree. `problem` is "" or the reason why it cannot be read."""

    rel: str
    size_bytes: int
    problem: str = ""
    detail: str = ""


@dataclass(frozen=True, repr=False)
class Tree:
    """A folder at `url`: a local path or an fsspec URL such as s3://bucket/folder.

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

    @cached_property
    def root(self) -> str:
        """The folder's path as the file system wants it."""
        if self.is_local:
            return os.path.abspath(os.path.expanduser(self.url.split("://", 1)[-1]))
        return str(self._fs._strip_protocol(self.url)).rstrip("/")

    @property
    def name(self) -> str:
        """The URL without any user name, password or query, fit to be shown and stored."""
        return public_url(self.url)

    @cached_property
    def _fs(self) -> Any:
        import fsspec

        protocol = self.url.split("://", 1)[0]
        try:
            return fsspec.filesystem(protocol, **self.options)
        except (ImportError, ValueError) as error:
            raise ConfigError(f"cannot use {self.name}: {error}") from None

    def __getstate__(self) -> dict[str, Any]:
        """What travels to other processes, whose working directory may be another."""
        return {"url": self.root if self.is_local else self.url, "options": self.options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def path(self, rel: str) -> str:
        """Absolute path of `rel`, which may itself be an absolute path or a URL."""
        if "://" in rel or rel.startswith("/"):
            return rel
        return f"{self.root}/{rel}" if rel else self.root

    # Reading

    def exists(self, rel: str = "") -> bool:
        if self.is_local:
            return os.path.exists(self.path(rel))
        return bool(self._call(f"look for '{rel}'", lambda: self._fs.exists(self.path(rel))))

    def parent(self) -> Tree:
        """The folder that holds this one, or this file."""
        if self.is_local:
            return Tree(os.path.dirname(self.root))
        return Tree(self.url.rstrip("/").rpartition("/")[0], self.options)

    def is_file(self, rel: str = "") -> bool:
        if self.is_local:
            return os.path.isfile(self.path(rel))
        return bool(self._call(f"look for '{rel}'", lambda: self._fs.isfile(self.path(rel))))

    def size(self, rel: str) -> int:
        """Bytes of a file. Raises `FileNotFoundError`."""
        if self.is_local:
            reached("size")
            return os.stat(self.path(rel)).st_size
        return int(self._call(f"stat {rel}", lambda: self._fs.info(self.path(rel))["size"]))

    def read(self, rel: str) -> bytes:
        """A whole file. Raises `FileNotFoundError`."""
        if self.is_local:
            reached("read")
            return Path(self.path(rel)).read_bytes()
        return bytes(self._call(f"read {rel}", lambda: self._fs.cat_file(self.path(rel))))

    @contextmanager
    def open(self, rel: str) -> Iterator[BinaryIO]:
        """Open a file for reading bytes."""
        if self.is_local:
            reached("open")
            with open(self.path(rel), "rb") as handle:
                yield handle
        else:
            handle = self._call(f"open {rel}", lambda: self._fs.open(self.path(rel), "rb"))
            try:
                yield handle
            except Exception as error:
                if not _is_remote_failure(error):
                    raise
                raise TransientError(
                    f"could not read {rel} at {self.name}: {_brief(error)}"
                ) from None
            finally:
                handle.close()

    @contextmanager
    def local_copy(self, rel: str) -> Iterator[str]:
        """A local path with the content of `rel`: the file itself, or a download removed after."""
        remote = "://" in rel or not self.is_local
        if not remote:
            yield self.path(rel)
            return
        handle, name = tempfile.mkstemp(prefix="sofdata-")
        os.close(handle)
        try:
            self.download(rel, name)
            yield name
        finally:
            os.unlink(name)

    def download(self, rel: str, local_path: str) -> None:
        """Copy a remote file to a local one. Raises `FileNotFoundError`, `TransientError`."""
        tree = Tree(rel, self.options) if "://" in rel else self
        path = tree.root if "://" in rel else self.path(rel)
        tree._call(f"download {public_url(rel)}", lambda: tree._fs.get_file(path, local_path))

    def fingerprint(self, rel: str, size_bytes: int) -> str:
        """Hash of a file's size and of three 64 KiB samples: its head, middle and tail.

        Cheap on terabytes and independent of names and times. A change of the same length that
        touches none of the samples goes unseen.
        """
        digest = hashlib.sha256(str(size_bytes).encode())
        with self.open(rel) as handle:
            last = max(0, size_bytes - FINGERPRINT_CHUNK)
            for offset in sorted({0, last // 2, last}):
                handle.seek(offset)
                digest.update(handle.read(FINGERPRINT_CHUNK))
        return digest.hexdigest()[:32]

    def walk(self, rel: str = "", folders: bool = False) -> Iterator[Item]:
        """All files below `rel`, sorted by path, links followed, each loop entered once.

        What cannot be read is yielded too, with its problem: "dangling_link", "unreadable",
        "unreadable_folder", "not_a_file" (a socket, a pipe), "bad_name" (not UTF-8).

        folders: yield each local folder as well, before the files in it, as "is_a_directory".
        """
        if self.is_local:
            for item in _walk_local(self.path(rel), "", frozenset()):
                if folders or item.problem != "is_a_directory":
                    yield item
            return
        found = self._call("list", lambda: self._fs.find(self.path(rel), detail=True))
        skip = len(self.path(rel)) + 1
        for path in sorted(found):
            yield Item(path[skip:], int(found[path].get("size") or 0))

    def names(self, folder: str) -> list[str]:
        """Sorted names of the files directly in `folder`; empty if there is no such folder."""
        path = self.path(folder)
        if self.is_local:
            reached("names")
            return sorted(os.listdir(path)) if os.path.isdir(path) else []
        try:
            found = self._call(f"list {folder}", lambda: self._fs.ls(path, detail=False))
        except FileNotFoundError:
            return []
        return sorted(name.rstrip("/").rsplit("/", 1)[-1] for name in found)

    # Writing

    def write(self, rel: str, data: bytes) -> None:
        """Write a small file, whole or not at all. Raises `StorageError`."""
        if not self.is_local:
            self._call(f"write {rel}", lambda: self._fs.pipe_file(self.path(rel), data))
            return
        with self.scratch() as folder:
            path = os.path.join(folder, "file")
            with explained(f"write {self.path(rel)}"):
                reached("write")
                Path(path).write_bytes(data)
            self.put(path, rel)

    def put(self, local_path: str, rel: str) -> None:
        """Move a finished local file to its final name, durably. Raises `StorageError`."""
        target = self.path(rel)
        if not self.is_local:
            self._call(f"upload {rel}", lambda: self._fs.put_file(local_path, target))
            if self.size(rel) != os.path.getsize(local_path):
                raise StorageError(f"{rel} arrived incomplete at {self.name}; run again to retry")
            return
        with explained(f"write {target}"):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            reached("put")
            _sync(local_path)
            reached("put: synced")
            os.replace(local_path, target)
            reached("put: replaced")
            _sync(os.path.dirname(target))

    def remove(self, rel: str) -> None:
        """Remove a file; nothing happens if there is none."""
        try:
            if self.is_local:
                reached("remove")
                os.unlink(self.path(rel))
            else:
                self._call(f"remove {rel}", lambda: self._fs.rm_file(self.path(rel)))
        except FileNotFoundError:
            return

    @contextmanager
    def scratch(self) -> Iterator[str]:
        """A temporary local folder, on the destination's own file system where that is local."""
        parent = None
        if self.is_local:
            parent = os.path.join(self.root, SCRATCH)
        with explained(f"write to {parent or tempfile.gettempdir()}"):
            reached("scratch")
            folder = _make_folder(parent)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if parent is not None:
                with suppress(OSError):  # others are at work in it
                    os.rmdir(parent)

    def clear_scratch(self) -> None:
        """Remove what killed processes have left behind."""
        if self.is_local:
            shutil.rmtree(os.path.join(self.root, SCRATCH), ignore_errors=True)

    def _call(self, what: str, action: Callable[[], T]) -> T:
        """Call a remote file system, and again after a growing pause while it fails."""
        for attempt in range(_TRIES):
            try:
                reached(f"remote {what.split()[0]}")
                return action()
            except FileNotFoundError:
                raise
            except Exception as error:
                if not _is_remote_failure(error):
                    raise
                if isinstance(error, PermissionError) or "Credentials" in type(error).__name__:
                    raise StorageError(
                        f"may not {what} at {self.name}: {_brief(error)}; check the credentials"
                    ) from None
                if attempt == _TRIES - 1:
                    raise TransientError(
                        f"could not {what} at {self.name} in {_TRIES} tries: {_brief(error)}"
                    ) from None
                time.sleep(0.2 * 3**attempt)
        raise AssertionError("unreachable")


def _make_folder(parent: str | None) -> str:
    """A new temporary folder, also while another process removes its empty parent."""
    while True:
        if parent is not None:
            os.makedirs(parent, exist_ok=True)
        try:
            return tempfile.mkdtemp(prefix="unit-", dir=parent)
        except FileNotFoundError:
            continue


def _is_remote_failure(error: Exception) -> bool:
    """Whether an error is the network's or the store's, whose libraries raise their own."""
    library = type(error).__module__.split(".")[0]
    return isinstance(error, OSError) or library in _REMOTE_LIBRARIES


def public_url(url: str) -> str:
    """A URL without user name, password, query and fragment."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    host = parts.netloc.rsplit("@", 1)[-1]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _walk_local(folder: str, rel: str, above: frozenset[tuple[int, int]]) -> Iterator[Item]:
    try:
        here = os.stat(folder)
        names = sorted(os.listdir(folder))
    except OSError as error:
        yield Item(rel or ".", 0, "unreadable_folder", _brief(error))
        return
    if (here.st_dev, here.st_ino) in above:  # a link back to a folder that we are in
        return
    for name in names:
        inner = f"{rel}/{name}" if rel else name
        yield from _item(os.path.join(folder, name), inner, above | {(here.st_dev, here.st_ino)})


def _item(path: str, rel: str, above: frozenset[tuple[int, int]]) -> Iterator[Item]:
    try:
        rel.encode()
    except UnicodeEncodeError:
        shown = rel.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        problem = "unreadable_folder" if os.path.isdir(path) else "bad_name"
        yield Item(shown, 0, problem, "its name is not valid UTF-8; rename it")
        return
    try:
        info = os.stat(path)
    except OSError as error:
        problem = "dangling_link" if os.path.islink(path) else "unreadable"
        yield Item(rel, 0, problem, _brief(error))
        return
    if stat.S_ISDIR(info.st_mode):
        yield Item(rel, 0, "is_a_directory")
        yield from _walk_local(path, rel, above)
    elif not stat.S_ISREG(info.st_mode):
        yield Item(rel, 0, "not_a_file", "neither a file nor a folder")
    elif not os.access(path, os.R_OK):
        yield Item(rel, info.st_size, "unreadable", "no permission to read it")
    else:
        yield Item(rel, info.st_size)


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn a system error of the block into a `StorageError` that says what to do."""
    try:
        yield
    except OSError as error:
        hint = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "mend that"
        raise StorageError(
            f"cannot {what}: {_brief(error)}; {hint} and run the same command again"
        ) from None


def _brief(error: BaseException) -> str:
    """The message of an error, without whatever secret a URL in it may carry."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return re.sub(r"[a-z0-9+]+://[^\s'\"]+", lambda url: public_url(url[0]), text)


def _sync(path: str) -> None:
    """Wait until a file's content, or a folder's entries, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
