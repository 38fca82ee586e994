"""Files in parts, as `split` makes them, read as the one file that `cat` would make of them.

A part may lie in a zip of its own, stored or deflated. Nothing is written to a disk; a deflated
part is entered anywhere by an index of restart points (see `sofdata.storage.archives.gzip_points`),
or else read from its start.
"""

from __future__ import annotations

import io
import os
import re
import struct
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from sofdata.errors import ConfigError
from sofdata.storage.archives import gzip_points
from sofdata.storage.folder import Folder

WILD = "??"  # stands for the number of a part
_LOCAL_HEADER = 30  # bytes of a zip's header before a file, without its name
_GZIP_HEADER = bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255])


@dataclass(frozen=True, slots=True)
class Part:
    """One part, and how to get at its bytes.

    rel: its file, or the zip that it lies in. size: its bytes, unzipped.
    start, packed: where its bytes lie in a zip; deflated: whether they are compressed there.
    crc: of its bytes according to the zip.
    """

    rel: str
    size: int
    start: int = 0
    packed: int = 0
    deflated: bool = False
    crc: int = 0


def part_names(tree: Folder, pattern: str) -> list[str]:
    """The paths of the parts of a pattern such as `videos/clips-??.zip`, in order."""
    folder, _, name = pattern.rpartition("/")
    fits = re.compile(re.escape(name).replace(re.escape(WILD), r"\d\d"))
    names = [each for each in tree.names(folder) if fits.fullmatch(each)]
    return [f"{folder}/{each}" if folder else each for each in names]


def find_parts(tree: Folder, pattern: str) -> list[Part]:
    """The parts of a pattern. Raises `ConfigError` where one is missing between others, or no zip.

    Raises `FileNotFoundError` where there is none.
    """
    names = part_names(tree, pattern)
    if not names:
        raise FileNotFoundError(2, "there is no part of it", pattern)
    wanted = [pattern.replace(WILD, f"{number:02d}") for number in range(len(names))]
    for name, want in zip(names, wanted, strict=True):
        if name != want:
            raise ConfigError(
                f"part {want} of {tree.name} is missing: there are {len(names)} parts, up to "
                f"{names[-1]}. Fetch it, as no part can be unpacked without all that are before it"
            )
    return [_look_at(tree, name) for name in names]


def _look_at(tree: Folder, rel: str) -> Part:
    if not rel.endswith(".zip"):
        return Part(rel, tree.size(rel))
    try:
        with tree.open(rel) as handle, zipfile.ZipFile(handle) as archive:
            files = [info for info in archive.infolist() if not info.is_dir()]
            if len(files) != 1:
                raise ConfigError(f"{rel} in {tree.name} holds {len(files)} files, not one part")
            (info,) = files
            handle.seek(info.header_offset)
            header = handle.read(_LOCAL_HEADER)
    except zipfile.BadZipFile as error:
        raise ConfigError(
            f"{rel} in {tree.name} is no whole zip ({error}): fetch it again"
        ) from None
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ConfigError(
            f"{rel} in {tree.name} is encrypted or packed in an unusual way: unzip it"
        )
    name, extra = struct.unpack("<HH", header[26:30])
    return Part(
        rel=rel,
        size=info.file_size,
        start=info.header_offset + _LOCAL_HEADER + name + extra,
        packed=info.compress_size,
        deflated=info.compress_type == zipfile.ZIP_DEFLATED,
        crc=info.CRC,
    )


class _Seekable(io.RawIOBase):
    """Where a file of a known length stands that is read piece by piece."""

    _at = 0

    def __len__(self) -> int:
        raise NotImplementedError

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self)}[whence]
        self._at = max(0, base + offset)
        return self._at


class Joined(_Seekable):
    """Parts one after the other, as a file to read and seek in. Holds one part open at a time.

    folder: of the restart points of deflated parts, named by `points_name`.
    keep: write those of a part there once it was read to its end.
    """

    def __init__(
        self, tree: Folder, parts: Sequence[Part], folder: Path, keep: bool = False
    ) -> None:
        self._tree, self._parts, self._folder, self._keep = tree, parts, folder, keep
        self._ends: list[int] = []
        for part in parts:
            self._ends.append((self._ends[-1] if self._ends else 0) + part.size)
        self._number = -1  # of the part that is open
        self._handle: Any = None
        self._stack = ExitStack()

    def __len__(self) -> int:
        return self._ends[-1]

    def readinto(self, buffer: Any) -> int:
        number = self.number_at(self._at)
        if number == len(self._parts) or not len(buffer):
            return 0
        begin = self._ends[number] - self._parts[number].size
        self._open(number)
        self._handle.seek(self._at - begin)
        data = self._handle.read(min(len(buffer), self._ends[number] - self._at))
        buffer[: len(data)] = data
        self._at += len(data)
        if self._keep and self._parts[number].deflated and self._at == self._ends[number]:
            self._handle.export_index(filename=str(self._folder / points_name(number)))
        return len(data)

    def number_at(self, offset: int) -> int:
        """Which part an offset lies in."""
        return next((n for n, end in enumerate(self._ends) if offset < end), len(self._parts))

    def part_at(self, offset: int) -> str:
        """The name of the part that an offset lies in, the last one for the end."""
        return self._parts[min(self.number_at(offset), len(self._parts) - 1)].rel

    def close(self) -> None:
        self._stack.close()
        super().close()

    def _open(self, number: int) -> None:
        if number == self._number:
            return
        self._stack.close()
        self._stack = ExitStack()
        part = self._parts[number]
        handle: Any = self._stack.enter_context(self._tree.open(part.rel))
        if part.packed:
            handle = _Section(handle, part)
        if part.deflated:
            handle = gzip_points.reader(handle, self._folder / points_name(number), self._keep)
        self._handle, self._number = handle, number


def points_name(number: int) -> str:
    """The file of the restart points of a deflated part."""
    return f"part-{number:02d}.gzidx"


@contextmanager
def opened(joined: Joined) -> Iterator[Joined]:
    try:
        yield joined
    finally:
        joined.close()


class _Section(_Seekable):
    """The bytes of a part within its zip; deflated ones with head and end as in a gzip file."""

    def __init__(self, handle: BinaryIO, part: Part) -> None:
        self._handle = handle
        self._part = part
        self._head = _GZIP_HEADER if part.deflated else b""
        ends = struct.pack("<II", part.crc, part.size & 0xFFFFFFFF) if part.deflated else b""
        self._tail = ends

    def __len__(self) -> int:
        return len(self._head) + self._part.packed + len(self._tail)

    def readinto(self, buffer: Any) -> int:
        inner = self._at - len(self._head)
        if inner < 0:
            data = self._head[self._at :][: len(buffer)]
        elif inner < self._part.packed:
            self._handle.seek(self._part.start + inner)
            data = self._handle.read(min(len(buffer), self._part.packed - inner))
        else:
            data = self._tail[inner - self._part.packed :][: len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
