"""What S3 can do and fsspec does not say: uploads in parts, conditional writes, marks.

An upload in parts that fails is aborted whatever the reason; what a killed process leaves,
`S3Store.abort_all` finds. That may abort what another driver has under way: it begins again.
Files are never written through a file object: s3fs completes one when it is closed, even by an
error.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, TypeVar

from sofdata.errors import ConfigError, TransientError
from sofdata.storage.local import storage_errors
from sofdata.storage.retry import code_of, is_out_of_range
from sofdata.storage.stamps import stamp_of
from sofdata.storage.walk import Stat
from sofdata.system.fault_points import fault_point
from sofdata.system.threads import in_order

T = TypeVar("T")

MIB = 1 << 20
PART_BYTES = 16 * MIB
MAX_PARTS = 10_000
UPLOADS_AT_ONCE = 4
CONNECTIONS = 32
UPLOAD_TRIES = 4
THRESHOLD = "SOFDATA_S3_MULTIPART_MIB"
_MARK = "sofdata-sha256"


class Call(Protocol):
    """Makes a request and repeats it while that may help; `what` is said of it in errors."""

    def __call__(self, what: str, action: Callable[[], T]) -> T: ...


def is_s3(fs: Any) -> bool:
    """Whether a file system is that of s3fs."""
    protocol = fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,)
    return "s3" in protocol and hasattr(fs, "call_s3")


def is_misread(path: str) -> bool:
    """Whether s3fs takes a path for another: for a version of a file, or for a folder."""
    return "?versionId=" in path or path.endswith("/")


def settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """The user's options for s3fs with ours: no listing is cached, nothing retried below us."""
    import fsspec.config

    known = fsspec.config.conf.get("s3", {})
    config = {**known.get("config_kwargs", {}), **options.get("config_kwargs", {})}
    config.setdefault("max_pool_connections", CONNECTIONS)
    config.setdefault("retries", {"mode": "standard", "total_max_attempts": 1})
    return {"use_listings_cache": False, **options, "config_kwargs": config}


def multipart_from() -> int:
    """Size of the smallest file that is uploaded in parts, bytes. Raises `ConfigError`."""
    given = os.environ.get(THRESHOLD, PART_BYTES / MIB)
    try:
        return int(float(given) * MIB)
    except (ValueError, OverflowError):
        raise ConfigError(f"{THRESHOLD} is {given!r}, where a number of MiB belongs") from None


@dataclass(frozen=True, slots=True)
class S3Store:
    """The requests to one store. fs: of s3fs. Paths are BUCKET/KEY."""

    fs: Any
    call: Call

    def upload(self, local_path: str, path: str, sha256: str = "") -> int:
        """Upload a file, in parts if it is large, and return its size according to the store.

        sha256: of its content, kept as a mark; see `mark`. Raises `StorageError` where the local
        file cannot be opened, and what the store answers.
        """
        marks = {_MARK: sha256} if sha256 else {}
        with storage_errors(f"read {local_path}"):
            file = open(local_path, "rb")  # noqa: SIM115 - closed below
        with file:
            if _size(file) < max(1, multipart_from()):
                body = file.read()
                self._ask("upload", "put_object", path, Body=body, Metadata=marks)
            else:
                self._upload_in_parts(file, path, marks)
        return int(self._ask("stat", "head_object", path)["ContentLength"])

    def _upload_in_parts(self, file: BinaryIO, path: str, marks: Mapping[str, str]) -> None:
        """Upload in parts, again from the start where the upload is gone: another aborted it."""
        for _ in range(UPLOAD_TRIES):
            begun = self._ask("upload", "create_multipart_upload", path, Metadata=marks)
            ids = {"UploadId": begun["UploadId"]}
            try:
                fault_point("upload: begun")
                parts = {"Parts": list(self._send_parts(file, path, ids))}
                fault_point("upload: parts sent")
                self._ask("upload", "complete_multipart_upload", path, MultipartUpload=parts, **ids)
            except FileNotFoundError:
                continue
            except BaseException:
                with suppress(Exception):  # tried once: the end of this run or the next finds it
                    self._request("abort_multipart_upload", path, **ids)
                raise
            return
        raise TransientError(f"the upload of {path} was aborted {UPLOAD_TRIES} times by others")

    def _send_parts(
        self, file: BinaryIO, path: str, ids: Mapping[str, str]
    ) -> Iterator[dict[str, Any]]:
        size = _size(file)
        part_bytes = max(PART_BYTES, -(-size // MAX_PARTS))  # all but the last of one size, for R2

        def send(number: int) -> dict[str, Any]:
            body = os.pread(file.fileno(), part_bytes, (number - 1) * part_bytes)
            sent = self._ask("upload", "upload_part", path, Body=body, PartNumber=number, **ids)
            fault_point("upload: part sent")
            return {"PartNumber": number, "ETag": sent["ETag"]}

        yield from in_order(send, range(1, -(-size // part_bytes) + 1), UPLOADS_AT_ONCE)

    def create(self, path: str, data: bytes) -> bool:
        """Write a file unless there is one; False if there is.

        A store may refuse in two dialects, or not know conditions at all: then the last writer
        wins, which the caller sees by reading back.
        """
        try:
            self.call(f"write {path}", lambda: self._create(path, data))
        except FileExistsError:
            return False
        return True

    def _create(self, path: str, data: bytes) -> None:
        """Raises `FileExistsError` in all dialects: s3fs gives EINVAL if no condition is named."""
        try:
            self._request("put_object", path, Body=data, IfNoneMatch="*")
        except FileExistsError:
            raise
        except OSError as error:
            if code_of(error) in ("PreconditionFailed", "412"):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from None
            if code_of(error) not in ("NotImplemented", "501"):
                raise
            self._request("put_object", path, Body=data)

    def stat(self, path: str) -> Stat:
        """Size and stamp of a file. Raises `FileNotFoundError`."""
        found = self._ask("stat", "head_object", path)
        return Stat(int(found["ContentLength"]), stamp_of(found))

    def listed(self, below: str) -> Iterator[tuple[str, Stat]]:
        """Paths, sizes and stamps of all files below a folder, which ends with "/"; sorted.

        One request for each thousand of them. s3fs keeps several dicts of each.
        """
        bucket, prefix = self._split(below)  # it ends with a slash
        found: list[tuple[str, Stat]] = []
        more: dict[str, str] = {}
        while True:
            page = self._page(bucket, prefix, more)
            for each in page.get("Contents", ()):
                found.append((f"{bucket}/{each['Key']}", Stat(int(each["Size"]), stamp_of(each))))
            if not page.get("IsTruncated") or not page.get("NextContinuationToken"):
                break
            more = {"ContinuationToken": page["NextContinuationToken"]}
        yield from sorted(found)  # as most stores have done

    def _page(self, bucket: str, prefix: str, more: Mapping[str, str]) -> Mapping[str, Any]:
        request = {"Bucket": bucket, "Prefix": prefix, **more, **self.fs.req_kw}
        page: Mapping[str, Any] = self.call(
            "list", lambda: self.fs.call_s3("list_objects_v2", **request)
        )
        return page

    def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        """The bytes of a file from `start` to `end`, fewer where it ends before."""

        def get() -> bytes:
            last = "" if end is None else end - 1
            ranged = {"Range": f"bytes={start}-{last}"} if start or end is not None else {}
            try:
                body = self._request("get_object", path, **ranged)["Body"]
            except OSError as error:
                if is_out_of_range(error):
                    return b""
                raise
            from fsspec.asyn import sync

            return bytes(sync(self.fs.loop, body.read))

        return self.call(f"read {path}", get)

    def mark(self, path: str) -> str:
        """The sha256 that a file was marked with, "" for none. Raises `FileNotFoundError`."""
        return str(self._ask("stat", "head_object", path).get("Metadata", {}).get(_MARK, ""))

    def check_bucket(self, path: str) -> None:
        """Raise `FileNotFoundError` if there is no such bucket."""
        bucket = str(self.fs.split_path(path)[0])
        self.call(f"reach {bucket}", lambda: self.fs.call_s3("head_bucket", Bucket=bucket))

    def unfinished(self, folder: str) -> list[tuple[str, str]]:
        """Uploads below a folder that were neither completed nor aborted: their (path, id)."""
        bucket, key, _ = self.fs.split_path(folder)
        prefix = f"{key.rstrip('/')}/" if key else ""
        found, markers = [], dict[str, Any]()
        while True:
            page = self._uploads(bucket, prefix, markers)
            for each in page.get("Uploads", []):
                if each["Key"].startswith(prefix):  # not every store looks at the prefix
                    found.append((f"{bucket}/{each['Key']}", str(each["UploadId"])))
            markers = {name: page[f"Next{name}"] for name in _MARKERS if page.get(f"Next{name}")}
            if not page.get("IsTruncated") or not markers:
                return found

    def _uploads(self, bucket: str, prefix: str, markers: Mapping[str, Any]) -> Mapping[str, Any]:
        request = {"Bucket": bucket, "Prefix": prefix, **markers}
        page: Mapping[str, Any] = self.call(
            f"list uploads in {bucket}",
            lambda: self.fs.call_s3("list_multipart_uploads", **request),
        )
        return page

    def abort_all(self, folder: str) -> list[str]:
        """Abort all unfinished uploads below a folder; returns their paths."""
        uploads = self.unfinished(folder)
        for path, upload in uploads:
            with suppress(FileNotFoundError):
                self._ask("abort", "abort_multipart_upload", path, UploadId=upload)
        return [path for path, _ in uploads]

    def _ask(self, verb: str, method: str, path: str, **arguments: Any) -> Any:
        return self.call(f"{verb} {path}", lambda: self._request(method, path, **arguments))

    def _request(self, method: str, path: str, **arguments: Any) -> Any:
        bucket, key = self._split(path)
        return self.fs.call_s3(method, Bucket=bucket, Key=key, **arguments)

    def _split(self, path: str) -> tuple[str, str]:
        """Bucket and key, of which no letter means anything, as s3fs would have it."""
        bucket, key, _ = self.fs.split_path(path)
        if is_misread(path):
            key = path[path.index(bucket) + len(bucket) + 1 :]
        return bucket, key


class OpenFile(io.RawIOBase):
    """A file of S3 for reading, in blocks. For those whose names s3fs does not read as names."""

    def __init__(self, store: S3Store, path: str, block_bytes: int) -> None:
        self._store, self._path, self._block_bytes = store, path, block_bytes
        self._size = store.stat(path).size_bytes
        self._at, self._start, self._block = 0, 0, b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        if self._at >= self._size or not len(buffer):
            return 0
        if not self._start <= self._at < self._start + len(self._block):
            end = min(self._size, self._at + self._block_bytes)
            self._start, self._block = self._at, self._store.read(self._path, self._at, end)
        begin = self._at - self._start
        data = self._block[begin : begin + len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


_MARKERS = ("KeyMarker", "UploadIdMarker")
