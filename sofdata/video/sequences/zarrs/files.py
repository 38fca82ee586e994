"""The files of a Zarr store, be it a folder or a zip: documents, and chunks by their keys.

Nothing is unpacked to a disk, so that what a zip calls its members is but a name. Every read is
bounded by the caller. Of a zip an index is kept from one video to the next: a store of pictures may
have a million members, and every episode in it is a video of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from sofdata.video.progress import PROGRESS
from sofdata.video.ranges import RangeFile, Source
from sofdata.video.sequences.base import damaged, opened_file
from sofdata.video.sequences.zarrs.members import Member, Members

ARRAY_V2, GROUP_V2, ATTRIBUTES_V2, NODE_V3 = ".zarray", ".zgroup", ".zattrs", "zarr.json"
DOCUMENTS = frozenset({ARRAY_V2, GROUP_V2, ATTRIBUTES_V2, NODE_V3})
MOST_DOCUMENT_BYTES = 1 << 26  # that of a root may repeat those of all nodes
MOST_NODES = 200_000
DEEPEST = 32
TAIL_BYTES = 1 << 16
_LOCAL = struct.Struct("<4s2xHH16xHH")  # APPNOTE.TXT 4.3.7: signature, flags, method, two lengths
_ENCRYPTED = 0x1

Documents = dict[str, dict[str, bytes]]  # of each node by its path: its documents by their names


class Files(Protocol):
    """A store's files by their keys, such as "data/img/.zarray" and "data/img/0.0.0.0"."""

    def documents(self) -> Documents:
        """All that describes nodes. Raises `Unusable` where that is more than makes sense."""

    def size(self, key: str) -> int | None:
        """Bytes of a file, None for one that is not there."""

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Bytes of a file that is there. Raises `OSError` or `ValueError` for a damaged one."""

    def close(self) -> None:
        """Close what was opened."""


def open_files(source: Source) -> Files:
    """Raises `Unusable` for a file that is no zip."""
    if isinstance(source, RangeFile) or not str(source).endswith("/"):
        return ZipFiles(source)
    return FolderFiles(Path(source))


@dataclass(frozen=True, slots=True)
class FolderFiles:
    """A store that is a folder."""

    root: Path

    def documents(self) -> Documents:
        found: Documents = {}
        for path in self._nodes():
            PROGRESS.packets += 1
            folder = self.root / path
            found[path] = {name: _document(folder / name) for name in DOCUMENTS & _names(folder)}
        return found

    def _nodes(self) -> Iterator[str]:
        """Paths of folders, those below arrays left out: these are chunks, of any number."""
        waiting, seen = [""], set[str]()
        while waiting:
            path = waiting.pop()
            real = os.path.realpath(self.root / path)
            if real in seen:
                continue
            seen.add(real)
            if len(seen) > MOST_NODES:
                raise damaged(f"more than {MOST_NODES} folders are in this store")
            yield path
            if _is_array(self.root / path) or path.count("/") >= DEEPEST:
                continue
            with os.scandir(self.root / path) as entries:
                inner = sorted(entry.name for entry in entries if entry.is_dir())
            waiting += [f"{path}/{name}" if path else name for name in reversed(inner)]

    def size(self, key: str) -> int | None:
        try:
            return os.stat(self.root / key).st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        PROGRESS.packets += 1
        with open(self.root / key, "rb") as file:
            file.seek(start)
            return file.read() if end is None else file.read(end - start)

    def close(self) -> None:
        """Nothing stays open."""


def _names(folder: Path) -> set[str]:
    return {name for name in DOCUMENTS if (folder / name).is_file()}


def _is_array(folder: Path) -> bool:
    """Whether a folder is an array; one of version 3 says so in its document."""
    if (folder / ARRAY_V2).is_file():
        return True
    if not (folder / NODE_V3).is_file():
        return False
    try:
        node = json.loads(_document(folder / NODE_V3))
    except (ValueError, RecursionError):
        return False
    return isinstance(node, dict) and node.get("node_type") == "array"


def _document(path: Path) -> bytes:
    if path.stat().st_size > MOST_DOCUMENT_BYTES:
        raise damaged(f"{path.name} has more than {MOST_DOCUMENT_BYTES} bytes")
    return path.read_bytes()


class ZipFiles:
    """A store that is a zip, read where it lies; of members with one name the last counts.

    A zip may hold its store in a folder, as one does that was made of a folder from outside.
    """

    def __init__(self, source: Source) -> None:
        self._file = opened_file(source)
        try:
            self._members = _index(str(source), self._file)
        except BaseException:
            self._file.close()
            raise

    def documents(self) -> Documents:
        found: Documents = {}
        for key in self._members:
            path, _, name = key.rpartition("/")
            if name not in DOCUMENTS or path.startswith("__MACOSX"):
                continue
            if (self.size(key) or 0) > MOST_DOCUMENT_BYTES or len(found) > MOST_NODES:
                raise damaged("its metadata is larger than that of any store")
            try:
                found.setdefault(path, {})[name] = self.read(key)
            except ValueError as error:
                raise damaged(f"{key}: {error}") from None
        return found

    def names(self) -> Iterator[str]:
        """The names of all members, in their order; one that came twice comes twice."""
        return iter(self._members)

    def size(self, key: str) -> int | None:
        member = self._members.get(key)
        return None if member is None else member.size

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        PROGRESS.packets += 1
        member = self._members.get(key)
        if member is None:
            raise ValueError(f"there is no {key} in the zip")
        end = member.size if end is None else min(end, member.size)
        self._file.seek(member.offset)
        header = self._file.read(_LOCAL.size)
        if len(header) < _LOCAL.size:
            raise ValueError("the zip ends before this member")
        mark, flags, method, name, extra = _LOCAL.unpack(header)
        if mark != b"PK\3\4" or flags & _ENCRYPTED or method not in (0, 8):
            raise ValueError("it is encrypted, packed in a way that is not read, or not there")
        self._file.seek(name + extra, os.SEEK_CUR)
        if method == 0 and (start, end) != (0, member.size):
            self._file.seek(start, os.SEEK_CUR)
            return self._file.read(end - start)
        return self._whole(member, deflated=method == 8)[start:end]

    def _whole(self, member: Member, deflated: bool) -> bytes:
        data = self._file.read(member.packed)
        if deflated:
            try:
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, member.size + 1)
            except zlib.error as error:
                raise ValueError(str(error)) from None
        if len(data) != member.size or zlib.crc32(data) != member.crc:
            raise ValueError("its checksum is wrong, or it is cut off")
        return data

    def close(self) -> None:
        self._file.close()


_kept: tuple[tuple[str, bytes], Members] | None = None


def _index(name: str, file: BinaryIO) -> Members:
    """The members of a zip, once for all videos of it that come one after the other.

    Its end has the sums of the last members. Where another zip ends alike, the sums of those that
    are read would be wrong.
    """
    global _kept
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - TAIL_BYTES))
    mark = f"{name} {size}", hashlib.sha256(file.read(TAIL_BYTES)).digest()
    if _kept is None or _kept[0] != mark:
        _kept = None  # before another is made
        try:
            _kept = mark, Members(file)
        except (ValueError, struct.error) as error:
            raise damaged(
                f"it is no whole zip ({error}); if it is cut off, fetch it again"
            ) from None
    return _kept[1]
