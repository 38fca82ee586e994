"""A remote folder as a store of files: fsspec, with retried calls and errors that say what to do.

What S3 can do beyond fsspec is used where the store is one (see `sofdata.storage.s3`).
"""

from __future__ import annotations

import errno
import io
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import unquote

from sofdata.errors import ConfigError, StorageError, TransientError
from sofdata.storage import s3
from sofdata.storage.local import storage_errors
from sofdata.storage.retry import is_out_of_range, is_remote_failure, may_pass, retrying
from sofdata.storage.s3 import OpenFile, S3Store, is_misread
from sofdata.storage.secrets import public_message, without_secrets
from sofdata.storage.stamps import stamp_of
from sofdata.storage.temporary import temporary_folder
from sofdata.storage.urls import STORES, public_url, user_of
from sofdata.storage.walk import Item, Stat
from sofdata.system.extras import require
from sofdata.system.fault_points import fault_point

T = TypeVar("T")

READ_AHEAD = 4 << 20  # bytes of an open file
READ_BUFFER = 1 << 16
# The package behind a protocol, and the extra that installs it.
EXTRAS = {
    "s3": ("s3fs", "s3"),
    "s3a": ("s3fs", "s3"),
    "gs": ("gcsfs", "gcs"),
    "gcs": ("gcsfs", "gcs"),
    "hf": ("huggingface_hub", "hf"),
}


def open_store(url: str, options: Mapping[str, Any]) -> Store:
    """The store of a URL; options: of its fsspec file system. Raises `ConfigError`."""
    import fsspec

    name = public_url(url)
    protocol = url.split("://", 1)[0]
    _refuse_user(url, name, protocol)
    if needed := EXTRAS.get(protocol):
        require(*needed, name)
    settings = s3.settings(options) if protocol in ("s3", "s3a") else options
    try:
        fs = fsspec.filesystem(protocol, **settings)
    except ImportError as error:
        raise ConfigError(f"cannot use {name}: {error}") from None
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"cannot use {name}: {without_secrets(public_message(error), options)}"
        ) from None
    known = {**options, "passwords": {"password": user_of(url).partition(":")[2]}}
    return Store(name, str(fs._strip_protocol(url)).rstrip("/"), fs, known)


@dataclass(frozen=True, repr=False)
class Store:
    """A folder of an fsspec file system. Methods as those of `sofdata.storage.folder.Folder`.

    name: its URL, fit to be shown. root: its path as the file system wants it.
    options: of the file system, whose secrets appear in no error.
    """

    name: str
    root: str
    fs: Any
    options: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def s3(self) -> s3.S3Store | None:
        """What S3 can do beyond fsspec; None for anything else."""
        return s3.S3Store(self.fs, self.call) if s3.is_s3(self.fs) else None

    def call(self, what: str, action: Callable[[], T]) -> T:
        """Call the file system, retrying while that may help (`storage.retry.retrying`)."""
        what = what.partition("?")[0] if self._is_http else what  # a query may be a secret
        return retrying(what, self.name, self.options, action)

    def path(self, rel: str) -> str:
        """The path of `rel`, a name of which no letter means anything."""
        return f"{self.root}/{rel}" if rel else self.root

    @property
    def _is_http(self) -> bool:
        return self.name.startswith(("http://", "https://"))

    # Reading

    def exists(self, rel: str) -> bool:
        if self.s3:
            return bool(self.call(f"reach {rel or 'it'}", lambda: self.fs.exists(self.path(rel))))
        try:  # others take whatever goes wrong for an absence
            self._info(f"reach {rel or 'it'}", rel)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def is_file(self, rel: str) -> bool:
        try:
            found = self._info(f"reach {rel or 'it'}", rel)
        except FileNotFoundError:
            return False
        # To fsspec all that HTTP serves is a file; a folder is a page with links.
        return bool(found["type"] == "file" and found.get("mimetype") != "text/html")

    def stat(self, rel: str) -> Stat:
        if odd := self._odd(rel):
            return odd.stat(self.path(rel))
        found = self._info(f"stat {rel or self.name}", rel)
        if found["size"] is None:
            raise StorageError(f"{self.name} does not say how large it is; download it first")
        return Stat(int(found["size"]), stamp_of(found))

    def _info(self, what: str, rel: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.call(what, lambda: _info(self.fs, self.path(rel)))
        return found

    def _odd(self, rel: str) -> S3Store | None:
        """The requests of S3, for a name that s3fs would take for another."""
        return self.s3 if self.s3 and is_misread(self.path(rel)) else None

    def read(self, rel: str) -> bytes:
        if odd := self._odd(rel):
            return odd.read(self.path(rel))
        whole = {"start": 0} if self.s3 else {}  # else s3fs asks for the size first
        return self.call(f"read {rel or self.name}", lambda: _cat(self.fs, self.path(rel), **whole))

    def read_range(self, rel: str, start: int, end: int) -> bytes:
        if end <= start:
            return b""
        if odd := self._odd(rel):
            return odd.read(self.path(rel), start, end)
        data = self.call(
            f"read {rel or self.name}",
            lambda: _cat(self.fs, self.path(rel), start=start, end=end),
        )
        return data if len(data) <= end - start else data[start:end]

    @contextmanager
    def open(self, rel: str) -> Iterator[BinaryIO]:
        """Python's own reader over the file: those of fsspec know no `readline(size)`."""
        shown = rel or self.name
        handle: Any
        if odd := self._odd(rel):
            handle = OpenFile(odd, self.path(rel), READ_AHEAD)
        else:
            handle = self.call(
                f"open {shown}",
                lambda: self.fs.open(self.path(rel), "rb", block_size=READ_AHEAD),
            )
        try:
            yield io.BufferedReader(handle, READ_BUFFER)
        except Exception as error:
            if not is_remote_failure(error):
                raise
            message = without_secrets(public_message(error), self.options)
            raise TransientError(f"could not read {shown} at {self.name}: {message}") from None
        finally:
            handle.close()

    def download(self, rel: str, local_path: str) -> None:
        """Copy a whole file to a local one, in one piece."""
        if odd := self._odd(rel):
            data = odd.read(self.path(rel))
            with storage_errors(f"write {local_path}"):
                Path(local_path).write_bytes(data)
            return
        self.call(f"download {rel or self.name}", lambda: _get(self.fs, self.path(rel), local_path))

    def has_ranges(self, rel: str) -> bool:
        if not self._is_http:
            return True
        return bool(
            self.call(f"read {rel or self.name}", lambda: _answers_ranges(self.fs, self.path(rel)))
        )

    def walk(self, rel: str, folders: bool) -> Iterator[Item]:
        """Files only: stores have no folders. Links of an HTTP page to elsewhere are left out."""
        below = f"{self.path(rel)}/"
        if self.s3:
            for path, known in self.s3.listed(below):
                yield Item(path[len(below) :], known.size_bytes, stamp=known.stamp)
            return
        found = self.call("list", lambda: self.fs.find(self.path(rel), detail=True))
        for path in sorted(found):
            if not path.startswith(below) or (self._is_http and _climbs(path[len(below) :])):
                continue
            name, query, _ = path[len(below) :].partition("?")
            if not self._is_http or not query:
                size = int(found[path].get("size") or 0)
                name = self._listed(path[len(below) :])
                yield Item(name, size, stamp=stamp_of(found[path]))
            elif name:  # else a link of the page to itself, in another order
                what = "a link with a query, which may be secret and would be stored"
                yield Item(self._listed(name), 0, "bad_name", what)

    def _listed(self, rel: str) -> str:
        """The name of a listed file: HTTP servers list links, in which it is quoted."""
        if not self._is_http:
            return rel
        name = unquote(rel)
        return rel if set("?#%") & set(name) else name  # these mean something in a URL

    def names(self, folder: str) -> list[str]:
        path = self.path(folder)
        if self._is_http and self.is_file(folder):  # it would be sent whole, as a page of links
            return []
        try:
            found = self.call(f"list {folder}", lambda: self.fs.ls(path, detail=False))
        except FileNotFoundError:
            return []
        paths = {name.rstrip("/") for name in found} - {path}  # some stores list the folder, too
        return sorted(path.rsplit("/", 1)[-1] for path in paths)

    # Writing

    def write(self, rel: str, data: bytes) -> None:
        with self._no_such_bucket(rel):
            self.call(f"write {rel}", lambda: self.fs.pipe_file(self.path(rel), data))

    def create(self, rel: str, data: bytes) -> bool:
        """Decided by the store if it is S3; others look first."""
        if self.s3:
            with self._no_such_bucket(rel):
                return self.s3.create(self.path(rel), data)
        if self.exists(rel):
            return False
        self.write(rel, data)
        return True

    def put(self, local_path: str, rel: str, sha256: str) -> None:
        with storage_errors(f"read {local_path}"):
            size = os.path.getsize(local_path)
        with self._no_such_bucket(rel):
            if self._upload(local_path, rel, sha256) != size:
                raise StorageError(f"{rel} arrived incomplete at {self.name}; run again to retry")

    def _upload(self, local_path: str, rel: str, sha256: str) -> int:
        """Upload a file and return its size according to the store."""
        target = self.path(rel)
        if self.s3:
            return self.s3.upload(local_path, target, sha256)
        self.call(f"upload {rel}", lambda: self.fs.put_file(local_path, target))
        return self.stat(rel).size_bytes

    def mark(self, rel: str) -> str:
        """The sha256 that a file was marked with, "" where a store has no marks."""
        return self.s3.mark(self.path(rel)) if self.s3 else ""

    def remove(self, rel: str) -> None:
        try:
            self.call(f"remove {rel}", lambda: self.fs.rm_file(self.path(rel)))
        except FileNotFoundError:
            return

    @contextmanager
    def scratch(self) -> Iterator[str]:
        with ExitStack() as stack:
            with storage_errors(f"write to {tempfile.gettempdir()}"):
                fault_point("scratch")
                folder = stack.enter_context(temporary_folder())
            yield folder

    # Of S3 alone

    def unfinished(self) -> list[str]:
        found = self.s3.unfinished(self.root) if self.s3 else []
        return sorted({path.removeprefix(f"{self.root}/") for path, _ in found})

    def clear_scratch(self) -> None:
        if self.s3:
            self.s3.abort_all(self.root)

    def connect(self) -> None:
        if self.s3:
            self.fs.connect()

    def check_bucket(self) -> None:
        if self.s3:
            with self._no_such_bucket(""):
                self.s3.check_bucket(self.root)

    @contextmanager
    def _no_such_bucket(self, rel: str) -> Iterator[None]:
        """What a store means that finds nothing where something is to be written."""
        try:
            yield
        except FileNotFoundError:
            raise ConfigError(
                f"cannot write {rel or 'anything'} to {self.name}: there is no such bucket or "
                "folder; make it first, and check the endpoint"
            ) from None


def _refuse_user(url: str, name: str, protocol: str) -> None:
    """Raise `ConfigError` for a user and a password in a URL that cannot be used as such."""
    user = user_of(url)
    if user and protocol.lower() in STORES:
        raise ConfigError(
            f"{name} was given with a user or a key in the URL, which this store does not read and "
            "which would end up in logs: take it out, and set credentials as fsspec reads them"
        )
    if "/" in user:
        raise ConfigError(
            f"{name} was given with a user and a password that hold a slash: write it as %2F"
        )


def _climbs(rel: str) -> bool:
    """Whether a link leads out of the page's own folder, as servers and clients read it."""
    return ".." in unquote(rel.replace("\\", "/")).split("/")


def _info(fs: Any, path: str) -> Any:
    """What a store knows of a file. To fsspec one that HTTP cannot serve just now is not there."""
    try:
        return fs.info(path)
    except FileNotFoundError as error:
        if isinstance(error.__cause__, Exception) and may_pass(error.__cause__):
            raise error.__cause__ from None
        raise


def _cat(fs: Any, path: str, **limits: int) -> bytes:
    """A range of a file, empty where it begins behind the file's end."""
    try:
        return bytes(fs.cat_file(path, **limits))
    except OSError as error:
        if is_out_of_range(error):
            return b""
        raise


def _get(fs: Any, path: str, local_path: str) -> None:
    """Download a file whole; a full disk here is no failure of the store."""
    try:
        fs.get_file(path, local_path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            with storage_errors(f"write {local_path}"):
                raise
        raise


def _answers_ranges(fs: Any, url: str) -> bool:
    """Ask an HTTP server for two bytes, and do not read what it sends beyond its headers."""
    from fsspec.asyn import sync

    async def ask() -> bool:
        session = await fs.set_session()
        options = {**fs.kwargs, "headers": {**fs.kwargs.get("headers", {}), "Range": "bytes=0-1"}}
        async with session.get(fs.encode_url(url), **options) as answer:
            answer.raise_for_status()
            return bool(answer.status == 206)

    return bool(sync(fs.loop, ask))
