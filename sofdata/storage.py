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
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import unquote

from sofdata import s3
from sofdata.errors import ConfigError, StorageError, TransientError
from sofdata.faults import reached
from sofdata.remote import (
    brief,
    hide,
    in_order,
    is_out_of_range,
    is_remote_failure,
    public_url,
    retrying,
)
from sofdata.temporary import temporary_file, temporary_folder
from sofdata.walk import Item, walk_local

__all__ = ["SCRATCH", "Item", "Tree", "explained", "public_url"]

T = TypeVar("T")

FINGERPRINT_CHUNK = 1 << 16
SCRATCH = ".scratch"
MIB = 1 << 20
READ_AHEAD = 4 * MIB  # of an open remote file
PIECE = 8 * MIB  # of a download; so much is in memory for each of these at once:
PIECES_AT_ONCE = 4
SAFE_SUFFIX = 8  # characters
UNPACKED = "#unpacked"  # after a pattern of parts: the tar that they make up, see `sofdata.packed`
_PART = re.compile(r"#bytes=(\d+)-(\d+)$")
EXTRAS = {"gs": "gcs", "gcs": "gcs", "hf": "hf"}


def part_of(rel: str, start: int, end: int) -> str:
    """The uri of some bytes of a file, such as a member of a tar that is a file in itself."""
    return f"{rel}#bytes={start}-{end}"


def split_part(rel: str) -> tuple[str, tuple[int, int] | None]:
    """A uri as the file that it names and the (start, end) of the bytes meant, None for all."""
    found = _PART.search(rel)
    return (rel[: found.start()], (int(found[1]), int(found[2]))) if found else (rel, None)


@dataclass(frozen=True, repr=False)
class Tree:
    """A folder at `url`: a local path or an fsspec URL such as s3://bucket/folder.

    What is read may also be a part of a file, see `part_of`.

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
        options = s3.settings(self.options) if protocol in ("s3", "s3a") else self.options
        try:
            return fsspec.filesystem(protocol, **options)
        except ImportError as error:
            extra = EXTRAS.get(protocol)
            hint = f"; 'pip install sofdata[{extra}]' installs it" if extra else ""
            raise ConfigError(f"cannot use {self.name}: {error}{hint}") from None
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"cannot use {self.name}: {hide(brief(error), self.options)}"
            ) from None

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

    def _of(self, rel: str) -> tuple[Tree, str]:
        """The tree to ask for `rel`, which may be a URL elsewhere, and the path to ask it for."""
        if "://" not in rel:
            return self, self.path(rel)
        other = Tree(rel, self.options)
        return other, other.root

    @cached_property
    def _s3(self) -> s3.S3Store | None:
        """What S3 can do beyond fsspec; None for anything else."""
        if self.is_local or not s3.is_s3(self._fs):
            return None
        return s3.S3Store(self._fs, self._call)

    # Reading

    def exists(self, rel: str = "") -> bool:
        if self.is_local:
            return os.path.exists(self.path(rel))
        return bool(self._call(f"reach {rel or 'it'}", lambda: self._fs.exists(self.path(rel))))

    def parent(self) -> Tree:
        """The folder that holds this one, or this file."""
        if self.is_local:
            return Tree(os.path.dirname(self.root))
        return Tree(self.url.rstrip("/").rpartition("/")[0], self.options)

    def is_file(self, rel: str = "") -> bool:
        if self.is_local:
            return os.path.isfile(self.path(rel))
        try:
            found = self._call(f"reach {rel or 'it'}", lambda: self._fs.info(self.path(rel)))
        except FileNotFoundError:
            return False
        # To fsspec all that HTTP serves is a file; a folder is a page with links.
        return bool(found["type"] == "file" and found.get("mimetype") != "text/html")

    def size(self, rel: str) -> int:
        """Bytes of a file, or of a part of one, which must be there.

        Raises `FileNotFoundError`.
        """
        rel, part = split_part(rel)
        if part:
            if self.size(rel) < part[1]:
                raise FileNotFoundError(errno.ENOENT, "the file ends before this part of it", rel)
            return part[1] - part[0]
        if rel.endswith(UNPACKED):
            from sofdata.packed import unpacked_size

            return unpacked_size(self, rel.removesuffix(UNPACKED))
        tree, path = self._of(rel)
        if tree.is_local:
            reached("size")
            return os.stat(path).st_size
        size = tree._call(f"stat {public_url(rel)}", lambda: tree._fs.info(path)["size"])
        if size is None:
            raise StorageError(f"{tree.name} does not say how large it is; download it first")
        return int(size)

    def read(self, rel: str) -> bytes:
        """A whole file. Raises `FileNotFoundError`."""
        if self.is_local:
            reached("read")
            return Path(self.path(rel)).read_bytes()
        tree, path = self._of(rel)
        whole = {"start": 0} if tree._s3 else {}  # else s3fs asks for the size first
        return tree._call(f"read {rel}", lambda: _cat(tree._fs, path, **whole))

    def read_range(self, rel: str, start: int, end: int) -> bytes:
        """The bytes from `start` to `end` of a file; fewer where it ends before.

        Raises `FileNotFoundError`. Costs one request; a server without ranges sends the whole file.
        """
        rel, part = split_part(rel)
        if part:
            start, end = part[0] + start, min(part[1], part[0] + end)
        if rel.endswith(UNPACKED):
            from sofdata.packed import read_unpacked

            return read_unpacked(self, rel.removesuffix(UNPACKED), start, end)
        tree, path = self._of(rel)
        if tree.is_local:
            with self.open(path) as handle:
                handle.seek(start)
                return handle.read(max(0, end - start))
        if end <= start:
            return b""
        data = tree._call(
            f"read {public_url(rel)}", lambda: _cat(tree._fs, path, start=start, end=end)
        )
        return data if len(data) <= end - start else data[start:end]

    @contextmanager
    def open(self, rel: str) -> Iterator[BinaryIO]:
        """Open a file for reading bytes; a remote one is read in blocks of `READ_AHEAD`."""
        tree, path = self._of(rel)
        if tree.is_local:
            reached("open")
            with open(path, "rb") as handle:
                yield handle
            return
        shown = public_url(rel)
        handle = tree._call(
            f"open {shown}", lambda: tree._fs.open(path, "rb", block_size=READ_AHEAD)
        )
        try:
            yield handle
        except Exception as error:
            if not is_remote_failure(error):
                raise
            told = hide(brief(error), self.options)
            raise TransientError(f"could not read {shown} at {self.name}: {told}") from None
        finally:
            handle.close()

    @contextmanager
    def local_copy(self, rel: str, size_bytes: int | None = None) -> Iterator[str]:
        """A local path with the content of `rel`: the file itself, or a copy removed after.

        size_bytes: what is known of its size, which saves a request for a small file.
        """
        tree, path = self._of(rel)
        if tree.is_local and not split_part(rel)[1]:
            yield path
            return
        # The suffix stays, since decoders look at it when they guess the container.
        with ExitStack() as stack:
            with explained(f"write to {tempfile.gettempdir()}"):
                name = stack.enter_context(temporary_file(_suffix(rel)))
            self.download(rel, name, size_bytes)
            yield name

    def download(self, rel: str, local_path: str, size_bytes: int | None = None) -> None:
        """Copy a remote file, or a part of any file, to a local one, in pieces if it is large.

        size_bytes: as of `local_copy`.

        Raises `FileNotFoundError`, `StorageError` if there is no room for it, `TransientError`.
        """
        tree, path = self._of(rel)
        shown = public_url(rel)
        part = split_part(rel)[1]
        size = size_bytes or 0
        if part or (tree._s3 and (size_bytes is None or size_bytes > PIECE)):
            size = self.size(rel)
        if not part and (not tree._s3 or size <= PIECE):
            tree._call(f"download {shown}", lambda: _get(tree._fs, path, local_path))
            return

        def fetch(start: int) -> tuple[int, bytes]:
            return start, self.read_range(rel, start, min(size, start + PIECE))

        with open(local_path, "wb") as target:
            for start, data in in_order(fetch, range(0, size, PIECE), PIECES_AT_ONCE):
                with explained(f"write {local_path}"):
                    os.pwrite(target.fileno(), data, start)

    def fingerprint(self, rel: str, size_bytes: int) -> str:
        """Hash of a file's size and of three 64 KiB samples: its head, middle and tail.

        Cheap on terabytes and independent of names and times. A change of the same length that
        touches none of the samples goes unseen.
        """
        digest = hashlib.sha256(str(size_bytes).encode())
        for sample in self._samples(rel, size_bytes):
            digest.update(sample)
        return digest.hexdigest()[:32]

    def _samples(self, rel: str, size_bytes: int) -> Iterator[bytes]:
        last = max(0, size_bytes - FINGERPRINT_CHUNK)
        offsets = sorted({0, last // 2, last})
        tree, path = self._of(rel)
        if tree.is_local and not split_part(rel)[1]:
            with self.open(path) as handle:
                for offset in offsets:
                    handle.seek(offset)
                    yield handle.read(FINGERPRINT_CHUNK)
        elif size_bytes <= len(offsets) * FINGERPRINT_CHUNK:  # one request instead of three
            data = self.read_range(rel, 0, max(1, size_bytes))
            yield from (data[offset : offset + FINGERPRINT_CHUNK] for offset in offsets)
        elif tree.is_local or tree.has_ranges(path):
            for offset in offsets:
                yield self.read_range(rel, offset, offset + FINGERPRINT_CHUNK)
        else:
            with self.local_copy(rel) as copy:
                yield from Tree("/")._samples(copy, size_bytes)

    def has_ranges(self, rel: str) -> bool:
        """Whether parts of a remote file can be read; some HTTP servers send the whole only."""
        tree, path = self._of(split_part(rel)[0])
        if not tree.url.startswith(("http://", "https://")):
            return True
        return bool(tree._call(f"read {public_url(rel)}", lambda: _answers_ranges(tree._fs, path)))

    def walk(self, rel: str = "", folders: bool = False) -> Iterator[Item]:
        """All files below `rel`, sorted by path, links followed, each loop entered once.

        What cannot be read is yielded too, with its problem: "dangling_link", "unreadable",
        "unreadable_folder", "not_a_file" (a socket, a pipe), "bad_name" (not UTF-8).

        folders: yield each local folder as well, before the files in it, as "is_a_directory".
        """
        if self.is_local:
            for item in walk_local(self.path(rel), "", frozenset()):
                if folders or item.problem != "is_a_directory":
                    yield item
            return
        found = self._call("list", lambda: self._fs.find(self.path(rel), detail=True))
        skip = len(self.path(rel)) + 1
        for path in sorted(found):
            yield Item(self._named(path[skip:]), int(found[path].get("size") or 0))

    def _named(self, rel: str) -> str:
        """The name of a listed file: HTTP servers list links, in which it is quoted."""
        if not self.url.startswith(("http://", "https://")):
            return rel
        name = unquote(rel)
        return rel if set("?#%") & set(name) else name  # these mean something in a URL

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
        paths = {name.rstrip("/") for name in found} - {path}  # some stores list the folder, too
        return sorted(path.rsplit("/", 1)[-1] for path in paths)

    # Writing

    def write(self, rel: str, data: bytes) -> None:
        """Write a small file, whole or not at all. Raises `StorageError`."""
        if not self.is_local:
            with self._no_such_bucket(rel):
                self._call(f"write {rel}", lambda: self._fs.pipe_file(self.path(rel), data))
            return
        with self.scratch() as folder:
            path = os.path.join(folder, "file")
            with explained(f"write {self.path(rel)}"):
                reached("write")
                Path(path).write_bytes(data)
            self.put(path, rel)

    def create(self, rel: str, data: bytes) -> bool:
        """Write a small file unless there is one already; False if there is. Raises `StorageError`.

        Decided by the store where it can: of many who try at the same time one gets True. Local
        folders, which have one driver at a time, and stores that know no conditions look first.
        """
        if self._s3:
            with self._no_such_bucket(rel):
                return self._s3.create(self.path(rel), data)
        if self.exists(rel):
            return False
        self.write(rel, data)
        return True

    def put(self, local_path: str, rel: str, sha256: str = "") -> None:
        """Move a finished local file to its final name, durably. Raises `StorageError`.

        sha256: of its content, for `holds`; may be left out.
        """
        target = self.path(rel)
        if not self.is_local:
            size = os.path.getsize(local_path)
            with self._no_such_bucket(rel):
                if self._upload(local_path, rel, sha256) != size:
                    raise StorageError(
                        f"{rel} arrived incomplete at {self.name}; run again to retry"
                    )
            return
        with explained(f"write {target}"):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            reached("put")
            _sync(local_path)
            reached("put: synced")
            os.replace(local_path, target)
            reached("put: replaced")
            _sync(os.path.dirname(target))

    def _upload(self, local_path: str, rel: str, sha256: str) -> int:
        """Upload a file and return the size that the store tells of it."""
        target = self.path(rel)
        if self._s3:
            return self._s3.upload(local_path, target, sha256)
        self._call(f"upload {rel}", lambda: self._fs.put_file(local_path, target))
        return self.size(rel)

    def holds(self, rel: str, sha256: str) -> bool:
        """Whether a file has this content. Reads it unless the store can tell by a mark."""
        try:
            if self._s3 and (marked := self._s3.mark(self.path(rel))):
                return marked == sha256
            return hashlib.sha256(self.read(rel)).hexdigest() == sha256
        except FileNotFoundError:
            return False

    def unfinished(self) -> list[str]:
        """Files below this folder whose upload was begun and not ended.

        Either a process was killed at it, or one is at it now. No listing shows them, but the
        store keeps (and bills) their parts.
        """
        found = self._s3.unfinished(self.root) if self._s3 else []
        return sorted({path.removeprefix(f"{self.root}/") for path, _ in found})

    def connect(self) -> None:
        """Make the client of a remote store now, which takes a third of a second, not at first use.

        Raises `ConfigError` if its library is missing.
        """
        if self._s3:
            self._fs.connect()

    def check_bucket(self) -> None:
        """Raise `ConfigError` if this lies in a bucket that does not exist."""
        if self._s3:
            with self._no_such_bucket(""):
                self._s3.check_bucket(self.root)

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
        parent = os.path.join(self.root, SCRATCH) if self.is_local else tempfile.gettempdir()
        with ExitStack() as stack:
            with explained(f"write to {parent}"):
                reached("scratch")
                make = _scratch_in(parent) if self.is_local else temporary_folder()
                folder = stack.enter_context(make)
            yield folder

    def clear_scratch(self) -> None:
        """Remove what killed processes have left behind: temporary files, uploads in parts.

        Uploads of another process that is at work are aborted with them, and begin again.
        """
        if self.is_local:
            shutil.rmtree(os.path.join(self.root, SCRATCH), ignore_errors=True)
        elif self._s3:
            self._s3.abort_all(self.root)

    def _call(self, what: str, action: Callable[[], T]) -> T:
        """Call a remote file system, and again while it fails; see `sofdata.remote.retrying`."""
        return retrying(what, self.name, self.options, action)


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
            with explained(f"write {local_path}"):
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


def _suffix(rel: str) -> str:
    """The suffix of a file's name with its dot, "" for an odd one and for a part of a file."""
    end = public_url(rel).rpartition("/")[2].rpartition(".")[2]
    return f".{end}" if end.isascii() and end.isalnum() and len(end) <= SAFE_SUFFIX else ""


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


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn a system error of the block into a `StorageError` that says what to do."""
    try:
        yield
    except OSError as error:
        hint = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "mend that"
        raise StorageError(
            f"cannot {what}: {brief(error)}; {hint} and run the same command again"
        ) from None


def _sync(path: str) -> None:
    """Wait until a file's content, or a folder's entries, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
