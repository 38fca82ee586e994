"""Shards as tar files: written so that equal samples give equal bytes, read with every check.

The format is POSIX ustar with fixed owner, mode and time. A member is `KEY.SUFFIX`; the members of
a sample stand together, its JSON last.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

from sofdata.errors import InputError
from sofdata.storage.local import storage_errors
from sofdata.system.fault_points import fault_point

BLOCK = tarfile.BLOCKSIZE
_PADDING = b"\0" * BLOCK
MAX_SAMPLE_BYTES = 1 << 28  # of all members of a sample
_NAME = re.compile(r"([A-Za-z0-9_-]{1,80})\.([a-z0-9.]{1,16})")
_OCTAL = re.compile(rb"[0-7]{1,12}")


class _Hashes:
    """sha256 and md5 of what has been written so far."""

    def __init__(self, sha256: Any = None, md5: Any = None) -> None:
        self._sha256 = sha256 or hashlib.sha256()
        self._md5 = md5 or hashlib.md5(usedforsecurity=False)

    def update(self, data: bytes) -> None:
        self._sha256.update(data)
        self._md5.update(data)

    def copy(self) -> _Hashes:
        return _Hashes(self._sha256.copy(), self._md5.copy())

    def hex(self) -> tuple[str, str]:
        return self._sha256.hexdigest(), self._md5.hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class TarPosition:
    """A place in a shard under way, to which it can be rolled back."""

    offset: int
    samples: int
    hashes: _Hashes


class TarWriter:
    """Writes samples to a new local file. Its methods raise `StorageError` where the disk fails.

    What is written is hashed on the way, so that the file can be compared with what it should hold.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.samples = 0
        self._hashes = _Hashes()
        with storage_errors(f"write {path}"):
            self._file = open(path, "xb")  # noqa: SIM115 - closed by finish and close

    def add(self, key: str, members: Mapping[str, bytes]) -> int:
        """Append a sample and return the byte offset at which it begins."""
        offset = self._file.tell()
        parts = list[bytes]()
        with storage_errors(f"write {self.path}"):
            for suffix in sorted(members, key=lambda suffix: (suffix == "json", suffix)):
                data = members[suffix]
                fault_point("shard: member")
                parts += _header(f"{key}.{suffix}", len(data)), data, _PADDING[: -len(data) % BLOCK]
            self._write(b"".join(parts))
        self.samples += 1
        return offset

    def position(self) -> TarPosition:
        """Where the file stands now."""
        return TarPosition(self._file.tell(), self.samples, self._hashes.copy())

    def rollback(self, position: TarPosition) -> None:
        """Forget all samples that were added since `position`."""
        with storage_errors(f"write {self.path}"):
            self._file.seek(position.offset)
            self._file.truncate()
        self.samples, self._hashes = position.samples, position.hashes.copy()

    def finish(self) -> None:
        """End the archive and close it."""
        end = self._file.tell() + 2 * BLOCK
        with storage_errors(f"write {self.path}"):
            self._write(b"\0" * (2 * BLOCK + -end % tarfile.RECORDSIZE))
            self._file.close()

    def hashes(self) -> tuple[str, str]:
        """sha256 and md5, in hexadecimal, of what was written; not taken from the file."""
        return self._hashes.hex()

    def _write(self, data: bytes) -> None:
        self._hashes.update(data)
        self._file.write(data)

    def discard(self) -> None:
        """Close the file if it is not finished; what it holds does not matter any more."""
        with suppress(OSError):  # a full disk fails the last write again
            self._file.close()


def _header(name: str, size_bytes: int) -> bytes:
    """The header of a member, as `tarfile.TarInfo.tobuf` makes it, in a twentieth of the time.

    Whatever does not fit a plain header is left to that.
    """
    raw = name.encode()
    if len(raw) > _NAME_BYTES or size_bytes > _MOST_OCTAL:
        info = tarfile.TarInfo(name)
        info.size, info.mode = size_bytes, 0o644
        return info.tobuf(tarfile.USTAR_FORMAT)
    header = bytearray(_EMPTY_HEADER)
    header[: len(raw)] = raw
    header[124:136] = b"%011o\0" % size_bytes
    header[148:156] = b"%06o\0 " % (sum(header) - sum(header[148:156]) + 8 * ord(" "))
    return bytes(header)


def _empty_header() -> bytes:
    info = tarfile.TarInfo("")
    info.mode = 0o644
    return info.tobuf(tarfile.USTAR_FORMAT)


_NAME_BYTES, _MOST_OCTAL = 100, 0o77777777777
_EMPTY_HEADER = _empty_header()


def read_samples(stream: BinaryIO, name: str) -> Iterator[tuple[str, int, dict[str, bytes]]]:
    """Yield (key, byte offset, members by suffix) of each sample of a shard, in order.

    Memory is that of a sample, of which no member may claim more than is there. Raises `InputError`
    that names the shard for anything that is not a whole archive of plain files named KEY.SUFFIX,
    each sample's together, each key once, as `TarWriter` writes it: other kinds of tars hold
    more, all of which is ignored (links, sparse files, records that rename or resize what follows).
    """
    end = _length(stream)
    key, offset, place = "", 0, 0
    members: dict[str, bytes] = {}
    seen: set[str] = set()
    while True:
        stream.seek(place)
        header = stream.read(BLOCK)
        if not header.strip(b"\0"):
            break
        member = _member(header, name, place)
        if member.key != key:
            if members:
                yield key, offset, members
            if member.key in seen:
                raise InputError(f"{name}: duplicate sample {member.key}")
            seen.add(member.key)
            key, offset, members = member.key, place, {}
        _take(stream, member, members, name, end - place - BLOCK)
        place += BLOCK + member.size_bytes + -member.size_bytes % BLOCK
    stream.seek(place)
    tail = stream.read(2 * BLOCK)
    if len(tail) < 2 * BLOCK or tail.strip(b"\0"):
        raise InputError(f"{name} has no end-of-archive mark: it is cut short")
    if members:
        yield key, offset, members


def read_sample_at(stream: BinaryIO, offset: int, name: str) -> tuple[str, dict[str, bytes]]:
    """Key and members of the one sample that begins at a byte offset of a shard.

    Raises `InputError` if none begins there.
    """
    end = _length(stream)
    if not 0 <= offset <= end:
        raise InputError(f"{name}: no sample at byte {offset}: it has {end} bytes")
    stream.seek(offset)
    key, members = "", dict[str, bytes]()
    while (header := stream.read(BLOCK)).strip(b"\0"):
        try:
            member = _member(header, name, offset)
        except InputError as error:
            message = str(error) if key else f"{name}: no sample at byte {offset}: {error}"
            raise InputError(message) from None
        if key and member.key != key:
            break
        key, place = member.key, stream.tell()
        _take(stream, member, members, name, end - place)
        stream.seek(-member.size_bytes % BLOCK, io.SEEK_CUR)
    if not key:
        raise InputError(f"{name}: no sample at byte {offset}")
    return key, members


def _length(stream: BinaryIO) -> int:
    """Bytes of a stream, from its start."""
    return stream.seek(0, io.SEEK_END)


class _TarMember(NamedTuple):
    """What the header of a member KEY.SUFFIX says."""

    key: str
    suffix: str
    size_bytes: int

    @property
    def name(self) -> str:
        return f"{self.key}.{self.suffix}"


def _take(
    stream: BinaryIO, member: _TarMember, members: dict[str, bytes], name: str, left: int
) -> None:
    """Read a member, of which `left` bytes can be there at most, into `members`."""
    if member.suffix in members:
        raise InputError(f"{name}: duplicate member {member.name}")
    if member.size_bytes > left:
        raise InputError(f"{name}: member {member.name} is cut short")
    if member.size_bytes + sum(map(len, members.values())) > MAX_SAMPLE_BYTES:
        raise InputError(
            f"{name}: the sample of {member.name} has more than {MAX_SAMPLE_BYTES} bytes"
        )
    data = stream.read(member.size_bytes)
    if len(data) < member.size_bytes:
        raise InputError(f"{name}: member {member.name} is cut short")
    members[member.suffix] = data


def _member(header: bytes, name: str, place: int) -> _TarMember:
    """A member by its header as `TarWriter` writes it.

    Does what `tarfile.TarInfo.frombuf` would, in a tenth of the time, which is a good part of what
    it takes to load a sample; and less, since no other kinds of headers are known.
    """
    try:
        if len(header) < BLOCK:
            raise ValueError("its header is cut short")
        if sum(header) - sum(header[148:156]) + 8 * ord(" ") != _octal(header[148:156]):
            raise ValueError("its header has a wrong checksum")
        info = tarfile.TarInfo(header[:100].rstrip(b"\0").decode("ascii"))
        info.size, info.type = _octal(header[124:136]), header[156:157]
    except ValueError as error:
        raise InputError(f"{name}: no member at byte {place}: {error}") from None
    return _TarMember(*_checked_name(info, name), info.size)


def _octal(field: bytes) -> int:
    """A number of a header. Raises `ValueError`."""
    digits = field.strip(b"\0 ")
    if not _OCTAL.fullmatch(digits):
        raise ValueError(f"{digits!r} is no octal number")
    return int(digits, 8)


def hash_file(path: str) -> tuple[str, str]:
    """sha256 and md5 of a file, in hexadecimal."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as handle:
        while chunk := handle.read(1 << 20):
            sha256.update(chunk)
            md5.update(chunk)
    return sha256.hexdigest(), md5.hexdigest()


def _checked_name(info: tarfile.TarInfo, name: str) -> tuple[str, str]:
    parts = _NAME.fullmatch(info.name)
    if parts is None or info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        raise InputError(f"{name}: member {info.name!r} is not a plain file named KEY.SUFFIX")
    return parts[1], parts[2]
